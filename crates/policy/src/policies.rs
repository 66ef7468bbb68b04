//! A policy set that has been applied: parsed, type-checked against the tools there are, indexed by scope.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator, ffi::DetailedError};
use cedar_policy_core::ast::Expr;
use sha2::{Digest, Sha256};

use crate::{
    cache::Cache,
    cases::CASES,
    check,
    fold::{Constant, fold},
    gate::{self, Role},
    history::Counter,
    index::Index,
    loosened::{LOOSENED_FILE, Loosened},
    problem::Problem,
    tool::{ToolSpec, World},
    tools_file::TOOLS_FILE,
    wanted::Mentions,
    yaml::MAX_FILE,
};

/// Most policies of a set.
pub const MAX_POLICIES: usize = 20_000;
/// The file of a policy set that declares its counters.
pub const COUNTERS: &str = "history.yaml";

/// Most files of a policy set.
pub const MAX_FILES: usize = 256;
/// Most bytes of the files of a policy set together.
pub const MAX_SET: usize = 8 << 20;

/// A file of a policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, as people know it: `policy/refunds.cedar`.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// The SHA-256 of a policy set's files. Two sets with one digest decide alike where the tools are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetDigest(pub [u8; 32]);

impl Source {
    /// Whether a file of that name, below the folder of a set, is a part of it: `NAME.cedar`, `gates/NAME.cedar`, [`COUNTERS`],
    /// [`LOOSENED_FILE`], [`TOOLS_FILE`] and [`CASES`].
    pub fn belongs(name: &str) -> bool {
        let stem = name.strip_prefix("gates/").unwrap_or(name).strip_suffix(".cedar");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
        let named =
            |stem: &str| (1..=100).contains(&stem.len()) && !stem.starts_with(['.', ' ']) && stem.chars().all(plain);
        [COUNTERS, LOOSENED_FILE, TOOLS_FILE, CASES].contains(&name) || stem.is_some_and(named)
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pol_")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl SetDigest {
    /// The digest of these files, whatever their order.
    pub fn of(files: &[Source]) -> Self {
        let mut sorted: Vec<&Source> = files.iter().collect();
        sorted.sort_by(|a, b| a.file.cmp(&b.file));
        let mut hash = Sha256::new();
        for part in sorted.iter().flat_map(|source| [&source.file, &source.text]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// One policy.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its `@id`, else `FILE:LINE`.
    pub(crate) id: Arc<str>,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) permits: bool,
    pub(crate) role: Role,
    /// What `@reason` says, to whoever is refused or asked.
    pub(crate) reason: Option<String>,
    pub(crate) mentions: Mentions,
    /// Whether it has a `when` or an `unless`.
    pub(crate) conditional: bool,
    /// Under its number, by which answers are found again.
    pub(crate) policy: Policy,
    /// Its `when` and `unless`, with its constants to be read from the context.
    pub(crate) condition: Option<Expr>,
    pub(crate) constants: Vec<Constant>,
}

impl Rule {
    /// A problem at its place.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { line: self.line, column: self.column, ..Problem::whole(&self.file, message) }
    }
}

/// A policy set that decides.
#[derive(Debug)]
pub struct Policies {
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    pub(crate) world: World,
    pub(crate) cache: Cache,
    /// What Cedar warns of, as problems: policies that can never match, look-alike letters.
    pub(crate) warnings: Vec<Problem>,
    epoch: u64,
    digest: SetDigest,
}

impl Policies {
    /// Applies the files of a policy set: `*.cedar`, [`COUNTERS`] when the policies ask for history, and [`LOOSENED_FILE`] when the
    /// default policy is not to hold whole. `tools` are those of
    /// every agent that it will decide for, and `epoch` its place in the order of sets that were applied.
    ///
    /// A set without policies denies everything.
    ///
    /// # Errors
    /// Everything that is wrong, with its place. A set is applied whole or not at all.
    pub fn apply(
        files: &[Source],
        tools: impl IntoIterator<Item = ToolSpec>,
        epoch: u64,
    ) -> Result<Self, Vec<Problem>> {
        let mut world = World::new(tools)?;
        for source in files.iter().filter(|source| is_counters(&source.file)) {
            let counters = Counter::read(&source.file, &source.text, &world)?;
            // One that took the place of another's would change what that one's policies mean.
            if let Some(twice) = counters.keys().find(|name| world.counters.contains_key(*name)) {
                let problem = Problem::whole(&source.file, format!("there are two counters `{twice}`"));
                return Err(vec![
                    problem.hint("give it another name: the set and the agent's own policies share them"),
                ]);
            }
            world.counters.extend(counters);
        }
        let schema = world.schema().map_err(|problem| vec![problem])?;
        let loosened = Loosened::of(files, &world)?;
        let mut rules: Vec<Rule> = Vec::new();
        let mut problems = Vec::new();
        for source in files.iter().filter(|source| source.file.ends_with(".cedar")) {
            match parse(&source.file, &loosened.text(source), rules.len()) {
                Ok(more) => rules.extend(more),
                Err(more) => problems.extend(more),
            }
        }
        if rules.len() > MAX_POLICIES {
            problems.push(Problem::whole("the policy set", format!("has more than {MAX_POLICIES} policies")));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut warnings = validate(&rules, files, &schema)?;
        warnings.extend(loosened.told());
        let problems = check::all(&rules, &world);
        if !problems.is_empty() {
            return Err(problems);
        }
        let index = Index::of(&rules);
        let digest = SetDigest::of(files);
        Ok(Self { rules, index, world, cache: Cache::default(), warnings, epoch, digest })
    }

    /// The set's place in the order of those that were applied.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The digest of its files.
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// The tools and counters that it was checked against.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The ids of its policies in the order of the files.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.id)
    }
}

fn is_counters(file: &str) -> bool {
    file.rsplit('/').next() == Some(COUNTERS)
}

/// The policies of a file, numbered from `first`.
fn parse(file: &str, text: &str, first: usize) -> Result<Vec<Rule>, Vec<Problem>> {
    if text.len() > MAX_FILE {
        return Err(vec![Problem::whole(file, format!("has more than {MAX_FILE} bytes"))]);
    }
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let of = |e| Problem::of_cedar(file, text, &DetailedError::from(e), 0);
        errors.iter().map(of).collect::<Vec<_>>()
    })?;
    if set.templates().next().is_some() {
        let hint = "name who and what; `?principal` and `?resource` have no place here";
        return Err(vec![Problem::whole(file, "has a template").hint(hint)]);
    }
    // Cedar numbers what it reads: policy0, policy1, …
    let mut policies: Vec<(usize, &Policy)> = set
        .policies()
        .map(|p| (AsRef::<str>::as_ref(p.id()).trim_start_matches("policy").parse().unwrap_or(usize::MAX), p))
        .collect();
    policies.sort_by_key(|(n, _)| *n);
    let mut from = 0;
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for (n, policy) in policies {
        let written = policy.to_cedar().unwrap_or_default();
        let byte = text.get(from..).and_then(|rest| rest.find(&written)).map_or(from, |at| from + at);
        from = byte + written.len();
        let annotations: BTreeMap<String, String> =
            policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let permits = policy.effect() == cedar_policy::Effect::Permit;
        match gate::read(&annotations, permits) {
            Err((message, hint)) => problems.push(Problem::at(file, text, byte, message).hint(hint)),
            Ok(annotated) => {
                let tree = match policy.to_pst() {
                    Ok(tree) => tree,
                    Err(e) => {
                        problems.push(Problem::at(file, text, byte, e.to_string()));
                        continue;
                    }
                };
                let clauses = tree.body().clauses();
                let written: &cedar_policy_core::ast::Policy = policy.as_ref();
                let folded = written.non_scope_constraints().map(|written| fold(first + n, written));
                let (condition, constants) =
                    folded.map_or((None, Vec::new()), |(condition, constants)| (Some(condition), constants));
                let (line, column) = crate::problem::place(text, byte);
                rules.push(Rule {
                    id: annotated.id.unwrap_or_else(|| format!("{file}:{line}")).into(),
                    file: file.into(),
                    line,
                    column,
                    permits,
                    role: annotated.role,
                    reason: annotated.reason,
                    mentions: Mentions::of(clauses),
                    conditional: !clauses.is_empty(),
                    policy: policy.new_id(PolicyId::new((first + n).to_string())),
                    condition,
                    constants,
                });
            }
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

/// Type-checks all policies; what Cedar warns of.
fn validate(rules: &[Rule], files: &[Source], schema: &Schema) -> Result<Vec<Problem>, Vec<Problem>> {
    let set = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone()))
        .map_err(|e| vec![Problem::whole("the policy set", e.to_string())])?;
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let place = |id: &PolicyId, error: DetailedError| {
        let rule = AsRef::<str>::as_ref(id).parse::<usize>().ok().and_then(|n| rules.get(n));
        let Some(rule) = rule else { return Problem::whole("the policy set", error.message) };
        let text = files.iter().find(|s| s.file == *rule.file).map_or("", |s| s.text.as_str());
        let mut problem = Problem::of_cedar(&rule.file, text, &error, usize::MAX);
        if error.source_locations.is_empty() {
            (problem.line, problem.column) = (rule.line, rule.column);
        }
        // Cedar's words without the number that stands for the policy here.
        let prefix = format!("for policy `{}`, ", AsRef::<str>::as_ref(id));
        problem.message = problem.message.strip_prefix(&prefix).unwrap_or(&problem.message).to_owned();
        problem
    };
    let errors = result.validation_errors().map(|e| place(e.policy_id(), DetailedError::from(e)));
    let errors = each_place_once(errors.collect());
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(each_place_once(result.validation_warnings().map(|w| place(w.policy_id(), DetailedError::from(w))).collect()))
}

/// In the order of places, and of each place one: Cedar says the same again for each action that a policy may be about, in an
/// order of its own.
fn each_place_once(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    problems.dedup_by(|a, b| (&a.file, a.line, a.column) == (&b.file, b.line, b.column));
    problems
}
