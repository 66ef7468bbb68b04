//! Waiting for an account's turn, passing, and coming back.

use std::{sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use parking_lot::Mutex;
use stead_core::{
    code,
    id::RunId,
    message::Reply,
    time::{Span, Timestamp},
};
use stead_ports::model::{ModelError, Retry};
use tokio::sync::Notify;

use super::{
    account::{Account, State, Waiter},
    gauge::{Counted, SECOND, When},
};

/// A call that would wait longer is given back, so that its run takes no place in memory meanwhile.
const PATIENCE: u64 = 5 * SECOND;
/// Longest that a run is sent away at once.
const AWAY_MOST: u64 = 60 * SECOND;
/// Numbers in line that are remembered for runs that were sent away.
const NUMBERS: usize = 65_536;
/// How long after its time a run that does not come back keeps its number.
const NUMBER_KEPT: u64 = 60 * SECOND;

/// The call was given back: when it is due again, and what it waits for in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) until: Timestamp,
    pub(crate) why: String,
}

enum Look {
    Passes(Counted),
    Defer(Deferred),
    /// Look again at that time, or when called.
    Wait(u64),
}

/// A place in line; left when it is dropped.
struct Place<'a> {
    account: &'a Account,
    number: u64,
    called: Arc<Notify>,
    since: u64,
    waited: bool,
    /// When it is asked next whether the wait is too long, and how many had passed when it was asked last.
    patient_until: u64,
    passed_then: u64,
}

impl Account {
    /// Waits for the run's turn to make a call of so many tokens. Gives up by being dropped.
    ///
    /// # Errors
    /// When the wait would be long.
    pub(crate) async fn turn(self: &Arc<Self>, run: RunId, tokens: u64) -> Result<Pass, Deferred> {
        let mut place = Place::take(self, run);
        loop {
            match place.look(run, tokens) {
                Look::Passes(counted) => {
                    let call = Mutex::new(Call { counted: Some(counted), sent: false });
                    return Ok(Pass { account: self.clone(), call });
                }
                Look::Defer(deferred) => return Err(deferred),
                Look::Wait(until) => {
                    let called = place.called.clone();
                    let _ = select(std::pin::pin!(called.notified()), std::pin::pin!(self.sleep(until))).await;
                }
            }
        }
    }

    /// Sleeps until then, and not longer than a moment when the wall clock jumps.
    async fn sleep(&self, until: u64) {
        let left = until.saturating_sub(self.clock.boot_micros());
        let wall = self.clock.sleep_until(self.clock.now().after(Span(left)));
        let most = tokio::time::sleep(Duration::from_micros(left.min(PATIENCE)));
        match select(wall, std::pin::pin!(most)).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }

    fn chance(&self) -> u16 {
        let [a, b, ..] = self.clock.random();
        u16::from_be_bytes([a, b])
    }
}

impl<'a> Place<'a> {
    fn take(account: &'a Account, run: RunId) -> Self {
        let now = account.clock.boot_micros();
        let called = Arc::new(Notify::new());
        let mut state = account.state.lock();
        let number = match state.numbers.remove(&run) {
            Some((number, _)) => number,
            None => {
                state.next_number += 1;
                state.next_number
            }
        };
        let waiter = Waiter { run, since: account.clock.now(), called: called.clone() };
        state.line.insert(number, waiter);
        let passed_then = state.counts.passed;
        Self { account, number, called, since: now, waited: false, patient_until: now + PATIENCE, passed_then }
    }

    fn look(&mut self, run: RunId, tokens: u64) -> Look {
        let (clock, chance) = (&self.account.clock, self.account.chance());
        let now = clock.boot_micros();
        let mut state = self.account.state.lock();
        let closed = state.gauge.closed_until().saturating_sub(now);
        if closed > PATIENCE {
            state.waits_for = super::WaitsFor::Refused;
            return Look::Defer(self.defer(&mut state, run, now, spread(closed, chance)));
        }
        // When the first in line may pass, as far as that is known.
        let mut known = None;
        if state.line.first_key_value().is_some_and(|(first, _)| *first == self.number) {
            match state.gauge.when(now, tokens) {
                When::Now => {
                    let counted = state.gauge.pass(now, tokens, chance);
                    self.count_passed(&mut state, now);
                    // The next one is called when this place is left.
                    return Look::Passes(counted);
                }
                When::At(at, why) => {
                    state.waits_for = why;
                    known = Some(at);
                }
                When::Unknown(why) => state.waits_for = why,
            }
        }
        if now >= self.patient_until {
            // As many as passed in the last while pass in the next.
            let passed = state.counts.passed.saturating_sub(self.passed_then).max(1);
            let ahead = state.line.range(..self.number).count() as u64;
            let wait = match known {
                Some(at) => at.saturating_sub(now),
                None => ahead.saturating_mul(PATIENCE) / passed,
            };
            if wait > 2 * PATIENCE {
                // Back when there is room, or a little before its turn, so that the line does not run dry.
                let away = if known.is_some() { wait } else { spread(wait / 4 * 3, chance) };
                return Look::Defer(self.defer(&mut state, run, now, away.min(AWAY_MOST)));
            }
            (self.patient_until, self.passed_then) = (now + PATIENCE, state.counts.passed);
        }
        self.waited = true;
        Look::Wait(known.map_or(self.patient_until, |at| at.min(self.patient_until)))
    }

    fn count_passed(&self, state: &mut State, now: u64) {
        state.counts.passed += 1;
        if self.waited {
            state.counts.waited += 1;
            state.counts.waited_micros += now.saturating_sub(self.since);
        }
    }

    fn defer(&self, state: &mut State, run: RunId, now: u64, away: u64) -> Deferred {
        state.counts.deferred += 1;
        if state.numbers.len() >= NUMBERS / 64 {
            state.numbers.retain(|_, (_, until)| until.saturating_add(NUMBER_KEPT) > now);
        }
        if state.numbers.len() < NUMBERS {
            state.numbers.insert(run, (self.number, now + away));
        }
        let ahead = state.line.range(..self.number).count();
        let why = format!("{}: {}; {ahead} calls go first", self.account.name, state.waits_for.as_str());
        Deferred { until: self.account.clock.now().after(Span(away)), why }
    }
}

/// A wait, longer by up to a quarter.
fn spread(wait: u64, chance: u16) -> u64 {
    wait + wait / 4 * u64::from(chance) / u64::from(u16::MAX)
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.account.state.lock();
        state.line.remove(&self.number);
        state.call_first();
    }
}

/// A call that may be made, or is under way.
pub(crate) struct Pass {
    account: Arc<Account>,
    call: Mutex<Call>,
}

struct Call {
    /// Until it is over.
    counted: Option<Counted>,
    sent: bool,
}

impl Pass {
    /// It is sent now.
    pub(crate) fn sends(&self) {
        self.call.lock().sent = true;
    }

    /// Its answer has begun, so that the provider has it.
    pub(crate) fn arrived(&self) {
        let mut call = self.call.lock();
        let Some(counted) = &mut call.counted else { return };
        let now = self.account.clock.boot_micros();
        let mut state = self.account.state.lock();
        if state.gauge.arrived(now, counted) {
            state.call_first();
        }
    }

    /// It came to this.
    pub(crate) fn came_to(&self, result: &Result<Reply, ModelError>) {
        let used = match result {
            Ok(reply) => Some(reply.usage.tokens()),
            Err(error) if !error.charged => Some(0),
            Err(_) => None,
        };
        if let Some(counted) = self.over(used) {
            let mut state = self.account.state.lock();
            match result {
                Ok(_) => state.gauge.answered(&counted),
                Err(ModelError { code: code::MODEL_BUSY, retry: Retry::After(wait), .. }) => {
                    state.counts.refused += 1;
                    let now = self.account.clock.boot_micros();
                    state.gauge.refused(now, &counted, wait.map(|w| w.0));
                }
                Err(_) => {}
            }
            state.call_first();
        }
    }

    fn over(&self, used: Option<u64>) -> Option<Counted> {
        let mut call = self.call.lock();
        let (counted, sent) = (call.counted.take()?, call.sent);
        let now = self.account.clock.boot_micros();
        self.account.state.lock().gauge.ended(now, counted, sent, used);
        Some(counted)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.over(None).is_some() {
            self.account.state.lock().call_first();
        }
    }
}
