//! What the input of a run must look like, and what is wrong with one that does not.

use std::{fmt, sync::Arc};

use serde_json::Value;

/// Checks the text of an input against its schema.
pub type InputCheck = Arc<dyn Fn(&str) -> Result<(), Misfit> + Send + Sync>;

/// What a run's input must look like, and the check of it.
#[derive(Clone)]
pub struct InputSchema {
    /// The JSON Schema, as the manifest's file has it.
    pub schema: Arc<Value>,
    /// The check of the whole text of an input.
    pub check: InputCheck,
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSchema").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Why an input is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong, at least one, ordered by place.
    pub wrong: Vec<Wrong>,
    /// An input that fits, when one could be made from the schema.
    pub example: Option<Arc<str>>,
}

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where: a JSON Pointer (RFC 6901); the empty text is the whole input.
    pub at: String,
    /// What was expected there, and what was found.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => f.write_str(&self.why),
            at => write!(f, "at `{at}`: {}", self.why),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the input does not fit the agent's schema: ")?;
        for (i, wrong) in self.wrong.iter().enumerate() {
            write!(f, "{}{wrong}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
