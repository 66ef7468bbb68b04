//! The statement guard: parses a statement and says what kind it is, or why it may not run.
//!
//! It is the first of the three fences and the one that explains itself to the model. It is not the only one: a parser
//! that is not the database's own can be fooled.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{
        Expr, Insert, ObjectName, OnConflictAction, OnInsert, Query, Select, SetExpr, SqliteOnConflict, Statement,
        TableFactor, Visit, Visitor,
    },
    dialect::{Dialect as ParserDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
    tokenizer::{Token, Tokenizer, Whitespace},
};

use super::denied;
use crate::{config::SqlKind, text};

/// Most bytes of a statement.
pub(super) const MAX_SQL: usize = 64 * 1024;
/// Most words, operators and brackets of a statement. Each may nest the parsed tree by one, and the tree is walked by
/// recursion. Literals, parameters, commas and white space don't count, so that long lists of values pass.
const MAX_TOKENS: usize = 1_500;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn parser(self) -> &'static dyn ParserDialect {
        match self {
            Self::Sqlite => &SQLiteDialect {},
            Self::Postgres => &PostgreSqlDialect {},
        }
    }

    fn is_denied(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match self {
            Self::Sqlite => SQLITE_DENIED.contains(&name.as_str()),
            Self::Postgres => POSTGRES_DENIED.iter().any(|prefix| name.starts_with(prefix)),
        }
    }
}

/// SQLite functions that reach outside the database; the authorizer denies them too.
pub(super) const SQLITE_DENIED: &[&str] =
    &["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "lsdir"];

/// Beginnings of the names of PostgreSQL functions and relations that read or write the server's files, reach other
/// servers or sessions, run SQL given as text, wait, change settings, or show password hashes.
const POSTGRES_DENIED: &[&str] = &[
    "pg_read_",
    "pg_ls_",
    "pg_stat_file",
    "pg_file_",
    "pg_hba_",
    "pg_ident_file",
    "lo_",
    "loread",
    "lowrite",
    "dblink",
    "pg_sleep",
    "pg_terminate_",
    "pg_cancel_",
    "pg_reload_",
    "pg_rotate_",
    "pg_advisory_",
    "pg_try_advisory_",
    "pg_notify",
    "pg_log_",
    "pg_logical_",
    "pg_create_",
    "pg_drop_",
    "pg_replication_",
    "pg_copy_",
    "pg_switch_",
    "pg_backup_",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_promote",
    "pg_wal_",
    "pg_export_",
    "pg_import_",
    "pg_stat_reset",
    "set_config",
    "query_to_xml",
    "table_to_xml",
    "cursor_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "ts_stat",
    "ts_rewrite",
    "crosstab",
    "connectby",
    "xpath_table",
    "http_",
    "pg_authid",
    "pg_shadow",
    "pg_user_mapping",
];

/// A statement that may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// Its kind.
    pub(super) kind: SqlKind,
    /// Whether it gives rows.
    pub(super) rows: bool,
}

/// Parses `sql` and checks it against the allowed kinds. The error is for the model.
pub(super) fn check(sql: &str, dialect: Dialect, allow: &[SqlKind]) -> Result<Checked, String> {
    if sql.len() > MAX_SQL {
        return Err(denied(format_args!("the statement has more than {MAX_SQL} bytes")));
    }
    // PostgreSQL reads `U&"..."` as an identifier with escapes, the parser does not: a denied name could hide in it.
    if sql.contains('\0') || sql.to_ascii_lowercase().contains("u&\"") {
        return Err(denied("NUL and U&\"…\" are not allowed"));
    }
    let unreadable = |e: &dyn std::fmt::Display| {
        denied(format_args!("the statement cannot be read: {}", text::ellipsis(&e.to_string(), 300)))
    };
    let tokens = Tokenizer::new(dialect.parser(), sql).tokenize().map_err(|e| unreadable(&e))?;
    let mut counted = 0;
    for token in &tokens {
        match token {
            // The two sides differ in whether these nest.
            Token::Whitespace(Whitespace::MultiLineComment(_)) => {
                return Err(denied("comments `/* */` are not allowed"));
            }
            Token::Whitespace(_)
            | Token::Comma
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_) => {}
            _ => counted += 1,
        }
    }
    if counted > MAX_TOKENS {
        return Err(denied(format_args!("the statement has more than {MAX_TOKENS} words and operators")));
    }
    let statements =
        Parser::new(dialect.parser()).with_tokens(tokens).parse_statements().map_err(|e| unreadable(&e))?;
    let [statement] = statements.as_slice() else {
        return Err(denied(format_args!("exactly one statement is allowed, not {}", statements.len())));
    };
    let (main, depth) = main_statement(statement);
    let (kind, also, rows) = classify(main)?;
    for needed in std::iter::once(kind).chain(also) {
        if !allow.contains(&needed) {
            let allowed: Vec<_> = allow.iter().map(|k| text::json(k).replace('"', "")).collect();
            let needed = text::json(&needed).replace('"', "");
            return Err(denied(format_args!("{needed} is not allowed here, only {}", allowed.join(", "))));
        }
    }
    match statement.visit(&mut Fence { dialect, statements: depth }) {
        ControlFlow::Continue(()) => Ok(Checked { kind, rows }),
        ControlFlow::Break(why) => Err(denied(why)),
    }
}

/// `WITH … INSERT …` is parsed as a query around the insert: the statement itself, and how many are wrapped.
fn main_statement(statement: &Statement) -> (&Statement, usize) {
    match statement {
        Statement::Query(query) => match &*query.body {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) => {
                (inner, 2)
            }
            _ => (statement, 1),
        },
        _ => (statement, 1),
    }
}

/// The kind of a statement, what else it needs, and whether it gives rows.
fn classify(statement: &Statement) -> Result<(SqlKind, Vec<SqlKind>, bool), String> {
    match statement {
        Statement::Query(_) => Ok((SqlKind::Select, vec![], true)),
        Statement::Insert(insert) => Ok((SqlKind::Insert, insert_needs(insert)?, insert.returning.is_some())),
        Statement::Update(update) => {
            let also =
                if matches!(update.or, Some(SqliteOnConflict::Replace)) { vec![SqlKind::Delete] } else { vec![] };
            Ok((SqlKind::Update, also, update.returning.is_some()))
        }
        Statement::Delete(delete) => Ok((SqlKind::Delete, vec![], delete.returning.is_some())),
        other => {
            let text = other.to_string();
            let word: String = text.split_whitespace().next().unwrap_or_default().chars().take(30).collect();
            Err(denied(format_args!(
                "{word} statements are not allowed, only SELECT, INSERT, UPDATE and DELETE can be"
            )))
        }
    }
}

fn insert_needs(insert: &Insert) -> Result<Vec<SqlKind>, String> {
    let mut also = vec![];
    if insert.replace_into || matches!(insert.or, Some(SqliteOnConflict::Replace)) {
        also.push(SqlKind::Delete);
    }
    match &insert.on {
        Some(OnInsert::OnConflict(conflict)) => {
            if matches!(conflict.action, OnConflictAction::DoUpdate(_)) {
                also.push(SqlKind::Update);
            }
        }
        Some(_) => also.push(SqlKind::Update),
        None => {}
    }
    if insert.overwrite {
        return Err(denied("INSERT OVERWRITE is not allowed"));
    }
    Ok(also)
}

/// Walks a statement for what no kind allows.
struct Fence {
    dialect: Dialect,
    /// Statements that may still be met: the statement itself and what it wraps.
    statements: usize,
}

impl Fence {
    fn name(&self, name: &ObjectName) -> ControlFlow<String> {
        // The last part: `pg_catalog.pg_sleep` is `pg_sleep`.
        let last = name.0.last().map(|part| part.as_ident().map_or_else(|| part.to_string(), |i| i.value.clone()));
        match last {
            Some(last) if self.dialect.is_denied(&last) => ControlFlow::Break(format!("`{last}` is not allowed")),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Fence {
    type Break = String;

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<String> {
        match self.statements.checked_sub(1) {
            Some(left) => {
                self.statements = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break("a statement inside a statement is not allowed".into()),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if query.locks.is_empty() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break("FOR UPDATE and FOR SHARE are not allowed".into())
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.into.is_none() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break("SELECT INTO is not allowed".into())
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        self.name(relation)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Function { name, .. } => self.name(name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(function) => self.name(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests;
