//! What a person's consent came to: tokens, and what must be known to renew them.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Seconds before its end from which on a token is renewed; of a short one, half of its life.
const MARGIN: u64 = 60;
/// Most bytes of a token.
const MAX_TOKEN: usize = 16 << 10;

/// A grant. All of it is secret; its `Debug` form shows no token, and tokens are overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The authorization server that gave it; it is shown to no other.
    pub issuer: String,
    /// This client's name there.
    pub client_id: String,
    /// Its secret there, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Where the browser was sent back to: what a dynamically registered client is registered with.
    pub redirect_uri: String,
    /// The token.
    pub access_token: String,
    /// What a new one is got with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// When it was given, in seconds since 1970.
    pub received: u64,
    /// How many seconds it holds, where the server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
    /// What it allows.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl Grant {
    /// Whether its token shall be renewed before it is used.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.lasts.is_some_and(|lasts| {
            let margin = MARGIN.min(lasts / 2).max(1);
            now.saturating_add(margin) >= self.received.saturating_add(lasts)
        })
    }

    /// Whether its token has ended.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.lasts.is_some_and(|lasts| now >= self.received.saturating_add(lasts))
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.client_secret.zeroize();
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Whether a token can stand in a header.
pub(super) fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(lasts: Option<u64>) -> Grant {
        let word = || "x".to_owned();
        Grant {
            issuer: word(),
            client_id: word(),
            client_secret: Some("hunter2".into()),
            redirect_uri: word(),
            access_token: "hunter2".into(),
            refresh_token: Some("hunter2".into()),
            received: 1_000,
            lasts,
            scopes: Vec::new(),
        }
    }

    #[test]
    fn a_token_is_renewed_shortly_before_its_end() {
        let hour = lasting(Some(3_600));
        assert!(!hour.is_due(1_000) && !hour.is_due(4_539) && hour.is_due(4_540) && !hour.is_over(4_599));
        assert!(hour.is_over(4_600));
        let short = lasting(Some(10));
        assert!(!short.is_due(1_004) && short.is_due(1_005), "half of its life is used");
        assert!(!lasting(None).is_due(u64::MAX), "whose end nobody tells is used until it is refused");
        assert!(lasting(Some(u64::MAX)).received > 0 && !lasting(Some(u64::MAX)).is_over(5));
    }

    #[test]
    fn no_token_is_shown() {
        assert!(!format!("{:?}", lasting(None)).contains("hunter2"));
    }
}
