//! Paying debts: what `owes` says becomes a flight, once; what is no longer owed is abandoned. How each kind of debt is
//! paid has a file of its own.

mod child;
mod model;
mod preview;
mod tool;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use stead_core::{
    record::Actor as By,
    run::{CallPhase, Command, Debt, owes},
};
use stead_ports::BoxFuture;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use crate::{Engine, actor::Actor, flights::Key, off::Leave, types::EngineError};

/// What stands for the arguments of a call whose reply cannot be read any more.
const NO_ARGUMENTS: &str = "the arguments of this call";
/// How often a flight looks whether a late lease has been renewed.
const LEASE_PAUSE: Duration = Duration::from_millis(100);

/// A permit to send, and last of all a look whether this process still owns the run. A lease that is late may yet be
/// renewed; one that is lost ends the engine, and the flight with it.
///
/// What operators have turned off meanwhile waits here until its run gives it up.
async fn permit<'e>(
    engine: &'e Engine,
    permits: &'e Semaphore,
    leave: Option<&Leave>,
) -> Result<SemaphorePermit<'e>, AcquireError> {
    loop {
        let permit = permits.acquire().await;
        let may = leave.map_or_else(|| engine.0.lease.valid(&*engine.0.ports.clock), Leave::now);
        if may {
            return permit;
        }
        drop(permit);
        tokio::time::sleep(LEASE_PAUSE).await;
    }
}

impl Actor {
    /// Pays everything that is owed now.
    pub(crate) async fn pay(&mut self) -> Result<(), EngineError> {
        self.heed().await?;
        let mut debts = self.debts();
        if debts.iter().any(|d| matches!(d, Debt::Recover { .. })) {
            self.commit(Command::Recover, By::Runtime).await?;
            self.take_inbox().await?;
            debts = self.debts();
        }
        if !self.holds() && (self.state.held() || self.finds_open()) {
            self.commit(Command::Tick, By::Runtime).await?;
            debts = self.debts();
        }
        // What is not owed any more is given up: a model call of a stopped run, a tool call of a killed one.
        let owed: Vec<Key> = debts.iter().filter_map(key).collect();
        self.flights.retain(|k| owed.contains(&k) || k.is_no_debt());
        if self.holds() {
            self.pay_without_agent().await?;
            return self.take_back().await;
        }
        for debt in self.give_back(debts).await? {
            let Some(key) = key(&debt) else { continue };
            if self.flights.has(key) {
                continue;
            }
            match debt {
                Debt::CallModel { turn, attempt, model } => self.call_model(turn, attempt, model).await?,
                Debt::Dispatch { effect } => self.dispatch(effect).await?,
                Debt::Preview { effect } => self.look(effect).await?,
                Debt::Reconcile { effect } => self.reconcile(effect).await?,
                Debt::StartChild { effect, limits, .. } => {
                    if !self.started.contains(&effect) {
                        self.start_child(effect, limits).await?;
                    }
                }
                Debt::StopChild { effect, child, mode } => {
                    // A child that is being started must exist before it can be stopped.
                    if !self.flights.has(Key::StartChild(effect)) && !self.stopped.contains(&(effect, mode)) {
                        self.stop_child(effect, child, mode);
                    }
                }
                Debt::Recover { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether an activation before let calls go that this one has not asked policies about: they may be others now.
    fn finds_open(&self) -> bool {
        let open = || self.state.calls.iter().any(|c| matches!(c.phase, CallPhase::Open | CallPhase::Previewing(_)));
        self.state.activation != self.activation && self.state.may_dispatch() && open()
    }

    pub(crate) fn debts(&self) -> Vec<Debt> {
        owes(&self.state, self.activation, self.engine.0.ports.clock.now()).collect()
    }
}

/// Which flight pays a debt.
pub(crate) fn key(debt: &Debt) -> Option<Key> {
    match debt {
        Debt::CallModel { turn, attempt, .. } => Some(Key::Model { turn: *turn, attempt: *attempt }),
        Debt::Dispatch { effect } => Some(Key::Effect(*effect)),
        Debt::Preview { effect } => Some(Key::Look(*effect)),
        Debt::Reconcile { effect } => Some(Key::Reconcile(*effect)),
        Debt::StartChild { effect, .. } => Some(Key::StartChild(*effect)),
        Debt::StopChild { effect, .. } => Some(Key::StopChild(*effect)),
        Debt::Recover { .. } => None,
    }
}

/// What an adapter's future comes to; `None` when it panics, which is no reason for the run's task to end.
async fn unwound<'a, T>(call: impl FnOnce() -> BoxFuture<'a, T>) -> Option<T> {
    AssertUnwindSafe(async move { call().await }).catch_unwind().await.ok()
}
