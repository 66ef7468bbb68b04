//! Reading on in the audit logs: leaves that are new, and what is to be told of them.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use stead_audit::leaf::Entry;
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_engine::{EngineError, LogError};
use stead_ports::{
    audit::{LogRow, OPERATORS},
    journal::StoreError,
};
use stead_telemetry::{Span, content::Mask, logs};

use super::{READER, tracers::Tracers};
use crate::{http::app::Shared, routes};

/// Leaves that are read at once.
const BATCH: u32 = 256;
/// Times that what is damaged of a run is read before it is told without its texts, or not at all.
const DAMAGED_TRIES: u32 = 3;

/// What is to be told of some leaves of a log.
pub(super) struct Batch {
    pub(super) tenant: Name,
    /// The leaves before this one are done with when it is told.
    pub(super) upto: u64,
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<LogRecord>,
}

/// Where reading stands.
pub(super) struct Tail {
    app: Shared,
    upto: BTreeMap<Name, u64>,
    tracers: Tracers,
    /// Runs of which something stored is damaged, and how often it was read in vain.
    damaged: HashMap<RunId, u32>,
}

impl Tail {
    /// Goes on where it was noted; the first time, behind all that there is: what runs did before is not told by itself.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn begin(app: Shared) -> Result<Option<Self>, StoreError> {
        let log = app.runtime.log();
        let mut upto: BTreeMap<Name, u64> = log.read_upto(READER).await?.into_iter().collect();
        if upto.is_empty() {
            // Data that was restored gets its logs anew: they are waited for, or all of it would be told again.
            if !log.caught_up(std::time::Duration::from_secs(30)).await {
                return Ok(None);
            }
            upto = log.store().logs().await?.into_iter().map(|row| (row.tenant, row.size)).collect();
            upto.entry(OPERATORS.into()).or_insert(0);
            let all: Vec<(Name, u64)> = upto.clone().into_iter().collect();
            log.note_upto(READER, &all).await?;
        }
        Ok(Some(Self { app, upto, tracers: Tracers::default(), damaged: HashMap::new() }))
    }

    /// Logs that have more, and how many leaves in all.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn new_leaves(&self) -> Result<(Vec<LogRow>, u64), StoreError> {
        let rows = self.app.runtime.log().store().logs().await?;
        let more = |row: &LogRow| row.size.saturating_sub(self.at(&row.tenant));
        let behind = rows.iter().map(more).sum();
        Ok((rows.into_iter().filter(|row| more(row) > 0).collect(), behind))
    }

    fn at(&self, tenant: &Name) -> u64 {
        self.upto.get(tenant).copied().unwrap_or(0)
    }

    /// The next leaves of a log; `None` when there are none.
    ///
    /// # Errors
    /// When the log or the journal cannot be read.
    pub(super) async fn next(&mut self, row: &LogRow) -> Result<Option<Batch>, LogError> {
        let (from, log) = (self.at(&row.tenant), self.app.runtime.log().clone());
        let entries = log.entries(row, from, BATCH).await?;
        let Some((last, _)) = entries.last() else { return Ok(None) };
        let telemetry = &self.app.telemetry;
        let mask = telemetry.mask().await;
        let mut batch = Batch { tenant: row.tenant.clone(), upto: last + 1, spans: Vec::new(), logs: Vec::new() };
        let (mut runs, mut order) = (HashMap::<RunId, (u64, u64)>::new(), Vec::new());
        let origin = log.verifier(&row.tenant).name().to_owned();
        for (index, leaf) in &entries {
            let Ok(entry) = Entry::decode(leaf) else { continue };
            if let Entry::Record(leaf) = &entry {
                let span = runs.entry(leaf.run).or_insert_with(|| {
                    order.push(leaf.run);
                    (leaf.seq, leaf.seq)
                });
                span.1 = span.1.max(leaf.seq);
            }
            if telemetry.config.logs {
                let mut entry = routes::audit_entry(&log, *index, leaf).await?;
                if let Some(act) = &mut entry.act {
                    // It says who did it, and what they wrote.
                    let shown = |body: serde_json::Value| Some(mask.as_ref()?.show(&body.to_string()).into());
                    act.body = act.body.take().and_then(shown);
                }
                batch.logs.push(logs::record(&origin, &entry));
            }
        }
        if telemetry.config.traces {
            for run in order {
                batch.spans.extend(self.spans(run, runs[&run], mask.as_ref()).await?);
            }
        }
        Ok(Some(batch))
    }

    /// The spans that ended with those records of a run. What is damaged there does not keep other runs from being told of: after some tries the
    /// run is told without its texts, and if that cannot be read either, its spans are left out.
    async fn spans(&mut self, run: RunId, records: (u64, u64), mask: Option<&Mask>) -> Result<Vec<Span>, StoreError> {
        let engine = self.app.runtime.engine();
        let tries = self.damaged.get(&run).copied().unwrap_or(0);
        let texts = mask.filter(|_| tries < DAMAGED_TRIES);
        let error = match self.tracers.spans(engine, run, records, texts).await {
            Ok(spans) => return Ok(spans),
            // What does not answer now may answer later; what is damaged stays so.
            Err(EngineError::Store(error)) if error.code != code::DATA_DAMAGED => return Err(error),
            Err(EngineError::Store(error)) if tries < DAMAGED_TRIES => {
                let tries = tries + 1;
                self.damaged.insert(run, tries);
                if tries == DAMAGED_TRIES {
                    self.app.metrics.telemetry.damaged();
                    tracing::error!(%run, %error, "something of a run is damaged: it is told without its texts");
                }
                return Err(error);
            }
            Err(error) => error,
        };
        self.app.metrics.telemetry.damaged();
        tracing::error!(%run, %error, "a run cannot be read, and is not told of");
        Ok(Vec::new())
    }

    /// Holds no text of a run any more: what is told next is read from the journals as they are then.
    pub(super) fn forget(&mut self) {
        self.tracers = Tracers::default();
    }

    /// Notes that a batch was told.
    ///
    /// # Errors
    /// When the store does not answer, or the journal is another's by now.
    pub(super) async fn done(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.app.runtime.log().note_upto(READER, &[(batch.tenant.clone(), batch.upto)]).await?;
        self.upto.insert(batch.tenant.clone(), batch.upto);
        Ok(())
    }
}
