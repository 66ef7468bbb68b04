//! The part of a manifest that describes tools: plain data, no behaviour. Unknown keys are errors.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod action;
mod api;

pub use action::{CommandConfig, FilesConfig};
pub use api::{ApiBody, ApiConfig, ApiOperation, ApiParameter, Fields, ParameterPlace, Placement, Style};

/// A kind of SQL statement that a tool may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SqlKind {
    /// Reads.
    Select,
    /// Adds rows. With `ON CONFLICT DO UPDATE` also needs `UPDATE`; with `OR REPLACE` also `DELETE`.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
}

/// `sql:`, a database tool.
///
/// Without `queries` the model writes the SQL itself (`<tool>_query`); with them it can only call those
/// (`<tool>_<query>`), and its arguments are bound as parameters.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// `sqlite:PATH` (relative to the manifest) or `postgres://user@host/database`.
    pub url: String,
    /// Kinds of statements allowed; `[SELECT]` when silent.
    #[serde(default = "select_only")]
    pub allow: Vec<SqlKind>,
    /// Named queries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, SqlQuery>,
    /// What the tool is about, for the model; used in the description of `<tool>_query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Most rows returned; 200 when silent, at most 10,000.
    #[serde(default = "max_rows")]
    pub max_rows: u32,
    /// How long one statement may take (`10s`, `500ms`, `2m`); 10 seconds when silent.
    #[serde(default = "ten_seconds", with = "duration")]
    pub timeout: Duration,
}

impl fmt::Debug for SqlConfig {
    // The URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        f.debug_struct("SqlConfig")
            .field("url", &format_args!("{scheme}:…"))
            .field("allow", &self.allow)
            .field("queries", &self.queries.keys())
            .finish_non_exhaustive()
    }
}

/// A named query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlQuery {
    /// One statement; parameters are written `:name`.
    pub sql: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of each parameter, by name. Each must be a string, a number, a boolean or null.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Parameters that may be left out; they are bound as `NULL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
}

/// `http:`, a service called from inline templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where the service is: scheme, host, port and maybe a path prefix.
    pub base_url: String,
    /// Its operations, by name.
    pub operations: BTreeMap<String, HttpOperation>,
    /// How long one exchange may take, connection included; 30 seconds when silent.
    #[serde(default = "thirty_seconds", with = "duration")]
    pub timeout: Duration,
}

/// An HTTP method that a template may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of RFC 9110 and RFC 5789")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    /// Whether it is defined to change nothing at the destination (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// Whether a request of this method usually carries a body.
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// One operation of an HTTP tool.
///
/// Templates hold `{{args.NAME}}` (an argument, dots reach into objects) and `{{key}}` (the idempotency key). In `path`
/// they are percent-encoded as one segment's text, in `query` as a value. A string in `body` that is exactly one
/// placeholder takes the argument with its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOperation {
    /// The method.
    pub method: HttpMethod,
    /// The path below `base_url`, beginning with `/`.
    pub path: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of each argument, by name.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Arguments that may be left out; where a template names one that is, the query value, header or body key is
    /// left out too. None of them may stand in `path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// Query values, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Headers, by name. `Idempotency-Key: {{key}}` is sent with every method but GET and HEAD unless named here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The JSON body. When silent, POST, PUT and PATCH send an object of the arguments that no other template uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The operation (GET or HEAD) that tells whether this one happened: 2xx means it did, 404 that it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<String>,
}

/// `mcp:`, a server of the Model Context Protocol, run as a process and spoken to over stdio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpConfig {
    /// Program and arguments. A program with a `/` is relative to the manifest, any other is searched in `PATH`.
    pub command: Vec<String>,
    /// Names of environment variables handed on. The server sees these, `PATH`, `HOME`, `LANG` and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Its working directory, relative to the manifest; the manifest's own when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Only these of its tools; all when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// How long it may take to start and list its tools; 30 seconds when silent.
    #[serde(default = "thirty_seconds", with = "duration")]
    pub start_timeout: Duration,
}

/// `mcp:` with `url`, a server of the Model Context Protocol that is reached over streamable HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpUrlConfig {
    /// Its endpoint.
    pub url: String,
    /// Headers sent with every request. None of them may be a credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether `http://` may lead off loopback, where anyone on the way can read and change what is said.
    #[serde(default)]
    pub plain_http: bool,
    /// Only these of its tools; all when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// How long it may take to answer the handshake and list its tools; 30 seconds when silent.
    #[serde(default = "thirty_seconds", with = "duration")]
    pub start_timeout: Duration,
    /// The revision of the protocol that is spoken; when silent, whichever the server answers.
    #[serde(default)]
    pub protocol: McpProtocol,
}

/// A revision of the Model Context Protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum McpProtocol {
    /// Whatever the server understands: `initialize`, and `server/discover` where that is refused.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// 2025-11-25 and older: a session that begins with `initialize`.
    #[serde(rename = "2025-11-25")]
    Stateful,
    /// 2026-07-28: no session, each request tells all.
    #[serde(rename = "2026-07-28")]
    Stateless,
}

fn select_only() -> Vec<SqlKind> {
    vec![SqlKind::Select]
}

const fn max_rows() -> u32 {
    200
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

/// Durations as manifests write them: a whole number and `ms`, `s`, `m` or `h`.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const LONGEST: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}ms", d.as_millis()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        parse(&text).ok_or_else(|| {
            D::Error::custom(format_args!("`{text}` is not a duration such as `500ms`, `10s` or `2m`, up to `24h`"))
        })
    }

    fn parse(text: &str) -> Option<Duration> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let ms = match unit {
            "ms" => number,
            "s" => number.checked_mul(1_000)?,
            "m" => number.checked_mul(60_000)?,
            "h" => number.checked_mul(3_600_000)?,
            _ => return None,
        };
        Some(Duration::from_millis(ms)).filter(|d| !d.is_zero() && *d <= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn silence_means_the_documented_defaults() {
        let sql: SqlConfig = serde_json::from_value(json!({"url": "sqlite:./shop.db"})).unwrap();
        assert_eq!((sql.allow, sql.max_rows, sql.timeout), (vec![SqlKind::Select], 200, Duration::from_secs(10)));
    }

    #[test]
    fn unknown_keys_and_bad_durations_are_errors() {
        assert!(serde_json::from_value::<SqlConfig>(json!({"url": "sqlite:x", "alow": []})).is_err());
        for bad in ["10", "s", "0s", "25h", "-1s", "1 s", "99999999999999999999s"] {
            assert!(serde_json::from_value::<SqlConfig>(json!({"url": "sqlite:x", "timeout": bad})).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_database_password_is_not_shown() {
        let sql: SqlConfig = serde_json::from_value(json!({"url": "postgres://u:hunter2@h/d"})).unwrap();
        assert!(!format!("{sql:?}").contains("hunter2"));
    }
}
