//! Named queries: `:name` placeholders become numbered ones, and arguments are bound to them. Arguments are never part
//! of the statement's text.

use serde_json::{Map, Value, json};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::guard::{self, Checked, Dialect};
use crate::config::{SqlKind, SqlQuery};

/// Most parameters of one statement.
pub(super) const MAX_PARAMS: usize = 256;

/// A named query, ready to run.
pub(super) struct Named {
    /// The statement with numbered placeholders.
    pub(super) sql: String,
    /// What the guard says of it.
    pub(super) checked: Checked,
    /// The schema of its arguments.
    pub(super) schema: Value,
    /// The argument of each placeholder.
    order: Vec<String>,
}

impl Named {
    pub(super) fn compile(query: &SqlQuery, dialect: Dialect, allow: &[SqlKind]) -> Result<Self, String> {
        let (sql, order) = number(&query.sql, dialect)?;
        let checked = guard::check(&sql, dialect, allow)?;
        if order.len() > MAX_PARAMS {
            return Err(format!("it has more than {MAX_PARAMS} parameters"));
        }
        if let Some(name) = order.iter().find(|n| !query.params.contains_key(*n)) {
            return Err(format!("`:{name}` stands in the SQL and not in `params`"));
        }
        if let Some(name) = query.params.keys().find(|n| !order.contains(n)) {
            return Err(format!("`{name}` stands in `params` and `:{name}` not in the SQL"));
        }
        if let Some(name) = query.optional.iter().find(|n| !query.params.contains_key(*n)) {
            return Err(format!("`{name}` stands in `optional` and not in `params`"));
        }
        let required: Vec<_> = query.params.keys().filter(|n| !query.optional.contains(n)).collect();
        let properties: Map<_, _> = query.params.clone().into_iter().collect();
        let schema =
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        Ok(Self { sql, checked, schema, order })
    }

    /// The values of the placeholders.
    pub(super) fn bind(&self, arguments: &Value) -> Result<Vec<Value>, String> {
        let params: Vec<_> =
            self.order.iter().map(|name| arguments.get(name).cloned().unwrap_or(Value::Null)).collect();
        scalars(&params)?;
        Ok(params)
    }
}

/// Refuses values that cannot be bound.
pub(super) fn scalars(params: &[Value]) -> Result<(), String> {
    if params.len() > MAX_PARAMS {
        return Err(format!("at most {MAX_PARAMS} parameters"));
    }
    match params.iter().position(|p| p.is_array() || p.is_object()) {
        Some(i) => Err(format!("parameter {} must be a text, a number, a boolean or null", i + 1)),
        None => Ok(()),
    }
}

/// Turns `:name` into `?1` (SQLite) or `$1` (PostgreSQL), one number for each name. Everything else keeps its bytes.
fn number(sql: &str, dialect: Dialect) -> Result<(String, Vec<String>), String> {
    let tokens = Tokenizer::new(dialect.parser(), sql)
        .tokenize_with_location()
        .map_err(|e| format!("the SQL cannot be read: {e}"))?;
    let sigil = if dialect == Dialect::Sqlite { '?' } else { '$' };
    let mut out = String::with_capacity(sql.len());
    let mut order: Vec<String> = Vec::new();
    let mut copied = 0;
    for (i, token) in tokens.iter().enumerate() {
        if let Token::Placeholder(p) = &token.token {
            return Err(format!("write parameters as `:name`, not as `{p}`"));
        }
        let next = tokens.get(i + 1);
        let (Token::Colon, Some(Token::Word(word))) = (&token.token, next.map(|t| &t.token)) else { continue };
        if word.quote_style.is_some() {
            continue;
        }
        let start = offset(sql, token.span.start);
        let end = start + 1 + word.value.len();
        if start < copied || sql.get(start..end) != Some(&format!(":{}", word.value)) {
            return Err(format!("`:{}` cannot be found in the SQL", word.value));
        }
        let at = order.iter().position(|n| *n == word.value).unwrap_or_else(|| {
            order.push(word.value.clone());
            order.len() - 1
        });
        out.push_str(&sql[copied..start]);
        out.push_str(&format!("{sigil}{}", at + 1));
        copied = end;
    }
    out.push_str(&sql[copied..]);
    Ok((out, order))
}

/// The byte at a location, whose lines and columns count characters from 1.
fn offset(sql: &str, at: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (offset, c) in sql.char_indices() {
        if (line, column) == (at.line, at.column) {
            return offset;
        }
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn query(sql: &str, params: &[&str]) -> SqlQuery {
        let params = params.iter().map(|p| ((*p).to_owned(), json!({"type": "integer"}))).collect();
        SqlQuery { sql: sql.into(), description: String::new(), params, optional: vec![] }
    }

    #[test]
    fn placeholders_are_numbered_outside_of_strings_only() {
        let sql = "SELECT ':a', x::int FROM t -- :c\n WHERE a = :a AND b = :b OR a > :a";
        let (out, order) = number(sql, Dialect::Postgres).unwrap();
        assert_eq!(out, "SELECT ':a', x::int FROM t -- :c\n WHERE a = $1 AND b = $2 OR a > $1");
        assert_eq!(order, ["a", "b"]);
        assert_eq!(number("SELECT 'it''s' WHERE a=:a", Dialect::Sqlite).unwrap().0, "SELECT 'it''s' WHERE a=?1");
        let sql = "SELECT 'é😀', \"q:x\", $$:a$$, E'\\':a'\nFROM t WHERE é = :a";
        assert_eq!(number(sql, Dialect::Postgres).unwrap().0, sql.replace("= :a", "= $1"));
    }

    #[test]
    fn parameters_and_placeholders_must_match() {
        let compile = |q| Named::compile(&q, Dialect::Sqlite, &[SqlKind::Select]).err();
        assert_eq!(compile(query("SELECT * FROM t WHERE a = :a", &["a"])), None);
        assert!(compile(query("SELECT * FROM t WHERE a = :a", &[])).unwrap().contains("not in `params`"));
        assert!(compile(query("SELECT * FROM t", &["a"])).unwrap().contains("not in the SQL"));
        assert!(compile(query("SELECT * FROM t WHERE a = ?", &[])).unwrap().contains("as `:name`"));
        assert!(compile(query("DELETE FROM t", &[])).unwrap().contains("ST0051"));
    }
}
