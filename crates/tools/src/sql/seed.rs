//! Makes an SQLite file from a text of SQL, once: what a manifest's `seed` asks for.
//!
//! The file appears whole or not at all, whoever else tries at the same time. The text comes from the agent's author
//! and may only fill this one file: it attaches no other and loads nothing.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use crate::error::ToolSetupError;

/// How long the text may take to run.
const LONGEST: Duration = Duration::from_secs(30);
/// Largest file that it may make, in pages of 4 KiB: 256 MiB.
const MAX_PAGES: u32 = 65_536;
/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 2_000;

/// Makes the file at `path` from `sql`, with the folders above it. True when it did, false when there was one.
///
/// Blocks for as long as the text runs, 30 seconds at most.
///
/// # Errors
/// ST0103 when the text fails or does what a seed may not, or when the file cannot be made.
pub fn seed(path: &Path, sql: &str) -> Result<bool, ToolSetupError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let fail = |what: &str, e: &dyn std::fmt::Display| {
        ToolSetupError::value(format!("the database {} cannot be seeded: {what}{e}", path.display()))
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| fail("", &e))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".seed-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let draft = Draft(folder.join(name));
    fill(&draft.0, sql).map_err(|e| fail("", &e))?;
    // A link never replaces: whoever is first wins, and what it made is whole.
    match fs::hard_link(&draft.0, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(fail("", &e)),
    }
}

/// A file that goes away again, however this ends.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for more in ["", "-journal"] {
            let mut name = self.0.clone().into_os_string();
            name.push(more);
            // It may never have existed; what is left over has a name that nobody else uses.
            let _ = fs::remove_file(name);
        }
    }
}

fn fill(path: &Path, sql: &str) -> rusqlite::Result<()> {
    // Left from a process of the same number that was killed.
    let _ = fs::remove_file(path);
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, access)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "max_page_count", MAX_PAGES)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let deadline = Instant::now() + LONGEST;
    db.progress_handler(STEPS, Some(move || Instant::now() >= deadline))?;
    db.execute_batch("BEGIN")?;
    db.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Pragma { .. } => Authorization::Deny,
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } | AuthAction::Unknown { .. } => {
            Authorization::Deny
        }
        AuthAction::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }))?;
    db.execute_batch(sql)?;
    db.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    db.progress_handler(0, None::<fn() -> bool>)?;
    db.execute_batch("COMMIT")?;
    db.close().map_err(|(_, e)| e)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::thread;

    use super::*;

    const SQL: &str = "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2);";

    fn rows(path: &Path) -> i64 {
        Connection::open(path).unwrap().query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn the_file_is_made_once_and_then_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/shop.db");
        assert!(seed(&path, SQL).unwrap());
        Connection::open(&path).unwrap().execute("DELETE FROM t WHERE n = 1", []).unwrap();
        assert!(!seed(&path, SQL).unwrap());
        assert_eq!(rows(&path), 1);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn of_many_at_once_one_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        let made: usize = thread::scope(|s| {
            let all: Vec<_> = (0..8).map(|_| s.spawn(|| usize::from(seed(&path, SQL).unwrap()))).collect();
            all.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!((made, rows(&path)), (1, 2));
    }

    #[test]
    fn a_seed_that_fails_or_reaches_out_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        let other = dir.path().join("other.db");
        for bad in [
            "CREATE TABLE t (n); INSERT INTO nowhere VALUES (1);".to_owned(),
            format!("ATTACH '{}' AS o; CREATE TABLE o.t (n);", other.display()),
            "PRAGMA max_page_count = 2147483646;".to_owned(),
            "COMMIT; CREATE TABLE t (n);".to_owned(),
            "SELECT load_extension('x');".to_owned(),
        ] {
            assert!(seed(&path, &bad).is_err(), "{bad}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{bad}");
        }
    }
}
