//! What facts tell of calls: let go, and ended. The one place that says when a call counts, for what happens now and for what
//! journals say of earlier days.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use stead_core::{
    effect::Ended,
    fact::{AfterUnknown, AskReason, Fact, Verdict},
    id::Name,
    message::Reply,
    record::{Body, Payload},
    run::{Call, CallPhase, State},
};
use stead_policy::Happened;

use crate::gate::stripped;

/// A call of a run, as far as it is known.
#[derive(Clone, Debug)]
pub struct Called {
    /// The tool.
    pub tool: Name,
    /// Its arguments, as the tool gets them; `None` when nobody can read them.
    pub arguments: Option<Arc<str>>,
    /// Whether its manifest asks a human whatever policies say.
    pub asks: bool,
    /// Whether a human has said yes.
    approved: bool,
    /// Whether it was let go.
    sent: bool,
    /// Whether it may have happened.
    tried: bool,
    /// Whether a yes says that it did not happen.
    doubted: bool,
    /// How it ended, as was told last.
    ended: Option<Ended>,
}

/// The calls of a run, by the ordinals of their effects.
#[derive(Clone, Debug, Default)]
pub struct Calls(BTreeMap<u32, Called>);

impl Calls {
    /// A call.
    pub fn get(&self, effect: u32) -> Option<&Called> {
        self.0.get(&effect)
    }

    /// The calls of a loaded run's open turn, whose reply this is.
    pub(crate) fn open(state: &State, reply: Option<&Reply>) -> Self {
        let called = |call: &Call| {
            let own = || reply?.calls.get(usize::from(call.index)).map(|c| stripped(c.arguments.get()).into());
            let arguments = match &call.arguments {
                Some(written) => inline(written).map(Into::into),
                None => own(),
            };
            let called = Called {
                tool: call.head.tool.clone(),
                arguments,
                asks: call.head.rules.ask,
                approved: call.approved || !call.given.is_empty(),
                sent: call.let_go.is_some(),
                tried: call.maybe.is_some(),
                doubted: matches!(call.phase, CallPhase::Asking { reason, .. } if doubts(reason)),
                ended: None,
            };
            (call.head.effect, called)
        };
        // Of earlier turns only what nobody knows the outcome of can still be heard of.
        let unknown = state.unknown.iter().filter(|mark| mark.run == state.run).map(|mark| {
            let tool = mark.tool.clone();
            let called = Called {
                tool,
                arguments: None,
                asks: false,
                approved: false,
                sent: true,
                tried: true,
                doubted: false,
                ended: Some(Ended::Unknown),
            };
            (mark.effect, called)
        });
        Self(unknown.chain(state.calls.iter().map(called)).collect())
    }

    /// Takes in a fact, with the reply that it brings and the arguments that it puts in the place of the model's, as far as they
    /// can be read. Says what that is to a call: let go once, and how it ended
    /// whenever that is another end than was told before.
    pub fn tell(&mut self, fact: &Fact, reply: Option<&Reply>, written: Option<&str>) -> Option<(u32, Happened)> {
        let ended = |effect: u32, ended| Some((effect, Happened::Ended(ended)));
        let told = match fact {
            Fact::ModelReplied(replied) => {
                for (n, head) in replied.calls.iter().enumerate() {
                    let own = reply.and_then(|reply| reply.calls.get(n));
                    let called = Called {
                        tool: head.tool.clone(),
                        arguments: own.map(|call| stripped(call.arguments.get()).into()),
                        asks: head.rules.ask,
                        approved: false,
                        sent: false,
                        tried: false,
                        doubted: false,
                        ended: None,
                    };
                    self.0.insert(head.effect, called);
                }
                None
            }
            Fact::EffectDecided(decided) => {
                let call = self.0.get_mut(&decided.effect)?;
                if decided.rewritten.is_some() {
                    call.arguments = written.map(Arc::from);
                }
                match decided.verdict {
                    Verdict::Allow => {
                        call.tried &= !(call.approved && std::mem::take(&mut call.doubted));
                        sent(call, decided.effect)
                    }
                    Verdict::Deny => ended(decided.effect, denied(call)),
                    Verdict::Ask => None,
                }
            }
            Fact::ApprovalRequested(requested) => {
                let call = self.0.get_mut(&requested.effect)?;
                (call.doubted, call.approved) = (doubts(requested.reason), false);
                None
            }
            Fact::ApprovalGiven(given) => {
                let call = self.0.get_mut(&given.effect)?;
                match given.approved {
                    // Whether it is enough, a decision says.
                    true => {
                        call.approved = true;
                        None
                    }
                    false => ended(given.effect, denied(call)),
                }
            }
            Fact::ApprovalExpired(of) => {
                let call = self.0.get(&of.effect)?;
                ended(of.effect, denied(call))
            }
            // In journals of before a yes of one person was enough, and no decision followed it.
            Fact::EffectIntended(intended) => sent(self.0.get_mut(&intended.effect)?, intended.effect),
            Fact::EffectReturned(outcome) => ended(outcome.effect, Ended::Returned),
            Fact::EffectRefused(outcome) => ended(outcome.effect, Ended::Refused),
            Fact::EffectNotSent(not) if not.retry_at.is_none() => ended(not.effect, Ended::NotSent),
            Fact::EffectUnknown(unknown) => {
                self.0.get_mut(&unknown.effect)?.tried = true;
                let told = matches!(unknown.then, AfterUnknown::Tell | AfterUnknown::Ask);
                told.then_some((unknown.effect, Happened::Ended(Ended::Unknown)))
            }
            Fact::EffectReconciled(reconciled) if reconciled.happened => ended(reconciled.effect, Ended::Returned),
            Fact::EffectReconciled(absent) => {
                self.0.get_mut(&absent.effect)?.tried = false;
                absent.payload.is_some().then_some((absent.effect, Happened::Ended(Ended::NotSent)))
            }
            Fact::EffectWithdrawn(of) => ended(of.effect, Ended::Withdrawn),
            Fact::ChildFinished(child) => ended(child.effect, child.ended),
            _ => None,
        };
        let (effect, happened) = told?;
        let call = self.0.get_mut(&effect)?;
        let again = match happened {
            Happened::Sent { .. } => false,
            Happened::Ended(ended) => call.ended.replace(ended) == Some(ended),
        };
        (!again).then_some((effect, happened))
    }
}

fn sent(call: &mut Called, effect: u32) -> Option<(u32, Happened)> {
    let first = !std::mem::replace(&mut call.sent, true);
    first.then_some((effect, Happened::Sent { approved: call.approved }))
}

/// How a call ends that is denied: what may have happened before stays unknown.
const fn denied(call: &Called) -> Ended {
    if call.tried { Ended::Unknown } else { Ended::Denied }
}

/// Whether a yes to this question says that what may have happened did not.
const fn doubts(reason: AskReason) -> bool {
    !matches!(reason, AskReason::Manifest | AskReason::Policy)
}

/// A reply as a record has it.
pub(super) fn reply(text: &[u8]) -> Option<Reply> {
    serde_json::from_slice(text).ok()
}

/// The text of a payload that stands in its record, as what is written in the place of a model's arguments always does.
pub(crate) fn inline(payload: &Payload) -> Option<Cow<'_, str>> {
    match &payload.body {
        Body::Inline(bytes) => Some(String::from_utf8_lossy(bytes)),
        _ => None,
    }
}
