//! What the journal says of a drill: where each kill hit, and a short table of what happened.

use std::collections::HashMap;

use serde::Serialize;
use stead_api::fact::{AnyFact, FactEvent};
use stead_core::{
    fact::{AfterUnknown, AskReason, Fact, Verdict},
    message::{Reply, ToolResult},
    time::Timestamp,
};

use crate::ui::{table::table, term::short, text};

/// Most characters of a text in a row.
const SHOWN: usize = 64;
/// Longest group of rows whose repetition is told once.
const GROUP: usize = 6;

/// Where a kill hit, and how many did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hit {
    /// In words.
    pub(crate) place: String,
    /// Whether an effect was intended there and its outcome was not known.
    pub(crate) in_flight: bool,
    /// How many.
    pub(crate) kills: u32,
}

/// Where the kills hit, in the order of the run. A kill belongs behind the last fact that was durable before it.
pub(crate) fn hits(facts: &[FactEvent], kills: &[Timestamp]) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    let mut place = Place::default();
    let mut rest = facts.iter().peekable();
    for kill in kills {
        while let Some(event) = rest.next_if(|event| event.at <= *kill) {
            place.follow(event);
        }
        let (words, in_flight) = place.words();
        match hits.iter_mut().find(|hit| hit.place == words) {
            Some(hit) => hit.kills += 1,
            None => hits.push(Hit { place: words, in_flight, kills: 1 }),
        }
    }
    hits
}

/// What is under way at a point of the journal.
#[derive(Debug, Default)]
struct Place {
    begun: bool,
    ended: bool,
    model: bool,
    tools: HashMap<u32, String>,
    doing: Option<Doing>,
}

#[derive(Debug)]
struct Doing {
    effect: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Reading,
    Asking,
    Intended,
}

impl Place {
    fn follow(&mut self, event: &FactEvent) {
        let AnyFact::Known(fact) = &event.fact else { return };
        self.begun = true;
        match fact {
            Fact::ModelRequested(_) => self.model = true,
            Fact::ModelFailed(_) => self.model = false,
            Fact::ModelReplied(f) => {
                self.model = false;
                self.tools.extend(f.calls.iter().map(|call| (call.effect, call.tool.to_string())));
            }
            Fact::EffectDecided(f) if f.verdict == Verdict::Allow => self.doing(f.effect, What::Reading),
            Fact::ApprovalRequested(f) => self.doing(f.effect, What::Asking),
            Fact::EffectIntended(f) => self.doing(f.effect, What::Intended),
            Fact::ApprovalGiven(_)
            | Fact::EffectReturned(_)
            | Fact::EffectRefused(_)
            | Fact::EffectNotSent(_)
            | Fact::EffectUnknown(_) => self.doing = None,
            Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled => self.ended = true,
            _ => {}
        }
    }

    fn doing(&mut self, effect: u32, what: What) {
        self.doing = Some(Doing { effect, what });
    }

    fn words(&self) -> (String, bool) {
        let tool = |effect: u32| self.tools.get(&effect).map_or("a tool", String::as_str);
        match &self.doing {
            _ if !self.begun => ("before the run was in the journal".into(), false),
            _ if self.ended => ("after the end of the run".into(), false),
            Some(Doing { effect, what: What::Reading }) => (format!("while {} was looked up", tool(*effect)), false),
            Some(Doing { effect, what: What::Asking }) => {
                (format!("while a human was asked about {}", tool(*effect)), false)
            }
            Some(Doing { effect, what: What::Intended }) => {
                (format!("between the intent of {} and its outcome", tool(*effect)), true)
            }
            None if self.model => ("while the model was asked".into(), false),
            None => ("between two steps".into(), false),
        }
    }
}

/// The journal as a table: what happened after how long, and where it was killed. Groups of rows that come again and again
/// are told once.
pub(crate) fn shown(facts: &[FactEvent], kills: &[Timestamp]) -> String {
    let Some(first) = facts.first().map(|event| event.at) else { return String::new() };
    let mut tools = HashMap::new();
    let mut rows: Vec<(Timestamp, &str, String)> = Vec::new();
    let mut kills = kills.iter().copied().peekable();
    for event in facts {
        while let Some(kill) = kills.next_if(|kill| *kill < event.at) {
            rows.push((kill, "KILL -9", String::new()));
        }
        rows.extend(told(event, &mut tools).map(|text| (event.at, event.fact.kind(), text)));
    }
    rows.extend(kills.map(|kill| (kill, "KILL -9", String::new())));
    let after = |at: Timestamp| format!("{:<8}", if at < first { "-".into() } else { text::span(at.since(first).0) });
    let mut cells = Vec::new();
    let mut i = 0;
    while i < rows.len() {
        let (len, times) = repeated(&rows[i..]);
        for (at, kind, what) in &rows[i..i + len] {
            let times = if times > 1 { format!("×{times}") } else { String::new() };
            cells.push([after(*at), (*kind).to_owned(), times, what.clone()]);
        }
        i += len * times;
    }
    table(["AFTER   ", "FACT", "", "WHAT"], &cells)
}

/// The length of the group at the beginning, and how often it comes.
fn repeated(rows: &[(Timestamp, &str, String)]) -> (usize, usize) {
    let same = |a: usize, b: usize| rows[a].1 == rows[b].1 && rows[a].2 == rows[b].2;
    let times = |len: usize| {
        let fits = |n: usize| (n + 1) * len <= rows.len() && (0..len).all(|i| same(i, n * len + i));
        1 + (1..).take_while(|n| fits(*n)).count()
    };
    (1..=GROUP)
        .map(|len| (len, times(len)))
        .max_by_key(|(len, times)| (len * (times - 1), GROUP - len))
        .unwrap_or((1, 1))
}

/// What a row says of a fact; nothing for those that only follow from others.
fn told(event: &FactEvent, tools: &mut HashMap<u32, String>) -> Option<String> {
    let AnyFact::Known(fact) = &event.fact else { return None };
    let text = event.text.as_deref().unwrap_or_default();
    let name = |effect: u32| tools.get(&effect).cloned().unwrap_or_default();
    let result = |effect: u32| {
        let content = serde_json::from_str::<ToolResult>(text).map_or_else(|_| text.to_owned(), |r| r.content);
        short(&format!("{} {content}", name(effect)), SHOWN)
    };
    Some(match fact {
        Fact::RunStarted(_) => short(text, SHOWN),
        Fact::ModelReplied(f) => {
            tools.extend(f.calls.iter().map(|call| (call.effect, call.tool.to_string())));
            let reply: Reply = serde_json::from_str(text).unwrap_or_default();
            let call = |call: &stead_core::message::ToolCall| format!("calls {} {}", call.name, call.arguments.get());
            let calls: Vec<String> = reply.calls.iter().map(call).collect();
            short(&if calls.is_empty() { reply.text } else { calls.join(", ") }, SHOWN)
        }
        Fact::ModelFailed(f) => format!("{}: {}", f.code, f.code.title()),
        Fact::AnswerRejected(_) => short(text, SHOWN),
        Fact::EffectDecided(f) if f.verdict == Verdict::Deny => result(f.effect),
        Fact::ApprovalRequested(f) => match f.reason {
            AskReason::Manifest => format!("{}: its manifest says so", name(f.effect)),
            AskReason::Policy => format!("{}: policies ask for it", name(f.effect)),
            AskReason::Budget => "a limit is reached".to_owned(),
            AskReason::Delegation => "a delegation has expired".to_owned(),
            _ => format!("{}: did it happen?", name(f.effect)),
        },
        Fact::ApprovalGiven(f) => format!("{}: {}", name(f.effect), if f.approved { "approved" } else { "denied" }),
        Fact::EffectIntended(f) => format!("{}: from here on it may be sent", name(f.effect)),
        Fact::EffectReturned(f) | Fact::EffectRefused(f) => result(f.effect),
        Fact::EffectNotSent(f) => result(f.effect),
        Fact::EffectUnknown(f) => {
            let then = match f.then {
                AfterUnknown::Repeat(_) => "it is repeated under the same key",
                AfterUnknown::Reconcile(_) => "the service is asked",
                AfterUnknown::Ask => "a human decides",
                AfterUnknown::Tell => "the model is told",
            };
            format!("{}: {then}", name(f.effect))
        }
        Fact::RunCompleted(f) => text::counted(f.turns.into(), "turn"),
        Fact::RunFailed(f) => format!("{}: {}", f.code, f.code.title()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(Timestamp, &'static str, String)> {
        text.chars().map(|c| (Timestamp(0), "k", c.to_string())).collect()
    }

    #[test]
    fn a_group_that_comes_again_is_found_and_the_shortest_one_is_taken() {
        assert_eq!(repeated(&rows("abcabcabcd")), (3, 3));
        assert_eq!(repeated(&rows("aaaa")), (1, 4));
        assert_eq!(repeated(&rows("abcd")), (1, 1));
        assert_eq!(repeated(&rows("a")), (1, 1));
    }
}
