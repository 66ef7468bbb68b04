//! PostgreSQL behind the SQL tool. Each statement has its own connection and transaction, so that nothing of one call is
//! left for another; a SELECT runs in a read-only transaction whatever the tool allows.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use serde_json::{Value, value::RawValue};
use stead_core::{code, effect::Outcome};
use stead_ports::tool::Output;
use stead_postgres::{Target, Tls};
use tokio::{sync::Semaphore, time::timeout};
use tokio_postgres::{
    Client, Config, Error, Statement, Transaction,
    error::SqlState,
    types::{Format, IsNull, ToSql, Type},
};

use super::{Job, PARALLEL, denied, rows::Rows};
use crate::{
    config::{SqlConfig, SqlKind},
    error::ToolSetupError,
    reach::Reach,
    secret::Secret,
    text,
};

mod wire;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// What the network may add to the server's own statement time-out, and the time for a commit.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Postgres {
    config: Config,
    tls: Tls,
    pub(super) allow: Arc<[SqlKind]>,
    max_rows: u32,
    timeout: Duration,
    slots: Semaphore,
    reach: Reach,
    /// Blotted out of rows and errors: a role may be allowed to read its own password.
    password: Option<Secret>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Postgres {
    pub(super) fn new(
        tool: &str,
        config: &SqlConfig,
        password: Option<&Secret>,
        reach: &Reach,
    ) -> Result<Self, ToolSetupError> {
        let Target { config: mut parsed, tls, .. } =
            stead_postgres::target(&config.url).map_err(|e| ToolSetupError::value(format!("{tool}: `url` {e}")))?;
        if parsed.get_hosts().is_empty() {
            return Err(ToolSetupError::value(format!("{tool}: `url` names no host")));
        }
        parsed.application_name("stead");
        let inline = parsed.get_password().map(|bytes| Secret::new(&String::from_utf8_lossy(bytes)));
        if let Some(password) = password {
            parsed.password(password.reveal());
        }
        Ok(Self {
            config: parsed,
            tls,
            allow: config.allow.as_slice().into(),
            max_rows: config.max_rows,
            timeout: config.timeout,
            slots: Semaphore::new(PARALLEL),
            reach: reach.clone(),
            password: password.cloned().or(inline),
        })
    }

    pub(super) async fn run(&self, job: Job) -> Outcome<Output> {
        let Ok(_slot) = self.slots.acquire().await else {
            return Outcome::NotSent(Output::error("the tool is closing"));
        };
        let mut session = match timeout(CONNECT, wire::connect(&self.config, &self.tls, &self.reach)).await {
            Ok(Ok(session)) => session,
            Ok(Err(why)) => {
                let why = self.clean(why);
                return Outcome::NotSent(Output::error(format!("the database cannot be reached: {why}")));
            }
            Err(_) => return Outcome::NotSent(Output::error("the database did not answer in time")),
        };
        let e = match timeout(self.timeout + GRACE, self.transaction(&mut session.client, &job)).await {
            Ok(Ok((answer, changed, transaction))) => match job.is_another(changed) {
                // Dropping the transaction rolls it back.
                Some(why) => return Outcome::Refused(Output::error(why)),
                None => match timeout(GRACE, transaction.commit()).await {
                    Ok(Ok(())) => return Outcome::Returned(Output::ok(answer)),
                    Ok(Err(e)) if e.as_db_error().is_some() => e,
                    Ok(Err(_)) | Err(_) if job.checked.kind != SqlKind::Select => {
                        return Outcome::Unknown(Output::error(format!(
                            "{}: the database was lost while the change was committed",
                            code::EFFECT_UNKNOWN
                        )));
                    }
                    // A read has nothing to commit.
                    Ok(Err(_)) | Err(_) => return Outcome::Returned(Output::ok(answer)),
                },
            },
            Ok(Err(e)) => e,
            Err(_) => return Outcome::Refused(Output::error(self.too_slow())),
        };
        if session.flooded() {
            return Outcome::Refused(Output::error(format!(
                "{}: the answer has more than {} bytes; select less",
                code::TOOL_FLOOD,
                wire::MAX_RECEIVED
            )));
        }
        self.failed(&e, session.client.is_closed())
    }

    /// Runs the statement in a transaction that is not yet committed, and tells how many rows it changed. Dropping the transaction rolls it back.
    async fn transaction<'c>(
        &self,
        client: &'c mut Client,
        job: &Job,
    ) -> Result<(String, u64, Transaction<'c>), Error> {
        let reads = job.checked.kind == SqlKind::Select;
        let transaction = client.build_transaction().read_only(reads).start().await?;
        let ms = self.timeout.as_millis();
        transaction
            .batch_execute(&format!(
                "SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms};
                 SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL standard_conforming_strings = on",
                ms + 2 * GRACE.as_millis()
            ))
            .await?;
        // The server's own parser sees the statement alone first; the extended protocol takes one statement only.
        let statement = transaction.prepare(&job.sql).await?;
        let params: Vec<Param<'_>> = job.params.iter().map(Param).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        let (answer, changed) = if statement.columns().is_empty() {
            let changes = transaction.execute(&statement, &params).await?;
            (Rows::new([], self.max_rows, job.max_output).finish(Some(changes)), changes)
        } else {
            self.rows(&transaction, job, &statement, &params).await?
        };
        Ok((answer, changed, transaction))
    }

    /// Has the server write each row as JSON, which it can for every type it knows.
    async fn rows(
        &self,
        transaction: &Transaction<'_>,
        job: &Job,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(String, u64), Error> {
        let aliases: Vec<_> = (0..statement.columns().len()).map(|i| format!("c{i}")).collect();
        let sql = job.sql.trim_end().trim_end_matches(';');
        // The line feed ends a `--` remark at the end of the statement.
        let wrapped = format!("WITH q({}) AS (\n{sql}\n) SELECT row_to_json(q)::text FROM q", aliases.join(","));
        let wrapped = transaction.prepare_typed(&wrapped, statement.params()).await?;
        let names = statement.columns().iter().map(|c| c.name().to_owned());
        let mut out = Rows::new(names, self.max_rows, job.max_output);
        let reads = job.checked.kind == SqlKind::Select;
        let portal = transaction.bind(&wrapped, params).await?;
        // A write's rows are all fetched, so that it runs to its end; a read stops one row beyond what is shown.
        let wanted = if reads { i32::try_from(self.max_rows).unwrap_or(i32::MAX).saturating_add(1) } else { 0 };
        let rows = transaction.query_portal(&portal, wanted).await?;
        for row in &rows {
            let json: &str = row.try_get(0)?;
            let cells = cells(json, aliases.len()).into_iter();
            if !out.push(cells.map(|cell| self.password.iter().fold(cell, |cell, secret| secret.redact_json(cell)))) {
                break;
            }
        }
        let changed = rows.len() as u64;
        Ok((out.finish((!reads).then_some(changed)), changed))
    }

    /// Words of the database without the password.
    fn clean(&self, words: String) -> String {
        self.password.iter().fold(words, |words, secret| secret.redact(words))
    }

    fn too_slow(&self) -> String {
        format!(
            "{}: the statement took longer than {} ms and was stopped; nothing was changed",
            code::TOOL_TIMEOUT,
            self.timeout.as_millis()
        )
    }

    /// What an error before the commit means: nothing was changed, in any case.
    fn failed(&self, e: &Error, closed: bool) -> Outcome<Output> {
        let Some(db) = e.as_db_error() else {
            let words = text::ellipsis(&self.clean(wire::words(e)), 400);
            return if closed {
                Outcome::NotSent(Output::error(format!("the database was lost before anything was changed: {words}")))
            } else {
                Outcome::Refused(Output::error(format!("{}: {words}", code::TOOL_ERROR)))
            };
        };
        let hint = db.hint().map(|h| format!(" ({h})")).unwrap_or_default();
        let words = self.clean(format!("{}{hint} [{}]", db.message(), db.code().code()));
        let words = text::ellipsis(&words, 600);
        let state = db.code();
        let undone = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
        ];
        if undone.contains(state) {
            return Outcome::NotSent(Output::error(words));
        }
        Outcome::Refused(Output::error(match state {
            s if *s == SqlState::QUERY_CANCELED => self.too_slow(),
            s if *s == SqlState::READ_ONLY_SQL_TRANSACTION || *s == SqlState::INSUFFICIENT_PRIVILEGE => denied(words),
            _ => format!("{}: {words}", code::TOOL_ERROR),
        }))
    }
}

/// The values of a row that the server wrote as an object `{"c0": …, "c1": …}`.
fn cells(json: &str, columns: usize) -> Vec<Value> {
    let parsed: std::collections::HashMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
    (0..columns)
        .map(|i| {
            let raw = parsed.get(&format!("c{i}")).map_or("null", |raw| raw.get());
            let value: Value = serde_json::from_str(raw).unwrap_or_default();
            // A `numeric` may have more digits than a JSON reader keeps.
            if value.is_number() && text::json(&value).as_str() != raw { raw.into() } else { value }
        })
        .collect()
}

/// A JSON scalar in PostgreSQL's text format, which the server reads as whatever type the statement needs.
#[derive(Debug)]
struct Param<'a>(&'a Value);

impl ToSql for Param<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::String(s) => out.extend_from_slice(s.as_bytes()),
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}
