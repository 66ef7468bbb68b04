//! Reading a log: entries, proofs and bundles. Every tile is checked up to the signed root before anything is made of it.

use std::sync::Arc;

use bytes::Bytes;
use stead_audit::{
    bundle::{self, Shown},
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    note::{Note, Trust},
    prove,
    read::{ReadError, Reader},
    tile::{Holds, Tile, WIDTH},
};
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_ports::{
    audit::{AuditStore, ENTRIES, LogRow},
    journal::StoreError,
};
use tokio::runtime::Handle;

use super::Log;

/// Spans read at once.
const SPANS: u32 = 1_000;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept is not what was signed.
    #[error("the audit log is not what was signed: {0}")]
    Forged(String),
    /// There is no such leaf, or no log of that size.
    #[error("the audit log does not reach that far")]
    Outside,
}

/// Which leaves go into a bundle.
#[derive(Clone, Debug)]
pub struct Picked {
    /// The log, where it stands: what is proven is this checkpoint.
    pub row: LogRow,
    /// Leaves by ascending index, each with the record or act that is to be shown, if any.
    pub leaves: Vec<(u64, Option<Vec<u8>>)>,
    /// Sizes of smaller checkpoints to which it links, ascending.
    pub links: Vec<u64>,
}

type Fetch = Box<dyn FnMut(Tile) -> Result<Vec<u8>, StoreError> + Send>;

impl Log {
    /// The bytes of a tile of a log of that size, or of a smaller one; `None` when it has none there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn tile(&self, row: &LogRow, tile: Tile) -> Result<Option<Bytes>, StoreError> {
        let shift = match tile.holds() {
            Holds::Hashes(level) => u32::from(level) * 8,
            Holds::Entries => 0,
        };
        let last = tile.index().saturating_mul(WIDTH.into()).saturating_add(tile.width().into());
        if last > row.size.checked_shr(shift).unwrap_or(0) {
            return Ok(None);
        }
        fetch(&*self.0.store, &row.tenant, tile).await
    }

    /// Leaves from index `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn entries(&self, row: &LogRow, from: u64, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, LogError> {
        let to = row.size.min(from.saturating_add(limit.into()));
        if from >= to {
            return Ok(Vec::new());
        }
        self.reading(row, move |log| {
            let width = u64::from(WIDTH);
            let mut out = Vec::new();
            for bundle in from / width..=(to - 1) / width {
                let first = bundle * width;
                for (index, leaf) in (first..).zip(log.entries(bundle)?) {
                    if (from..to).contains(&index) {
                        out.push((index, leaf));
                    }
                }
            }
            Ok(out)
        })
        .await
    }

    /// The leaf at `index`, and its inclusion proof in the log of the first `size` leaves.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn inclusion(&self, row: &LogRow, index: u64, size: u64) -> Result<(Vec<u8>, Vec<TreeHash>), LogError> {
        if index >= size || size > row.size {
            return Err(LogError::Outside);
        }
        self.reading(row, move |log| {
            let width = u64::from(WIDTH);
            let leaf = log.entries(index / width)?.swap_remove((index % width) as usize);
            Ok((leaf, prove::inclusion(log, index, size)?))
        })
        .await
    }

    /// The consistency proof between two sizes of a log, with their roots.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn consistency(
        &self,
        row: &LogRow,
        old: u64,
        new: u64,
    ) -> Result<(TreeHash, TreeHash, Vec<TreeHash>), LogError> {
        if old > new || new > row.size {
            return Err(LogError::Outside);
        }
        self.reading(row, move |log| {
            let path = if old == 0 || old == new { Vec::new() } else { prove::consistency(log, old, new)? };
            Ok((prove::root(log, old)?, prove::root(log, new)?, path))
        })
        .await
    }

    /// The bundle of some leaves.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn bundle(&self, picked: Picked) -> Result<Vec<u8>, LogError> {
        let Picked { row, leaves, links } = picked;
        let fits = leaves.last().is_none_or(|(last, _)| *last < row.size)
            && leaves.is_sorted_by(|(a, _), (b, _)| a < b)
            && links.is_sorted_by(|a, b| a < b)
            && links.last().is_none_or(|last| *last < row.size);
        if !fits {
            return Err(LogError::Outside);
        }
        let note = Note::parse(&row.note).map_err(|e| LogError::Forged(e.to_string()))?;
        let size = row.size;
        self.reading(&row, move |log| {
            let (mut shown, mut open) = (Vec::with_capacity(leaves.len()), None);
            for (index, record) in leaves {
                let at = index / u64::from(WIDTH);
                if open.as_ref().is_none_or(|(bundle, _)| *bundle != at) {
                    open = Some((at, log.entries(at)?));
                }
                let leaf = open.as_ref().map(|(_, all)| all[(index % u64::from(WIDTH)) as usize].clone());
                shown.push(Shown { index, leaf: leaf.unwrap_or_default(), record });
            }
            bundle::make(log, &note, size, &shown, &links)
        })
        .await
    }

    /// Where the records of a run are, by position and index, in the log as far as it has come.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn places(&self, run: RunId) -> Result<Vec<(u64, u64)>, StoreError> {
        let (mut out, mut from) = (Vec::new(), 0);
        loop {
            let spans = self.0.store.spans(run, from, SPANS).await?;
            let full = spans.len() == SPANS as usize;
            for span in spans {
                let places = (span.seq..).zip(span.indexes);
                out.extend(places.filter(|(seq, _)| *seq >= from));
            }
            from = out.last().map_or(0, |(seq, _)| seq + 1);
            if !full {
                return Ok(out);
            }
        }
    }

    /// Does something with a log that is proven to be the one that was signed.
    async fn reading<T: Send + 'static>(
        &self,
        row: &LogRow,
        work: impl FnOnce(&mut Reader<Fetch>) -> Result<T, ReadError<StoreError>> + Send + 'static,
    ) -> Result<T, LogError> {
        let trust = Trust::in_log(self.verifier(&row.tenant));
        let (signed, _) = Checkpoint::verify(&row.note, &trust).map_err(|e| LogError::Forged(e.to_string()))?;
        if (signed.size, signed.root) != (row.size, TreeHash(row.root)) {
            return Err(LogError::Forged("it is not where its checkpoint says".into()));
        }
        let (store, tenant) = (Arc::clone(&self.0.store), row.tenant.clone());
        let (size, root, handle) = (signed.size, signed.root, Handle::current());
        let done = tokio::task::spawn_blocking(move || {
            let fetch: Fetch = Box::new(move |tile| {
                let body = handle.block_on(fetch(&*store, &tenant, tile))?;
                Ok(body.map(|body| body.to_vec()).unwrap_or_default())
            });
            work(&mut Reader::open(size, root, fetch)?)
        });
        let done = done.await.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })?;
        done.map_err(|e| match e {
            ReadError::Fetch { source, .. } => LogError::Store(source),
            ReadError::Outside => LogError::Outside,
            forged @ ReadError::Forged { .. } => LogError::Forged(forged.to_string()),
        })
    }
}

/// A tile out of one that is as wide or wider.
async fn fetch(store: &dyn AuditStore, tenant: &Name, tile: Tile) -> Result<Option<Bytes>, StoreError> {
    let level = match tile.holds() {
        Holds::Hashes(level) => level,
        Holds::Entries => ENTRIES,
    };
    let Some(body) = store.tile(tenant, level, tile.index()).await? else { return Ok(None) };
    let width = usize::from(tile.width());
    let len = if level == ENTRIES { entries_len(&body, width) } else { Some(width * hash::LEN) };
    Ok(len.filter(|len| *len <= body.len()).map(|len| body.slice(..len)))
}

/// Bytes of the first leaves of an entry bundle.
fn entries_len(body: &[u8], width: usize) -> Option<usize> {
    (0..width).try_fold(0_usize, |at, _| {
        let len = body.get(at..at + 2)?;
        Some(at + 2 + usize::from(u16::from_be_bytes([len[0], len[1]])))
    })
}
