//! What a run did, from its facts.

use stead_api::{
    fact::{AnyFact, FactEvent},
    page::PageQuery,
    run::{Run, Status},
};
use stead_client::{Client, ClientError};
use stead_core::{
    budget::Spend,
    code::Code,
    effect::{EffectClass, Ended},
    fact::{AfterUnknown, AskReason, Fact, Verdict},
    id::{EffectId, Name, RunId},
    message::Reply,
};

/// Most facts of a run that are read; more is no test's.
const MAX_FACTS: usize = 200_000;

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) effect: EffectId,
    pub(crate) tool: Name,
    pub(crate) class: EffectClass,
    pub(crate) arguments: serde_json::Value,
    /// A human was asked before it went.
    pub(crate) asked: bool,
    /// A human said yes.
    pub(crate) approved: bool,
    /// A human or a rule said no.
    pub(crate) denied: bool,
    pub(crate) outcome: Option<Ended>,
}

/// A run, as tests see it.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) status: Status,
    pub(crate) code: Option<Code>,
    pub(crate) answer: String,
    /// Why it failed, in words.
    pub(crate) error: Option<String>,
    pub(crate) turns: u32,
    pub(crate) spent: Spend,
    pub(crate) calls: Vec<Made>,
}

/// Reads a run that has ended.
pub(crate) async fn read(client: &Client, run: Run) -> Result<Trace, ClientError> {
    let mut page = PageQuery { cursor: None, limit: Some(500) };
    let (mut calls, mut seen) = (Calls { run: run.summary.id, made: Vec::new() }, 0);
    loop {
        let found = client.facts(run.summary.id, &page).await?;
        seen += found.items.len();
        found.items.iter().for_each(|event| calls.take(event));
        match found.next {
            Some(next) if seen < MAX_FACTS => page.cursor = Some(next),
            _ => break,
        }
    }
    Ok(Trace {
        status: run.summary.status,
        code: run.summary.code,
        answer: run.output.unwrap_or_default(),
        error: run.error,
        turns: run.summary.turns,
        spent: run.summary.spent,
        calls: calls.made,
    })
}

struct Calls {
    run: RunId,
    made: Vec<Made>,
}

impl Calls {
    fn of(&mut self, effect: u32, change: impl FnOnce(&mut Made)) {
        if let Some(made) = self.made.iter_mut().find(|m| m.effect.n == effect) {
            change(made);
        }
    }

    fn take(&mut self, event: &FactEvent) {
        let AnyFact::Known(fact) = &event.fact else { return };
        match fact {
            Fact::ModelReplied(f) => {
                let reply: Reply = event.text.as_deref().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default();
                for (n, head) in f.calls.iter().enumerate() {
                    let arguments = reply.calls.get(n).and_then(|c| serde_json::from_str(c.arguments.get()).ok());
                    self.made.push(Made {
                        effect: EffectId { run: self.run, n: head.effect },
                        tool: head.tool.clone(),
                        class: head.class,
                        arguments: arguments.unwrap_or_default(),
                        asked: false,
                        approved: false,
                        denied: false,
                        outcome: None,
                    });
                }
            }
            Fact::EffectDecided(f) if f.verdict == Verdict::Deny => self.of(f.effect, |m| m.denied = true),
            // A question about an outcome is none about whether it may go.
            Fact::ApprovalRequested(f) if f.reason != AskReason::OutcomeUnknown => {
                self.of(f.effect, |m| m.asked = true);
            }
            Fact::ApprovalGiven(f) => self.of(f.effect, |m| {
                if m.outcome.is_none() {
                    (m.approved, m.denied) = (f.approved, !f.approved);
                }
            }),
            Fact::ApprovalExpired(f) => self.of(f.effect, |m| m.denied |= m.outcome.is_none()),
            Fact::EffectReturned(f) => self.ended(f.effect, Ended::Returned),
            Fact::EffectRefused(f) => self.ended(f.effect, Ended::Refused),
            Fact::EffectNotSent(f) if f.retry_at.is_none() => self.ended(f.effect, Ended::NotSent),
            Fact::EffectUnknown(f) if matches!(f.then, AfterUnknown::Tell | AfterUnknown::Ask) => {
                self.ended(f.effect, Ended::Unknown);
            }
            Fact::EffectReconciled(f) if f.happened => self.ended(f.effect, Ended::Returned),
            Fact::EffectWithdrawn(f) => self.ended(f.effect, Ended::Withdrawn),
            Fact::ChildFinished(f) => self.ended(f.effect, f.ended),
            _ => {}
        }
    }

    fn ended(&mut self, effect: u32, how: Ended) {
        self.of(effect, |m| m.outcome = Some(how));
    }
}
