//! Gates: policies that something lifts. A gate is written as a `forbid`, so that one whose annotations are lost closes the
//! door instead of opening it.

use std::collections::{BTreeMap, BTreeSet};

use stead_core::time::Span;

use crate::wanted::Path;

/// Most humans that a gate may ask for.
pub const MAX_QUORUM: u32 = 8;
/// Shortest time after which people are reminded, or others asked.
const MIN_WAIT: Span = Span::from_secs(60);
/// Most steps of a gate's escalation.
const MAX_STEPS: usize = 8;
/// Longest time that a gate may give its approvers.
pub const MAX_TTL: Span = Span::from_secs(30 * 24 * 3_600);

/// Who may approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approver {
    /// Everyone who has this role.
    Role(String),
    /// One person.
    User(String),
}

/// What a gate asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Who may approve.
    pub approvers: BTreeSet<Approver>,
    /// How many of them, 1 to [`MAX_QUORUM`].
    pub quorum: u32,
    /// How long they have.
    pub ttl: Span,
    /// Whether only those count whose authenticator has verified them as a person.
    pub verified: bool,
    /// Whether they must come over two channels: a page of the server, and a program of a signer's own.
    pub channels: bool,
    /// After so long without an answer people are reminded, again and again.
    pub remind: Option<Span>,
    /// Who may approve too once it has been asked for so long, the first first.
    pub escalate: Vec<(Span, Approver)>,
}

/// What a policy is, beside its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It permits or forbids.
    Hard,
    /// It forbids until humans approve.
    Approval(Requirement),
    /// It forbids these arguments as they are: their texts are replaced.
    Redact(Vec<Path>),
}

/// What annotations say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotated {
    pub(crate) id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) role: Role,
}

/// The annotations that there are.
const KNOWN: [&str; 12] = [
    "id",
    "reason",
    "require",
    "approvers",
    "quorum",
    "ttl",
    "verify",
    "channels",
    "remind",
    "escalate",
    "transform",
    "fields",
];
/// Those that only a gate has.
const OF_GATES: [&str; 7] = ["approvers", "quorum", "ttl", "verify", "channels", "remind", "escalate"];

/// Reads the annotations of a policy; the error says what is wrong and what to do.
pub(crate) fn read(annotations: &BTreeMap<String, String>, permits: bool) -> Result<Annotated, (String, String)> {
    for name in annotations.keys() {
        if !KNOWN.contains(&name.as_str()) {
            let hint = match crate::problem::nearest(name, KNOWN) {
                Some(near) => format!("did you mean `@{near}`?"),
                None => format!("known are: @{}", KNOWN.join(", @")),
            };
            return Err((format!("there is no annotation `@{name}`"), hint));
        }
    }
    let get = |name: &str| annotations.get(name).map(String::as_str);
    let stray = |names: &[&'static str]| names.iter().copied().find(|name| annotations.contains_key(*name));
    let role = match (get("require"), get("transform")) {
        (Some(_), Some(_)) => {
            let hint = "write two policies";
            return Err(("a policy has `@require` or `@transform`, not both".to_owned(), hint.to_owned()));
        }
        (Some("approval"), None) => {
            if let Some(name) = stray(&["fields"]) {
                return Err((format!("`@{name}` belongs to `@transform`"), "leave it out".to_owned()));
            }
            let mut requirement = requirement(get("approvers"), get("quorum"), get("ttl"))?;
            requirement.verified = switch("verify", get("verify"), "person")?;
            requirement.channels = switch("channels", get("channels"), "2")?;
            requirement.remind = get("remind").map(|written| remind(written, requirement.ttl)).transpose()?;
            requirement.escalate = get("escalate").map_or(Ok(Vec::new()), |written| escalate(written, &requirement))?;
            Role::Approval(requirement)
        }
        (Some(other), None) => {
            let hint = "write `@require(\"approval\")`";
            return Err((format!("`@require(\"{other}\")` is nothing that a gate can require"), hint.to_owned()));
        }
        (None, Some("redact")) => {
            if let Some(name) = stray(&OF_GATES) {
                return Err((format!("`@{name}` belongs to `@require`"), "leave it out".to_owned()));
            }
            Role::Redact(fields(get("fields"))?)
        }
        (None, Some(other)) => {
            let hint = "write `@transform(\"redact\")`";
            return Err((format!("`@transform(\"{other}\")` is no transform"), hint.to_owned()));
        }
        (None, None) => {
            if let Some(name) = stray(&OF_GATES).or_else(|| stray(&["fields"])) {
                let hint = "a gate has `@require(\"approval\")`, a transform `@transform(\"redact\")`";
                return Err((format!("`@{name}` stands alone"), hint.to_owned()));
            }
            Role::Hard
        }
    };
    if permits && role != Role::Hard {
        let hint = "write `forbid`: what is forbidden is lifted by the approval or the transform";
        return Err(("a gate is a `forbid`, and this is a `permit`".to_owned(), hint.to_owned()));
    }
    let id = get("id").map(str::to_owned);
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 128 || id.chars().any(char::is_control)) {
        return Err(("an `@id` has 1 to 128 bytes".to_owned(), "give it a short name".to_owned()));
    }
    Ok(Annotated { id, reason: get("reason").map(str::to_owned), role })
}

fn requirement(
    approvers: Option<&str>,
    quorum: Option<&str>,
    ttl: Option<&str>,
) -> Result<Requirement, (String, String)> {
    let missing = |name: &str, like: &str| (format!("a gate has `@{name}`"), format!("write `@{name}(\"{like}\")`"));
    let listed = approvers.ok_or_else(|| missing("approvers", "finance-supervisor"))?;
    let mut approvers = BTreeSet::new();
    for name in listed.split(',') {
        let hint = "list roles, or people as `user:NAME`, with commas between them";
        let nobody = || (format!("`@approvers(\"{listed}\")` names nobody"), hint.to_owned());
        approvers.insert(named(name).ok_or_else(nobody)?);
    }
    let written = quorum.ok_or_else(|| missing("quorum", "1"))?;
    let quorum = written.parse().ok().filter(|n| (1..=MAX_QUORUM).contains(n)).ok_or_else(|| {
        (format!("`@quorum(\"{written}\")` is no number of humans"), format!("write a number from 1 to {MAX_QUORUM}"))
    })?;
    let people = approvers.iter().filter(|a| matches!(a, Approver::User(_))).count();
    if people == approvers.len() && u32::try_from(people).is_ok_and(|people| people < quorum) {
        let hint = "list more people, or a role";
        return Err((format!("`@quorum(\"{written}\")` is more than the people listed"), hint.to_owned()));
    }
    let written = ttl.ok_or_else(|| missing("ttl", "15m"))?;
    let ttl = crate::yaml::span(written).filter(|ttl| *ttl <= MAX_TTL).ok_or_else(|| {
        (format!("`@ttl(\"{written}\")` is no span of at most 30 days"), "write `90s`, `15m`, `12h` or `7d`".to_owned())
    })?;
    Ok(Requirement { approvers, quorum, ttl, verified: false, channels: false, remind: None, escalate: Vec::new() })
}

/// A role, or a person as `user:NAME`.
fn named(name: &str) -> Option<Approver> {
    let approver = Approver::from_text(name.trim());
    let (Approver::Role(word) | Approver::User(word)) = &approver;
    let odd = word.is_empty() || word.contains(['"', ':']) || word.chars().any(char::is_whitespace);
    (!odd).then_some(approver)
}

/// A wait that ends before the question does.
fn wait(written: &str, ttl: Span) -> Result<Span, String> {
    let span = crate::yaml::span(written.trim()).filter(|span| *span >= MIN_WAIT);
    match span {
        None => Err(format!("`{written}` is no span of a minute or more")),
        Some(span) if span >= ttl => Err(format!("after `{written}` nobody is asked any more: `@ttl` is no longer")),
        Some(span) => Ok(span),
    }
}

fn remind(written: &str, ttl: Span) -> Result<Span, (String, String)> {
    let hint = "write a span that is shorter than `@ttl`, such as `15m` or `1h`";
    wait(written, ttl).map_err(|why| (format!("`@remind(\"{written}\")`: {why}"), hint.to_owned()))
}

fn escalate(written: &str, gate: &Requirement) -> Result<Vec<(Span, Approver)>, (String, String)> {
    let wrong = |why: String| {
        let hint = "write when and who, the first first: `30m:finance-leads, 2h:user:ann`";
        (format!("`@escalate(\"{written}\")`: {why}"), hint.to_owned())
    };
    let mut steps: Vec<(Span, Approver)> = Vec::new();
    for step in written.split(',').map(str::trim) {
        let (after, to) = step.split_once(':').ok_or_else(|| wrong(format!("`{step}` does not say when and who")))?;
        let after = wait(after, gate.ttl).map_err(wrong)?;
        let to = named(to).ok_or_else(|| wrong(format!("`{step}` names nobody")))?;
        if steps.last().is_some_and(|(before, _)| *before > after) {
            return Err(wrong(format!("`{step}` comes before the step that stands before it")));
        }
        if gate.approvers.contains(&to) || steps.iter().any(|(_, known)| *known == to) {
            return Err(wrong(format!("`{to}` may approve already")));
        }
        steps.push((after, to));
    }
    match steps.len() {
        ..=MAX_STEPS => Ok(steps),
        more => Err(wrong(format!("it has {more} steps, and may have {MAX_STEPS}"))),
    }
}

impl crate::Policies {
    /// The steps of escalation that each gate has taken when it has asked for so long.
    pub fn escalated(&self, asked_for: Span) -> Vec<(String, Approver)> {
        let mut taken = Vec::new();
        for rule in &self.rules {
            if let Role::Approval(requirement) = &rule.role {
                let due = requirement.escalate.iter().filter(|(after, _)| *after <= asked_for);
                taken.extend(due.map(|(_, to)| (rule.id.to_string(), to.clone())));
            }
        }
        taken
    }
}

impl Approver {
    /// Who is named so: a role, or a person as `user:NAME`.
    pub fn from_text(text: &str) -> Self {
        match text.strip_prefix("user:") {
            Some(user) => Self::User(user.trim().to_owned()),
            None => Self::Role(text.to_owned()),
        }
    }
}

/// An annotation that has one value, or is not there.
fn switch(name: &str, written: Option<&str>, value: &str) -> Result<bool, (String, String)> {
    match written {
        None => Ok(false),
        Some(written) if written == value => Ok(true),
        Some(other) => {
            let hint = format!("write `@{name}(\"{value}\")`, or leave it out");
            Err((format!("`@{name}(\"{other}\")` is nothing that a gate can ask for"), hint))
        }
    }
}

fn fields(fields: Option<&str>) -> Result<Vec<Path>, (String, String)> {
    let like = || "write `@fields(\"args.body, args.note\")`".to_owned();
    let listed = fields.ok_or_else(|| ("a transform has `@fields`".to_owned(), like()))?;
    listed
        .split(',')
        .map(|field| {
            let path: Path = field.trim().split('.').map(str::to_owned).collect();
            let named = path.len() > 1 && path[0] == "args" && path.iter().all(|part| !part.is_empty());
            named.then(|| path[1..].to_vec()).ok_or_else(|| (format!("`{}` names no argument", field.trim()), like()))
        })
        .collect()
}
