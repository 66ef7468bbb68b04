//! OpenAI Chat Completions, as `platform.openai.com/docs/api-reference/chat-streaming` frames it. What is peculiar to it
//! is tested in [`super::openai`].

use serde_json::{Value, json};
use stead_core::budget::Usage;
use stead_models::{
    http::Http,
    openai::{Dialect, OpenAi},
    secret::Secret,
    settings::Settings,
    wire::Bounds,
};
use stead_ports::model::Model;

use super::{
    common::KEY,
    face::{End, Face, quoted},
};

pub(crate) struct Chat;

fn delta(delta: &str) -> String {
    format!(r#"{{"model":"m-1","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

impl Face for Chat {
    fn model(&self, url: &str, name: &str, settings: Settings, bounds: Bounds) -> Box<dyn Model> {
        // The dialect of servers that want reasoning back, so that this promise is kept here too.
        let dialect = Dialect { settings, echo_reasoning: true, ..Dialect::default() };
        let http = Http::new().unwrap();
        Box::new(OpenAi::new(name, url, name, Some(Secret::new(KEY)), dialect, bounds, &http).unwrap())
    }

    fn begin(&self) -> Vec<String> {
        vec![delta(r#"{"role":"assistant","content":""}"#)]
    }

    fn text(&self, _: usize, pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|p| delta(&format!(r#"{{"content":{}}}"#, quoted(p)))).collect()
    }

    fn call(&self, at: usize, id: &str, name: &str, pieces: &[&str]) -> Vec<String> {
        let head = format!(
            r#"{{"tool_calls":[{{"index":{at},"id":{},"type":"function","function":{{"name":{},"arguments":""}}}}]}}"#,
            quoted(id),
            quoted(name)
        );
        let piece = |p: &&str| {
            let arguments = quoted(p);
            delta(&format!(r#"{{"tool_calls":[{{"index":{at},"function":{{"arguments":{arguments}}}}}]}}"#))
        };
        std::iter::once(delta(&head)).chain(pieces.iter().map(piece)).collect()
    }

    fn reasoning(&self, _: usize) -> Option<(Vec<String>, String)> {
        let frames =
            ["so \"it", "\" is", " \u{1F4A1}"].map(|p| delta(&format!(r#"{{"reasoning_content":{}}}"#, quoted(p))));
        let sent = format!(r#""reasoning_content":{}"#, quoted("so \"it\" is \u{1F4A1}"));
        Some((frames.to_vec(), sent))
    }

    fn end(&self, end: End) -> Vec<String> {
        let reason = match end {
            End::Done => "stop",
            End::Calls => "tool_calls",
            End::Length => "length",
            End::Filtered => "content_filter",
        };
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 20, "completion_tokens": 9,
            "prompt_tokens_details": { "cached_tokens": 16, "cache_write_tokens": 3 }, "completion_tokens_details": { "reasoning_tokens": 4 } } });
        vec![
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }).to_string(),
            usage.to_string(),
            "[DONE]".to_owned(),
        ]
    }

    fn usage(&self) -> Usage {
        Usage { input: 20, cached: 16, output: 9, reasoning: 4, cache_write: 3 }
    }

    fn overloaded(&self) -> String {
        json!({ "error": { "message": "busy", "type": "server_error", "code": 503 } }).to_string()
    }

    fn nonsense(&self) -> Vec<String> {
        vec![
            r#"{"choices":[{"delta":{"tool_calls":"x"}}]}"#.to_owned(),
            r#"{"choices":[{"index":1,"delta":{}}]}"#.to_owned(),
            r#"{"choices":[{"delta":{"content":7}}]}"#.to_owned(),
        ]
    }

    fn schema_at(&self) -> &'static str {
        "/response_format/json_schema/schema"
    }

    fn schema_sent(&self, schema: &Value) -> Value {
        schema.clone()
    }
}
