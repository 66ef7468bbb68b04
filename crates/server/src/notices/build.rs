//! What a notice tells of a question. Everything in it that somebody else wrote is cut, and nothing in it is hidden: control
//! characters, and those that turn the direction of writing, are spelled out. How it is written is each form's matter.

use sha2::{Digest as _, Sha256};
use stead_core::{
    code,
    fact::{AskReason, Fact, Verdict},
    id::{EffectId, Name},
    time::Timestamp,
};
use stead_engine::{ApprovalView, Engine, EngineError};
use stead_ports::notices::Owed;
use stead_trust::{
    hex,
    shown::{instant, visible},
};

use crate::config;

/// Most characters of a value, and of what the action is.
const MAX_VALUE: usize = 200;
const MAX_DETAILS: usize = 2_000;
/// Most gates that are named.
const MAX_GATES: usize = 8;
/// Facts looked at for how a question ended.
const FACTS: u32 = 10_000;

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Asked,
    Reminded,
    Escalated,
    Resolved,
    Test,
}

impl Kind {
    /// The type of the event.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Asked => "approval.asked",
            Self::Reminded => "approval.reminded",
            Self::Escalated => "approval.escalated",
            Self::Resolved => "approval.resolved",
            Self::Test => "approval.test",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Asked => "An approval is asked for",
            Self::Reminded => "An approval is still asked for",
            Self::Escalated => "An approval was escalated",
            Self::Resolved => "An approval is not asked for any more",
            Self::Test => "A test: no approval is asked for",
        }
    }
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The same for the same question and occasion, however often it is sent.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) approval: String,
    /// What there is to say, by name, in order. The names are ours.
    pub(super) rows: Vec<(&'static str, String)>,
    /// What the action is.
    pub(super) details: Option<String>,
    pub(super) link: String,
}

/// The notice that is owed; `None` when there is nothing to say: it is not for this destination, or was answered meanwhile.
pub(super) async fn message(
    engine: &Engine,
    notice: &config::Notice,
    url: &str,
    owed: &Owed,
) -> Result<Option<Message>, EngineError> {
    if owed.closed {
        return resolved(engine, notice, url, owed).await;
    }
    if notice.tenant.as_ref().is_some_and(|tenant| **tenant != *owed.tenant) {
        return Ok(None);
    }
    let view = engine.view(owed.effect.run).await?;
    let asked = |view: &&ApprovalView| view.effect == owed.effect && view.since == owed.asked;
    let Some(view) = view.approvals.iter().find(asked) else { return Ok(None) };
    if !notice.agents.is_empty() && !notice.agents.contains(&*view.agent) {
        return Ok(None);
    }
    if !notice.roles.is_empty() && !concerns(view).any(|who| notice.roles.contains(who)) {
        return Ok(None);
    }
    let asker = engine.asker(owed.effect.run).await?;
    let kind = match (owed.told, view.escalated.is_empty(), view.reminders) {
        (false, true, _) => Kind::Asked,
        (false, false, _) | (true, false, 0) => Kind::Escalated,
        (true, true, _) => Kind::Reminded,
        (true, false, _) => last(engine, owed).await?,
    };
    let behalf = asker.user.map_or("nobody".to_owned(), |user| user.name);
    let through: String = asker.callers.iter().map(|caller| format!(", through {caller}")).collect();
    let mut rows = vec![
        ("Agent", line(&view.agent)),
        ("Tool", line(&view.tool)),
        ("On behalf of", line(&(behalf + &through))),
        ("Asked because", reason(view.reason).to_owned()),
    ];
    let gates = view.asked.iter().flat_map(|asked| &asked.gates).take(MAX_GATES);
    for gate in gates {
        let who: Vec<&str> = gate.approvers.iter().map(|who| &**who).collect();
        let came = view.escalated.iter().filter(|step| step.policy == gate.policy);
        let came: String = came.map(|step| format!(", and since it was escalated {}", &*step.to)).collect();
        rows.push(("Needs", line(&format!("{} of {} ({}){came}", gate.quorum, who.join(" or "), &*gate.policy))));
    }
    if view.reminders > 0 {
        rows.push(("Reminder", view.reminders.to_string()));
    }
    rows.push(("Tenant", line(&owed.tenant)));
    rows.push(("Asked", time(view.since)));
    rows.push(("Expires", view.expires.map_or("when it is answered".to_owned(), time)));
    let details = match notice.details {
        true => Some(details(engine, view).await?),
        false => None,
    };
    let (id, link) = (id(notice, owed, ""), link(url, owed.effect));
    Ok(Some(Message { id, kind, title: kind.title(), approval: owed.effect.to_string(), rows, details, link }))
}

/// What came last of a question that was escalated, and of which somebody was reminded too.
async fn last(engine: &Engine, owed: &Owed) -> Result<Kind, EngineError> {
    let (mut kind, mut asked, mut escalated) = (Kind::Reminded, false, None);
    for event in engine.facts(owed.effect.run, 0, FACTS).await? {
        match &event.fact {
            Fact::ApprovalRequested(f) if f.effect == owed.effect.n => asked = event.at == owed.asked,
            Fact::ApprovalEscalated(f) if asked && f.effect == owed.effect.n => {
                (kind, escalated) = (Kind::Escalated, Some(event.at));
            }
            // Of both at once it is the step that is new.
            Fact::ApprovalReminded(f) if asked && f.effect == owed.effect.n && escalated != Some(event.at) => {
                kind = Kind::Reminded;
            }
            _ => {}
        }
    }
    Ok(kind)
}

/// Whom a question concerns now.
fn concerns(view: &ApprovalView) -> impl Iterator<Item = &str> {
    let gates = view.asked.iter().flat_map(|asked| &asked.gates);
    gates.flat_map(|gate| &gate.approvers).map(|who| &**who).chain(view.escalated.iter().map(|step| &*step.to))
}

/// What the action is: the text that a signature covers, where one does.
async fn details(engine: &Engine, view: &ApprovalView) -> Result<String, EngineError> {
    let text = match engine.question(view.effect).await? {
        Some(asked) => asked.question.shown(),
        None => match &view.question {
            Some(words) => visible(words),
            None => format!("{} {}", visible(&view.tool), visible(&view.arguments)),
        },
    };
    Ok(cut(&text, MAX_DETAILS))
}

/// That nobody is asked any more, and why.
async fn resolved(
    engine: &Engine,
    notice: &config::Notice,
    url: &str,
    owed: &Owed,
) -> Result<Option<Message>, EngineError> {
    if !notice.resolved || !owed.told {
        return Ok(None);
    }
    let mut outcome = "it was withdrawn".to_owned();
    let (mut asked, mut yes) = (false, false);
    for event in engine.facts(owed.effect.run, 0, FACTS).await? {
        match &event.fact {
            Fact::ApprovalRequested(f) if f.effect == owed.effect.n => asked = event.at == owed.asked,
            _ if !asked => {}
            Fact::ApprovalGiven(f) if f.effect == owed.effect.n => {
                outcome = format!("{} by {}", if f.approved { "approved" } else { "denied" }, line(&f.by));
                yes = f.approved;
            }
            Fact::ApprovalExpired(f) if f.effect == owed.effect.n => {
                outcome = "nobody answered in time: denied".to_owned()
            }
            // The yes of one of several, say, before the run was stopped.
            Fact::EffectWithdrawn(f) if f.effect == owed.effect.n => outcome = "it was withdrawn".to_owned(),
            // Whatever people said, policies have the last word.
            Fact::EffectDecided(f) if f.effect == owed.effect.n && f.verdict == Verdict::Deny => {
                let by = f
                    .ruled
                    .iter()
                    .filter(|_| f.code == Some(code::POLICY))
                    .flat_map(|ruled| &ruled.by)
                    .map(|policy| &**policy)
                    .collect::<Vec<_>>()
                    .join(", ");
                let denied = if by.is_empty() { "denied".to_owned() } else { format!("denied by policy: {by}") };
                outcome = match yes {
                    true => line(&format!("{outcome}, and {denied} after that")),
                    false => line(&denied),
                };
                break;
            }
            // It was let go: what comes after is no answer to this question.
            Fact::EffectIntended(f) if f.effect == owed.effect.n => break,
            _ => {}
        }
    }
    let kind = Kind::Resolved;
    let rows = vec![("Outcome", outcome)];
    let (id, link) = (id(notice, owed, "resolved"), link(url, owed.effect));
    Ok(Some(Message { id, kind, title: kind.title(), approval: owed.effect.to_string(), rows, details: None, link }))
}

/// A notice that says that it is none.
pub(super) fn test(url: &str, tenant: &Name) -> Message {
    let kind = Kind::Test;
    let rows = vec![("Tenant", line(tenant))];
    let id = format!("msg_{}", hex::encode(&Sha256::digest(format!("test {:?}", std::time::SystemTime::now()))[..16]));
    Message { id, kind, title: kind.title(), approval: "none".to_owned(), rows, details: None, link: url.to_owned() }
}

/// The same for the same occasion.
fn id(notice: &config::Notice, owed: &Owed, what: &str) -> String {
    let text = format!("stead-notice-v1\0{}\0{}\0{}\0{}\0{what}", notice.name, owed.effect, owed.asked.0, owed.round);
    format!("msg_{}", hex::encode(&Sha256::digest(text)[..16]))
}

fn link(url: &str, effect: EffectId) -> String {
    format!("{url}/approvals/{effect}")
}

/// A value in one line, of which nothing is hidden.
fn line(text: &str) -> String {
    cut(&visible(text), MAX_VALUE)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} … (cut)", &text[..end]),
    }
}

fn time(at: Timestamp) -> String {
    instant(u64::try_from(at.0 / 1_000_000).unwrap_or(0))
}

const fn reason(reason: AskReason) -> &'static str {
    match reason {
        AskReason::Manifest => "the agent's manifest asks for it",
        AskReason::EqualUnknown => "an equal call has an unknown outcome",
        AskReason::OutcomeUnknown => "its own outcome is unknown",
        AskReason::Restored => "the run was restored from a backup and may have done this since",
        AskReason::Policy => "gates of policies ask for it",
        AskReason::Budget => "a limit is reached",
        AskReason::Delegation => "the time is over in which the run may work on somebody's behalf",
    }
}
