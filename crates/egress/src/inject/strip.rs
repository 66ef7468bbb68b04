//! What a client may not bring along: fields of the hop, and credentials of its own.

use http::HeaderName;

/// Fields that belong to one connection (RFC 9110 section 7.6.1), or to the proxy.
const HOP: &[&str] = &[
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields in which credentials are sent. An agent that was talked into it could otherwise carry data to somebody else's
/// account at a host that it may reach.
const CREDENTIALS: &[&str] = &[
    "api-key",
    "authorization",
    "cookie",
    "private-token",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-goog-api-key",
];

/// Whether a field ends at the proxy.
pub(crate) fn is_hop(name: &HeaderName) -> bool {
    HOP.contains(&name.as_str())
}

/// Fields that carry the client's own credentials.
pub(crate) fn own_credentials() -> impl Iterator<Item = HeaderName> {
    CREDENTIALS.iter().map(|name| HeaderName::from_static(name))
}

/// Whether HTTP itself reads a field, so that no secret may go there.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    is_hop(name) || ["content-length", "content-encoding", "content-type", "host", "range"].contains(&name.as_str())
}
