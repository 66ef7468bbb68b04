//! What has become of a plan in a run: which of its reads have returned, which of its slots are used. A fold of events.

use std::{collections::BTreeMap, fmt};

use minicbor::{Decode, Encode};
use serde::Serialize;
use serde_json::{Map, Value};
use stead_core::{id::Name, time::Timestamp};

use super::{
    Plan,
    datum::Datum,
    eval::MAX_STEPS,
    judge::Judge,
    names::{self, Made},
};
use crate::{declare::Tool, egress, entitle::Entitlements, trace::Traced};

/// Elements of one `each`, and ways to choose that one slot gives.
pub const MAX_EACH: usize = 1_000;

/// One use of a slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Use {
    /// The slot, from 0 in the order of the plan.
    #[n(0)]
    pub slot: u16,
    /// Of a slot with `each`, the digest of the element; of several, one behind the other.
    #[n(1)]
    pub element: Option<Name>,
}

/// Something that happens to a plan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// A call was made that `let` number `read` waits for. Only the first counts, or with `each` the first for each element.
    #[n(0)]
    Read {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
        /// The `let`, from 0 in the order of the plan.
        #[n(1)]
        read: u16,
    },
    /// An effect is let through by a slot.
    #[n(1)]
    Used {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
        /// The slot.
        #[n(1)]
        used: Use,
    },
    /// That effect was never sent, or that read failed: the slot, or the name, is free again.
    #[n(2)]
    Returned {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
    },
}

/// What a call was asked, and what it returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The tool's full name.
    pub tool: Name,
    /// The arguments.
    pub arguments: Map<String, Value>,
    /// What it returned.
    pub value: Datum,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanState {
    /// When the run began: what `now` says in a plan.
    pub began: Option<Timestamp>,
    reads: BTreeMap<u16, Vec<u32>>,
    answers: BTreeMap<u32, Answer>,
    used: BTreeMap<u32, Use>,
}

/// How a call stands to the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It asks nothing of a plan: it does nothing outside and tells nobody anything, or nothing untrusted has been read.
    Free {
        /// The `let` that it is the call of.
        read: Option<u16>,
    },
    /// A slot allows it, and is used by it.
    Planned(Use),
    /// No slot allows it: a human must.
    Unplanned(Vec<Why>),
}

/// Why a slot does not allow a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The slot, from 1; `None` when it is about none.
    pub slot: Option<u16>,
    /// In words.
    pub why: String,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "slot {slot}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl PlanState {
    /// Nothing has been read or used yet, in a run that began then.
    pub fn of_run_begun_at(began: Timestamp) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// Folds an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Read { effect, read } => {
                self.reads.entry(*read).or_default().push(*effect);
            }
            Event::Used { effect, used } => {
                self.used.insert(*effect, used.clone());
            }
            Event::Returned { effect } => {
                self.used.remove(effect);
                self.reads.values_mut().for_each(|effects| effects.retain(|e| e != effect));
                self.answers.remove(effect);
            }
        }
    }

    /// An effect has returned: its answer is kept if a name can wait for it. The first stays.
    pub fn returned(&mut self, effect: u32, answer: &Answer) {
        if self.used.contains_key(&effect) || self.reads.values().flatten().any(|e| *e == effect) {
            self.answers.entry(effect).or_insert_with(|| answer.clone());
        }
    }

    /// The effects that a `let` was read by, in order.
    pub(super) fn reads(&self, let_: usize) -> impl Iterator<Item = u32> + '_ {
        let effects = u16::try_from(let_).ok().and_then(|let_| self.reads.get(&let_));
        effects.into_iter().flatten().copied()
    }

    /// What an effect was asked and returned.
    pub(super) fn answer(&self, effect: u32) -> Option<&Answer> {
        self.answers.get(&effect)
    }

    /// What the first use of a slot returned.
    pub(super) fn done(&self, slot: usize) -> Option<&Datum> {
        let used = self.used.iter().filter(|(_, used)| usize::from(used.slot) == slot);
        used.filter_map(|(effect, _)| self.answer(*effect)).map(|answer| &answer.value).next()
    }

    /// How often slots were used.
    pub fn uses(&self) -> usize {
        self.used.len()
    }

    pub(super) fn count(&self, of: &Use) -> usize {
        self.used.values().filter(|used| *used == of).count()
    }

    /// How a call stands to the plan. Effort is bounded by [`MAX_STEPS`] and the lists that are there.
    pub fn judge(&self, plan: Option<&Plan>, tool: &Tool, call: &Traced, entitled: &Entitlements) -> Standing {
        // A read that tells something to whoever may not know it is an effect, too.
        let tells = if tool.effect { None } else { egress::tells(tool, call, entitled) };
        let none = |why: String| Why { slot: None, why };
        let Some(plan) = plan else {
            return match tells {
                Some(telling) => Standing::Unplanned(vec![none(telling.why), none("the run has no plan".to_owned())]),
                None if tool.effect && call.window.is_tainted() => {
                    Standing::Unplanned(vec![none("the run has no plan".to_owned())])
                }
                None => Standing::Free { read: None },
            };
        };
        let mut steps = MAX_STEPS;
        let names = names::names(plan, self, &mut steps);
        if !tool.effect {
            let made = Made { tool, values: &call.values, traced: Some(call) };
            let read = names::waits(plan, self, made, &names, &mut steps);
            // What the plan reads so, it has bound; but of content it says nothing.
            if tells.as_ref().is_none_or(|telling| read.is_some() && !telling.content) {
                return Standing::Free { read };
            }
        }
        let judge = Judge { plan, state: self, tool, call, names, entitled };
        let mut why = Vec::new();
        let of_tool = |slot: &super::Slot| slot.calls.iter().any(|call| *call.tool.text == *tool.name);
        for (number, slot) in plan.0.slots.iter().enumerate().filter(|(_, slot)| of_tool(slot)) {
            match judge.slot(number as u16, slot, &mut steps) {
                Ok(used) => return Standing::Planned(used),
                Err(words) => why.push(Why { slot: Some(number as u16 + 1), why: words }),
            }
        }
        if !call.window.is_tainted() {
            return Standing::Free { read: None };
        }
        if let Some(telling) = tells {
            why.insert(0, none(telling.why));
        } else if why.is_empty() {
            why.push(none(format!("the plan has no slot for `{}`", tool.name)));
        }
        Standing::Unplanned(why)
    }
}
