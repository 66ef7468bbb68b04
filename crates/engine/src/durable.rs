//! An append until its fate is known: durable, or refused for good. Nobody here guesses: what may have been written is
//! sent again, or found in the journal, before anything follows from it.

use std::time::Duration;

use stead_core::{
    code,
    id::{LeafHash, RunId},
};
use stead_ports::journal::{Append, AppendError, StoreError};

use crate::{Engine, ear::Ear, types::EngineError};

/// Pauses between tries: the first, doubling up to the longest.
pub(crate) const FIRST: Duration = Duration::from_millis(20);
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// What to do when the store cannot write now, and has written nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTrouble {
    /// Say so: whoever asked can ask again, and nothing is lost.
    Tell,
    /// Try again until it can: what is in hand (a reply, an outcome) would be lost, and an effect become unknown.
    TryAgain,
}

/// What follows from a try that did not succeed.
enum Next {
    /// It is durable after all.
    Durable,
    Refused(EngineError),
    Again(StoreError),
}

/// Appends until it is known to be durable or known to be refused. Those who ask something of the run meanwhile are
/// answered through its `ear`, when it has one.
///
/// # Errors
/// When it is refused: nothing of it was or will be written. Or when the engine has ended, and its fate is left to whoever
/// reads the journal next.
pub(crate) async fn durable(
    engine: &Engine,
    append: Append,
    on_trouble: OnTrouble,
    mut ear: Option<&mut Ear>,
) -> Result<(), EngineError> {
    let mut trial = Trial { engine, on_trouble, run: append.run, seq: append.seq, leaf: append.leaf, unsure: false };
    let mut next = trial.once(append.clone()).await;
    let mut pause = FIRST;
    loop {
        let trouble = match next {
            Next::Durable => return Ok(()),
            Next::Refused(error) => return Err(error),
            Next::Again(trouble) => trouble,
        };
        tracing::warn!(run = %trial.run, %trouble, "the append is tried again");
        let again = async {
            tokio::time::sleep(pause).await;
            trial.again(append.clone(), &trouble).await
        };
        next = match &mut ear {
            Some(ear) => ear.meanwhile(again, &trouble).await,
            None => again.await,
        };
        pause = (pause * 2).min(LONGEST);
    }
}

/// An append that is being tried.
struct Trial<'a> {
    engine: &'a Engine,
    on_trouble: OnTrouble,
    run: RunId,
    seq: u64,
    leaf: LeafHash,
    /// Whether a try before this one may have been written, or may yet be.
    unsure: bool,
}

impl Trial<'_> {
    /// Looks whether the try before has been written, and tries again if not.
    async fn again(&mut self, append: Append, trouble: &StoreError) -> Next {
        if self.engine.0.is_dead() {
            return Next::Refused(trouble.clone().into());
        }
        if self.unsure && self.written().await.unwrap_or(false) {
            return Next::Durable;
        }
        self.once(append).await
    }

    async fn once(&mut self, append: Append) -> Next {
        let Err(error) = self.engine.journal().append(append).await else { return Next::Durable };
        match error {
            AppendError::Unavailable(_) if self.engine.0.is_dead() => Next::Refused(error.into()),
            AppendError::Unavailable(_) if self.on_trouble == OnTrouble::Tell && !self.unsure => {
                Next::Refused(error.into())
            }
            AppendError::Unavailable(trouble) => Next::Again(trouble),
            AppendError::Unknown(_) if self.engine.0.is_dead() => Next::Refused(error.into()),
            AppendError::Unknown(detail) => {
                self.unsure = true;
                Next::Again(StoreError { code: code::DATA_UNREACHABLE, detail })
            }
            // Perhaps it is the record of a try before, whose answer was lost.
            AppendError::Conflict { .. }
            | AppendError::Exists { .. }
            | AppendError::SessionBusy { .. }
            | AppendError::OverBudget { .. }
                if self.unsure =>
            {
                match self.written().await {
                    Ok(true) => Next::Durable,
                    Ok(false) => Next::Refused(error.into()),
                    Err(trouble) if self.engine.0.is_dead() => Next::Refused(trouble.into()),
                    Err(trouble) => Next::Again(trouble),
                }
            }
            AppendError::Fenced { .. } => {
                self.engine.0.die();
                Next::Refused(error.into())
            }
            refused => Next::Refused(refused.into()),
        }
    }

    /// Whether the record at this position is the one with this hash: only the activation that made it can have it.
    async fn written(&self) -> Result<bool, StoreError> {
        let found = self.engine.journal().read(self.run, self.seq, 1).await?;
        Ok(found.first().is_some_and(|stored| stored.leaf == self.leaf))
    }
}
