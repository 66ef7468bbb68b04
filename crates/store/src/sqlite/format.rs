//! The database's tables and their format: made when there are none, brought forward when a release before made them,
//! and refused when a later one did. What rows mean is no matter here.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use stead_core::code;
use stead_ports::journal::StoreError;

use super::{approvals::UNLISTED, usage::UNMETERED};
use crate::{FORMAT, blob::BlobKey, format::may_go};

/// The steps from nothing to each format.
const STEPS: [&str; FORMAT as usize] = [
    include_str!("schema.sql"),
    include_str!("format-2.sql"),
    include_str!("format-3.sql"),
    include_str!("format-4.sql"),
    include_str!("format-5.sql"),
    include_str!("format-6.sql"),
    include_str!("format-7.sql"),
    concat!(
        include_str!("format8_audit.sql"),
        "\n",
        include_str!("format8_switches.sql"),
        "\n",
        include_str!("format8_trust.sql"),
        "\n"
    ),
    concat!(include_str!("format9_notices.sql"), "\n", include_str!("format9_erasure.sql"), "\n"),
    include_str!("format-10.sql"),
];

/// Why a database cannot be used.
pub(super) enum OpenError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for OpenError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

/// Makes or checks the tables; afterwards they are of this release's format and belong to this key.
pub(super) fn settle(conn: &Connection, path: &Path, key: &BlobKey, asked: bool) -> Result<(), OpenError> {
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if tables == 0 {
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} INSERT INTO meta VALUES ('format', {FORMAT}), ('epoch', 0);",
            STEPS.concat()
        ))?;
        conn.execute("INSERT INTO meta VALUES ('blob_key_check', ?)", [key.check()])?;
        conn.execute_batch("COMMIT")?;
    }
    let found = check(conn, path, key)?;
    may_go(path.display(), found, asked).map_err(OpenError::Store)?;
    if found < FORMAT {
        bring_forward(conn, found)?;
        tracing::info!(path = %path.display(), found, now = FORMAT, "the data was brought to this release's format");
    }
    Ok(())
}

/// Takes all steps from a format to this release's in one transaction: what is cut off in the middle was never begun.
fn bring_forward(conn: &Connection, found: u32) -> Result<(), OpenError> {
    let steps = STEPS[found as usize..].concat();
    // Format 1 kept no open questions and no usage, so those that there are must be told once by somebody who can read a
    // run.
    let owed = match found {
        ..2 => format!("INSERT OR REPLACE INTO meta VALUES ('{UNLISTED}', 1), ('{UNMETERED}', 1);"),
        _ => String::new(),
    };
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; {steps} {owed} UPDATE meta SET value = {FORMAT} WHERE key = 'format'; COMMIT"
    ))
    .inspect_err(|_| {
        // The error in hand says more than that there is nothing to roll back.
        let _ = conn.execute_batch("ROLLBACK");
    })?;
    Ok(())
}

/// The format of the tables, from 1 to this release's; refuses others, and tables that are not ours or not this key's.
fn check(conn: &Connection, path: &Path, key: &BlobKey) -> Result<u32, OpenError> {
    let damaged = |what: &str| {
        OpenError::Store(StoreError { code: code::DATA_DAMAGED, detail: format!("{}: {what}", path.display()) })
    };
    let ours: bool =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", [], |r| r.get::<_, i64>(0))? == 1;
    if !ours {
        return Err(damaged("not a database of this program; choose another data directory"));
    }
    let meta = "SELECT value FROM meta WHERE key = ?";
    let format = match conn.query_row(meta, ["format"], |r| r.get::<_, i64>(0)).optional()? {
        Some(found) if found > i64::from(FORMAT) => {
            return Err(OpenError::Store(StoreError {
                code: code::DATA_NEWER,
                detail: format!(
                    "{} has format {found} and this release knows {FORMAT}\n  hint: use the release that wrote it, or a later one",
                    path.display()
                ),
            }));
        }
        Some(found) => u32::try_from(found).ok().filter(|f| *f > 0),
        None => None,
    };
    let format = format.ok_or_else(|| damaged("its format cannot be told; restore it from a backup"))?;
    match conn.query_row(meta, ["blob_key_check"], |r| r.get::<_, [u8; 32]>(0)).optional()? {
        Some(check) if check == key.check() => Ok(format),
        _ => Err(damaged("keys/blob.key is not the key it was written with; restore that from the backup of the keys")),
    }
}
