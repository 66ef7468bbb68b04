//! Backups outside of a server: one of a PostgreSQL schema that any machine can reach, the proof of a file, and a
//! restore into what is empty. The backup of a running server is a route of it.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use stead_core::{
    code,
    id::RunId,
    time::{Span, Timestamp},
};
use stead_engine::{EngineError, Marked, Restore, mark_restored};
pub use stead_ports::journal::Backup as Pieces;
use stead_ports::{
    clock::Clock as _,
    erasure::ErasureStore,
    journal::{Backup, BackupAsk, Journal, StoreError},
    objects::Objects,
};
use stead_store::{
    BlobKey, Checker, Chunk, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore,
};
pub use stead_store::{Head, Stored, Summary, look};
use tokio::sync::mpsc;

use crate::{
    cassettes::Shelf,
    clock::SystemClock,
    config::DatabaseUrl,
    encryption,
    erasure::{Replay, Replayed, read_erasures, replay},
};

/// Runs read at once.
const PAGE: u32 = 1_000;
/// Chunks read ahead of the database.
const AHEAD: usize = 2;
/// Nobody else may have the journal meanwhile, so it only has to be longer than a pause between two records.
const TTL: Span = Span::from_secs(60);

/// The media type of a backup.
pub const MEDIA_TYPE: &str = "application/vnd.stead.backup";

/// What this process asks for a backup with. `data_dir` has the cassettes that go with it.
pub fn ask(data_dir: &Path, key: bool) -> BackupAsk {
    BackupAsk {
        taken: SystemClock.now(),
        key,
        release: env!("CARGO_PKG_VERSION").into(),
        cassettes: Some(Shelf::folder(data_dir)),
    }
}

/// The backup of a PostgreSQL schema, whether a server works on it or not. `data_dir` has its key, and the cassettes.
///
/// # Errors
/// When the key cannot be read.
pub fn of_database(database: &DatabaseUrl, data_dir: &Path, key: bool) -> Result<Backup, StoreError> {
    let own = BlobKey::read(&key_path(data_dir))?;
    PgStore::backup_of(database.expose(), &PgOptions::new(own), ask(data_dir, key))
}

/// The format of what a PostgreSQL schema keeps; `None` when it keeps nothing. Changes nothing, and needs no key.
///
/// # Errors
/// ST0110 when the URL is wrong, ST0145 when nothing answers.
pub async fn look_in(database: &DatabaseUrl) -> Result<Option<u32>, StoreError> {
    // Nothing is addressed, so no key is used.
    PgStore::look(database.expose(), &PgOptions::new(BlobKey::from_bytes([0; 32]))).await
}

/// Where the key of the blobs' addresses is kept.
pub fn key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("blob.key")
}

/// What a backup was found to hold.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says about itself.
    pub head: Head,
    /// What it holds.
    pub summary: Summary,
    /// The last digest of its chain, which stands for all of it.
    pub digest: [u8; 32],
}

/// Proves a backup: the chain of its chunks, the chain of each run, and with a key the addresses of its blobs. What is encrypted in it is opened with the key
/// that STEAD_ENCRYPT names; without it only the chain of chunks is proven of that. Blocks.
///
/// # Errors
/// ST0148 when it is damaged, ST0154 when a newer release wrote it, ST0155 when the key that is given is another,
/// ST0157 when it is encrypted under another key than STEAD_ENCRYPT names.
pub fn verify<R: Read>(from: R, key_file: Option<&Path>) -> Result<Verified, StoreError> {
    let mut reader = Reader::open(from)?;
    let key = match (key_file, reader.head().has_key()) {
        (None, false) => None,
        _ => Some(BlobKey::of_backup(reader.head(), key_file, None)?),
    };
    let mut checker = Checker::new(key).with_key(reader.head(), encryption::key(None)?.as_ref())?;
    while let Some(chunk) = reader.next_chunk()? {
        checker.look(&chunk)?;
    }
    Ok(Verified { head: reader.head().clone(), summary: checker.finish()?, digest: reader.digest() })
}

/// Where a backup is restored to.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The data directory: of the journal, or with a database of its keys.
    pub data_dir: PathBuf,
    /// A PostgreSQL database instead of the SQLite file in `data_dir`.
    pub database: Option<DatabaseUrl>,
    /// The file of the backup's key, when that is kept apart.
    pub key_file: Option<PathBuf>,
    /// A file of certificates of erasures that are to be done again, besides that of the data directory.
    pub erasures: Option<PathBuf>,
}

/// A restored journal.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub head: Head,
    /// What it held.
    pub summary: Summary,
    /// The generation from now on.
    pub generation: u32,
    /// Runs that are paused, and runs that cannot be folded.
    pub marked: Marked,
    /// Erasures that the backup did not know, and that were done again.
    pub erasures: u64,
    /// Runs whose texts went with these.
    pub erased: u64,
    /// Those of them that had not ended: they have nothing to go on with.
    pub erased_unfinished: Vec<RunId>,
}

/// Restores a backup into an empty target. A target that is left half filled, by a crash say, is not taken for data, and
/// is made anew by the next restore. Its texts are encrypted when STEAD_ENCRYPT names a key.
///
/// # Errors
/// ST0149 when the target is not empty, ST0157 when the backup is encrypted and its key is not named, ST0148, ST0154 or ST0155 as [`verify`], and those of the store.
pub async fn restore<R: Read + Send + 'static>(from: R, target: Target) -> Result<Restored, EngineError> {
    match &target.database {
        None => into_sqlite(from, target).await,
        Some(database) => into_postgres(from, database.clone(), target).await,
    }
}

async fn into_sqlite<R: Read + Send + 'static>(from: R, target: Target) -> Result<Restored, EngineError> {
    let kept = key_path(&target.data_dir);
    let (folder, again) = (target.data_dir.clone(), read_erasures(target.erasures.as_deref(), &target.data_dir)?);
    let encrypt = encryption::key(None)?;
    let given = encrypt.clone();
    let (restore, head, summary) = blocking(move || {
        let mut reader = Reader::open(from)?;
        let key = BlobKey::of_backup(reader.head(), target.key_file.as_deref(), Some(&kept))?;
        let restore = SqliteRestore::begin(&target.data_dir)?.encrypt(given);
        same_key(&kept, reader.head())?;
        let summary = restore.fill(&mut reader, &key, SystemClock.now())?;
        Ok((restore, reader.head().clone(), summary))
    })
    .await?;
    let staging = restore.staging().to_owned();
    let dir = staging.clone();
    let store = Arc::new(
        blocking(move || SqliteStore::open(&dir, SqliteOptions { encrypt, ..SqliteOptions::default() })).await?,
    );
    let (pages, erasing) = (store.clone(), store.clone());
    let journal: Arc<dyn Journal> = store;
    let marked = mark(&journal, &head, async |after| pages.open_runs(after, PAGE).await).await?;
    let done = once_more(&journal, erasing, &again, &staging, &folder).await?;
    blocking(move || {
        // Closed, and so tidied up, before it is moved.
        drop((journal, pages));
        restore.finish()
    })
    .await?;
    Ok(restored(head, summary, marked, done))
}

fn restored(head: Head, summary: Summary, marked: Marked, done: Replayed) -> Restored {
    let Replayed { erasures, runs, unfinished } = done;
    let generation = head.generation_after();
    Restored { head, summary, generation, marked, erasures, erased: runs, erased_unfinished: unfinished }
}

/// Does erasures again that the backup does not know.
async fn once_more<S: ErasureStore + Objects>(
    journal: &Arc<dyn Journal>,
    store: Arc<S>,
    again: &Replay,
    staging: &Path,
    folder: &Path,
) -> Result<Replayed, EngineError> {
    let (erasures, objects): (Arc<dyn ErasureStore>, Arc<dyn Objects>) = (store.clone(), store);
    let done = replay((journal, &erasures, &objects), again, staging, folder).await;
    done.map_err(|e| {
        StoreError { code: code::ERASURE_UNFINISHED, detail: format!("erasures were not done again: {e}") }.into()
    })
}

async fn into_postgres<R: Read + Send + 'static>(
    from: R,
    database: DatabaseUrl,
    target: Target,
) -> Result<Restored, EngineError> {
    let kept = key_path(&target.data_dir);
    let (folder, again) = (target.data_dir.clone(), read_erasures(target.erasures.as_deref(), &target.data_dir)?);
    let (reader, key) = blocking(move || {
        let reader = Reader::open(from)?;
        let key = BlobKey::of_backup(reader.head(), target.key_file.as_deref(), Some(&kept))?;
        same_key(&kept, reader.head())?;
        key.write(&kept)?;
        Ok((reader, key))
    })
    .await?;
    let head = reader.head().clone();
    let options = PgOptions { encrypt: encryption::key(None)?, ..PgOptions::new(key) };
    let restore = PgRestore::begin(database.expose(), options, &head).await?;
    let (ahead, mut chunks) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || read_on(reader, &ahead));
    let mut checker = restore.checker();
    let staging = target.data_dir.join("restoring");
    let shelf = Arc::new(emptied(staging.clone()).await?);
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk?;
        restore.fill(&chunk, &mut checker).await?;
        let shelf = shelf.clone();
        blocking(move || shelf.fill(&chunk)).await?;
    }
    reading.await.map_err(|e| broke(&e))?;
    let summary = restore.fence(&head, checker, SystemClock.now()).await?;
    let store = Arc::new(restore.store());
    let journal: Arc<dyn Journal> = store.clone();
    let marked = mark(&journal, &head, async |after| store.open_runs(after, PAGE).await).await?;
    let done = once_more(&journal, store.clone(), &again, &staging, &folder).await?;
    // Before the database is one that may be opened.
    blocking(move || {
        shelf.finish(&target.data_dir)?;
        removed(&staging)
    })
    .await?;
    restore.finish().await?;
    Ok(restored(head, summary, marked, done))
}

/// The cassettes of a restore, and nothing left of one before.
async fn emptied(staging: PathBuf) -> Result<stead_store::Shelf, StoreError> {
    blocking(move || removed(&staging).map(|()| stead_store::Shelf::new(&staging))).await
}

fn removed(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError { code: code::DATA_READONLY, detail: format!("{}: {e}", folder.display()) })
        }
        _ => Ok(()),
    }
}

/// Reads chunks until the end or an error; whoever takes them may stop earlier.
fn read_on<R: Read>(mut reader: Reader<R>, ahead: &mpsc::Sender<Result<Chunk, StoreError>>) {
    while let Some(chunk) = reader.next_chunk().transpose() {
        let last = chunk.is_err();
        if ahead.blocking_send(chunk).is_err() || last {
            return;
        }
    }
}

/// A key that the target has already must be the backup's own: whoever put it there may need it.
fn same_key(kept: &Path, head: &Head) -> Result<(), StoreError> {
    if kept.exists() { BlobKey::of_backup(head, Some(kept), None).map(drop) } else { Ok(()) }
}

/// Marks every run that had not ended.
async fn mark(
    journal: &Arc<dyn Journal>,
    head: &Head,
    pages: impl AsyncFn(Option<RunId>) -> Result<Vec<RunId>, StoreError>,
) -> Result<Marked, EngineError> {
    let lease = journal.acquire("stead restore", TTL).await?;
    let restore = Restore { lease, generation: head.generation_after(), taken: Timestamp(head.taken) };
    let mut all = Marked::default();
    let mut after = None;
    loop {
        let page = pages(after).await?;
        let marked = mark_restored(journal, &SystemClock, restore, &page).await?;
        all.paused += marked.paused;
        all.set_aside.extend(marked.set_aside);
        after = page.last().copied();
        if page.len() < PAGE as usize {
            break;
        }
    }
    journal.release(lease).await?;
    Ok(all)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| broke(&e))?
}

fn broke(error: &tokio::task::JoinError) -> StoreError {
    StoreError { code: code::INTERNAL, detail: error.to_string() }
}
