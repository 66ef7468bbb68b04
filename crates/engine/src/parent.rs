//! What a child tells its parent at its end: a row of the parent's inbox, written with the child's last record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Amounts, Spend},
    effect::Ended,
    fact::Fact,
    label::SealedLabel,
    message::Reply,
    record::Record,
    run::{Life, State},
    sandbox::BoxTotals,
};
use stead_ports::journal::InboxRow;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the derive calls it with a reference")]
fn is_nothing(used: &Amounts) -> bool {
    used.is_zero()
}

/// The body of the row.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChildEnd {
    pub(crate) ended: Ended,
    pub(crate) content: String,
    pub(crate) spent: Spend,
    /// What its boxes used.
    #[serde(default, skip_serializing_if = "BoxTotals::is_empty")]
    pub(crate) boxes: BoxTotals,
    /// What its answer counts; untrusted when nobody traced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<SealedLabel>,
    /// What it used beside: tool calls, working time, growth of workspaces, child runs.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub(crate) used: Amounts,
}

impl ChildEnd {
    /// An end of which no box used anything.
    pub(crate) fn new(ended: Ended, content: impl Into<String>, spent: Spend) -> Self {
        Self {
            ended,
            content: content.into(),
            spent,
            boxes: BoxTotals::default(),
            label: None,
            used: Amounts::default(),
        }
    }
}

/// What a child whose last record this is tells its parent; nothing when it has none, or has not ended.
pub(crate) fn child_end(
    record: &Record,
    state: &State,
    reply: Option<&Reply>,
    label: Option<SealedLabel>,
) -> Option<InboxRow> {
    let parent = state.parent.filter(|_| state.life.ended())?;
    let (ended, content) = match state.life {
        Life::Completed => (Ended::Returned, reply.map(|r| r.text.clone()).unwrap_or_default()),
        Life::Failed(code) => {
            let why = record.facts.iter().rev().find_map(|f| match f {
                Fact::RunFailed(f) => f.payload.and_then(|p| record.inline_text(p)),
                _ => None,
            });
            (Ended::Refused, format!("The agent failed ({code}): {}", why.unwrap_or(code.title().into())))
        }
        _ => (Ended::Withdrawn, "The agent was stopped.".to_owned()),
    };
    // Only an answer was heard to its end; what a failure quotes was not, so nobody vouches for it.
    let label = label.filter(|_| state.life == Life::Completed);
    let (boxes, used) = (state.budget.boxes, state.budget.counted());
    let end = ChildEnd { boxes, label, used, ..ChildEnd::new(ended, content, state.budget.spent) };
    let body = Bytes::from(serde_json::to_vec(&end).expect("encodes to memory"));
    Some(InboxRow { to: parent.run, from: state.run, effect: parent.effect, body })
}
