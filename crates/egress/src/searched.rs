//! The values that a session searches answers for. Those of the rules' secrets are never forgotten for others; tokens, of which a host
//! can have new ones made at will, take turns among themselves.

use std::collections::{BTreeSet, VecDeque};

use stead_ports::secret::Secret;

use crate::{
    limits::{SEARCHED, TOKENS},
    scrub::Patterns,
};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A secret that a rule names.
    Secret,
    /// A token that was given for one.
    Token,
}

/// The values, of each source the latest used last.
#[derive(Default)]
pub(crate) struct Searched {
    secrets: VecDeque<Secret>,
    tokens: VecDeque<Secret>,
    /// Names of secrets whose values are there, used or not.
    pub(crate) known: BTreeSet<String>,
    patterns: Option<Patterns>,
}

impl Searched {
    /// Has a value searched for from now on.
    pub(crate) fn hide(&mut self, value: &Secret, source: Source) {
        let (values, most) = match source {
            Source::Secret => (&mut self.secrets, SEARCHED),
            Source::Token => (&mut self.tokens, TOKENS),
        };
        if let Some(at) = values.iter().position(|v| v == value) {
            // Moved to the end: the first one, longest unused, is the next to be forgotten.
            if let Some(kept) = values.remove(at) {
                values.push_back(kept);
            }
            return;
        }
        if values.len() == most {
            values.pop_front();
        }
        values.push_back(value.clone());
        self.patterns = Patterns::new(self.secrets.iter().chain(&self.tokens));
    }

    /// What is searched for, if anything.
    pub(crate) fn patterns(&self) -> Option<Patterns> {
        self.patterns.clone()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn no_number_of_tokens_has_a_secret_forgotten() {
        let mut searched = Searched::default();
        searched.hide(&Secret::new("the-secret-0123456789"), Source::Secret);
        for n in 0..3 * SEARCHED {
            searched.hide(&Secret::new(format!("token-{n}-abcdefghijkl")), Source::Token);
        }
        let masked = |text: String| searched.patterns().unwrap().mask(text.as_bytes()).1 > 0;
        assert!(masked("the-secret-0123456789".into()));
        assert!(masked(format!("token-{}-abcdefghijkl", 3 * SEARCHED - 1)));
        assert_eq!(searched.tokens.len(), TOKENS);
    }
}
