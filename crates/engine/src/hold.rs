//! A process that is about to end begins nothing, and gives back what it had promised and not sent: nothing of that is
//! lost, and the next process does it as if it had never been promised. So does a run whose agent, person or tenant was turned off.

use stead_core::{
    fact::Held,
    record::Actor as By,
    run::{CallPhase, Command, Debt},
};

use crate::{actor::Actor, pay::key, types::EngineError};

impl Actor {
    /// Takes back what waits for a permit, or for the lease, and what has not even got there. What has been sent goes on.
    pub(crate) async fn take_back(&mut self) -> Result<(), EngineError> {
        self.flights.drop_unsent();
        let (mut model, mut effects) = (false, Vec::new());
        for debt in self.debts() {
            if key(&debt).is_none_or(|key| self.flights.has(key)) {
                continue;
            }
            match debt {
                Debt::CallModel { .. } => model = true,
                // A pure call has no intent: nobody was promised anything.
                Debt::Dispatch { effect } if self.is_intended(effect) => effects.push(effect),
                _ => {}
            }
        }
        if !model && effects.is_empty() {
            return Ok(());
        }
        let why = if self.is_off() { Held::Disabled } else { Held::Draining };
        self.commit(Command::Unsent { model, effects, why }, By::Runtime).await
    }

    fn is_intended(&self, effect: u32) -> bool {
        self.state.call(effect).is_some_and(|c| matches!(c.phase, CallPhase::Intended { .. }))
    }
}
