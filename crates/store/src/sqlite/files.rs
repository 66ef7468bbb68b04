//! The data directory: who may use it, and opening the database in it. No queries here.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use stead_core::code;
use stead_ports::journal::StoreError;

use super::{
    errors::store_error,
    format::{self, OpenError},
    queries::meta,
};
use crate::blob::{BlobKey, file_error};

/// Bytes of a page. Measured: 8 KiB writes 1.4 times the appends of 4 KiB in batches, and a single one as fast.
const PAGE: u32 = 8192;

/// The files of an open data directory. The lock is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) database: PathBuf,
    pub(crate) key: BlobKey,
    _lock: File,
}

/// Makes a directory that only its owner can enter, if there is none.
pub(crate) fn private(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| file_error(dir, &e))
}

/// Makes the directory if there is none, and owns it as long as the returned file lives.
pub(crate) fn own(dir: &Path) -> Result<File, StoreError> {
    private(dir)?;
    lock(&dir.join("lock"))
}

/// Opens the directory, making it if there is none, and the database in it for writing.
pub(crate) fn open(dir: &Path, asked: bool) -> Result<(Files, Connection), StoreError> {
    let lock = own(dir)?;
    let database = dir.join("stead.db");
    let fresh = !database.try_exists().map_err(|e| file_error(&database, &e))?;
    let key_path = dir.join("keys").join("blob.key");
    if !fresh && !key_path.try_exists().map_err(|e| file_error(&key_path, &e))? {
        return Err(StoreError {
            code: code::DATA_DAMAGED,
            detail: format!(
                "{} is missing, without which no stored blob can be found: restore it from the backup of the keys",
                key_path.display()
            ),
        });
    }
    let key = BlobKey::open(&key_path)?;
    // SQLite gives its other files the mode of this one.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&database)
        .map_err(|e| file_error(&database, &e))?;
    let conn = open_writer(&database, &key, asked).map_err(|e| match e {
        OpenError::Sqlite(e) => store_error(&database, &e),
        OpenError::Store(e) => e,
    })?;
    for d in [Some(dir), dir.parent().filter(|p| !p.as_os_str().is_empty())].into_iter().flatten() {
        sync_dir(d).map_err(|e| file_error(d, &e))?;
    }
    Ok((Files { database, key, _lock: lock }, conn))
}

/// Makes the names in a directory durable. A parent that may not be read is not ours to sync.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Ok(d) => d.sync_all(),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
    }
}

/// Takes the directory's lock for the life of the returned file; the kernel gives it back even after a `kill -9`.
fn lock(path: &Path) -> Result<File, StoreError> {
    let fail = |e: io::Error| file_error(path, &e);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // What stands in the file is only for the message, and anyone may have written it.
            let _ = file.take(200).read_to_string(&mut holder);
            let holder: String = holder.chars().filter(|c| !c.is_control()).collect();
            let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
            return Err(StoreError {
                code: code::DATA_LOCKED,
                detail: format!(
                    "{} is held by {holder}: use that server, stop it, or choose another data directory",
                    path.display()
                ),
            });
        }
        Err(TryLockError::Error(e)) => return Err(fail(e)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
    writeln!(file, "process {}", std::process::id()).map_err(fail)?;
    Ok(file)
}

/// Writes who holds the directory into its lock file, for the message another process gives.
pub(crate) fn sign(files: &Files, holder: &str) {
    let holder: String = holder.chars().filter(|c| !c.is_control()).take(100).collect();
    let text = format!("process {} ({holder})\n", std::process::id());
    let path = files.database.with_file_name("lock");
    // Only for people; the lock itself does not depend on it.
    if let Err(error) = fs::write(&path, text) {
        tracing::debug!(%error, "cannot sign the lock file");
    }
}

/// What a data directory says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The format of its data.
    pub format: u32,
    /// How often it has been restored from a backup, from 1.
    pub generation: u32,
}

/// Looks at a data directory without owning it; `None` when it has no database.
///
/// # Errors
/// When the database cannot be read.
pub fn look(dir: &Path) -> Result<Option<Stored>, StoreError> {
    let database = dir.join("stead.db");
    if !database.try_exists().map_err(|e| file_error(&database, &e))? {
        return Ok(None);
    }
    let number = |n: Option<i64>, absent| n.map_or(absent, |n| u32::try_from(n).unwrap_or(0));
    let read = || {
        let conn = open_reader(&database)?;
        let format = number(meta(&conn, "format")?, 0);
        Ok(Stored { format, generation: number(meta(&conn, "generation")?, 1) })
    };
    read().map(Some).map_err(|e| store_error(&database, &e))
}

fn open_writer(path: &Path, key: &BlobKey, asked: bool) -> Result<Connection, OpenError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "page_size", PAGE)?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // Every commit is synced before it is acknowledged. Checkpoints are the writer's own, so that their errors are seen.
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768;
         PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;",
    )?;
    as_prepared(&conn)?;
    format::settle(&conn, path, key, asked)?;
    Ok(conn)
}

/// Opens a connection that can only read.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA trusted_schema = OFF;")?;
    as_prepared(&conn)?;
    Ok(conn)
}

/// Keeps statements, and each as it was prepared: without the query planner stability guarantee SQLite prepares one with `LIMIT ?` anew whenever
/// another value is bound.
fn as_prepared(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(64);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}
