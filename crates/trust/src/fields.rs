//! The members of an object that is signed: each is asked for by name, and one that nobody asked for is refused.

use crate::{
    hex,
    json::{BadJson, Value, parse_canonical},
};

/// Why a document that is signed cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// It is no canonical JSON.
    #[error("it is no canonical JSON: {0}")]
    Json(#[from] BadJson),
    /// A member is missing or of another kind.
    #[error("`{0}` is missing, or not what belongs there")]
    Member(&'static str),
    /// A member that nobody knows.
    #[error("`{0}` is nothing that belongs there")]
    Unknown(String),
}

/// See the module.
pub(crate) struct Fields {
    members: Vec<(String, Value)>,
}

impl Fields {
    /// Those of a canonical text whose `stead` is this kind.
    pub(crate) fn of_text(text: &str, kind: &str) -> Result<Self, BadForm> {
        let mut fields = Self::of(parse_canonical(text.as_bytes())?, "object")?;
        if fields.text("stead")? == kind { Ok(fields) } else { Err(BadForm::Member("stead")) }
    }

    pub(crate) fn of(value: Value, name: &'static str) -> Result<Self, BadForm> {
        match value {
            Value::Object(members) => Ok(Self { members }),
            _ => Err(BadForm::Member(name)),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<Value, BadForm> {
        let at = self.members.iter().position(|(known, _)| known == name).ok_or(BadForm::Member(name))?;
        Ok(self.members.remove(at).1)
    }

    /// What is there, unless that is `null`.
    pub(crate) fn maybe(&mut self, name: &'static str) -> Result<Option<Value>, BadForm> {
        Ok(Some(self.take(name)?).filter(|value| *value != Value::Null))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, BadForm> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(BadForm::Member(name)),
        }
    }

    pub(crate) fn maybe_text(&mut self, name: &'static str) -> Result<Option<String>, BadForm> {
        match self.take(name)? {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            _ => Err(BadForm::Member(name)),
        }
    }

    /// A text that may be missing; it is not `null` then, so that there is one way to say so.
    pub(crate) fn text_if_there(&mut self, name: &'static str) -> Result<Option<String>, BadForm> {
        match self.members.iter().any(|(known, _)| known == name) {
            true => self.text(name).map(Some),
            false => Ok(None),
        }
    }

    pub(crate) fn int(&mut self, name: &'static str) -> Result<u64, BadForm> {
        match self.take(name)? {
            Value::Number(n) => n.as_whole().ok_or(BadForm::Member(name)),
            _ => Err(BadForm::Member(name)),
        }
    }

    pub(crate) fn small(&mut self, name: &'static str) -> Result<u32, BadForm> {
        u32::try_from(self.int(name)?).map_err(|_| BadForm::Member(name))
    }

    pub(crate) fn maybe_int(&mut self, name: &'static str) -> Result<Option<u64>, BadForm> {
        match self.take(name)? {
            Value::Null => Ok(None),
            Value::Number(n) => n.as_whole().map(Some).ok_or(BadForm::Member(name)),
            _ => Err(BadForm::Member(name)),
        }
    }

    pub(crate) fn bool(&mut self, name: &'static str) -> Result<bool, BadForm> {
        match self.take(name)? {
            Value::Bool(b) => Ok(b),
            _ => Err(BadForm::Member(name)),
        }
    }

    pub(crate) fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], BadForm> {
        hex::decode(&self.text(name)?).ok_or(BadForm::Member(name))
    }

    pub(crate) fn list(&mut self, name: &'static str) -> Result<Vec<Value>, BadForm> {
        match self.take(name)? {
            Value::List(items) => Ok(items),
            _ => Err(BadForm::Member(name)),
        }
    }

    /// A list that need not be there.
    pub(crate) fn list_if_any(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, BadForm> {
        if self.members.iter().any(|(known, _)| known == name) { self.list(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, BadForm> {
        let text = |value| match value {
            Value::Text(text) => Ok(text),
            _ => Err(BadForm::Member(name)),
        };
        self.list(name)?.into_iter().map(text).collect()
    }

    pub(crate) fn object(&mut self, name: &'static str) -> Result<Self, BadForm> {
        Self::of(self.take(name)?, name)
    }

    /// Nothing else may be there.
    pub(crate) fn done(self) -> Result<(), BadForm> {
        match self.members.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(BadForm::Unknown(name.chars().take(64).collect())),
        }
    }
}
