//! What PostgreSQL's errors mean to a caller.

use stead_core::code::{self, Code};
use stead_ports::journal::StoreError;
use tokio_postgres::{
    Error,
    error::{DbError, Severity, SqlState},
};

/// The state that the function `fence` raises.
pub(super) const FENCED: &str = "ST001";

/// Why a transaction that appends did not succeed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An epoch in it is not the current one; nothing was written.
    Fenced,
    /// Somebody else has changed a window of a budget since it was looked up; nothing was written.
    Moved,
    /// The statement was wrong or met something unexpected; nothing was written, and one of the appends is at fault.
    Rejected(StoreError),
    /// The database cannot write now; nothing was written.
    Unavailable(StoreError),
    /// The connection broke when the commit may have been under way.
    Unknown(String),
}

impl Trouble {
    /// What an error means before anything was sent that writes.
    pub(crate) fn before(place: &str, error: &Error) -> Self {
        Self::Unavailable(store_error(place, error))
    }

    /// What an error of a statement of the transaction means.
    pub(crate) fn during(place: &str, error: &Error) -> Self {
        let Some(db) = error.as_db_error() else { return Self::Unknown(store_error(place, error).to_string()) };
        // A server that ends a connection says so in place of an answer.
        let fatal = matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        if fatal || *db.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN {
            return Self::Unknown(store_error(place, error).to_string());
        }
        if db.code().code() == FENCED {
            return Self::Fenced;
        }
        if is_moved(db) {
            return Self::Moved;
        }
        let error = store_error(place, error);
        if is_environment(db) { Self::Unavailable(error) } else { Self::Rejected(error) }
    }

    /// The server has not answered in time, and nothing has been written.
    pub(crate) fn late(place: &str) -> Self {
        Self::Unavailable(StoreError {
            code: code::DATA_UNREACHABLE,
            detail: format!("{place} does not answer in time; check the server and the database's address"),
        })
    }
}

/// Whether a window of a budget is not as it was found: `BEGIN` and `CHANGE` of `budgets` fail then. Two transactions that wait for each
/// other may be about windows as well; whatever it was, it is decided again.
fn is_moved(db: &DbError) -> bool {
    let windows = db.table() == Some("budget_use");
    match *db.code() {
        SqlState::NOT_NULL_VIOLATION | SqlState::UNIQUE_VIOLATION => windows,
        SqlState::T_R_DEADLOCK_DETECTED => true,
        _ => false,
    }
}

/// Whether the server itself is in trouble, so that trying the same again now is useless.
fn is_environment(db: &DbError) -> bool {
    let state = db.code().code();
    // Insufficient resources; operator intervention; system error; object not in prerequisite state (a lock timed out).
    ["53", "57", "58", "55"].iter().any(|class| state.starts_with(class))
        || *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// The error with its stable code, the database it is about, and what to do. Never says a password: the driver's errors
/// hold none, and `place` is made without.
pub(crate) fn store_error(place: &str, error: &Error) -> StoreError {
    let state = error.code();
    let (code, cure): (Code, &str) = match state {
        Some(s) if *s == SqlState::DISK_FULL => {
            (code::DATA_FULL, "free some space; nothing that was acknowledged is lost")
        }
        Some(s) if *s == SqlState::READ_ONLY_SQL_TRANSACTION || *s == SqlState::INSUFFICIENT_PRIVILEGE => {
            (code::DATA_READONLY, "connect to the primary, as a user who may write")
        }
        Some(s) if *s == SqlState::DATA_CORRUPTED || *s == SqlState::INDEX_CORRUPTED => {
            (code::DATA_DAMAGED, "restore the database from a backup")
        }
        Some(s) if ["08", "28", "3D", "53", "55", "57", "58"].iter().any(|class| s.code().starts_with(class)) => {
            (code::DATA_UNREACHABLE, "check the server and the database's address, user and password")
        }
        Some(_) => (code::INTERNAL, "please report it"),
        None if stead_postgres::is_tls(error) => {
            (code::DATA_TLS, "check the server's certificate, and `sslmode` and `sslrootcert` in the database's URL")
        }
        // The driver's own: no connection, or an answer that makes no sense.
        None => (code::DATA_UNREACHABLE, "check the server and the database's address"),
    };
    let cause = std::error::Error::source(error).map(|s| format!(" ({s})")).unwrap_or_default();
    StoreError { code, detail: format!("{place}: {error}{cause}; {cure}") }
}

/// Owners change faster than an append gets through.
pub(crate) fn unsettled(place: &str) -> StoreError {
    StoreError {
        code: code::DATA_LOCKED,
        detail: format!("{place}: the owner of the partition is changing; one server at a time may own the data"),
    }
}

/// Others change the same budgets faster than an append gets through.
pub(crate) fn contended(place: &str) -> StoreError {
    StoreError {
        code: code::DATA_UNREACHABLE,
        detail: format!("{place}: other servers change the same budgets without a pause; it is tried again"),
    }
}

/// A row that does not have the form it was written in.
pub(crate) fn damaged(place: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError { code: code::DATA_DAMAGED, detail: format!("{place}: {what}; restore the database from a backup") }
}
