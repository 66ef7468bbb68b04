//! Tells the world of new checkpoints: whoever keeps one finds out later whether anything before it was changed. What cannot be told now is tried
//! again, with what is newest then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use stead_engine::Log;
use stead_ports::{audit::LogRow, journal::StoreError};
use tokio_util::sync::CancellationToken;

use super::{place::Place, witness::Witnesses};
use crate::config::Audit;

/// How long a request to a place or a witness may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A log that cannot be told of, and why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    /// The place does not take it now.
    #[error("{0}")]
    Later(String),
    /// What the place has is not the beginning of this log.
    #[error("{0}")]
    Forked(String),
}

impl From<StoreError> for Untold {
    fn from(e: StoreError) -> Self {
        Self::Later(e.to_string())
    }
}

/// Publishes until it is told to stop; what is new then is told a last time.
pub(crate) async fn keep_published(log: Log, audit: Audit, stop: CancellationToken) {
    if audit.publish.is_empty() && audit.witnesses.is_empty() {
        return;
    }
    let http = match reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "checkpoints of the audit log are not published");
            return;
        }
    };
    let places: Vec<Arc<Place>> = audit.publish.iter().map(|to| Arc::new(Place::new(to, http.clone()))).collect();
    let mut witnesses = Witnesses::new(&audit.witnesses, http);
    let (mut news, mut told) = (log.news(), HashMap::new());
    loop {
        let last = stop.is_cancelled();
        if last {
            log.caught_up(TIMEOUT).await;
        }
        if let Err(error) = round(&log, &places, &mut witnesses, &mut told).await {
            tracing::warn!(%error, "checkpoints of the audit log could not be read, and are published later");
        }
        if last {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            // After a failure too, something is new sooner or later; and the round looks at all.
            () = tokio::time::sleep(audit.every.0) => {
                if told.values().all(|ok| *ok) {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = news.changed() => {}
                    }
                }
            }
        }
    }
}

/// What was told of each place and log: at that size, and whether it was taken.
type Told = HashMap<(usize, String, u64), bool>;

async fn round(log: &Log, places: &[Arc<Place>], witnesses: &mut Witnesses, told: &mut Told) -> Result<(), StoreError> {
    let mut now = Told::new();
    for row in log.store().logs().await? {
        let row = witnesses.cosigned(log, row).await;
        for (n, place) in places.iter().enumerate() {
            let key = (n, row.tenant.to_string(), row.size);
            if told.get(&key) == Some(&true) {
                now.insert(key, true);
                continue;
            }
            let done = tell(log, place, &row).await;
            match &done {
                Ok(()) => {}
                Err(error @ Untold::Forked(_)) => {
                    tracing::error!(%error, place = place.name(), "the audit log is not the one that was published before");
                }
                Err(error) => tracing::warn!(%error, place = place.name(), "a checkpoint could not be published"),
            }
            now.insert(key, done.is_ok());
        }
    }
    *told = now;
    Ok(())
}

async fn tell(log: &Log, place: &Arc<Place>, row: &LogRow) -> Result<(), Untold> {
    let key = log.verifier(&row.tenant);
    if let Some(kept) = place.kept(&key).await? {
        if kept.size > row.size {
            return Err(Untold::Forked(format!(
                "it has a checkpoint of {} leaves, and the log has {}: the log was cut back",
                kept.size, row.size
            )));
        }
        let (root, _, _) = log.consistency(row, kept.size, row.size).await.map_err(|e| Untold::Later(e.to_string()))?;
        if root != kept.root {
            return Err(Untold::Forked(format!("at {} leaves it has another root: the log was rewritten", kept.size)));
        }
        if kept.size == row.size {
            return Ok(());
        }
    }
    place.put(&key, row).await
}
