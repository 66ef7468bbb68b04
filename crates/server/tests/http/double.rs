//! A model provider on loopback that counts what it is asked, holds its callers to its limits, and can break off in the
//! middle of a reply. It speaks Chat Completions and Anthropic Messages.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Response, Uri, header},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How long the provider thinks, so that calls are under way together.
const THINKS: Duration = Duration::from_millis(4);

/// What the provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Says this.
    Says(&'static str),
    /// Thinks, signs what it thought, and calls the tool `notes_add`.
    Thinks,
    /// Refuses the request as wrong, for good.
    Rejects,
    /// Has had enough, and wants to be asked again after so many milliseconds.
    Refuses(u64),
    /// Says something, and is gone before it is done.
    Dies,
    /// Says something, and ends the stream without an end.
    Stops,
}

/// What the provider allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) concurrent: usize,
    pub(crate) per_second: usize,
}

/// What it has counted.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) replies: u64,
    /// Tokens and micro-dollars of the replies, at one for a token in and two for a token out.
    pub(crate) tokens: u64,
    pub(crate) micro_usd: u64,
    pub(crate) most_at_once: usize,
    pub(crate) most_in_a_second: usize,
    /// What callers did that they must not.
    pub(crate) broken: Vec<String>,
    /// What it was asked, in order.
    pub(crate) seen: Vec<Value>,
    under_way: usize,
    arrivals: VecDeque<Instant>,
    /// By what the user said: how often it was asked, and when it may be asked again.
    asked: HashMap<String, (u32, Option<Instant>)>,
}

/// Decides by what the user said, and how often that was asked before.
type Plan = dyn Fn(&str, u32) -> Does + Send + Sync;

/// See the module.
#[derive(Clone)]
pub(crate) struct Provider {
    /// `host:port`.
    pub(crate) address: String,
    ledger: Arc<Mutex<Ledger>>,
    limits: Option<Limits>,
    plan: Arc<Plan>,
}

impl Provider {
    pub(crate) async fn start(
        limits: Option<Limits>,
        plan: impl Fn(&str, u32) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let provider = Self { address, ledger: Arc::default(), limits, plan: Arc::new(plan) };
        let answers = provider.clone();
        let app = Router::new().fallback(move |uri: Uri, body: Bytes| {
            let provider = answers.clone();
            async move { provider.answer(uri.path(), &body).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    pub(crate) fn ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock().unwrap())
    }

    async fn answer(&self, path: &str, body: &[u8]) -> Response<Body> {
        let request: Value = serde_json::from_slice(body).unwrap();
        let user = said(&request);
        let does = self.arrives(&user);
        self.ledger.lock().unwrap().seen.push(request);
        tokio::time::sleep(THINKS).await;
        self.leaves(&user, does, path.ends_with("/messages"))
    }

    fn arrives(&self, user: &str) -> Does {
        let mut ledger = self.ledger.lock().unwrap();
        let now = Instant::now();
        ledger.requests += 1;
        ledger.under_way += 1;
        ledger.arrivals.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        ledger.arrivals.push_back(now);
        ledger.most_at_once = ledger.most_at_once.max(ledger.under_way);
        ledger.most_in_a_second = ledger.most_in_a_second.max(ledger.arrivals.len());
        if let Some(limits) = self.limits {
            if ledger.under_way > limits.concurrent {
                let broken = format!("{} at once", ledger.under_way);
                ledger.broken.push(broken);
            }
            if ledger.arrivals.len() > limits.per_second {
                let broken = format!("{} within a second", ledger.arrivals.len());
                ledger.broken.push(broken);
            }
        }
        let asked = ledger.asked.entry(user.to_owned()).or_default();
        asked.0 += 1;
        let (before, early) = (asked.0 - 1, asked.1.is_some_and(|at| now < at));
        if early {
            ledger.broken.push(format!("{user:?} came back before it was asked to"));
        }
        (self.plan)(user, before)
    }

    fn leaves(&self, user: &str, does: Does, messages: bool) -> Response<Body> {
        let mut ledger = self.ledger.lock().unwrap();
        ledger.under_way -= 1;
        match does {
            Does::Refuses(millis) => {
                ledger.refused += 1;
                let again = Instant::now() + Duration::from_millis(millis);
                ledger.asked.get_mut(user).unwrap().1 = Some(again);
                refusal(millis)
            }
            Does::Says(text) => {
                let (input, output) = (10 + user.len() as u64, text.len() as u64);
                ledger.replies += 1;
                ledger.tokens += input + output;
                ledger.micro_usd += input + 2 * output;
                let frames =
                    if messages { claude(text, Some((input, output))) } else { chat(text, Some((input, output))) };
                stream_of(vec![Ok(frames)])
            }
            Does::Thinks => {
                let (input, output) = (10 + user.len() as u64, 30);
                ledger.replies += 1;
                ledger.tokens += input + output;
                ledger.micro_usd += input + 2 * output;
                stream_of(vec![Ok(signed(input, output))])
            }
            Does::Rejects => {
                let error = json!({ "type": "invalid_request_error", "message": "that cannot be read" });
                let body = json!({ "type": "error", "error": error }).to_string();
                Response::builder().status(400).body(Body::from(body)).unwrap()
            }
            Does::Dies | Does::Stops => {
                let frames = if messages { claude("half of", None) } else { chat("half of", None) };
                let gone = std::io::Error::other("the provider is gone");
                let rest = (does == Does::Dies).then_some(Err(gone));
                stream_of(std::iter::once(Ok(frames)).chain(rest).collect())
            }
        }
    }
}

/// What the user said last, as plain text or in parts; results of tools, which have a user's place on some wires, are not.
fn said(request: &Value) -> String {
    let messages = request["messages"].as_array().unwrap().iter().rev().filter(|m| m["role"] == "user");
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => Some(text.clone()),
        parts => parts[0]["text"].as_str().map(str::to_owned),
    };
    messages.filter_map(text).next().unwrap()
}

fn refusal(millis: u64) -> Response<Body> {
    let answer = Response::builder().status(429);
    let answer = match millis % 1_000 {
        0 => answer.header(header::RETRY_AFTER, millis / 1_000),
        _ => answer.header("retry-after-ms", millis),
    };
    let error =
        json!({ "error": { "message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded" } });
    answer.body(Body::from(error.to_string())).unwrap()
}

fn stream_of(pieces: Vec<Result<String, std::io::Error>>) -> Response<Body> {
    let body = Body::from_stream(stream::iter(pieces));
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).unwrap()
}

fn sse(frames: impl IntoIterator<Item = Value>) -> String {
    frames.into_iter().map(|f| format!("data: {f}\n\n")).collect()
}

/// A reply on Chat Completions; without an end when nothing was counted.
fn chat(text: &str, counted: Option<(u64, u64)>) -> String {
    let chunk = |delta: Value, finish: Value| json!({ "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let mut frames = vec![chunk(json!({ "role": "assistant", "content": text }), Value::Null)];
    if let Some((input, output)) = counted {
        frames.push(chunk(json!({}), "stop".into()));
        frames.push(
            json!({ "model": "m", "choices": [], "usage": { "prompt_tokens": input, "completion_tokens": output } }),
        );
    }
    sse(frames)
}

/// A reply on Anthropic Messages; without an end when nothing was counted.
fn claude(text: &str, counted: Option<(u64, u64)>) -> String {
    let input = counted.map_or(10, |c| c.0);
    let mut frames = vec![
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "m", "stop_reason": null, "usage": { "input_tokens": input, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
    ];
    if let Some((_, output)) = counted {
        frames.push(json!({ "type": "content_block_stop", "index": 0 }));
        frames.push(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
            "usage": { "output_tokens": output } }));
        frames.push(json!({ "type": "message_stop" }));
    }
    sse(frames)
}

/// What a thought is signed with.
pub(crate) const SIGNATURE: &str = "EqQBCkYIBhgCKkD+signed/by==";

/// A signed thought and a call on Anthropic Messages.
fn signed(input: u64, output: u64) -> String {
    let begins =
        |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let goes_on = |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let ends = |index: u64| json!({ "type": "content_block_stop", "index": index });
    sse([
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "m", "stop_reason": null, "usage": { "input_tokens": input, "output_tokens": 1 } } }),
        begins(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        goes_on(0, json!({ "type": "thinking_delta", "thinking": "Milk is missing." })),
        goes_on(0, json!({ "type": "signature_delta", "signature": SIGNATURE })),
        ends(0),
        begins(1, json!({ "type": "tool_use", "id": "toolu_1", "name": "notes_add", "input": {} })),
        goes_on(1, json!({ "type": "input_json_delta", "partial_json": "{\"text\": \"milk\"}" })),
        ends(1),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": output } }),
        json!({ "type": "message_stop" }),
    ])
}
