//! The SQL tool: SQLite files and PostgreSQL databases.
//!
//! What a statement may do is decided three times, each independent of the others: [`guard`] parses it and looks at its
//! kind; the database itself enforces (SQLite's authorizer and a read-only file handle; PostgreSQL's read-only
//! transaction); and the operator's grants on the database hold in any case. One statement is one transaction.
//!
//! Functions that a database's owner defined run with what the owner gave them; the guard knows only the built-in ones.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    fact::Precondition,
    message::ToolDef,
};
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};

use crate::{
    config::{SqlConfig, SqlKind},
    error::ToolSetupError,
    offer::{Offered, full_name},
    reach::Reach,
    secret::Secret,
    text,
};

mod guard;
mod named;
mod postgres;
mod rows;
pub mod seed;
mod sqlite;

/// Most rows that a manifest may ask for.
pub const MAX_ROWS: u32 = 10_000;
/// Statements that one tool runs at the same time; more wait.
const PARALLEL: usize = 8;

/// The operations of a SQL tool: `query` for free SQL, or one for each named query.
///
/// `password` is PostgreSQL's; an SQLite file has none. `base` is the folder of the manifest; a relative SQLite path starts
/// there. Nothing is opened or connected yet.
///
/// # Errors
/// A URL of another kind, an empty `allow`, a named query that is not allowed, or whose parameters and placeholders
/// differ.
pub fn offer(
    tool: &str,
    config: &SqlConfig,
    password: Option<&Secret>,
    base: &Path,
    reach: &Reach,
) -> Result<Vec<Offered>, ToolSetupError> {
    if config.allow.is_empty() {
        return Err(ToolSetupError::value(format!(
            "{tool}: `allow` must name at least one of SELECT, INSERT, UPDATE, DELETE"
        )));
    }
    if config.max_rows == 0 || config.max_rows > MAX_ROWS {
        return Err(ToolSetupError::value(format!("{tool}: `max_rows` must be from 1 to {MAX_ROWS}")));
    }
    let backend = Arc::new(Backend::new(tool, config, password, base, reach)?);
    if config.queries.is_empty() {
        return Ok(vec![free(tool, config, backend)]);
    }
    config
        .queries
        .iter()
        .map(|(name, query)| {
            let fail = |why: String| ToolSetupError::value(format!("{tool}: query `{name}`: {why}"));
            let named = named::Named::compile(query, backend.dialect(), &config.allow).map_err(fail)?;
            let def = ToolDef {
                name: full_name(tool, name),
                description: if query.description.is_empty() {
                    format!("The query `{name}` of {tool}.")
                } else {
                    query.description.clone()
                },
                schema: named.schema.clone(),
            };
            let default_class = class(&[named.checked.kind]);
            let tool = Arc::new(SqlTool { backend: Arc::clone(&backend), named: Some(named) });
            Ok(Offered { operation: name.clone(), def, tool, default_class, reconciles: false })
        })
        .collect()
}

fn free(tool: &str, config: &SqlConfig, backend: Arc<Backend>) -> Offered {
    let kinds: Vec<_> = config.allow.iter().map(|k| text::json(k).trim_matches('"').to_owned()).collect();
    let (placeholder, tables) = match backend.dialect() {
        guard::Dialect::Sqlite => ("?1, ?2", "SELECT name, sql FROM sqlite_schema"),
        guard::Dialect::Postgres => {
            ("$1, $2", "SELECT table_name, column_name, data_type FROM information_schema.columns")
        }
    };
    let about = config.description.as_deref().map(|d| format!("{} ", d.trim())).unwrap_or_default();
    let description = format!(
        "{about}Runs one SQL statement ({}). At most {} rows are returned. Tables: {tables}.",
        kinds.join(", "),
        config.max_rows
    );
    let schema = json!({
        "type": "object",
        "properties": {
            "sql": {"type": "string", "maxLength": guard::MAX_SQL,
                "description": format!("One statement. Write values as {placeholder} and give them in `params`.")},
            "params": {"type": "array", "maxItems": named::MAX_PARAMS, "description": "Values, in order.",
                "items": {"type": ["string", "number", "boolean", "null"]}}
        },
        "required": ["sql"],
        "additionalProperties": false
    });
    Offered {
        operation: "query".into(),
        def: ToolDef { name: full_name(tool, "query"), description, schema },
        default_class: class(&config.allow),
        tool: Arc::new(SqlTool { backend, named: None }),
        reconciles: false,
    }
}

fn class(kinds: &[SqlKind]) -> EffectClass {
    if kinds.iter().all(|k| *k == SqlKind::Select) { EffectClass::Pure } else { EffectClass::Irreversible }
}

/// A statement that has passed the guard, with its values.
#[derive(Debug)]
struct Job {
    sql: String,
    checked: guard::Checked,
    params: Vec<Value>,
    max_output: usize,
    /// How many rows it must change; another number undoes it.
    rows: Option<u64>,
}

impl Job {
    /// Why what it changed is undone, when that is so.
    fn is_another(&self, changed: u64) -> Option<String> {
        let wanted = self.rows.filter(|wanted| *wanted != changed)?;
        Some(format!(
            "{}: not done, and nothing was changed: people were shown {wanted} rows when they were asked, and it would have changed \
             {changed}. Whoever still wants it has to ask anew.",
            code::PREVIEW_CHANGED
        ))
    }
}

#[derive(Debug)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(Box<postgres::Postgres>),
}

impl Backend {
    fn new(
        tool: &str,
        config: &SqlConfig,
        password: Option<&Secret>,
        base: &Path,
        reach: &Reach,
    ) -> Result<Self, ToolSetupError> {
        let url = &config.url;
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(":memory:") || path.contains('\0') {
                return Err(ToolSetupError::value(format!("{tool}: `sqlite:` needs the path of a database file")));
            }
            Ok(Self::Sqlite(sqlite::Sqlite::new(base.join(path), config)))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self::Postgres(Box::new(postgres::Postgres::new(tool, config, password, reach)?)))
        } else {
            Err(ToolSetupError::value(format!(
                "{tool}: `url` must begin with `sqlite:` or `postgres://`, not with `{}`",
                text::ellipsis(url.split(':').next().unwrap_or_default(), 30)
            )))
        }
    }

    fn dialect(&self) -> guard::Dialect {
        match self {
            Self::Sqlite(_) => guard::Dialect::Sqlite,
            Self::Postgres(_) => guard::Dialect::Postgres,
        }
    }

    fn allow(&self) -> &[SqlKind] {
        match self {
            Self::Sqlite(s) => &s.allow,
            Self::Postgres(p) => &p.allow,
        }
    }
}

/// One operation.
struct SqlTool {
    backend: Arc<Backend>,
    /// `None` when the model writes the SQL.
    named: Option<named::Named>,
}

impl SqlTool {
    fn job(&self, invocation: &Invocation) -> Result<Job, String> {
        let arguments: Value =
            serde_json::from_str(invocation.arguments.get()).map_err(|e| format!("the arguments are not JSON: {e}"))?;
        let max_output = invocation.max_output;
        let rows = match &invocation.precondition {
            None => None,
            Some(Precondition::Rows(rows)) => Some(*rows),
            Some(other) => return Err(format!("not done: a statement cannot be held to it that {other}")),
        };
        if let Some(named) = &self.named {
            let params = named.bind(&arguments)?;
            return Ok(Job { sql: named.sql.clone(), checked: named.checked, params, max_output, rows });
        }
        let sql = arguments.get("sql").and_then(Value::as_str).ok_or("`sql` must be a text")?.to_owned();
        let params = arguments.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
        named::scalars(&params)?;
        let checked = guard::check(&sql, self.backend.dialect(), self.backend.allow())?;
        Ok(Job { sql, checked, params, max_output, rows })
    }
}

impl Tool for SqlTool {
    fn kind(&self) -> &'static str {
        "sql"
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        let writes = |named: &named::Named| named.checked.kind != SqlKind::Select;
        matches!(precondition, Precondition::Rows(_)) && self.named.as_ref().is_none_or(writes)
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            let job = match self.job(&invocation) {
                Ok(job) => job,
                Err(why) => return Outcome::Refused(Output::error(why)),
            };
            if job.rows.is_some() && job.checked.kind == SqlKind::Select {
                return Outcome::Refused(Output::error("not done: it changes no rows that could be counted"));
            }
            match &*self.backend {
                Backend::Sqlite(db) => db.run(job).await,
                Backend::Postgres(db) => db.run(job).await,
            }
        })
    }
}

/// The words of a refusal because of what the statement is.
fn denied(why: impl std::fmt::Display) -> String {
    format!("{}: {why}", code::SQL_DENIED)
}
