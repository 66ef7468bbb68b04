//! What a client may not bring along: fields of the hop, credentials of its own, and fields by which some servers take a request
//! for another one than its head says.

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
    "authentication",
    "authorization",
    "circle-token",
    "cookie",
    "deploy-token",
    "fastly-key",
    "job-token",
    "ocp-apim-subscription-key",
    "private-token",
    "x-amz-security-token",
    "x-auth-email",
    "x-functions-key",
    "x-gitlab-token",
    "x-rapidapi-key",
    "x-vault-token",
];

/// Parts of names that only fields with credentials have.
const CREDENTIAL_PARTS: &[&str] =
    &["access-key", "access-token", "api-key", "apikey", "auth-key", "auth-token", "authorization"];

/// Fields that name another method, path, host or sender than the request has. Rules judge the request, so nothing may say otherwise
/// behind it.
const OVERRIDES: &[&str] = &[
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-rewrite-url",
];

/// Beginnings of such fields' names.
const OVERRIDE_PREFIXES: &[&str] = &["x-forwarded", "x-original-"];

/// A field's name as servers read it that make variables of names: `_` is `-` to them.
pub(crate) fn plain_name(name: &HeaderName) -> String {
    name.as_str().replace('_', "-")
}

/// Whether a field ends at the proxy.
pub(crate) fn is_hop(name: &HeaderName) -> bool {
    HOP.contains(&name.as_str())
}

/// Whether a field of that plain name carries credentials.
pub(crate) fn is_credential(plain: &str) -> bool {
    CREDENTIALS.contains(&plain) || CREDENTIAL_PARTS.iter().any(|part| plain.contains(part))
}

/// Whether a field of that plain name says something else than the request.
pub(crate) fn is_override(plain: &str) -> bool {
    OVERRIDES.contains(&plain) || OVERRIDE_PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
}

/// Whether HTTP itself reads a field, so that no secret may go there.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    is_hop(name) || ["content-length", "content-encoding", "content-type", "host", "range"].contains(&name.as_str())
}
