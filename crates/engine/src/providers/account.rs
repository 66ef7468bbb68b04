//! The accounts at providers, and what each has counted. Who waits and passes is in [`line`](super::line).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use stead_core::{
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::clock::Clock;
use tokio::sync::Notify;

use super::{
    gauge::Gauge,
    rates::Rates,
    waits::{ProviderStats, Waiting, WaitsFor},
};

/// Accounts that are kept before those nobody uses are dropped.
const KEPT: usize = 1_024;

/// How counters name the provider of an account that no configuration names.
pub(crate) const OTHER: &str = "other";

/// All accounts of a process.
pub(crate) struct Accounts {
    rates: BTreeMap<String, Rates>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<Name, Arc<Account>>>,
}

impl Accounts {
    pub(crate) fn new(rates: BTreeMap<String, Rates>, clock: Arc<dyn Clock>) -> Self {
        Self { rates, clock, known: Mutex::default() }
    }

    /// The account of that name: `openai`, `gpu.lan:8000`, `openai#TEAM_KEY`. One with a key of its own has the limits of
    /// the provider, and counts by itself.
    pub(crate) fn of(&self, name: &Name) -> Arc<Account> {
        let mut known = self.known.lock();
        if let Some(account) = known.get(name) {
            return account.clone();
        }
        if known.len() >= KEPT {
            let now = self.clock.boot_micros();
            known.retain(|_, account| Arc::strong_count(account) > 1 || !account.state.lock().is_idle(now));
        }
        let rates = [name.as_str(), provider(name)].into_iter().find_map(|n| self.rates.get(n));
        let state = State::new(Gauge::new(rates.copied().unwrap_or_default()));
        let account = Account { name: name.clone(), clock: self.clock.clone(), state: Mutex::new(state) };
        let account = Arc::new(account);
        known.insert(name.clone(), account.clone());
        account
    }

    /// Where a run's call stands in line, if it does.
    pub(crate) fn waiting(&self, run: RunId) -> Option<Waiting> {
        let accounts: Vec<_> = self.known.lock().values().cloned().collect();
        accounts.iter().find_map(|account| account.waiting(run))
    }

    /// How counters name the provider of an account. Addresses that no configuration names are one, so that there are few.
    pub(crate) fn label(&self, account: &Name) -> Name {
        let provider = provider(account);
        let named = self.rates.contains_key(provider) || !provider.contains(':');
        Name::from(if named { provider } else { OTHER })
    }

    /// Counters by provider, those that the configuration names always among them.
    pub(crate) fn stats(&self) -> Vec<ProviderStats> {
        let none = |name: Name| (name.clone(), ProviderStats { provider: name, ..ProviderStats::default() });
        let mut sums: BTreeMap<Name, ProviderStats> = self.rates.keys().map(|n| none(n.as_str().into())).collect();
        for account in self.known.lock().values() {
            let label = self.label(&account.name);
            let state = account.state.lock();
            let sum = sums.entry(label.clone()).or_insert_with(|| none(label).1);
            sum.under_way += u64::from(state.gauge.under_way());
            sum.waiting += state.line.len() as u64;
            sum.passed += state.counts.passed;
            sum.waited += state.counts.waited;
            sum.waited_micros += state.counts.waited_micros;
            sum.refused += state.counts.refused;
            sum.deferred += state.counts.deferred;
        }
        sums.into_values().collect()
    }
}

/// The part of an account's name that is the provider's.
fn provider(account: &str) -> &str {
    account.split_once('#').map_or(account, |(provider, _)| provider)
}

/// One account.
pub(crate) struct Account {
    pub(super) name: Name,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<State>,
}

/// What an account knows. Nothing waits while it is locked.
pub(super) struct State {
    pub(super) gauge: Gauge,
    /// Who waits, by the number under which the run was first in line.
    pub(super) line: BTreeMap<u64, Waiter>,
    pub(super) next_number: u64,
    /// What the first in line waits for.
    pub(super) waits_for: WaitsFor,
    /// Numbers of runs whose call was given back, and until when.
    pub(super) numbers: HashMap<RunId, (u64, u64)>,
    pub(super) counts: Counts,
}

/// A call in line.
pub(super) struct Waiter {
    pub(super) run: RunId,
    pub(super) since: Timestamp,
    /// Told when it has become the first, and then when it may be worth another look.
    pub(super) called: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) waited: u64,
    pub(super) waited_micros: u64,
    pub(super) refused: u64,
    pub(super) deferred: u64,
}

impl State {
    fn new(gauge: Gauge) -> Self {
        Self {
            gauge,
            line: BTreeMap::new(),
            next_number: 0,
            waits_for: WaitsFor::Pause,
            numbers: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// The first in line looks again.
    pub(super) fn call_first(&self) {
        if let Some((_, waiter)) = self.line.first_key_value() {
            waiter.called.notify_one();
        }
    }

    fn is_idle(&mut self, now: u64) -> bool {
        self.line.is_empty() && self.gauge.is_idle(now)
    }
}

impl Account {
    fn waiting(&self, run: RunId) -> Option<Waiting> {
        let state = self.state.lock();
        let (place, waiter) = state.line.values().enumerate().find(|(_, waiter)| waiter.run == run)?;
        Some(Waiting {
            provider: self.name.clone(),
            waits_for: state.waits_for,
            position: u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1),
            since: waiter.since,
        })
    }
}
