//! What servers say, in words for a model or an operator.

use rmcp::{
    model::ErrorCode,
    service::{ClientInitializeError, ServiceError},
};

use crate::{secret::Secret, text};

/// Whether an error says that the request was not even begun (JSON-RPC 2.0 section 5.1). An internal error says nothing
/// about what happened before it.
pub(super) fn is_refusal(code: ErrorCode) -> bool {
    [ErrorCode::PARSE_ERROR, ErrorCode::INVALID_REQUEST, ErrorCode::METHOD_NOT_FOUND, ErrorCode::INVALID_PARAMS]
        .contains(&code)
}

pub(super) fn words(secrets: &[Secret], e: &ServiceError) -> String {
    match e {
        ServiceError::TransportClosed | ServiceError::TransportSend(_) | ServiceError::Cancelled { .. } => {
            "it ended, or closed the connection, before it answered".into()
        }
        ServiceError::McpError(e) => format!("it answered: {}", excerpt(secrets, &e.message, 500)),
        other => excerpt(secrets, &other.to_string(), 500),
    }
}

pub(super) fn greeting_error(secrets: &[Secret], e: &ClientInitializeError) -> String {
    match e {
        ClientInitializeError::JsonRpcError(e) => {
            format!("it refused the handshake: {}", excerpt(secrets, &e.message, 500))
        }
        ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => {
            "it ended before the handshake was done".into()
        }
        other => format!("the handshake failed: {}", text::ellipsis(&other.to_string(), 500)),
    }
}

/// The beginning of what a server said. Secrets are blotted out before the cut, so that no part of one is left.
pub(super) fn excerpt(secrets: &[Secret], text: &str, max: usize) -> String {
    text::ellipsis(&redact(secrets, text.to_owned()), max)
}

pub(super) fn redact(secrets: &[Secret], text: String) -> String {
    secrets.iter().fold(text, |text, secret| secret.redact(text))
}
