//! The default policy, as a file of a set.

use crate::policies::Source;

/// The name under which it is told of.
pub const DEFAULT_FILE: &str = "default.cedar";
/// Its text.
pub const DEFAULT_TEXT: &str = include_str!("default.cedar");

impl Source {
    /// The default policy: what is granted may be done; what is critical, or what the model is not sure of, is asked.
    pub fn default_policy() -> Self {
        Self { file: DEFAULT_FILE.to_owned(), text: DEFAULT_TEXT.to_owned() }
    }
}
