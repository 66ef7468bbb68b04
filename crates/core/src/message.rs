//! Provider-neutral messages: what goes into a model and comes out of it. Their JSON form is the journal's format
//! for payloads, so a field is never renamed or given another meaning; new ones are optional.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{budget::Usage, id::Name};

/// A tool call as a model wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's own id of the call, echoed back with the result.
    pub id: String,
    /// The tool's full name as it was offered to the model.
    pub name: String,
    /// The arguments: the exact JSON text of the model. These bytes are validated, decided on and dispatched.
    pub arguments: Box<RawValue>,
}

impl PartialEq for ToolCall {
    fn eq(&self, o: &Self) -> bool {
        self.id == o.id && self.name == o.name && self.arguments.get() == o.arguments.get()
    }
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    #[default]
    End,
    /// It wants its tool calls answered.
    ToolCalls,
    /// It ran into the output limit.
    Length,
    /// The provider's content filter cut it.
    Filtered,
    /// It declined to answer.
    Refused,
}

/// A model's completed reply; the payload of `ModelReplied`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The text; empty when there are only calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Tool calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Opaque reasoning items that the provider wants back, byte for byte. Only the model named in `origin` can read
    /// them, and no other is sent them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning: Vec<String>,
    /// The order of reasoning, text and calls, as written; empty when there is no reasoning. See [`Reply::pieces`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layout: Vec<Place>,
    /// Who made the reasoning items: wire, endpoint and model; empty when there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// Why it stopped.
    #[serde(default)]
    pub stop: StopReason,
    /// Tokens, as counted by the provider.
    #[serde(default)]
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
}

/// What stands at one place of a reply. Items are taken in order, so that a place needs no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The next reasoning item.
    Reasoning,
    /// So many more bytes of the text.
    Text(u32),
    /// The next call.
    Call,
}

/// A piece of a reply, in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// An opaque reasoning item.
    Reasoning(&'a str),
    /// Text.
    Text(&'a str),
    /// A tool call.
    Call(&'a ToolCall),
}

impl Reply {
    /// Reasoning, text and calls in the order in which they were written. What the layout leaves out follows, as
    /// reasoning, then text, then calls; what it names too much is passed over.
    pub fn pieces(&self) -> Vec<Piece<'_>> {
        let (mut reasoning, mut calls, mut text) = (self.reasoning.iter(), self.calls.iter(), self.text.as_str());
        let mut out = Vec::with_capacity(self.layout.len() + 2);
        for place in &self.layout {
            match place {
                Place::Reasoning => out.extend(reasoning.next().map(|r| Piece::Reasoning(r))),
                Place::Call => out.extend(calls.next().map(Piece::Call)),
                Place::Text(bytes) => {
                    let (head, rest) = text.split_at(text.floor_char_boundary(*bytes as usize));
                    text = rest;
                    out.push(Piece::Text(head));
                }
            }
        }
        out.extend(reasoning.map(|r| Piece::Reasoning(r)));
        out.push(Piece::Text(text));
        out.extend(calls.map(Piece::Call));
        out.retain(|p| *p != Piece::Text(""));
        out
    }
}

/// What the model is told about one tool call; the payload of an effect's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The text the model reads: JSON or prose.
    pub content: String,
    /// Whether this tells of an error, a refusal or an unknown outcome.
    #[serde(default)]
    pub error: bool,
    /// Pictures that the tool returned, for models that see.
    #[serde(skip)]
    pub images: Vec<Image>,
}

/// One message of a model request, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What a user, another agent or the runtime itself says to the model.
    User {
        /// The text.
        text: String,
        /// Pictures that go with it, for models that see.
        #[serde(skip)]
        images: Vec<Image>,
    },
    /// What the model said earlier.
    Assistant(Reply),
    /// The answer to one of its calls.
    Tool(ToolResult),
}

/// A picture for a model.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Its media type, such as `image/png`.
    pub media: Name,
    /// Its bytes.
    pub content: Bytes,
}

/// Without the bytes.
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("media", &self.media).field("bytes", &self.content.len()).finish()
    }
}

/// A tool as offered to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolDef {
    /// Full name: `<tool>` or `<tool>_<operation>`, of `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments (an object schema).
    pub schema: serde_json::Value,
}

impl Message {
    /// What a user says, without pictures.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), images: Vec::new() }
    }
}

/// What a model's final answer must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// A name for it, of `[a-zA-Z0-9_-]{1,64}`; some providers want one.
    pub name: String,
    /// JSON Schema of the answer.
    pub schema: serde_json::Value,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn reply(layout: Vec<Place>) -> Reply {
        let call = |id: &str| ToolCall {
            id: id.into(),
            name: "t".into(),
            arguments: RawValue::from_string("{}".into()).unwrap(),
        };
        Reply {
            text: "Grüße!".into(),
            calls: vec![call("a"), call("b")],
            reasoning: vec!["r1".into(), "r2".into()],
            layout,
            ..Reply::default()
        }
    }

    fn told(reply: &Reply) -> Vec<String> {
        let word = |p: &Piece<'_>| match *p {
            Piece::Reasoning(r) => r.to_owned(),
            Piece::Text(t) => t.to_owned(),
            Piece::Call(c) => c.id.clone(),
        };
        reply.pieces().iter().map(word).collect()
    }

    #[test]
    fn pieces_come_in_the_order_in_which_they_were_written() {
        use Place::{Call, Reasoning, Text};
        let whole = reply(vec![Reasoning, Text(4), Call, Reasoning, Text(4), Call]);
        assert_eq!(told(&whole), ["r1", "Grü", "a", "r2", "ße!", "b"]);
        assert_eq!(told(&reply(vec![])), ["r1", "r2", "Grüße!", "a", "b"]);
        // A layout that does not fit loses nothing, and cuts no character.
        assert_eq!(told(&reply(vec![Call, Call, Call, Text(3)])), ["a", "b", "Gr", "r1", "r2", "üße!"]);
        assert_eq!(told(&reply(vec![Text(999), Reasoning])), ["Grüße!", "r1", "r2", "a", "b"]);
    }

    #[test]
    fn a_reply_of_an_older_record_is_read_and_one_without_reasoning_is_written_as_before() {
        let old = r#"{"text":"hi","stop":"end","usage":{"input":1,"cached":0,"output":1,"reasoning":0},"model":"m"}"#;
        let reply: Reply = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&reply).unwrap(), old);
        let layout = serde_json::to_string(&[Place::Reasoning, Place::Text(7), Place::Call]).unwrap();
        assert_eq!(layout, r#"["reasoning",{"text":7},"call"]"#);
    }
}
