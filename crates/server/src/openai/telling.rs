//! How a run is told to clients that know messages and no facts: which texts they see, in which pieces, what people are asked, how it
//! ended.
//!
//! Pieces follow from the text alone: one ends after a blank, or at [`PIECE`] bytes. So those of a text that is still being written,
//! and those of the same text read from the journal, are the same, and who comes back after any of them finds the next. A text that
//! is being written may come to nothing, since only the whole reply is a fact; then its pieces stand, if the text that takes its place
//! begins with them, and else the telling is [`Told::Turned`].

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    budget::Usage,
    code::Code,
    fact::{AskReason, Fact},
    id::{EffectId, Name, RunId, SessionId, VersionId},
    message::{Reply, StopReason},
    time::Timestamp,
};
use stead_engine::FactEvent;
use stead_models::relay::Answered;

/// Bytes of a piece without a blank.
pub(crate) const PIECE: usize = 64;

/// Something that a client is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// The run was accepted.
    Begun,
    /// A message begins: what the run says in that turn.
    Opened {
        /// The turn, from 1.
        turn: u32,
    },
    /// More of it.
    Piece(String),
    /// It is whole.
    Closed {
        /// The turn.
        turn: u32,
        /// All of it.
        text: String,
    },
    /// People are asked.
    Asked(Question),
    /// The run is over.
    Ended(Ending),
    /// What was told of the message that is open does not count, and cannot be taken back.
    Turned,
}

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name of the approval.
    pub(crate) effect: EffectId,
    /// The tool; for a limit or a delegation that word.
    pub(crate) tool: Name,
    /// The arguments' JSON text.
    pub(crate) arguments: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an answer.
    Completed {
        /// Whether the model ran into its output limit, or was cut by a filter.
        cut: Option<StopReason>,
    },
    /// Without.
    Failed {
        /// Why.
        code: Code,
        /// In words.
        why: String,
    },
    /// It was stopped.
    Cancelled,
}

/// What a run is, from its first facts.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) agent: Name,
    pub(crate) version: VersionId,
    pub(crate) session: SessionId,
    pub(crate) at: Timestamp,
    /// What it was asked.
    pub(crate) input: String,
    /// Whether its answer is checked, and may be written anew.
    checked: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Telling {
    run: RunId,
    /// Whether texts are told while they are being written.
    live: bool,
    pub(crate) origin: Option<Origin>,
    /// The run whose conversation it goes on with.
    pub(crate) base: Option<RunId>,
    pub(crate) usage: Usage,
    /// Whether the model draws a plan, which is no message.
    planning: bool,
    turn: u32,
    /// What was told of the message that is open.
    given: String,
    /// What is known of it beyond that.
    held: String,
    /// The attempt that takes the place of the one that was told, as far as it has come.
    again: Option<String>,
    /// The last whole text, and why it ended.
    last: (String, StopReason),
    /// Whether it is a run of a gateway, whose answer is what a model said.
    relay: bool,
    /// That answer, once it is there.
    pub(crate) said: Option<Answered>,
    calls: BTreeMap<u32, (Name, String)>,
    asked: BTreeSet<u32>,
    turned: bool,
}

impl Telling {
    /// Nothing was told yet.
    pub(crate) fn new(run: RunId, live: bool) -> Self {
        Self {
            run,
            live,
            origin: None,
            base: None,
            usage: Usage::default(),
            planning: false,
            turn: 0,
            given: String::new(),
            held: String::new(),
            again: None,
            last: (String::new(), StopReason::End),
            relay: false,
            said: None,
            calls: BTreeMap::new(),
            asked: BTreeSet::new(),
            turned: false,
        }
    }

    /// The same for a run of a gateway, when it is one.
    pub(crate) fn relayed(mut self, relay: bool) -> Self {
        self.relay = relay;
        self
    }

    /// The run.
    pub(crate) const fn run(&self) -> RunId {
        self.run
    }

    /// The turn that is told of, from 1.
    pub(crate) const fn turn(&self) -> u32 {
        self.turn
    }

    /// Takes a fact in.
    pub(crate) fn fact(&mut self, event: &FactEvent, told: &mut Vec<Told>) {
        let text = || event.text.clone().unwrap_or_default();
        match &event.fact {
            Fact::RunStarted(f) => {
                self.origin = Some(Origin {
                    agent: f.agent.clone(),
                    version: f.version,
                    session: f.session,
                    at: event.at,
                    input: text(),
                    checked: f.config.repairs.is_some(),
                });
                told.push(Told::Begun);
            }
            Fact::RunAdmitted(f) => self.base = f.base,
            Fact::ModelRequested(f) => {
                self.planning = f.planning.is_some();
                self.turn = f.turn;
            }
            Fact::ModelReplied(f) => {
                self.turn = f.turn;
                add(&mut self.usage, &f.usage);
                // An erased reply says nothing any more.
                let reply: Reply = serde_json::from_str(&text()).unwrap_or_default();
                let calls = f.calls.iter().zip(&reply.calls);
                self.calls = calls.map(|(h, c)| (h.effect, (h.tool.clone(), c.arguments.get().to_owned()))).collect();
                if !self.planning {
                    self.replied(reply, told);
                }
            }
            // A question that is asked once more is the same one.
            Fact::ApprovalRequested(f) if self.asked.insert(f.effect) => {
                let (tool, arguments) = match (f.reason, self.calls.get(&f.effect)) {
                    (AskReason::Budget, _) => ("limit".into(), "{}".to_owned()),
                    (AskReason::Delegation, _) => ("delegation".into(), "{}".to_owned()),
                    (_, Some(call)) => call.clone(),
                    (_, None) => ("call".into(), "{}".to_owned()),
                };
                told.push(Told::Asked(Question { effect: EffectId { run: self.run, n: f.effect }, tool, arguments }));
            }
            Fact::RunCompleted(_) => {
                let (text, stop) = std::mem::take(&mut self.last);
                if self.checked() {
                    self.whole(&text, told);
                }
                let cut = matches!(stop, StopReason::Length | StopReason::Filtered).then_some(stop);
                told.push(Told::Ended(Ending::Completed { cut }));
            }
            Fact::RunFailed(f) => {
                let why = event.text.clone().unwrap_or_else(|| f.code.title().to_owned());
                told.push(Told::Ended(Ending::Failed { code: f.code, why }));
            }
            Fact::RunCancelled => told.push(Told::Ended(Ending::Cancelled)),
            _ => {}
        }
    }

    /// Takes a piece in of a text that is being written.
    pub(crate) fn piece(&mut self, text: &str, told: &mut Vec<Told>) {
        // Nobody knows yet whether a plan or a checked answer will be told.
        if !self.live || self.turned || self.planning || self.checked() {
            return;
        }
        if let Some(again) = &mut self.again {
            again.push_str(text);
            let common = again.len().min(self.given.len());
            if again.as_bytes()[..common] != self.given.as_bytes()[..common] {
                return self.turned(told);
            }
            if again.len() < self.given.len() {
                return;
            }
            self.held = again.split_off(self.given.len());
            self.again = None;
        } else {
            self.held.push_str(text);
        }
        self.give(told);
    }

    /// The attempt whose pieces came does not count: another one begins.
    pub(crate) fn reset(&mut self) {
        self.held.clear();
        self.again = (!self.given.is_empty()).then(String::new);
    }

    fn checked(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.checked)
    }

    fn replied(&mut self, mut reply: Reply, told: &mut Vec<Told>) {
        if self.relay {
            // An erased reply says nothing any more.
            let said: Answered = serde_json::from_str(&reply.text).unwrap_or_default();
            (reply.text, reply.stop) = (said.text.clone(), said.stop);
            self.said = Some(said);
        }
        if !self.checked() {
            self.whole(&reply.text, told);
        }
        self.last = (reply.text, reply.stop);
    }

    /// The whole text of the message that is open, or of a new one.
    fn whole(&mut self, text: &str, told: &mut Vec<Told>) {
        self.again = None;
        let Some(rest) = text.strip_prefix(self.given.as_str()) else { return self.turned(told) };
        if text.is_empty() || self.turned {
            return;
        }
        self.held = rest.to_owned();
        self.give(told);
        let tail = std::mem::take(&mut self.held);
        if !tail.is_empty() {
            self.tell(tail, told);
        }
        self.given.clear();
        told.push(Told::Closed { turn: self.turn, text: text.to_owned() });
    }

    /// Gives out the pieces that are complete.
    fn give(&mut self, told: &mut Vec<Told>) {
        while let Some(end) = complete(&self.held) {
            let rest = self.held.split_off(end);
            let piece = std::mem::replace(&mut self.held, rest);
            self.tell(piece, told);
        }
    }

    fn tell(&mut self, piece: String, told: &mut Vec<Told>) {
        if self.given.is_empty() {
            told.push(Told::Opened { turn: self.turn });
        }
        self.given.push_str(&piece);
        told.push(Told::Piece(piece));
    }

    fn turned(&mut self, told: &mut Vec<Told>) {
        if !std::mem::replace(&mut self.turned, true) {
            told.push(Told::Turned);
        }
    }
}

/// Where the first piece of a text ends, when it is complete.
fn complete(text: &str) -> Option<usize> {
    text.char_indices()
        .map(|(at, c)| (at + c.len_utf8(), c))
        .find(|(end, c)| c.is_whitespace() || *end >= PIECE)
        .map(|(end, _)| end)
}

fn add(sum: &mut Usage, more: &Usage) {
    let Usage { input, cached, output, reasoning, cache_write } = more;
    sum.input = sum.input.saturating_add(*input);
    sum.cached = sum.cached.saturating_add(*cached);
    sum.output = sum.output.saturating_add(*output);
    sum.reasoning = sum.reasoning.saturating_add(*reasoning);
    sum.cache_write = sum.cache_write.saturating_add(*cache_write);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(told: &[Told]) -> Vec<&str> {
        told.iter().filter_map(|t| if let Told::Piece(p) = t { Some(p.as_str()) } else { None }).collect()
    }

    fn live() -> Telling {
        Telling::new(RunId(1), true)
    }

    const TEXT: &str =
        "Order 1041 is shipped, and averyveryveryveryveryveryveryveryveryveryveryveryveryverylongüword ends it";

    #[test]
    fn pieces_are_the_same_however_the_text_comes() {
        let mut whole = Vec::new();
        live().replied(Reply { text: TEXT.into(), ..Reply::default() }, &mut whole);
        assert_eq!(pieces(&whole).concat(), TEXT);
        for size in 1..20 {
            let (mut telling, mut told) = (live(), Vec::new());
            let chars: Vec<char> = TEXT.chars().collect();
            for piece in chars.chunks(size) {
                telling.piece(&piece.iter().collect::<String>(), &mut told);
            }
            telling.replied(Reply { text: TEXT.into(), ..Reply::default() }, &mut told);
            assert_eq!(told, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn an_attempt_that_says_the_same_again_goes_on_where_the_first_broke_off() {
        let (mut telling, mut told) = (live(), Vec::new());
        telling.piece("Order 1041 is ", &mut told);
        telling.reset();
        for word in ["Order ", "1041 is shipp", "ed."] {
            telling.piece(word, &mut told);
        }
        telling.replied(Reply { text: "Order 1041 is shipped.".into(), ..Reply::default() }, &mut told);
        assert_eq!(pieces(&told), ["Order ", "1041 ", "is ", "shipped."]);
        assert!(matches!(told.last(), Some(Told::Closed { .. })));
    }

    #[test]
    fn an_attempt_that_says_something_else_is_told_once_and_never_mixed() {
        for pieces_come in [true, false] {
            let (mut telling, mut told) = (live(), Vec::new());
            telling.piece("Order 1041 is ", &mut told);
            telling.reset();
            if pieces_come {
                telling.piece("There is no ", &mut told);
                telling.piece("such order", &mut told);
            }
            telling.replied(Reply { text: "There is no such order".into(), ..Reply::default() }, &mut told);
            assert_eq!(told.iter().filter(|t| **t == Told::Turned).count(), 1);
            assert_eq!(pieces(&told), ["Order ", "1041 ", "is "]);
        }
    }

    #[test]
    fn who_does_not_listen_live_is_told_what_is_durable_alone() {
        let (mut telling, mut told) = (Telling::new(RunId(1), false), Vec::new());
        telling.piece("Order 1041 ", &mut told);
        assert!(told.is_empty());
    }
}
