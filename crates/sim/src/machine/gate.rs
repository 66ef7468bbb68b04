//! The gate of a history: policies that an operator changes while it goes on.

use stead_core::{
    fact::Verdict,
    ruling::{Asked, Escalate, GateAsks, Given},
    run::{Gate, Rewrite, Ruling, State},
    time::{Span, Timestamp},
};

use crate::check::gate::{BOSS, ROLE, Rules, Said};

/// The policies in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policies {
    pub epoch: u64,
    pub rules: Rules,
}

impl Policies {
    fn allow(&self) -> Ruling {
        Ruling::allow(self.epoch, vec!["granted".into()])
    }
}

impl Gate for Policies {
    fn epoch(&self) -> Option<u64> {
        Some(self.epoch)
    }

    fn call(&self, state: &State, i: usize, _: Timestamp, given: &[Given]) -> Ruling {
        let head = &state.calls[i].head;
        match self.rules.weigh(self.epoch, head, given) {
            Said::Allow => self.allow(),
            Said::Deny => Ruling::deny(self.epoch, vec!["never".into()], "policies forbid it".to_owned()),
            Said::Ask(quorum) => {
                // One question is urgent; of the other nobody is reminded.
                let urgent = quorum == 1;
                let step = Escalate { after: Span::from_secs(9), to: BOSS.into() };
                let gate = GateAsks {
                    policy: "large".into(),
                    approvers: vec![ROLE.into()],
                    quorum,
                    remind: urgent.then(|| Span::from_secs(4)),
                    escalate: if urgent { vec![step] } else { Vec::new() },
                    ..GateAsks::default()
                };
                let asked = Some(Asked { gates: vec![gate], quorum });
                let ttl = (quorum == 1).then(|| Span::from_secs(40));
                Ruling { verdict: Verdict::Ask, by: vec!["large".into()], asked, ttl, ..self.allow() }
            }
        }
    }

    fn preview(&self, state: &State, i: usize, _: Timestamp) -> Ruling {
        // Some sets of policies let nobody look.
        match self.epoch % 4 {
            3 => Ruling::deny(self.epoch, vec!["no-looks".into()], "policies forbid it".to_owned()),
            _ => {
                let args = state.calls[i].head.args;
                let rewritten = Some(Rewrite { arguments: "{}".into(), args, key: None });
                Ruling { rewritten, ..self.allow() }
            }
        }
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        self.allow()
    }
}
