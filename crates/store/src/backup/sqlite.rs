//! SQLite: every row of one snapshot into a stream, and out of a backup into a fresh data directory.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, ToSql, types::ToSqlOutput, types::ValueRef};
use stead_core::{code, time::Timestamp};
use stead_ports::journal::{BackupAsk, StoreError};

use super::{
    cassettes::{self, Shelf},
    check::{Checker, Summary},
    chunk::{Head, Packer},
    read::{Chunk, Reader},
    send::{Pieces, Stopped, too_long, wrong_key},
    subject::{ATTEMPTS, KeptKey, Marks, Owners, Sealer, fresh, opened, restless},
    table::{CASSETTES, Kind, OBJECTS, Table, Value, around_cassettes},
};
use crate::{
    blob::{BlobKey, file_error},
    seal::{Ring, WayIn, WrappingKey},
    sqlite::{
        approvals::UNLISTED,
        errors::store_error,
        files::{self, open_reader},
        keys,
        queries::meta,
        subjects,
        usage::UNMETERED,
    },
};

/// The format from which there are keys of persons.
pub(super) const SUBJECTS: i64 = 10;
/// Chunks after which the log is copied into the database.
const CHECKPOINT: usize = 64;

/// What is read.
pub(crate) struct Source<'s> {
    pub(crate) database: &'s Path,
    pub(crate) key: &'s BlobKey,
    /// The key of an encrypted store.
    pub(crate) wrapping: Option<&'s WrappingKey>,
    /// Keeps fresh keys of persons, if erasures are as far as they were.
    pub(crate) settle: &'s dyn Fn(Marks, Vec<KeptKey>) -> Result<bool, StoreError>,
}

/// Reads the whole database in one snapshot. Writers go on meanwhile, and the log cannot be begun anew until it is done.
/// Blocks.
pub(crate) fn take(source: &Source<'_>, ask: &BackupAsk, pieces: &Pieces) {
    // Whoever does not listen any more needs no answer.
    if let Err(Stopped::Failed(error)) = read_all(source, ask, pieces) {
        let _ = pieces.blocking_send(Err(error));
    }
}

/// Begins a snapshot and finds out whose what is, with a key for everybody; nothing in data that has no such keys yet.
fn owners(source: &Source<'_>, conn: &Connection, now: Timestamp) -> Result<Option<Owners>, StoreError> {
    let Source { database, key, wrapping, settle } = source;
    let fail = |e: rusqlite::Error| store_error(database, &e);
    for _ in 0..ATTEMPTS {
        // The snapshot is the one that the first read sees, and holds until the connection is dropped or it is given up.
        conn.execute_batch("BEGIN").map_err(fail)?;
        if meta(conn, "format").map_err(fail)? < Some(SUBJECTS) {
            return Ok(None);
        }
        let seen = subjects::marks(conn).map_err(fail)?;
        let keys = opened(&database.display(), &subjects::all(conn).map_err(fail)?, *wrapping)?;
        let found = subjects::owners(conn, key, keys).map_err(fail)?;
        let missing = found.missing();
        if missing.is_empty() {
            return Ok(Some(found));
        }
        let under_way: Vec<_> = missing
            .iter()
            .map(|(tenant, subject)| subjects::under_way(conn, tenant, subject))
            .collect::<rusqlite::Result<_>>()
            .map_err(fail)?;
        let settled = settle(seen, fresh(&missing, &under_way, now, *wrapping)?)?;
        if settled {
            // Made after the snapshot, for what is in it.
            let reader = open_reader(database).map_err(fail)?;
            let keys = opened(&database.display(), &subjects::all(&reader).map_err(fail)?, *wrapping)?;
            let found = subjects::owners(conn, key, keys).map_err(fail)?;
            if found.missing().is_empty() {
                return Ok(Some(found));
            }
        }
        conn.execute_batch("ROLLBACK").map_err(fail)?;
    }
    Err(restless(database.display()))
}

fn read_all(source: &Source<'_>, ask: &BackupAsk, pieces: &Pieces) -> Result<(), Stopped> {
    let Source { database, key, wrapping, .. } = *source;
    let fail = |e: rusqlite::Error| Stopped::Failed(store_error(database, &e));
    let long = |row| too_long(database.display(), row);
    let send = |piece: Bytes| pieces.blocking_send(Ok(piece)).map_err(|_| Stopped::Gone);
    let mut cassettes = cassettes::Pieces::of(ask.cassettes.as_deref()).map_err(Stopped::Failed)?;
    let conn = open_reader(database).map_err(fail)?;
    let owners = if ask.seal.is_some() {
        owners(source, &conn, ask.taken).map_err(Stopped::Failed)?
    } else {
        // The snapshot is the one that the first read sees, and holds until the connection is dropped.
        conn.execute_batch("BEGIN").map_err(fail)?;
        None
    };
    let meta = |name: &str| meta(&conn, name).map_err(fail);
    let format = u32::try_from(meta("format")?.unwrap_or(0)).unwrap_or(0);
    let head = Head {
        format,
        taken: ask.taken.0,
        generation: u32::try_from(meta("generation")?.unwrap_or(1)).unwrap_or(u32::MAX),
        epoch: meta("epoch")?.unwrap_or(0).unsigned_abs(),
        store: "sqlite".into(),
        release: ask.release.clone(),
        key_check: key.check(),
        // Ids and lengths of long texts stand in the clear: beside this key a text that somebody guesses could be told.
        key: (ask.key && owners.is_none()).then(|| key.bytes()),
        unmetered: format < 2 || meta(UNMETERED)?.is_some(),
        data_keys: Some(keys::all(&conn).map_err(fail)?).filter(|keys| !keys.is_empty()),
        seals: owners.as_ref().map(Owners::uses),
    };
    let kept: Option<[u8; 32]> = conn
        .query_row("SELECT value FROM meta WHERE key = 'blob_key_check'", [], |r| r.get(0))
        .optional()
        .map_err(fail)?;
    if kept != Some(head.key_check) {
        return Err(Stopped::Failed(wrong_key(database.display())));
    }
    let mut sealer = match owners.zip(ask.seal.clone()) {
        Some((owners, leads)) => {
            let ring = Ring::of(database.display(), wrapping, head.data_keys()).map_err(Stopped::Failed)?;
            Some(Sealer::new(owners, ring, leads))
        }
        None => None,
    };
    let (mut packer, begin) = Packer::begin(&head).map_err(long)?;
    send(begin)?;
    let sections = |tables: &[Table], packer: &mut Packer, sealer: &mut Option<Sealer>| -> Result<(), Stopped> {
        for table in tables {
            let Some(sql) = table.in_sqlite(head.format) else { continue };
            if let Some(sealer) = sealer.as_mut().filter(|_| table.number == OBJECTS) {
                led(&conn, sealer, key).map_err(fail)?;
            }
            let mut statement = conn.prepare(&sql).map_err(fail)?;
            let mut rows = statement.query([]).map_err(fail)?;
            while let Some(row) = rows.next().map_err(fail)? {
                let mut values = values(table, row).map_err(fail)?;
                sealed(sealer, table, &mut values)?;
                if let Some(piece) = packer.push(table, &values).map_err(long)? {
                    send(piece)?;
                }
            }
        }
        Ok(())
    };
    let (before, after) = around_cassettes();
    sections(before, &mut packer, &mut sealer)?;
    while let Some(mut row) = cassettes.next().map_err(Stopped::Failed)? {
        sealed(&mut sealer, &CASSETTES, &mut row)?;
        if let Some(piece) = packer.push(&CASSETTES, &row).map_err(long)? {
            send(piece)?;
        }
    }
    sections(after, &mut packer, &mut sealer)?;
    send(packer.finish().map_err(long)?)
}

/// Reads directories of workspaces, until it is known whose all of their content is.
fn led(conn: &Connection, sealer: &mut Sealer, key: &BlobKey) -> rusqlite::Result<()> {
    let mut find = conn.prepare("SELECT codec, length, body FROM objects WHERE tenant = ? AND id = ?")?;
    while let Some((tenant, ids)) = sealer.wanted() {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let row = find.query_row(rusqlite::params![tenant, id], |r| Ok((id, r.get(0)?, r.get(1)?, r.get(2)?)));
            rows.extend(row.optional()?);
        }
        sealer.found(key, &tenant, rows);
    }
    Ok(())
}

/// Seals a row where the backup is sealed.
pub(super) fn sealed(sealer: &mut Option<Sealer>, table: &Table, row: &mut Vec<Value>) -> Result<(), Stopped> {
    sealer.as_mut().map_or(Ok(()), |sealer| sealer.seal(table.number, row)).map_err(Stopped::Failed)
}

fn values(table: &Table, row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    let mut out = Vec::with_capacity(table.columns.len());
    for (i, column) in table.columns.iter().enumerate() {
        if column.optional && row.get_ref(i)? == ValueRef::Null {
            out.push(Value::Null);
            continue;
        }
        out.push(match column.kind {
            Kind::Int => Value::Int(row.get(i)?),
            Kind::Text => Value::Text(row.get(i)?),
            Kind::Bytes => Value::Bytes(row.get::<_, Vec<u8>>(i)?.into()),
        });
    }
    Ok(out)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Text(t) => ValueRef::Text(t.as_bytes()),
            Self::Bytes(b) => ValueRef::Blob(b),
        }))
    }
}

/// A data directory that is being filled out of a backup. Until [`SqliteRestore::finish`] everything is in a folder of
/// its own below, so that no program takes half a restore for data.
#[derive(Debug)]
pub struct SqliteRestore {
    dir: PathBuf,
    staging: PathBuf,
    encrypt: Option<WrappingKey>,
    _lock: File,
}

impl SqliteRestore {
    /// Owns `dir`, made if there is none, which must have no database. What an earlier restore left unfinished is
    /// removed.
    ///
    /// # Errors
    /// ST0140 when another process owns it, ST0149 when it has a database, ST0142 or ST0143 when it can't be written.
    pub fn begin(dir: &Path) -> Result<Self, StoreError> {
        let lock = files::own(dir)?;
        let database = dir.join("stead.db");
        if database.try_exists().map_err(|e| file_error(&database, &e))? {
            return Err(StoreError {
                code: code::RESTORE_TARGET,
                detail: format!("{} exists already: restore into an empty data directory", database.display()),
            });
        }
        let staging = dir.join("restoring");
        match fs::remove_dir_all(&staging) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(file_error(&staging, &e)),
        }
        Ok(Self { dir: dir.to_owned(), staging, encrypt: None, _lock: lock })
    }

    /// The same, for a store that is opened with this key. A backup of an encrypted store needs its key; what is not encrypted in
    /// the backup is on its way in.
    #[must_use]
    pub fn encrypt(self, encrypt: Option<WrappingKey>) -> Self {
        Self { encrypt, ..self }
    }

    /// The data directory in the making, to be opened as a store.
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// Writes everything that the backup holds. `now` puts the epoch above all earlier ones, those of the lost store
    /// too. Blocks.
    ///
    /// # Errors
    /// ST0148 when the backup is damaged, ST0157 when it is encrypted under another key than this one, ST0142 or ST0143 when the
    /// disk does not take it.
    pub fn fill<R: Read>(&self, reader: &mut Reader<R>, key: &BlobKey, now: Timestamp) -> Result<Summary, StoreError> {
        key.write(&self.staging.join("keys").join("blob.key"))?;
        let (files, mut conn) = files::open(&self.staging, false)?;
        let fail = |e: rusqlite::Error| store_error(&files.database, &e);
        let kept = reader.head().data_keys().to_vec();
        reader.told()?;
        let ring = Ring::of("the backup", self.encrypt.as_ref(), &kept)?;
        if let Some(set) = reader.keys() {
            let t = conn.transaction().map_err(fail)?;
            subjects::import(&t, set, self.encrypt.as_ref()).map_err(fail)??;
            t.commit().map_err(fail)?;
        }
        kept.iter().try_for_each(|key| keys::insert(&conn, key)).map_err(fail)?;
        let mut checker = Checker::new(Some(key.clone())).opened(ring.clone());
        let mut way_in = ring.map(WayIn::new);
        let shelf = Shelf::new(&self.staging);
        let mut chunks = 0;
        while let Some(mut chunk) = reader.next_chunk()? {
            checker.look(&chunk)?;
            shelf.fill(&chunk)?;
            if let Some(way_in) = &mut way_in {
                way_in.seal(chunk.table.number, &mut chunk.rows)?;
            }
            insert(&mut conn, &chunk).map_err(fail)?;
            chunks += 1;
            if chunks % CHECKPOINT == 0 {
                conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fail)?;
            }
        }
        let summary = checker.finish()?;
        let fresh = way_in.map(WayIn::into_fresh).unwrap_or_default();
        fresh.iter().try_for_each(|key| keys::insert(&conn, key)).map_err(fail)?;
        let head = reader.head();
        let set = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        let epoch = i64::try_from(head.epoch_after(now)).unwrap_or(i64::MAX);
        for (name, value) in [
            ("epoch", epoch),
            ("generation", i64::from(head.generation_after())),
            ("taken", head.taken),
            // What is asked is entered by whoever opens the journal next.
            (UNLISTED, 1),
        ] {
            conn.execute(set, (name, value)).map_err(fail)?;
        }
        if head.unmetered {
            conn.execute(set, (UNMETERED, 1)).map_err(fail)?;
        }
        Ok(summary)
    }

    /// Moves the data directory to its place.
    ///
    /// # Errors
    /// ST0142 or ST0143.
    pub fn finish(self) -> Result<(), StoreError> {
        self.whole()?;
        let keys = self.dir.join("keys");
        files::private(&keys)?;
        Shelf::new(&self.staging).finish(&self.dir)?;
        // The database last: until it is there, the directory is empty.
        for name in ["keys/blob.key", "stead.db"] {
            let to = self.dir.join(name);
            fs::rename(self.staging.join(name), &to).map_err(|e| file_error(&to, &e))?;
            for dir in [&keys, &self.dir] {
                files::sync_dir(dir).map_err(|e| file_error(dir, &e))?;
            }
        }
        fs::remove_dir_all(&self.staging).map_err(|e| file_error(&self.staging, &e))
    }
}

impl SqliteRestore {
    /// Sees to it that the database is one file: what stood in its log would be left behind.
    fn whole(&self) -> Result<(), StoreError> {
        let database = self.staging.join("stead.db");
        let fail = |e: rusqlite::Error| store_error(&database, &e);
        let conn = Connection::open(&database).map_err(fail)?;
        let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0)).map_err(fail)?;
        drop(conn);
        if busy == 0 {
            return Ok(());
        }
        let detail = format!("{}: another program has the file open: close it, and restore again", database.display());
        Err(StoreError { code: code::DATA_LOCKED, detail })
    }
}

fn insert(conn: &mut Connection, chunk: &Chunk) -> rusqlite::Result<()> {
    if cassettes::are_here(chunk) {
        return Ok(());
    }
    let t = conn.transaction()?;
    {
        let mut statement: Statement<'_> = t.prepare(chunk.table.sqlite_insert)?;
        for row in &chunk.rows {
            statement.execute(rusqlite::params_from_iter(row))?;
        }
    }
    t.commit()
}
