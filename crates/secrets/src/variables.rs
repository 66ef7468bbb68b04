//! Secrets in variables of the environment: those that are listed, and those that begin with a prefix. Never all: an environment
//! holds more than secrets, and what it holds is not each agent's.

use std::collections::BTreeSet;

use stead_ports::secret::Secret;

use crate::rules::is_name;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    listed: BTreeSet<String>,
    prefix: Option<String>,
}

impl Variables {
    /// The variables of these names, which are their secrets' names too; and with a prefix those whose names begin with it: what
    /// follows it is the secret's name.
    pub fn new(listed: BTreeSet<String>, prefix: Option<String>) -> Self {
        Self { listed, prefix: prefix.filter(|p| !p.is_empty()) }
    }

    /// Whether there can be none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.prefix.is_none()
    }

    /// Names of secrets that are set, in order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let mut out: BTreeSet<String> = self.listed.iter().filter(|name| set(name).is_some()).cloned().collect();
        if let Some(prefix) = &self.prefix {
            let all = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            let begun = all.filter_map(|name| name.strip_prefix(prefix.as_str()).map(str::to_owned));
            out.extend(begun.filter(|name| is_name(name) && set(&format!("{prefix}{name}")).is_some()));
        }
        out.into_iter()
    }

    /// The value of that name; a listed variable counts before one with the prefix.
    pub fn value(&self, name: &str) -> Option<Secret> {
        let listed = self.listed.contains(name).then(|| set(name)).flatten();
        listed.or_else(|| self.prefix.as_ref().and_then(|prefix| set(&format!("{prefix}{name}"))))
    }
}

/// An empty variable is none.
fn set(variable: &str) -> Option<Secret> {
    std::env::var(variable).ok().filter(|value| !value.trim().is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_or_has_the_prefix_is_a_secret() {
        // Variables that every test run has; none is set here, which other threads would see.
        let none = Variables::default();
        assert!(none.is_empty() && none.value("PATH").is_none() && none.names().next().is_none());
        let listed = Variables::new(BTreeSet::from(["PATH".to_owned(), "STEAD_NOT_THERE".to_owned()]), None);
        assert_eq!(listed.names().collect::<Vec<_>>(), ["PATH"]);
        assert!(listed.value("PATH").is_some() && listed.value("STEAD_NOT_THERE").is_none());
        assert!(listed.value("CARGO_MANIFEST_DIR").is_none());
        let prefixed = Variables::new(BTreeSet::new(), Some("CARGO_MANIFEST_".into()));
        assert!(prefixed.names().any(|name| name == "DIR"));
        assert!(prefixed.value("DIR").is_some() && prefixed.value("PATH").is_none());
        assert!(Variables::new(BTreeSet::new(), Some(String::new())).is_empty(), "no prefix is not all");
    }
}
