//! What SQLite's errors mean to a caller.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};
use stead_core::code::{self, Code};
use stead_ports::journal::StoreError;

/// Whether a sync to disk failed. After that the kernel may have dropped what it could not write and will report
/// success the next time, so nothing this process believes about the disk is certain any more.
pub(crate) fn is_failed_sync(error: &Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|e| matches!(e.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// Whether the error is of the disk or its space, so that trying the same again now is useless.
pub(crate) fn is_disk(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|e| {
        matches!(
            e.code,
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
        )
    })
}

/// The error with its stable code, the file it is about, and what to do.
pub(crate) fn store_error(path: &Path, error: &Error) -> StoreError {
    let (code, cure): (Code, &str) = match error.sqlite_error().map(|e| e.code) {
        Some(ErrorCode::DiskFull) => (code::DATA_FULL, "free some space; nothing that was acknowledged is lost"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (code::DATA_READONLY, "make it writable for this user, or choose another data directory")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (code::DATA_DAMAGED, "keep a copy of the directory, then restore it from a backup")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => (code::DATA_UNREACHABLE, "check the disk"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (code::DATA_LOCKED, "another program has the file open for writing: close it")
        }
        None if matches!(
            error,
            Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..)
        ) =>
        {
            (code::DATA_DAMAGED, "keep a copy of the directory, then restore it from a backup")
        }
        _ => (code::INTERNAL, "please report it"),
    };
    StoreError { code, detail: format!("{}: {error}; {cure}", path.display()) }
}

/// Whether what was just synced to this filesystem is on disk. One that has given itself up after an error turns read-only, and from then on
/// its syncs succeed and write nothing (ext4): so it is looked at after each, before anybody is told.
///
/// # Errors
/// As a sync that failed.
pub(crate) fn written(path: &Path) -> rusqlite::Result<()> {
    let read_only = rustix::fs::statvfs(path).is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if !read_only {
        return Ok(());
    }
    let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
    Err(Error::SqliteFailure(failed, Some("the filesystem has turned read-only".to_owned())))
}

/// Ends the process after a failed sync: only a new one, reading what is really on disk, can go on.
pub(crate) fn abort(path: &Path, error: &Error) -> ! {
    tracing::error!(path = %path.display(), %error, "a sync to disk failed; aborting");
    eprintln!(
        "stead: a sync of {} to disk failed ({error}). Ending now, because what is on disk is not certain; \
         check the disk and start again.",
        path.display()
    );
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(extended: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn a_failed_sync_is_told_from_other_errors_of_the_disk() {
        assert!(is_failed_sync(&sqlite(ffi::SQLITE_IOERR_FSYNC)));
        assert!(is_failed_sync(&sqlite(ffi::SQLITE_IOERR_DIR_FSYNC)));
        assert!(!is_failed_sync(&sqlite(ffi::SQLITE_IOERR_WRITE)));
        assert!(!is_failed_sync(&sqlite(ffi::SQLITE_FULL)));
        assert!(!is_failed_sync(&Error::QueryReturnedNoRows));
    }

    #[test]
    fn each_kind_of_trouble_has_its_code() {
        let code = |e| store_error(Path::new("x"), &sqlite(e)).code;
        assert_eq!(code(ffi::SQLITE_FULL), code::DATA_FULL);
        assert_eq!(code(ffi::SQLITE_READONLY), code::DATA_READONLY);
        assert_eq!(code(ffi::SQLITE_CORRUPT), code::DATA_DAMAGED);
        assert_eq!(code(ffi::SQLITE_NOTADB), code::DATA_DAMAGED);
        assert_eq!(code(ffi::SQLITE_IOERR_READ), code::DATA_UNREACHABLE);
        assert_eq!(code(ffi::SQLITE_CONSTRAINT), code::INTERNAL);
    }
}
