//! The URL of a database. It may hold a password, so it is neither shown nor logged.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Begins a URL of PostgreSQL (libpq, section "Connection URIs").
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// A URL of PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes a URL; `None` when it does not begin like one of PostgreSQL.
    pub fn new(url: &str) -> Option<Self> {
        SCHEMES.iter().any(|s| url.starts_with(s)).then(|| Self(url.to_owned()))
    }

    /// The URL, for the one place that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The value is not shown: it may hold a password.
        let wrong = || de::Error::custom("`database` must begin with `postgres://`");
        Self::new(&String::deserialize(d)?).ok_or_else(wrong)
    }
}

impl JsonSchema for DatabaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "DatabaseUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^postgres(ql)?://", "examples": ["postgres://stead@db/stead"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let url = DatabaseUrl::new("postgres://u:hunter2@h/d").map(|u| format!("{u:?}"));
        assert_eq!(url.as_deref(), Some("DatabaseUrl(…)"));
        assert_eq!(DatabaseUrl::new("mysql://u:hunter2@h/d"), None);
    }
}
