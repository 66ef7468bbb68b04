//! SQLite behind the SQL tool. Each statement has its own connection, so that nothing of one call is left for another.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};
use serde_json::Value;
use stead_core::{code, effect::Outcome};
use stead_ports::tool::Output;
use tokio::sync::Semaphore;

use super::{Job, PARALLEL, denied, guard, named, rows::Rows};
use crate::{
    config::{SqlConfig, SqlKind},
    text,
};

/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 2_000;
/// Most bytes of one value inside SQLite.
const MAX_VALUE: i32 = 16 << 20;
/// How long to wait for another writer.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    pub(super) allow: Arc<[SqlKind]>,
    max_rows: u32,
    timeout: Duration,
    slots: Arc<Semaphore>,
}

/// Tells the statement to stop when the call is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, config: &SqlConfig) -> Self {
        let slots = Arc::new(Semaphore::new(PARALLEL));
        Self { path, allow: config.allow.as_slice().into(), max_rows: config.max_rows, timeout: config.timeout, slots }
    }

    pub(super) async fn run(&self, job: Job) -> Outcome<Output> {
        let Ok(permit) = Arc::clone(&self.slots).acquire_owned().await else {
            return Outcome::NotSent(Output::error("the tool is closing"));
        };
        let stop = Arc::new(AtomicBool::new(false));
        let _stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let statement = Statement {
            path: self.path.clone(),
            allow: Arc::clone(&self.allow),
            max_rows: self.max_rows,
            timeout: self.timeout,
            stop,
            job,
        };
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            statement.run()
        });
        work.await.unwrap_or_else(|e| {
            Outcome::Unknown(Output::error(format!("{}: the statement was lost: {e}", code::EFFECT_UNKNOWN)))
        })
    }
}

/// One statement on its way; everything here blocks.
struct Statement {
    path: PathBuf,
    allow: Arc<[SqlKind]>,
    max_rows: u32,
    timeout: Duration,
    stop: Arc<AtomicBool>,
    job: Job,
}

impl Statement {
    fn run(self) -> Outcome<Output> {
        let deadline = Instant::now() + self.timeout;
        let mut db = match self.open() {
            Ok(db) => db,
            Err(e) => {
                let file = self.path.file_name().unwrap_or_default().to_string_lossy();
                return Outcome::NotSent(Output::error(format!("the database {file} cannot be opened: {}", words(&e))));
            }
        };
        let writes = self.job.checked.kind != SqlKind::Select;
        if writes && let Err(e) = db.execute_batch("BEGIN IMMEDIATE") {
            return Outcome::NotSent(Output::error(format!("the database cannot be written now: {}", words(&e))));
        }
        let result = self.fence(&mut db, deadline).and_then(|()| self.execute(&db));
        let result = result.and_then(|answer| if self.must_stop(deadline) { Err(interrupted()) } else { Ok(answer) });
        match result {
            Ok((answer, changed)) if writes => match self.job.is_another(changed) {
                None => commit(&mut db, answer),
                // Nothing is committed: closing the connection undoes it.
                Some(why) => Outcome::Refused(Output::error(why)),
            },
            Ok((answer, _)) => Outcome::Returned(Output::ok(answer)),
            // Dropping the connection rolls back: whatever the statement did is gone.
            Err(e) => self.failed(&e),
        }
    }

    fn must_stop(&self, deadline: Instant) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= deadline
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let only_reads = self.allow.iter().all(|k| *k == SqlKind::Select);
        let access = if only_reads { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
        // Without SQLITE_OPEN_URI a path is only ever a path.
        let db = Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(BUSY.min(self.timeout))?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
        db.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, i32::try_from(guard::MAX_SQL).unwrap_or(i32::MAX))?;
        db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        db.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
        db.set_limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, i32::try_from(named::MAX_PARAMS).unwrap_or(i32::MAX))?;
        db.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)?;
        // The first look at the file; a file that is no database fails here and not in the statement.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(db)
    }

    /// Sets the authorizer and the clock.
    fn fence(&self, db: &mut Connection, deadline: Instant) -> rusqlite::Result<()> {
        let allow = Arc::clone(&self.allow);
        db.authorizer(Some(move |context: AuthContext<'_>| authorize(&allow, context)))?;
        let stop = Arc::clone(&self.stop);
        db.progress_handler(STEPS, Some(move || stop.load(Ordering::Relaxed) || Instant::now() >= deadline))
    }

    /// The answer, and how many rows the statement itself changed: those of triggers are not among them.
    fn execute(&self, db: &Connection) -> rusqlite::Result<(String, u64)> {
        let before = db.total_changes();
        let mut statement = db.prepare(&self.job.sql)?;
        let writes = self.job.checked.kind != SqlKind::Select;
        if !writes && !statement.readonly() {
            return Err(rusqlite::Error::InvalidQuery);
        }
        if statement.parameter_count() != self.job.params.len() {
            return Err(rusqlite::Error::InvalidParameterCount(self.job.params.len(), statement.parameter_count()));
        }
        for (i, value) in self.job.params.iter().enumerate() {
            statement.raw_bind_parameter(i + 1, Param(value))?;
        }
        let columns = statement.column_count();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut out = Rows::new(names, self.max_rows, self.job.max_output);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let values: Vec<Value> = (0..columns).map(|i| row.get_ref(i).map(to_json)).collect::<Result<_, _>>()?;
            // All changes of a write are made before its first row comes back, so stopping here loses none.
            if !out.push(values) {
                break;
            }
        }
        drop(rows);
        drop(statement);
        Ok((out.finish(writes.then(|| db.total_changes() - before)), db.changes()))
    }

    fn failed(&self, e: &rusqlite::Error) -> Outcome<Output> {
        let text = match e.sqlite_error_code() {
            Some(ErrorCode::AuthorizationForStatementDenied) => {
                denied(format_args!("the database refuses this statement: {}", words(e)))
            }
            Some(ErrorCode::OperationInterrupted) => format!(
                "{}: the statement took longer than {} ms and was stopped; nothing was changed",
                code::TOOL_TIMEOUT,
                self.timeout.as_millis()
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                return Outcome::NotSent(Output::error(format!("the database is busy: {}", words(e))));
            }
            Some(ErrorCode::ReadOnly) => denied(format_args!("the database refuses to be written: {}", words(e))),
            _ if matches!(e, rusqlite::Error::InvalidQuery | rusqlite::Error::MultipleStatement) => {
                denied("the statement does more than its kind says")
            }
            _ => format!("{}: {}", code::TOOL_ERROR, words(e)),
        };
        Outcome::Refused(Output::error(text))
    }
}

/// Commits, without fence and clock: a commit is not interrupted half-way.
fn commit(db: &mut Connection, answer: String) -> Outcome<Output> {
    let unfenced = db
        .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .and_then(|()| db.progress_handler(0, None::<fn() -> bool>));
    let Err(e) = unfenced.and_then(|()| db.execute_batch("COMMIT")) else {
        return Outcome::Returned(Output::ok(answer));
    };
    // As long as the transaction is open, closing the connection undoes it.
    if !db.is_autocommit() && db.execute_batch("ROLLBACK").is_ok() {
        return Outcome::NotSent(Output::error(format!("the change could not be committed: {}", words(&e))));
    }
    Outcome::Unknown(Output::error(format!("{}: the commit failed: {}", code::EFFECT_UNKNOWN, words(&e))))
}

/// SQLite asks this of every access while it compiles a statement.
fn authorize(allow: &[SqlKind], context: AuthContext<'_>) -> Authorization {
    let own = |table: &str| table.len() >= 7 && table[..7].eq_ignore_ascii_case("sqlite_");
    // A trigger of the database's owner may do what the triggering statement may not.
    let write = |kind: SqlKind, table: &str| {
        let by_trigger = context.accessor.is_some() && allow.iter().any(|k| *k != SqlKind::Select);
        !own(table) && (allow.contains(&kind) || by_trigger)
    };
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !guard::SQLITE_DENIED.iter().any(|denied| denied.eq_ignore_ascii_case(function_name))
        }
        AuthAction::Insert { table_name } => write(SqlKind::Insert, table_name),
        AuthAction::Update { table_name, .. } => write(SqlKind::Update, table_name),
        AuthAction::Delete { table_name } => write(SqlKind::Delete, table_name),
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// A JSON scalar as SQLite takes it.
struct Param<'a>(&'a Value);

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null | Value::Array(_) | Value::Object(_) => ValueRef::Null,
            Value::Bool(b) => ValueRef::Integer(i64::from(*b)),
            Value::Number(n) => match n.as_i64() {
                Some(i) => ValueRef::Integer(i),
                None => ValueRef::Real(n.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(s) => ValueRef::Text(s.as_bytes()),
        }))
    }
}

fn to_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => i.into(),
        ValueRef::Real(f) => f.into(),
        ValueRef::Text(t) => String::from_utf8_lossy(t).into(),
        ValueRef::Blob(b) => format!("[{} bytes]", b.len()).into(),
    }
}

fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT), None)
}

fn words(e: &rusqlite::Error) -> String {
    text::ellipsis(&e.to_string(), 400)
}
