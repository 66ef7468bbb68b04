//! A run as it happens, for people: what the model says, which tools it calls, how long that takes and what it costs.
//! All of it comes from facts, so a run that is shown again looks the same; only pieces of replies are shown live.

use std::{collections::HashMap, fmt::Write as _};

use stead_api::{
    fact::{AnyFact, FactEvent},
    stream::StreamDelta,
};
use stead_client::Heard;
use stead_core::{
    code,
    fact::{AfterUnknown, AskReason, Fact, ModelReplied, Verdict},
    message::{Reply, ToolResult},
    time::Timestamp,
};

use super::{
    term::{Paint, clean, short},
    text,
};

/// Most characters of arguments and results on a line.
const SHOWN: usize = 120;

/// A tool call that was made.
#[derive(Debug)]
struct Call {
    tool: String,
    since: Timestamp,
}

/// See the module. Gives out text for stderr.
#[derive(Debug)]
pub(crate) struct Steps {
    paint: Paint,
    /// Whether pieces of replies are shown as they come.
    live: bool,
    /// Whether the text of the last reply is left out because it follows as the answer.
    answer_follows: bool,
    /// The text of the reply being shown, so far.
    piece: String,
    calls: HashMap<u32, Call>,
    models: Vec<String>,
    asked: Timestamp,
    model: u8,
}

impl Steps {
    /// Shows on a terminal (`live`), or into a file or pipe.
    pub(crate) fn new(paint: Paint, live: bool, answer_follows: bool) -> Self {
        Self {
            paint,
            live,
            answer_follows,
            piece: String::new(),
            calls: HashMap::new(),
            models: Vec::new(),
            asked: Timestamp(0),
            model: 0,
        }
    }

    /// What to write about an event.
    pub(crate) fn show(&mut self, heard: &Heard) -> String {
        let mut out = String::new();
        match heard {
            Heard::Fact(event) => self.fact(&mut out, event),
            Heard::Delta(StreamDelta::Text { text }) if self.live => {
                let text = clean(text);
                out.push_str(&text);
                self.piece.push_str(&text);
            }
            Heard::Reset if !self.piece.is_empty() => {
                self.end_line(&mut out);
                self.row(&mut out, "again", "the reply broke off; it is written anew");
                self.piece.clear();
            }
            Heard::Delta(_) | Heard::Reset | Heard::End => {}
        }
        out
    }

    fn end_line(&self, out: &mut String) {
        if !self.piece.is_empty() && !self.piece.ends_with('\n') {
            out.push('\n');
        }
    }

    fn row(&self, out: &mut String, word: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {} {text}", self.paint.dim(&format!("{word:<8}")));
    }

    fn fact(&mut self, out: &mut String, event: &FactEvent) {
        let AnyFact::Known(fact) = &event.fact else { return };
        match fact {
            Fact::RunStarted(f) => self.models = f.config.models.iter().map(|m| m.name.to_string()).collect(),
            Fact::ModelRequested(f) => (self.asked, self.model) = (event.at, f.model),
            Fact::ModelReplied(f) => self.replied(out, event, f),
            Fact::ModelFailed(f) => {
                self.end_line(out);
                self.piece.clear();
                let why = event.text.as_deref().map(|t| short(t, SHOWN)).unwrap_or_default();
                let next = if f.next.is_some() { "; another attempt follows" } else { "" };
                self.row(out, "model", &format!("{}: {}: {why}{next}", self.name(), f.code));
            }
            Fact::ModelDenied(_) => {
                let why = event.text.as_deref().map(|t| short(t, SHOWN)).unwrap_or_default();
                self.row(out, "refused", &format!("a model is not asked: {why}"));
            }
            Fact::AnswerRejected(f) => {
                let why = event.text.as_deref().map(|t| short(t, SHOWN)).unwrap_or_default();
                let next = f.repair.map_or_else(String::new, |n| format!("; repair {n} follows"));
                self.row(out, "answer", &format!("{why}{next}"));
            }
            Fact::EffectDecided(f) if f.verdict == Verdict::Deny => {
                self.outcome(out, event, f.effect, "refused");
            }
            Fact::ApprovalRequested(f) => {
                let tool = self.tool(f.effect);
                let why = f.raise.as_ref().map_or_else(|| reason(f.reason).to_owned(), |raise| clean(&raise.reached()));
                self.row(out, "ask", &self.paint.ask(&format!("{tool} needs a human: {why}")));
            }
            Fact::ApprovalGiven(f) => {
                let word = if f.approved { "approved" } else { "denied" };
                self.restart(f.effect, event.at);
                self.row(out, word, &format!("{} by {}", self.tool(f.effect), short(&f.by, 60)));
            }
            Fact::ApprovalReminded(f) => {
                self.row(out, "ask", &format!("{}: people are reminded ({})", self.tool(f.effect), f.reminder));
            }
            Fact::ApprovalEscalated(f) => {
                let text = format!("{}: {} may answer, too", self.tool(f.effect), short(&f.to, 60));
                self.row(out, "ask", &text);
            }
            Fact::ApprovalExpired(f) => {
                let text = format!("{}: {}: nobody answered", self.tool(f.effect), code::APPROVAL_EXPIRED);
                self.row(out, "denied", &text);
            }
            Fact::EffectWithdrawn(f) => {
                let text = format!("{}: {}: the run was stopped", self.tool(f.effect), code::WITHDRAWN);
                self.row(out, "not done", &text);
            }
            Fact::EffectIntended(f) => self.restart(f.effect, event.at),
            Fact::EffectReturned(f) => self.outcome(out, event, f.effect, if f.late { "late" } else { "result" }),
            Fact::EffectRefused(f) => self.outcome(out, event, f.effect, "refused"),
            Fact::EffectNotSent(f) => {
                self.outcome(out, event, f.effect, if f.retry_at.is_some() { "retry" } else { "unsent" });
            }
            Fact::EffectUnknown(f) => {
                let then = match f.then {
                    AfterUnknown::Tell => "the model is told",
                    AfterUnknown::Ask => "a human decides",
                    AfterUnknown::Repeat(_) => "it is repeated under the same key",
                    AfterUnknown::Reconcile(_) => "the destination is asked",
                };
                self.row(out, "unknown", &format!("{}: nobody knows whether it happened; {then}", self.tool(f.effect)));
            }
            Fact::EffectReconciled(f) => {
                let found = if f.happened { "it happened" } else { "the destination knows nothing of it" };
                self.row(out, "checked", &format!("{}: {found}", self.tool(f.effect)));
            }
            Fact::ChildStarted(f) => self.row(out, "child", &format!("{}: {}", self.tool(f.effect), f.child)),
            Fact::ChildFinished(f) => self.outcome(out, event, f.effect, "result"),
            Fact::ContextCompacted(_) => self.row(out, "context", "old tool results left the model's view"),
            Fact::Restored(f) => {
                let text = format!(
                    "from the backup of {}; what may have been done since is done again only if that is safe, or a human says so",
                    text::instant(f.taken)
                );
                self.row(out, "restored", &text);
            }
            Fact::Paused => self.row(out, "paused", ""),
            Fact::Resumed => self.row(out, "resumed", ""),
            Fact::CancelRequested(f) if f.limit.is_some() => self.row(out, "stop", "a limit is reached"),
            Fact::CancelRequested(_) => self.row(out, "stop", "no new step begins"),
            _ => {}
        }
    }

    fn name(&self) -> &str {
        self.models.get(usize::from(self.model)).map_or("model", String::as_str)
    }

    fn tool(&self, effect: u32) -> String {
        self.calls.get(&effect).map_or_else(|| format!("e{effect}"), |c| c.tool.clone())
    }

    fn restart(&mut self, effect: u32, at: Timestamp) {
        if let Some(call) = self.calls.get_mut(&effect) {
            call.since = at;
        }
    }

    fn replied(&mut self, out: &mut String, event: &FactEvent, fact: &ModelReplied) {
        let reply: Reply = event.text.as_deref().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
        let last = fact.calls.is_empty();
        if self.piece.is_empty() && !reply.text.is_empty() && !(last && self.answer_follows) {
            out.push_str(&clean(&reply.text));
            if !reply.text.ends_with('\n') {
                out.push('\n');
            }
        } else {
            self.end_line(out);
        }
        self.piece.clear();
        let took = text::span(event.at.since(self.asked).0);
        self.row(out, "model", &format!("{} · {took} · {}", short(self.name(), 60), text::spend(fact.spent)));
        for (head, call) in fact.calls.iter().zip(&reply.calls) {
            let tool = short(&head.tool, 64);
            self.row(out, "call", &format!("{} {}", self.paint.bold(&tool), short(call.arguments.get(), SHOWN)));
            self.calls.insert(head.effect, Call { tool, since: event.at });
        }
    }

    fn outcome(&self, out: &mut String, event: &FactEvent, effect: u32, word: &str) {
        let text = event.text.as_deref().unwrap_or_default();
        let content = serde_json::from_str::<ToolResult>(text).map_or_else(|_| text.to_owned(), |r| r.content);
        let took = self.calls.get(&effect).map_or_else(String::new, |c| text::span(event.at.since(c.since).0));
        self.row(out, word, &format!("{} · {took} · {}", self.tool(effect), short(&content, SHOWN)));
    }
}

/// Why a human is asked.
pub(crate) fn reason(reason: AskReason) -> &'static str {
    match reason {
        AskReason::Manifest => "its manifest says so",
        AskReason::Policy => "policies ask for it",
        AskReason::EqualUnknown => "the outcome of an equal call is unknown",
        AskReason::OutcomeUnknown => "nobody knows whether it happened; approve means \"it did not, do it now\"",
        AskReason::Budget => "a limit is reached",
        AskReason::Delegation => "the time is over in which it may work on a person's behalf",
        AskReason::Restored => {
            "the run was restored from a backup and may have done this since; approve means \"it did not, do it now\""
        }
    }
}
