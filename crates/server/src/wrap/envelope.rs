//! What a line is: a request, a notification, or an answer (JSON-RPC 2.0, sections 4 and 5).
//!
//! Read strictly, because what is taken for harmless here is passed to a server that may read it otherwise: a line with a
//! name twice, a batch, or anything that is not one message is refused, not passed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Most bytes of one message, from either side.
pub(super) const MAX_MESSAGE: usize = 8 << 20;
/// Most bytes of a request's id.
const MAX_ID: usize = 1_024;

/// A message, as far as the door needs to know it.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) jsonrpc: Cow<'a, str>,
    /// Its exact text, by which answers are told apart.
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Notification,
    Answer,
}

impl<'a> Envelope<'a> {
    /// Reads a line.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let envelope: Self = serde_json::from_str(text).map_err(|e| format!("it is no message: {e}"))?;
        if envelope.jsonrpc != "2.0" {
            return Err("it is not JSON-RPC 2.0".into());
        }
        if envelope.id.is_some_and(|id| id.get().len() > MAX_ID) {
            return Err(format!("its id has more than {MAX_ID} bytes"));
        }
        Ok(envelope)
    }

    pub(super) fn kind(&self) -> Kind {
        match (&self.method, self.id) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
            (None, _) => Kind::Answer,
        }
    }

    /// The id as a key.
    pub(super) fn key(&self) -> Option<Id> {
        self.id.map(|id| Id(id.get().into()))
    }

    pub(super) fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }
}

/// A request's id, as its JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) Box<str>);

/// The parameters of `tools/call` (MCP, "Tools", "Calling Tools"). Others are passed as they came.
#[derive(Debug, Deserialize)]
pub(super) struct CallParams {
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: Option<Box<RawValue>>,
    #[serde(default, rename = "_meta")]
    pub(super) meta: Option<Box<RawValue>>,
    #[serde(flatten)]
    pub(super) others: serde_json::Map<String, serde_json::Value>,
}

/// The parameters of `notifications/cancelled`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelParams {
    #[serde(default)]
    pub(super) request_id: Option<Box<RawValue>>,
}

/// An answer that tells of an error (JSON-RPC 2.0, section 5.1).
pub(super) fn error_line(id: Option<&Id>, code: i64, message: &str) -> Vec<u8> {
    let id = id.map_or("null", |id| &id.0);
    let message = serde_json::Value::from(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#).into_bytes()
}

/// A tool's result that tells of an error, for the model to read (MCP, "Tools", "Error Handling").
pub(super) fn tool_error_line(id: &Id, text: &str) -> Vec<u8> {
    let text = serde_json::Value::from(text);
    let id = &id.0;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_no_message() {
        for line in [
            r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call"}]"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"tools/call"}"#,
            r#"{"id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
            "tools/call",
        ] {
            assert!(Envelope::read(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Envelope::read(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn a_method_is_read_through_its_escapes() {
        let line = br#"{"jsonrpc":"2.0","id":"a\u002fb","method":"tools\/c\u0061ll"}"#;
        let envelope = Envelope::read(line).unwrap();
        assert!(envelope.is("tools/call") && envelope.kind() == Kind::Request);
    }
}
