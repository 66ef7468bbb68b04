//! What the logs of a server are called. A log's origin is the name of its key, and stands in each of its leaves and checkpoints.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::key::{BadKey, is_name};

/// Bytes of a tenant's name in an origin; what is longer stands there as its digest.
const MAX_TENANT: usize = 96;
/// Bytes of what a server is called.
pub const MAX_BASE: usize = 96;

/// The origin of a log: of a tenant, or without one that of the operators. `epoch` is 1, and one more after each restore from a backup: what
/// the journal had lost then would otherwise be a fork.
///
/// # Errors
/// [`BadKey::Name`] when `base` is no name, or a long one.
pub fn of(base: &str, tenant: Option<&str>, epoch: u32) -> Result<String, BadKey> {
    if base.len() > MAX_BASE || !is_name(base) {
        return Err(BadKey::Name);
    }
    let mut origin = match tenant {
        Some(tenant) => format!("{base}/tenant/{}", escaped(tenant)),
        None => format!("{base}/operators"),
    };
    if epoch > 1 {
        write!(origin, "/epoch/{epoch}").expect("writing to memory");
    }
    if is_name(&origin) { Ok(origin) } else { Err(BadKey::Name) }
}

/// A tenant's name of letters, digits, `-`, `_` and `.`; other bytes as `%` and two digits. A long one is `%` and its digest: no name
/// is written like that.
pub(crate) fn escaped(tenant: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let mut out = String::new();
    for b in tenant.bytes() {
        if plain(b) {
            out.push(char::from(b))
        } else {
            write!(out, "%{b:02x}").expect("writing to memory")
        }
        if out.len() > MAX_TENANT {
            let digest = Sha256::digest(tenant.as_bytes());
            return digest.iter().fold("%sha256.".to_owned(), |out, b| format!("{out}{b:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_logs_are_called_alike_and_all_can_sign() {
        let long = "x".repeat(300);
        let tenants =
            ["acme", "a b", "a%20b", "a+b", "ä", "", "operators", "acme/epoch/2", &long, &long[1..], "%sha256.00"];
        let mut names = BTreeSet::new();
        for epoch in 1..4 {
            for tenant in tenants.map(Some).into_iter().chain([None]) {
                let origin = of("stead.example", tenant, epoch).unwrap();
                assert!(is_name(&origin) && names.insert(origin));
            }
        }
        assert_eq!(names.len(), 3 * (tenants.len() + 1));
        assert_eq!(of("stead.example", Some("acme"), 1).unwrap(), "stead.example/tenant/acme");
        assert_eq!(of("stead.example", None, 2).unwrap(), "stead.example/operators/epoch/2");
        assert!(of("a b", None, 1).is_err() && of(&"x".repeat(97), None, 1).is_err());
    }
}
