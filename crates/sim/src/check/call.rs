//! One tool call as its run's journal tells of it, and when it may be intended (again).

use stead_core::{
    effect::{EffectClass, Ended, Recovery},
    fact::{AskReason, CallHead},
    time::Timestamp,
};

use crate::failure::{Check, violation};

/// What the journal says about one tool call.
#[derive(Clone, Debug)]
pub struct CallAudit {
    /// What is frozen about it.
    pub head: CallHead,
    /// Intents written.
    pub intents: u32,
    /// When the first was written.
    pub first_intended: Option<Timestamp>,
    /// Attempts that came back without an outcome; lost ones do not count.
    pub tries: u32,
    /// Times that a human, asked about its unknown outcome, said "do it now".
    pub repeat_approved: u32,
    /// How it ended.
    pub ended: Option<Ended>,
    /// The last attempt is open: intended, and nothing known of it.
    pub(super) open: bool,
    /// An attempt may have happened, and nobody has said that it did not.
    pub(super) maybe: bool,
    /// A life of the run that is lost may have used the default key, the effect's own name, for another call.
    pub(super) key_in_doubt: bool,
    /// A human has said, knowing of that doubt, that it be done: from then on the key is this call's, also for later lives.
    pub(super) key_settled: bool,
    /// Why a human is being asked.
    pub(super) asking: Option<(AskReason, Option<Timestamp>)>,
    /// Policies have been asked about it.
    pub(super) decided: bool,
    /// A life of the run was lost when it was there already: it may have been decided and done in it.
    pub(super) lost: bool,
}

impl CallAudit {
    pub(super) fn new(head: &CallHead) -> Self {
        Self {
            head: head.clone(),
            intents: 0,
            first_intended: None,
            tries: 0,
            repeat_approved: 0,
            ended: None,
            open: false,
            maybe: false,
            key_in_doubt: false,
            key_settled: false,
            asking: None,
            decided: false,
            lost: false,
        }
    }

    /// Whether a question is about something that may have been done already.
    pub(super) fn may_have_been(&self, reason: AskReason) -> bool {
        self.maybe || matches!(reason, AskReason::OutcomeUnknown | AskReason::Restored)
    }

    /// How it ends when nobody says yes.
    pub(super) fn left_alone(&self, reason: AskReason) -> Ended {
        if self.may_have_been(reason) { Ended::Unknown } else { Ended::Denied }
    }

    /// The run was restored from a backup of that time: in a lost life the call may have been done. `known` says whether
    /// the backup had it.
    pub(super) fn doubt(&mut self, taken: Timestamp, known: bool) {
        if self.ended.is_some() || self.head.class.recovery() == Recovery::Repeat || self.head.rules.child.is_some() {
            return;
        }
        self.maybe = true;
        self.key_in_doubt |= !known && self.head.key.is_none() && !self.key_settled;
        self.first_intended = Some(self.first_intended.map_or(taken, |first| first.min(taken)));
    }

    /// Effect classes: when an effect may be intended (again).
    pub(super) fn may_be_intended(&self, at: Timestamp) -> Check {
        const NAME: &str = "repeated only by the rule of its class";
        let Self { head, open, maybe, .. } = self;
        if self.ended.is_some() || self.asking.is_some() {
            return violation(NAME, format!("{} is intended though it ended or waits for a human", head.effect));
        }
        if self.tries >= u32::from(head.rules.attempts) && self.repeat_approved == 0 {
            return violation("attempts are bounded", format!("{} has had {} tries", head.effect, self.tries));
        }
        if *open {
            return violation(NAME, format!("{} is intended while an attempt is open", head.effect));
        }
        let dead_key = match (head.rules.key_ttl, self.first_intended) {
            (Some(ttl), Some(first)) => at >= first.after(ttl),
            _ => false,
        };
        let wrong = *maybe
            && match head.class {
                EffectClass::Pure | EffectClass::Contained => false,
                EffectClass::Keyed => dead_key || self.key_in_doubt,
                EffectClass::Reconcilable | EffectClass::Compensable | EffectClass::Irreversible => true,
            };
        if wrong {
            return violation(NAME, format!("{} ({:?}) may have happened and is repeated", head.effect, head.class));
        }
        Ok(())
    }
}
