//! The name of a run in the world: a SPIFFE id, `spiffe://TRUST-DOMAIN/tenant/T/agent/A/version/V/run/R` (SPIFFE-ID, sections 2.1 and
//! 2.2). It tells all that a receiver needs to decide by, and nothing secret.

use std::fmt::{self, Write as _};

use stead_core::id::{Name, RunId, VersionId};

/// Longest trust domain, in bytes.
const MAX_DOMAIN: usize = 255;

/// The name under which an installation vouches for its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Takes a trust domain: 1 to 255 of `a-z`, `0-9`, `.`, `-` and `_`.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        ((1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The tenant.
    pub tenant: Name,
    /// The agent.
    pub agent: Name,
    /// Its version.
    pub version: VersionId,
    /// The run.
    pub run: RunId,
}

impl Workload {
    /// Its SPIFFE id. What is no letter, digit, `-` or `_` is written as `.` and two hexadecimal digits, so that no two names are one id.
    pub fn id(&self, domain: &TrustDomain) -> String {
        let Self { tenant, agent, version, run } = self;
        let (tenant, agent) = (segment(tenant), segment(agent));
        // The digest alone: a segment has no colon.
        let version = version.to_string();
        let version = version.rsplit(':').next().unwrap_or_default();
        format!("spiffe://{domain}/tenant/{tenant}/agent/{agent}/version/{version}/run/{run}")
    }
}

pub(crate) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => out.push(char::from(byte)),
            _ => drop(write!(out, ".{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_name_has_an_id_of_its_own_that_spiffe_allows() {
        let domain = TrustDomain::new("stead.example").unwrap();
        let id = |agent: &str| {
            let (version, run) = (VersionId([7; 32]), RunId(1));
            Workload { tenant: "acme".into(), agent: agent.into(), version, run }.id(&domain)
        };
        assert!(id("desk").starts_with("spiffe://stead.example/tenant/acme/agent/desk/version/0707"), "{}", id("desk"));
        let names = ["desk", "desk/mail", "desk.2fmail", "desk.mail", "..", ".", "desk_mail", "désk", "a b"];
        let ids: std::collections::BTreeSet<String> = names.iter().map(|name| id(name)).collect();
        assert_eq!(ids.len(), names.len());
        for id in &ids {
            let path = id.strip_prefix("spiffe://stead.example/").unwrap();
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
            assert!(path.bytes().all(fits) && path.split('/').all(|s| !matches!(s, "" | "." | "..")), "{id}");
            assert_eq!(path.split('/').count(), 8);
        }
        assert!(
            ["", "Stead.example", "a/b", "a b", &"a".repeat(256)].into_iter().all(|d| TrustDomain::new(d).is_none())
        );
    }
}
