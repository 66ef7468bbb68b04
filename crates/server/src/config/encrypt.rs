//! Where the key is under which the store's texts are encrypted: `file:PATH`, or `env:NAME`. Not the key itself.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::read::names_variable;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encrypt {
    /// This file: 32 random bytes as one line of base64.
    File(PathBuf),
    /// This variable of the environment, which has the same.
    Variable(String),
}

impl Encrypt {
    /// Reads `file:PATH` or `env:NAME`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("file", path) if !path.is_empty() => Some(Self::File(path.into())),
            ("env", name) if names_variable(name) => Some(Self::Variable(name.into())),
            _ => None,
        }
    }

    /// A relative path starts there.
    pub(super) fn based(&mut self, base: &Path) {
        if let Self::File(path) = self {
            *path = base.join(&*path);
        }
    }
}

impl fmt::Display for Encrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
        }
    }
}

impl Serialize for Encrypt {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Encrypt {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The value is not shown: it may be a key where its place belongs.
        let wrong = || de::Error::custom("`encrypt` must be `file:PATH` or `env:NAME`");
        Self::parse(&String::deserialize(d)?).ok_or_else(wrong)
    }
}

impl JsonSchema for Encrypt {
    fn schema_name() -> Cow<'static, str> {
        "Encrypt".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(file|env):.", "examples": ["file:/etc/stead/data.key"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_file_or_a_variable_and_never_in_the_configuration() {
        assert_eq!(Encrypt::parse("file:/a/b"), Some(Encrypt::File("/a/b".into())));
        assert_eq!(Encrypt::parse("env:DATA_KEY"), Some(Encrypt::Variable("DATA_KEY".into())));
        for bad in ["", "file:", "env:", "env:A B", "/a/b", "hunter2", "vault:x"] {
            assert_eq!(Encrypt::parse(bad), None, "{bad}");
        }
        let mut relative = Encrypt::File("k".into());
        relative.based(Path::new("/etc"));
        assert_eq!(relative.to_string(), "file:/etc/k");
    }
}
