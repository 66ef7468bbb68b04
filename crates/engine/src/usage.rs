//! How the index of usage follows a run: what a record settles, by model; and the one filling that data of a release without
//! this index needs. What is summed, and how it is asked for, is the store's.

use std::{collections::BTreeMap, sync::Arc};

use stead_core::{
    budget::Spend,
    code,
    fact::{Fact, RunConfig},
    id::{Name, RunId},
    record::{Actor as By, Record},
    run::{GENESIS, Phase, State},
    time::Timestamp,
};
use stead_ports::journal::{Journal, Lease, PastRun, Settled, StoreError, Used, hour_of};

use crate::{Engine, types::EngineError};

/// Runs looked at in one go when the index is filled, and records read at once.
const PAGE: u32 = 1_000;

/// Model calls after which a run tells the index, though it goes on: a row for each of them would cost as much as the
/// records themselves.
const TELL_EVERY: u64 = 16;

/// What a run has settled and the index has not been told. It is told when the run ends or waits, and now and then; a process
/// that ends before leaves a run that counts as running, and whoever takes that up tells all of it anew.
#[derive(Debug, Default)]
pub(crate) struct Untold(Vec<Settled>);

impl Untold {
    /// Adds what an append has settled, once it is durable.
    pub(crate) fn add(&mut self, settled: Vec<Settled>) {
        settled.into_iter().for_each(|s| self.add_one(s));
    }

    fn add_one(&mut self, settled: Settled) {
        match self.0.iter_mut().find(|known| (known.hour, &known.model) == (settled.hour, &settled.model)) {
            Some(sum) => sum.used = sum.used.plus(settled.used),
            None => self.0.push(settled),
        }
    }

    /// Whether it is told with an append that adds this, and after which the run works on or not.
    pub(crate) fn due(&self, works: bool, settled: &[Settled]) -> bool {
        let calls: u64 = self.0.iter().chain(settled).map(|s| s.used.replies + s.used.failures).sum();
        !works || calls >= TELL_EVERY
    }

    /// All of it, with what an append adds.
    pub(crate) fn with(&self, settled: Vec<Settled>) -> Vec<Settled> {
        let mut all = Self(self.0.clone());
        all.add(settled);
        all.0
    }

    /// It was told.
    pub(crate) fn told(&mut self) {
        self.0.clear();
    }
}

/// What a record settles when it is appended to a run in this state; each model once.
pub(crate) fn settled(state: &State, facts: &[Fact], at: Timestamp) -> Vec<Settled> {
    let mut calling = match state.phase {
        Phase::Model { model, .. } => Some(model),
        _ => None,
    };
    let mut sums = Untold::default();
    for fact in facts {
        if let Some((model, used)) = settlement(&state.config, &mut calling, fact) {
            sums.add_one(Settled { model, hour: hour_of(at), used });
        }
    }
    sums.0
}

/// What a fact settles, and with which model. `calling` is the model whose call is under way.
fn settlement(config: &RunConfig, calling: &mut Option<u8>, fact: &Fact) -> Option<(Name, Used)> {
    let used = match fact {
        Fact::ModelRequested(f) => {
            *calling = Some(f.model);
            return None;
        }
        Fact::ModelReplied(f) => Used {
            replies: 1,
            tool_calls: f.calls.len() as u64,
            input: f.usage.input,
            cached: f.usage.cached,
            cache_write: f.usage.cache_write,
            output: f.usage.output,
            reasoning: f.usage.reasoning,
            ..money(f.spent)
        },
        // An attempt that was never made is none that came to nothing.
        Fact::ModelFailed(f) if f.code == code::PROVIDER_LIMIT => {
            *calling = None;
            return None;
        }
        Fact::ModelFailed(f) if f.estimated => {
            let priced = money(f.spent);
            Used { failures: 1, estimated_tokens: f.spent.tokens, estimated_usd: priced.usd, ..priced }
        }
        Fact::ModelFailed(f) => Used { failures: 1, output: f.spent.tokens, ..money(f.spent) },
        _ => return None,
    };
    let model = calling.take().and_then(|m| config.models.get(usize::from(m)));
    Some((model.map(|m| m.name.clone()).unwrap_or_default(), used))
}

fn money(spent: Spend) -> Used {
    Used { usd: spent.usd.map_or(0, |u| u.0), unpriced: u64::from(spent.usd.is_none()), ..Used::default() }
}

/// Tells the journal once what runs have used that a release without this index left. Before any run is taken up, so that
/// the index then follows each from where it stands; cut off in the middle, it is done again from the beginning.
pub(crate) async fn fill(engine: &Engine) -> Result<(), EngineError> {
    let journal = engine.journal();
    let mut page = journal.unmetered(None, PAGE).await?;
    let mut runs = 0;
    while let Some(last) = page.last().copied() {
        let mut past = Vec::with_capacity(page.len());
        for run in &page {
            past.push(PastRun { run: *run, user: user_of(journal, *run).await?, usage: used_by(journal, *run).await? });
        }
        runs += page.len();
        page = journal.unmetered(Some(last), PAGE).await?;
        journal.fill_usage(engine.0.lease.lease, &past, page.is_empty()).await?;
    }
    if runs > 0 {
        tracing::info!(runs, "what runs of an earlier release have used was entered");
    }
    Ok(())
}

/// Tells the index anew what a run has used whose process ended while it ran.
pub(crate) async fn tell_anew(journal: &Arc<dyn Journal>, lease: Lease, run: RunId) -> Result<(), StoreError> {
    let past = PastRun { run, user: None, usage: used_by(journal, run).await? };
    journal.fill_usage(lease, &[past], false).await
}

/// Who started a run, or the first of those that started it.
async fn user_of(journal: &Arc<dyn Journal>, mut run: RunId) -> Result<Option<Name>, StoreError> {
    // As many as runs may stand between a run and the root of its chain.
    for _ in 0..=u8::MAX {
        let first = journal.read(run, 0, 1).await?;
        let Some(Ok((first, _))) = first.first().map(|r| Record::decode(&r.bytes, GENESIS)) else { break };
        match first.header.actor {
            By::User(user) => return Ok(Some(user)),
            By::Run(parent) => run = parent,
            By::Runtime => break,
        }
    }
    Ok(None)
}

/// What a run has settled so far, by hour and model. What cannot be read is not counted: the run itself says so.
async fn used_by(journal: &Arc<dyn Journal>, run: RunId) -> Result<Vec<Settled>, StoreError> {
    let mut sums: BTreeMap<(i64, Name), Used> = BTreeMap::new();
    let (mut config, mut calling, mut from) = (None, None, 0);
    loop {
        let page = journal.read(run, from, PAGE).await?;
        for stored in &page {
            from = stored.seq + 1;
            let Ok((record, _)) = Record::decode(&stored.bytes, GENESIS) else {
                tracing::warn!(%run, seq = stored.seq, "a record cannot be read; what it used is not counted");
                continue;
            };
            for fact in &record.facts {
                if let Fact::RunStarted(f) = fact {
                    config = Some(f.config.clone());
                }
                let Some((model, used)) = config.as_ref().and_then(|c| settlement(c, &mut calling, fact)) else {
                    continue;
                };
                let sum = sums.entry((hour_of(record.header.at), model)).or_default();
                *sum = sum.plus(used);
            }
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    Ok(sums.into_iter().map(|((hour, model), used)| Settled { model, hour, used }).collect())
}
