//! A host's name in one form only. What could be read as another host, or as an address, is none.

use std::fmt;

use stead_core::code;

use crate::error::Refusal;

/// A DNS name: lower-case ASCII, at least one label, no dot behind it (RFC 1035 section 2.3.4 for its bounds).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Takes a name as a client or a rule writes it.
    ///
    /// # Errors
    /// `ST0252` for an address in any notation, a user, a port, a dot behind the name, and letters beyond ASCII (which are
    /// written `xn--…`).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = |what: &str| {
            let shown: String = text.chars().take(80).collect();
            Err(Refusal::new(
                code::EGRESS_HOST,
                format!("the host {shown:?} {what}"),
                "ask for the host by the DNS name that a rule allows, and by nothing else",
            ))
        };
        if text.contains('@') {
            return wrong("has a user before it");
        }
        if text.starts_with('[') || text.contains(':') {
            return wrong("is an address, not a name");
        }
        if text.ends_with('.') {
            return wrong("ends with a dot");
        }
        if text.is_empty() || text.len() > 253 {
            return wrong("is no name: it has 1 to 253 bytes");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return wrong("has other characters than letters, digits, `-`, `_` and `.`");
        }
        let sound = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
        if !text.split('.').all(sound) {
            return wrong("has a label that is empty, too long, or has `-` at its end");
        }
        let name = text.to_ascii_lowercase();
        // As the WHATWG URL standard tells an IPv4 address: its last label is a number, `127.1` and `0x7f.1` included.
        let last = name.rsplit('.').next().unwrap_or_default();
        let hex = last.strip_prefix("0x").is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return wrong("is an address, not a name");
        }
        Ok(Self(name))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has more than one label.
    pub(crate) fn has_dot(&self) -> bool {
        self.0.contains('.')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rule names: one host, or all below a suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// That name.
    Exact(Name),
    /// Names with at least one label more in front: `*.example.com` is not `example.com`.
    Below(Name),
}

impl HostPattern {
    /// `api.example.com` or `*.example.com`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let hint = "write a DNS name, `api.example.com`, or `*.` and one with at least two labels, `*.example.com`";
        let name = |text: &str| Name::parse(text).map_err(|e| Refusal::rule(format!("egress: {}", e.detail), hint));
        match text.strip_prefix("*.") {
            None => name(text).map(Self::Exact),
            Some(rest) => match name(rest)? {
                suffix if suffix.has_dot() => Ok(Self::Below(suffix)),
                _ => Err(Refusal::rule(format!("egress: `{text}` would allow a whole top-level domain"), hint)),
            },
        }
    }

    pub(crate) fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Exact(own) => own == name,
            Self::Below(suffix) => name.0.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => fmt::Display::fmt(name, f),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_not_plainly_a_name_is_none() {
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "user@a.b",
            "a.b:443",
            "[::1]",
            "::1",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "1.2.3.0x",
            "a.b.5",
            "a b",
            "a/b",
            "a%2eb",
            "a\\b",
            "a#b",
            "a?b",
            "exämple.com",
            "①.com",
            "a。b",
            "a\0b",
        ] {
            let error = Name::parse(text).expect_err(text);
            assert_eq!(error.code, code::EGRESS_HOST, "{text}");
        }
        assert!(Name::parse(&"a".repeat(64)).is_err() && Name::parse(&"a.".repeat(127)).is_err());
        assert_eq!(Name::parse("API.Example.COM").unwrap().as_str(), "api.example.com");
        assert_eq!(Name::parse("xn--bcher-kva.example").unwrap().as_str(), "xn--bcher-kva.example");
    }

    #[test]
    fn a_suffix_is_whole_labels() {
        let below = HostPattern::parse("*.example.com").unwrap();
        for (name, want) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("evilexample.com", false),
            ("a.example.com.evil.net", false),
            ("a.example.org", false),
        ] {
            assert_eq!(below.matches(&Name::parse(name).unwrap()), want, "{name}");
        }
        let exact = HostPattern::parse("example.com").unwrap();
        assert!(exact.matches(&Name::parse("EXAMPLE.com").unwrap()));
        assert!(!exact.matches(&Name::parse("a.example.com").unwrap()));
        for text in ["*", "*.com", "*.", "a.*.com", "*a.example.com", "**.example.com", "10.0.0.1", "*.0.0.1"] {
            assert_eq!(HostPattern::parse(text).expect_err(text).code, code::EGRESS_RULE, "{text}");
        }
    }
}
