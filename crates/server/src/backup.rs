//! Backups outside of a server: one of a PostgreSQL schema that any machine can reach, the proof of a file, and a
//! restore into what is empty. The backup of a running server is a route of it.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, RunId},
    time::{Span, Timestamp},
};
use stead_engine::{EngineError, Marked, Restore, mark_restored, trees_named};
pub use stead_ports::journal::Backup as Pieces;
use stead_ports::{
    clock::Clock as _,
    erasure::ErasureStore,
    journal::{Backup, BackupAsk, Journal, StoreError},
    objects::{Lead, Leads, Objects},
};
use stead_store::{
    BlobKey, Checker, Chunk, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore,
};
pub use stead_store::{Head, KeySet, Shut, Stored, Summary, look};
use stead_workspace::leads_to;
use tokio::sync::mpsc;

use crate::{
    cassettes::Shelf,
    clock::SystemClock,
    config::DatabaseUrl,
    encryption,
    erasure::{Lost, Replay, Replayed, begin_lost, read_erasures, replay},
};

/// Runs read at once.
const PAGE: u32 = 1_000;
/// Chunks read ahead of the database.
const AHEAD: usize = 2;
/// Nobody else may have the journal meanwhile, so it only has to be longer than a pause between two records.
const TTL: Span = Span::from_secs(60);

/// The media type of a backup.
pub const MEDIA_TYPE: &str = "application/vnd.stead.backup";
/// The media type of a file of subject keys.
pub const KEYS_MEDIA_TYPE: &str = "application/vnd.stead.subject-keys";

/// What this process asks for a backup with, which is sealed or not. `data_dir` has the cassettes that go with it.
pub fn ask(data_dir: &Path, key: bool, seal: bool) -> BackupAsk {
    BackupAsk {
        taken: SystemClock.now(),
        key,
        release: env!("CARGO_PKG_VERSION").into(),
        cassettes: Some(Shelf::folder(data_dir)),
        seal: seal.then(|| Leads(Arc::new(leads))),
    }
}

/// What leads to the content of workspaces.
fn leads(lead: Lead, content: &[u8]) -> Vec<(BlobId, Lead)> {
    match lead {
        Lead::Record => trees_named(content).into_iter().map(|tree| (BlobId(tree.0), Lead::Directory)).collect(),
        _ => leads_to(lead, content),
    }
}

/// The backup of a PostgreSQL schema, whether a server works on it or not. `data_dir` has its key, and the cassettes.
///
/// # Errors
/// When the key cannot be read; ST0157 when the data is encrypted and STEAD_ENCRYPT does not name its key.
pub fn of_database(database: &DatabaseUrl, data_dir: &Path, key: bool) -> Result<Backup, StoreError> {
    PgStore::backup_of(database.expose(), &options(data_dir)?, ask(data_dir, key, true))
}

/// The keys of persons of a PostgreSQL schema, as the bytes of their file. `data_dir` has the key of its addresses.
///
/// # Errors
/// As [`of_database`].
pub async fn subject_keys_of(database: &DatabaseUrl, data_dir: &Path) -> Result<Bytes, StoreError> {
    PgStore::subject_keys_of(database.expose(), &options(data_dir)?, SystemClock.now()).await
}

fn options(data_dir: &Path) -> Result<PgOptions, StoreError> {
    Ok(PgOptions { encrypt: encryption::key(None)?, ..PgOptions::new(BlobKey::read(&key_path(data_dir))?) })
}

/// The format of what a PostgreSQL schema keeps; `None` when it keeps nothing. Changes nothing, and needs no key.
///
/// # Errors
/// ST0110 when the URL is wrong, ST0145 when nothing answers.
pub async fn look_in(database: &DatabaseUrl) -> Result<Option<u32>, StoreError> {
    // Nothing is addressed, so no key is used.
    PgStore::look(database.expose(), &PgOptions::new(BlobKey::from_bytes([0; 32]))).await
}

/// Where a data folder may have a file of subject keys, for a restore into it.
fn subject_keys_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("subjects")
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
    /// What of it is sealed and had no key: only the chain of records and of the file is proven of that.
    pub shut: Shut,
    /// The last digest of its chain, which stands for all of it.
    pub digest: [u8; 32],
}

/// Proves a backup: the chain of its chunks, the chain of each run, and with a key the addresses of its blobs. What is encrypted in it is opened with the key
/// that STEAD_ENCRYPT names; without it only the chain of chunks is proven of that. What is a person's is opened with the keys in `subject_keys`; without
/// them the chain of each run is proven all the same, and what was not looked into is told. Blocks.
///
/// # Errors
/// ST0148 when it is damaged, ST0154 when a newer release wrote it, ST0155 when the key that is given is another,
/// ST0157 when it is encrypted under another key than STEAD_ENCRYPT names, ST0368 when the file of subject keys cannot be used.
pub fn verify<R: Read>(from: R, key_file: Option<&Path>, subject_keys: Option<&Path>) -> Result<Verified, StoreError> {
    let mut reader = Reader::open(from)?;
    reader.open_with(subject_keys.map(KeySet::read).transpose()?.as_ref(), false)?;
    let key = match (key_file, reader.has_key()) {
        (None, false) => None,
        _ => Some(reader.blob_key(key_file, None)?),
    };
    let mut checker = Checker::new(key).with_key(reader.head(), encryption::key(None)?.as_ref())?;
    while let Some(chunk) = reader.next_chunk()? {
        checker.look(&chunk)?;
    }
    let (mut summary, shut) = (checker.finish()?, reader.shut().clone());
    // They are there, sealed.
    summary.blobs += shut.blobs;
    summary.cassettes += shut.cassettes;
    Ok(Verified { head: reader.head().clone(), summary, shut, digest: reader.digest() })
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
    /// The file of subject keys; when silent that of the data directory is taken, `keys/subjects`, if there is one.
    pub subject_keys: Option<PathBuf>,
    /// Whether what has no key is restored as erased, instead of not at all.
    pub without_keys: bool,
}

impl Target {
    /// The keys with which the backup is opened.
    fn keys(&self) -> Result<Option<KeySet>, StoreError> {
        let own = subject_keys_path(&self.data_dir);
        let named = self.subject_keys.as_deref().or_else(|| own.exists().then_some(&*own));
        named.map(KeySet::read).transpose()
    }
}

/// Removes the file of subject keys of a data folder when the store has them all: an erasure reaches the store, and not that file. One with
/// other keys stays.
fn taken_in(data_dir: &Path, keys: Option<&KeySet>) -> Result<(), StoreError> {
    let own = subject_keys_path(data_dir);
    if !keys.is_some_and(|keys| own.exists() && keys.may_replace(&own).is_ok()) {
        return Ok(());
    }
    let removed = || -> std::io::Result<()> {
        std::fs::remove_file(&own)?;
        own.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    removed().map_err(|e| {
        let why = "the restore is whole; the file that it took subject keys from is still there: remove it";
        StoreError { code: code::DATA_READONLY, detail: format!("{}: {e}; {why}", own.display()) }
    })
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
    /// Runs that came without their texts because there was no key for these: erasures of them are begun.
    pub without_keys: u64,
    /// Those of them of which no erasure is begun, because a legal hold covers their person.
    pub held_without_keys: u64,
}

/// Restores a backup into an empty target. A target that is left half filled, by a crash say, is not taken for data, and
/// is made anew by the next restore. Its texts are encrypted when STEAD_ENCRYPT names a key.
///
/// # Errors
/// ST0367 when keys of persons are missing, ST0368 when their file cannot be used, ST0149 when the target is not empty, ST0157 when the backup is encrypted and its key is not named, ST0148, ST0154 or ST0155 as [`verify`], and those of the store.
pub async fn restore<R: Read + Send + 'static>(from: R, target: Target) -> Result<Restored, EngineError> {
    match &target.database {
        None => into_sqlite(from, target).await,
        Some(database) => into_postgres(from, database.clone(), target).await,
    }
}

async fn into_sqlite<R: Read + Send + 'static>(from: R, target: Target) -> Result<Restored, EngineError> {
    let kept = key_path(&target.data_dir);
    let (folder, keys) = (target.data_dir.clone(), target.keys()?);
    let again = again(&target, keys.as_ref())?;
    let encrypt = encryption::key(None)?;
    let (given, set) = (encrypt.clone(), keys.clone());
    let (restore, head, summary, shut) = blocking(move || {
        let mut reader = Reader::open(from)?;
        reader.open_with(keys.as_ref(), !target.without_keys)?;
        let key = key_of(&reader, target.key_file.as_deref(), &kept)?;
        let restore = SqliteRestore::begin(&target.data_dir)?.encrypt(given);
        same_key(&kept, &reader)?;
        let summary = restore.fill(&mut reader, &key, SystemClock.now())?;
        Ok((restore, reader.head().clone(), summary, reader.shut().clone()))
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
    let done = once_more(&journal, erasing.clone(), (&again, &shut), &staging, &folder).await?;
    let lost = begin_lost(&*journal, &*erasing, &shut).await?;
    blocking(move || {
        // Closed, and so tidied up, before it is moved.
        drop((journal, pages, erasing));
        restore.finish()?;
        taken_in(&folder, set.as_ref())
    })
    .await?;
    Ok(restored(head, summary, marked, done, lost))
}

/// The erasures that are to be done again: of files, and of those that destroyed keys.
fn again(target: &Target, keys: Option<&KeySet>) -> Result<Replay, StoreError> {
    let certificates = keys.map(KeySet::certificates).unwrap_or_default();
    read_erasures(target.erasures.as_deref(), &target.data_dir, certificates)
}

fn restored(head: Head, summary: Summary, marked: Marked, done: Replayed, lost: Lost) -> Restored {
    let Replayed { erasures, runs, mut unfinished } = done;
    unfinished.extend(lost.unfinished);
    let generation = head.generation_after();
    Restored {
        head,
        summary,
        generation,
        marked,
        erasures,
        erased: runs,
        erased_unfinished: unfinished,
        without_keys: lost.runs,
        held_without_keys: lost.held,
    }
}

/// Does erasures again that the backup does not know.
async fn once_more<S: ErasureStore + Objects>(
    journal: &Arc<dyn Journal>,
    store: Arc<S>,
    (again, shut): (&Replay, &Shut),
    staging: &Path,
    folder: &Path,
) -> Result<Replayed, EngineError> {
    let (erasures, objects): (Arc<dyn ErasureStore>, Arc<dyn Objects>) = (store.clone(), store);
    let done = replay((journal, &erasures, &objects), again, shut.runs(), staging, folder).await;
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
    let (folder, keys) = (target.data_dir.clone(), target.keys()?);
    let again = again(&target, keys.as_ref())?;
    let (without_keys, set) = (target.without_keys, keys.clone());
    let (reader, key) = blocking(move || {
        let mut reader = Reader::open(from)?;
        reader.open_with(keys.as_ref(), !without_keys)?;
        let key = key_of(&reader, target.key_file.as_deref(), &kept)?;
        same_key(&kept, &reader)?;
        key.write(&kept)?;
        Ok((reader, key))
    })
    .await?;
    let head = reader.head().clone();
    let options = PgOptions { encrypt: encryption::key(None)?, ..PgOptions::new(key) };
    let restore = PgRestore::begin(database.expose(), options, &head, reader.keys()).await?;
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
    let shut = reading.await.map_err(|e| broke(&e))?;
    let summary = restore.fence(&head, checker, SystemClock.now()).await?;
    let store = Arc::new(restore.store());
    let journal: Arc<dyn Journal> = store.clone();
    let marked = mark(&journal, &head, async |after| store.open_runs(after, PAGE).await).await?;
    let done = once_more(&journal, store.clone(), (&again, &shut), &staging, &folder).await?;
    let lost = begin_lost(&*journal, &*store, &shut).await?;
    // Before the database is one that may be opened.
    blocking(move || {
        shelf.finish(&target.data_dir)?;
        removed(&staging)
    })
    .await?;
    restore.finish().await?;
    blocking(move || taken_in(&folder, set.as_ref())).await?;
    Ok(restored(head, summary, marked, done, lost))
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

/// Reads chunks until the end or an error; whoever takes them may stop earlier. Tells what had no key.
fn read_on<R: Read>(mut reader: Reader<R>, ahead: &mpsc::Sender<Result<Chunk, StoreError>>) -> Shut {
    while let Some(chunk) = reader.next_chunk().transpose() {
        let last = chunk.is_err();
        if ahead.blocking_send(chunk).is_err() || last {
            break;
        }
    }
    reader.shut().clone()
}

/// Whether nothing comes out of a backup that has an address: it is sealed, and no file of keys is there.
fn is_bare<R: Read>(reader: &Reader<R>) -> bool {
    reader.head().is_sealed() && reader.keys().is_none() && !reader.has_key()
}

/// The key of the addresses. Where nothing has one any key is as good: that of the target, or a fresh one.
fn key_of<R: Read>(reader: &Reader<R>, given: Option<&Path>, kept: &Path) -> Result<BlobKey, StoreError> {
    match given {
        None if is_bare(reader) && kept.exists() => BlobKey::read(kept),
        None if is_bare(reader) => BlobKey::fresh(),
        _ => reader.blob_key(given, Some(kept)),
    }
}

/// A key that the target has already must be the backup's own: whoever put it there may need it.
fn same_key<R: Read>(kept: &Path, reader: &Reader<R>) -> Result<(), StoreError> {
    match kept.exists() && !is_bare(reader) {
        true => BlobKey::of_backup(reader.head(), Some(kept), None).map(drop),
        false => Ok(()),
    }
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
