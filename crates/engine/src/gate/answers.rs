//! What a gate knows of signed answers while a decision is made.

use stead_core::{
    ruling::Given,
    run::{Call, State},
    time::Timestamp,
};
use stead_policy::Approval;
use stead_ports::agent::Agent;
use stead_trust::statement::Human;

use super::approval;
use crate::signing::{Signing, Verifier};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) signing: Signing,
    /// Who changed the run's agent last; looked up when answers are weighed.
    pub(crate) editors: Vec<Human>,
    /// Arguments in the place of the model's, by the ordinals of their effects.
    pub(crate) texts: Vec<(u32, String)>,
    /// A fresh random number, when what is asked now may be signed.
    pub(crate) salt: Option<[u8; 16]>,
}

impl Answers {
    /// The answers that count for a call, whose arguments the model wrote so.
    pub(crate) fn counting(
        &self,
        agent: &Agent,
        state: &State,
        call: &Call,
        written: &str,
        given: &[Given],
        now: Timestamp,
    ) -> Vec<Approval> {
        if given.is_empty() {
            return Vec::new();
        }
        let text = match &call.arguments {
            None => written,
            Some(_) => match self.texts.iter().find(|(effect, _)| *effect == call.head.effect) {
                Some((_, text)) => text,
                // What is sent is not at hand: nothing that was signed can be compared with it.
                None => return given.iter().filter(|_| !self.signing.wants(call)).map(approval).collect(),
            },
        };
        let verifier = Verifier { signing: &self.signing, agent, editors: &self.editors };
        verifier.counting(state, call, text, given, Some(now))
    }
}
