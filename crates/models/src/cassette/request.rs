//! What a model was asked, as a cassette keeps it: digests of its parts, equal for equal calls whatever the wire, and the
//! beginning of each message, so that a difference can be told in words.
//!
//! Names that providers give to calls, opaque reasoning items and counts of tokens are no part of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stead_core::message::{Image, Message};
use stead_ports::model::ModelCall;

/// Characters of a message that are kept in the open.
const PREVIEW: usize = 80;
/// Differences that are told at once.
const MAX_TOLD: usize = 6;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// SHA-256 of all of it.
    pub digest: String,
    /// Digest of the instructions.
    pub instructions: String,
    /// Digest of the answer's schema, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Most tokens of the reply.
    pub max_output_tokens: u64,
    /// The tools, by name.
    pub tools: Vec<Part>,
    /// So many messages are those of the exchange before; they are left out of `messages`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: usize,
    /// The messages, oldest first; those that a later request keeps are shared with it.
    pub messages: Vec<Arc<Part>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The tool's name, or who speaks: `user`, `assistant` or the tool whose result it is.
    pub name: String,
    /// Digest of it.
    pub digest: String,
    /// Its beginning.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub begins: String,
}

impl Request {
    /// What a call asks.
    pub fn of(call: &ModelCall) -> Self {
        let tools = call.tools.iter().map(|t| {
            let digest = short_digest(&json!([t.name, t.description, t.schema]));
            Part { name: t.name.clone(), digest, begins: String::new() }
        });
        let mut request = Self {
            digest: String::new(),
            instructions: short_digest(&json!(&*call.instructions)),
            output: call.output.as_ref().map(|o| short_digest(&o.schema)),
            max_output_tokens: call.max_output_tokens,
            tools: tools.collect(),
            kept: 0,
            messages: call.messages.iter().map(|m| Arc::new(part(m))).collect(),
        };
        request.digest = request.whole();
        request
    }

    /// The digest of all parts.
    fn whole(&self) -> String {
        let tools: Vec<&str> = self.tools.iter().map(|p| &*p.digest).collect();
        let messages: Vec<&str> = self.messages.iter().map(|p| &*p.digest).collect();
        let all = json!(["stead/request/v1", self.instructions, self.output, self.max_output_tokens, tools, messages]);
        hex(&Sha256::digest(all.to_string()))
    }

    /// Leaves out the messages at the beginning that are those of the request before.
    pub(super) fn shorten(&mut self, before: &Self) {
        self.kept = self.messages.iter().zip(&before.messages).take_while(|(a, b)| a == b).count();
        self.messages.drain(..self.kept);
    }

    /// Puts them in again.
    pub(super) fn complete(&mut self, before: Option<&Self>) -> Result<(), String> {
        if self.kept > 0 {
            let kept = before.and_then(|b| b.messages.get(..self.kept));
            let mut messages = kept.ok_or("it keeps messages of an exchange that has fewer")?.to_vec();
            messages.append(&mut self.messages);
            (self.messages, self.kept) = (messages, 0);
        }
        if self.whole() == self.digest { Ok(()) } else { Err("its digest is not that of its parts".to_owned()) }
    }

    /// What differs between a recorded request and one of now, in words.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut out = Vec::new();
        if self.instructions != now.instructions {
            out.push("the instructions are others".to_owned());
        }
        if self.output != now.output {
            out.push("the schema of the answer is another".to_owned());
        }
        if self.max_output_tokens != now.max_output_tokens {
            let (then, now) = (self.max_output_tokens, now.max_output_tokens);
            out.push(format!("max_output_tokens: recorded {then}, now {now}"));
        }
        for tool in &self.tools {
            match now.tools.iter().find(|t| t.name == tool.name) {
                None => out.push(format!("the tool `{}` is gone", tool.name)),
                Some(found) if found.digest != tool.digest => {
                    out.push(format!("the tool `{}` is described otherwise", tool.name));
                }
                Some(_) => {}
            }
        }
        let new = now.tools.iter().filter(|t| !self.tools.iter().any(|then| then.name == t.name));
        out.extend(new.map(|t| format!("the tool `{}` is new", t.name)));
        for (n, (then, now)) in self.messages.iter().zip(&now.messages).enumerate() {
            if then.digest != now.digest {
                out.push(format!(
                    "message {}: recorded {} `{}`, now {} `{}`",
                    n + 1,
                    then.name,
                    then.begins,
                    now.name,
                    now.begins
                ));
            }
        }
        if self.messages.len() != now.messages.len() {
            out.push(format!("recorded {} messages, now {}", self.messages.len(), now.messages.len()));
        }
        out.truncate(MAX_TOLD);
        out
    }
}

fn part(message: &Message) -> Part {
    let (name, begins, value) = match message {
        Message::User { text, images } if images.is_empty() => ("user".to_owned(), text.clone(), json!(["user", text])),
        Message::User { text, images } => ("user".to_owned(), text.clone(), json!(["user", text, pictures(images)])),
        Message::Assistant(reply) => {
            let calls: Vec<Value> = reply.calls.iter().map(|c| json!([c.name, c.arguments.get()])).collect();
            // Its words stand in the exchange that made it, and there without a key that a provider repeated.
            let named: Vec<&str> = reply.calls.iter().map(|c| c.name.as_str()).collect();
            ("assistant".to_owned(), named.join(", "), json!(["assistant", reply.text, calls]))
        }
        Message::Tool(result) => {
            let mut value = vec![json!("tool"), json!(result.name), json!(result.content), json!(result.error)];
            if !result.images.is_empty() {
                value.push(pictures(&result.images));
            }
            (result.name.clone(), result.content.clone(), value.into())
        }
    };
    let begins = begins.trim().chars().take(PREVIEW).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Part { name, digest: short_digest(&value), begins }
}

fn pictures(images: &[Image]) -> Value {
    images.iter().map(|i| json!([i.media.as_str(), hex(&Sha256::digest(&i.content))])).collect()
}

/// The first 16 bytes of the SHA-256 of canonical JSON: no white space, and the keys of mappings sorted.
fn short_digest(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    hex(&Sha256::digest(value.to_string())[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::value::RawValue;
    use stead_core::{
        budget::Usage,
        id::RunId,
        message::{OutputSchema, Reply, ToolCall, ToolDef, ToolResult},
    };

    use super::*;

    fn reply(id: &str) -> Reply {
        let arguments = RawValue::from_string(r#"{"b": 1, "a": 2}"#.into()).unwrap();
        let calls = vec![ToolCall { id: id.into(), name: "pay".into(), arguments }];
        Reply { text: "Grüße".into(), calls, ..Reply::default() }
    }

    fn call() -> ModelCall {
        let result = ToolResult {
            call_id: "c1".into(),
            name: "pay".into(),
            content: "ok".into(),
            error: false,
            images: Vec::new(),
        };
        // The keys in an order that is not theirs.
        let schema = serde_json::from_str(r#"{"type":"object","properties":{"b":{},"a":{"type":"number"}}}"#).unwrap();
        ModelCall {
            run: RunId(1),
            turn: 2,
            attempt: 1,
            instructions: "Be brief.".into(),
            messages: vec![
                Arc::new(Message::user("hi")),
                Arc::new(Message::Assistant(reply("c1"))),
                Arc::new(Message::Tool(result)),
            ],
            tools: Arc::new([ToolDef { name: "pay".into(), description: "Pays.".into(), schema }]),
            output: None,
            max_output_tokens: 77,
            raw: None,
            begun: None,
        }
    }

    fn digest(call: &ModelCall) -> String {
        Request::of(call).digest
    }

    #[test]
    fn the_digest_of_a_request_is_the_same_in_every_release() {
        // Another value here makes every cassette that exists unplayable.
        let pinned = "654ad0801d4a8da6704fd76350a2bc13dee18e723adcc14e63d7c4d9438f772a";
        assert_eq!(digest(&call()), pinned);
    }

    #[test]
    fn the_digest_is_of_what_is_asked_and_of_nothing_else() {
        let same = ModelCall { run: RunId(9), turn: 7, attempt: 3, ..call() };
        assert_eq!(digest(&same), digest(&call()), "the place of a call is no part of it");
        let mut same = call();
        let made = Reply {
            reasoning: vec!["opaque".into()],
            usage: Usage { input: 5, ..Usage::default() },
            model: "m-2".into(),
            ..reply("another id")
        };
        same.messages[1] = Arc::new(Message::Assistant(made));
        assert_eq!(digest(&same), digest(&call()), "what a provider adds of its own is no part of it");

        let said = |n: usize, message: Message| {
            let mut call = call();
            call.messages[n] = Arc::new(message);
            call
        };
        let tool = |change: fn(&mut ToolDef)| {
            let mut tools = call().tools.to_vec();
            change(&mut tools[0]);
            ModelCall { tools: tools.into(), ..call() }
        };
        let told = |content: &str, error| {
            let (call_id, name, content) = ("c1".into(), "pay".into(), content.into());
            Message::Tool(ToolResult { call_id, name, content, error, images: Vec::new() })
        };
        let output = OutputSchema { name: "o".into(), schema: json!({ "type": "object" }) };
        let others = [
            ModelCall { instructions: "Be long.".into(), ..call() },
            ModelCall { max_output_tokens: 78, ..call() },
            ModelCall { output: Some(Arc::new(output)), ..call() },
            ModelCall { tools: Arc::new([]), ..call() },
            tool(|t| t.name = "paid".into()),
            tool(|t| t.description = "Pays twice.".into()),
            tool(|t| t.schema = json!({})),
            said(0, Message::user("ho")),
            said(1, Message::Assistant(Reply { text: "Gruß".into(), ..reply("c1") })),
            said(1, Message::Assistant(Reply { calls: Vec::new(), ..reply("c1") })),
            said(2, told("not ok", false)),
            said(2, told("ok", true)),
            ModelCall { messages: call().messages[..2].to_vec(), ..call() },
        ];
        let digests: std::collections::BTreeSet<String> = others.iter().map(digest).chain([digest(&call())]).collect();
        assert_eq!(digests.len(), others.len() + 1, "two different requests have one digest");
    }
}
