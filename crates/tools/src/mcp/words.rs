//! What servers say, in words for a model or an operator.

use rmcp::{
    model::{ContentBlock, ErrorCode, ResourceContents},
    service::{ClientInitializeError, ServiceError},
};

use crate::{secret::Secret, text};

/// A piece of a result as the model reads it.
pub(super) fn block(content: &ContentBlock) -> String {
    match content {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image {}, {} bytes as base64]", image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => format!("[audio {}, {} bytes as base64]", audio.mime_type, audio.data.len()),
        ContentBlock::ResourceLink(link) => format!("[resource {}]", link.uri),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            _ => "[a binary resource]".into(),
        },
        _ => "[content of an unknown kind]".into(),
    }
}

/// Whether an error says that the request was not even begun (JSON-RPC 2.0 section 5.1). An internal error says nothing
/// about what happened before it.
pub(super) fn is_refusal(code: ErrorCode) -> bool {
    [ErrorCode::PARSE_ERROR, ErrorCode::INVALID_REQUEST, ErrorCode::METHOD_NOT_FOUND, ErrorCode::INVALID_PARAMS]
        .contains(&code)
}

pub(super) fn words(e: &ServiceError) -> String {
    match e {
        ServiceError::TransportClosed | ServiceError::TransportSend(_) | ServiceError::Cancelled { .. } => {
            "it ended, or closed the connection, before it answered".into()
        }
        ServiceError::McpError(e) => format!("it answered: {}", text::ellipsis(&e.message, 500)),
        other => text::ellipsis(&other.to_string(), 500),
    }
}

pub(super) fn greeting_error(e: &ClientInitializeError) -> String {
    match e {
        ClientInitializeError::JsonRpcError(e) => {
            format!("it refused the handshake: {}", text::ellipsis(&e.message, 500))
        }
        ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => {
            "it ended before the handshake was done".into()
        }
        other => format!("the handshake failed: {}", text::ellipsis(&other.to_string(), 500)),
    }
}

pub(super) fn redact(secrets: &[Secret], text: String) -> String {
    secrets.iter().fold(text, |text, secret| secret.redact(text))
}
