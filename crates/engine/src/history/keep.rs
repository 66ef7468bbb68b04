//! What is kept of counters: read when a tenant is first worked for, and written anew when there are many rows. What is written is
//! folded from what is kept, not from what is in memory.

use std::{collections::BTreeMap, sync::Arc};

use stead_policy::{By, Tally};
use stead_ports::journal::{Journal, StoreError};

use super::{
    book::Book,
    row::{self, KeptBook, KeptCounter},
};
use crate::{Engine, recover::background};

/// Rows after which the counters themselves are kept in their place.
const KEEP_EVERY: u64 = 20_000;
/// Rows read at once.
pub(super) const PAGE: u32 = 2_000;

/// Counters, and the row up to which each has all.
pub(super) type Folded = BTreeMap<u64, (u64, Tally)>;

impl Book {
    /// The counters that are known, and how many rows they were folded from.
    pub(super) async fn kept(&self, journal: &Arc<dyn Journal>) -> Result<(BTreeMap<u64, Tally>, u64), StoreError> {
        let (folded, _, rows) = self.folded(journal).await?;
        Ok((folded.into_iter().map(|(id, (_, tally))| (id, tally)).collect(), rows))
    }

    /// The same, up to the last row that there is.
    async fn folded(&self, journal: &Arc<dyn Journal>) -> Result<(Folded, u64, u64), StoreError> {
        let mut folded = Folded::new();
        if let Some(body) = journal.counters(&self.tenant).await? {
            match KeptBook::decode(&body) {
                Some(kept) => folded.extend(kept.counters.into_iter().map(|KeptCounter { upto, tally }| {
                    let tally = Tally::of(tally);
                    (tally.counter().id(), (upto, tally))
                })),
                None => {
                    tracing::warn!(tenant = %self.tenant, "kept counters cannot be read; journals are read instead")
                }
            }
        }
        let mut last = folded.values().map(|(upto, _)| *upto).min().unwrap_or(0);
        let mut rows = 0;
        loop {
            let page = journal.counted(&self.tenant, last, PAGE).await?;
            for found in &page {
                rows += 1;
                last = found.n;
                let (ended, marks) = match row::decode(&found.body) {
                    Ok(row) => row,
                    // Nobody knows what it says, so nothing that is kept is known: it is all made anew.
                    Err(why) => {
                        tracing::warn!(tenant = %self.tenant, why, "counters are made anew from the journals");
                        return Ok((Folded::new(), last, rows));
                    }
                };
                for mark in marks {
                    if let Some((upto, tally)) = folded.get_mut(&mark.counter)
                        && found.n > *upto
                    {
                        tally.add(&mark.scope, mark.at, mark.mark);
                    }
                }
                if let Some(run) = ended {
                    let run = run.to_string();
                    let of_runs = folded.values_mut().filter(|(_, tally)| tally.counter().by == By::Run);
                    of_runs.for_each(|(_, tally)| tally.forget(&run));
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        let upto = last.max(folded.values().map(|(upto, _)| *upto).max().unwrap_or(0));
        folded.values_mut().for_each(|(has, _)| *has = upto);
        Ok((folded, upto, rows))
    }

    /// Folds what is kept and keeps it in the place of its rows. Gives it, and the last row that it has.
    pub(super) async fn keep(&self, engine: &Engine) -> Result<(Folded, u64), StoreError> {
        let (mut folded, last, _) = self.folded(engine.journal()).await?;
        *self.lock().rows() = 0;
        // What is given up is not counted any more, so it must not be taken for known later: first it is not kept.
        let surplus = self.lock().surplus();
        folded.retain(|id, _| !surplus.contains(id));
        let now = engine.0.ports.clock.now();
        folded.values_mut().for_each(|(_, tally)| tally.sweep(now, &|_| false));
        self.put(engine, &folded, last).await?;
        self.lock().give_up(&surplus);
        Ok((folded, last))
    }

    /// Keeps counters that have all rows up to `upto`.
    pub(super) async fn put(&self, engine: &Engine, folded: &Folded, upto: u64) -> Result<(), StoreError> {
        let kept = folded.values().map(|(upto, tally)| KeptCounter { upto: *upto, tally: tally.keep() });
        let body = KeptBook::new(kept.collect()).encode();
        engine.journal().keep_counters(engine.0.lease.lease, &self.tenant, body, upto).await
    }

    /// Keeps counters in the background when there are many rows.
    pub(super) fn keep_if_due(self: &Arc<Self>, engine: &Engine) {
        if *self.lock().rows() < KEEP_EVERY {
            return;
        }
        *self.lock().rows() = 0;
        let (book, engine) = (self.clone(), engine.clone());
        background(&engine.clone(), async move {
            let _alone = book.keeper.lock().await;
            if let Err(error) = book.keep(&engine).await {
                tracing::warn!(tenant = %book.tenant, %error, "counters could not be kept; their rows stay");
            }
        });
    }
}
