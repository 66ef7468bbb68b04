//! The tool behind every name of the wrapped server: one call, sent once, as the line that the client would have sent; and
//! the answers that are waited for.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use stead_core::{code, effect::Outcome, id::RunId};
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};
use tokio::{
    process::ChildStdin,
    sync::{RwLock, oneshot},
};

use super::{
    envelope::{Envelope, Id},
    upstream::{Lines, Sent},
};

/// Most answers that are waited for at once, those included that nobody waits for any more.
const MAX_WAITING: usize = 4_096;

/// The way to the wrapped server.
pub(super) struct Wire {
    pub(super) stdin: Arc<Lines<ChildStdin>>,
    /// Whoever waits for an answer, by the request's id; `None` once the server is gone.
    waiting: Mutex<Option<HashMap<Id, oneshot::Sender<Vec<u8>>>>>,
    /// Calls of this session, by the run that each became.
    calls: Mutex<HashMap<RunId, Arc<Pending>>>,
    /// Held while a run is started and not yet in `calls`.
    gate: RwLock<()>,
}

/// A call that waits to be sent, or for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: Id,
    /// Whether the client gave any arguments.
    pub(super) arguments: bool,
    pub(super) meta: Option<Box<RawValue>>,
    pub(super) others: Map<String, Value>,
    /// Whether a part of it may have reached the server.
    pub(super) sent: AtomicBool,
    /// The server's answer, byte for byte.
    pub(super) answer: Mutex<Option<Vec<u8>>>,
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    method: &'static str,
    params: Params<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(flatten)]
    others: &'a Map<String, Value>,
}

impl Wire {
    pub(super) fn new(stdin: Arc<Lines<ChildStdin>>) -> Self {
        Self { stdin, waiting: Mutex::new(Some(HashMap::new())), calls: Mutex::default(), gate: RwLock::default() }
    }

    /// Starts a run and makes its call known before anything can ask for it.
    pub(super) async fn start<E>(
        &self,
        start: impl Future<Output = Result<RunId, E>>,
        call: Arc<Pending>,
    ) -> Result<RunId, E> {
        let _starting = self.gate.read().await;
        let run = start.await?;
        self.calls.lock().insert(run, call);
        Ok(run)
    }

    /// The run has ended.
    pub(super) fn forget(&self, run: RunId) {
        self.calls.lock().remove(&run);
    }

    async fn call(&self, run: RunId) -> Option<Arc<Pending>> {
        let known = || self.calls.lock().get(&run).cloned();
        if let Some(call) = known() {
            return Some(call);
        }
        // It may be starting; a run that is not known after that is none of this session.
        drop(self.gate.write().await);
        known()
    }

    /// Waits for the answer to a request from now on. `None` when the server is gone, or owes too many answers.
    pub(super) fn expect(&self, id: &Id) -> Option<oneshot::Receiver<Vec<u8>>> {
        let mut waiting = self.waiting.lock();
        let waiting = waiting.as_mut().filter(|w| w.len() < MAX_WAITING)?;
        let (tell, answer) = oneshot::channel();
        waiting.insert(id.clone(), tell);
        Some(answer)
    }

    /// Hands an answer to whoever waits for it; false when it is not one of these.
    pub(super) fn answered(&self, id: &Id, line: &[u8]) -> bool {
        let found = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(id));
        // One that nobody waits for any more is nobody's.
        found.map(|tell| drop(tell.send(line.to_owned()))).is_some()
    }

    /// Whether an answer to that id is waited for.
    pub(super) fn expects(&self, id: &Id) -> bool {
        self.waiting.lock().as_ref().is_some_and(|waiting| waiting.contains_key(id))
    }

    /// The server is gone: no answer will come.
    pub(super) fn close(&self) {
        self.waiting.lock().take();
    }

    fn unexpect(&self, id: &Id) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(id);
        }
    }

    async fn send(&self, call: &Pending, invocation: &Invocation) -> Outcome<Output> {
        let Ok(id) = RawValue::from_string(call.id.0.clone().into()) else {
            return Outcome::Refused(Output::error("the request's id is no JSON"));
        };
        let params = Params {
            name: &invocation.tool,
            arguments: call.arguments.then_some(&*invocation.arguments),
            meta: call.meta.as_deref(),
            others: &call.others,
        };
        let request = Request { jsonrpc: "2.0", id: &id, method: "tools/call", params };
        let line = match serde_json::to_vec(&request) {
            Ok(line) => line,
            Err(e) => return Outcome::Refused(Output::error(format!("the call cannot be written: {e}"))),
        };
        let Some(answer) = self.expect(&call.id) else { return Outcome::NotSent(gone("before it was sent")) };
        // Noted before the first byte: an answer may be here before the write returns.
        call.sent.store(true, Ordering::Release);
        if self.stdin.write(&line).await == Sent::Nothing {
            call.sent.store(false, Ordering::Release);
            self.unexpect(&call.id);
            return Outcome::NotSent(gone("before it was sent"));
        }
        match answer.await {
            Ok(line) => {
                let outcome = outcome(&line, invocation.max_output);
                *call.answer.lock() = Some(line);
                outcome
            }
            Err(_) => Outcome::Unknown(gone("before it answered; this may or may not have happened")),
        }
    }
}

fn gone(when: &str) -> Output {
    Output::error(format!("{}: the wrapped MCP server ended {when}", code::TOOL_SERVER))
}

/// What an answer says about the call. The client gets the answer as it is; this is for the journal.
fn outcome(line: &[u8], max: usize) -> Outcome<Output> {
    let envelope = match Envelope::read(line) {
        Ok(envelope) => envelope,
        Err(why) => return Outcome::Unknown(Output::error(format!("{}: {why}", code::TOOL_SERVER))),
    };
    match (envelope.result, envelope.error) {
        (Some(result), None) => {
            let value: Value = serde_json::from_str(result.get()).unwrap_or_default();
            let error = value.get("isError").and_then(Value::as_bool).unwrap_or(false);
            Outcome::Returned(Output { error, ..Output::ok(cut(shown(&value, result), max)) })
        }
        (_, Some(error)) => {
            let told = Output::error(cut(format!("{}: {}", code::TOOL_ERROR, error.get()), max));
            let code = serde_json::from_str::<Value>(error.get()).ok().and_then(|e| e.get("code")?.as_i64());
            // Not even begun (JSON-RPC 2.0, section 5.1). Any other error says nothing about what happened before it.
            if matches!(code, Some(-32_700 | -32_602..=-32_600)) {
                Outcome::Refused(told)
            } else {
                Outcome::Unknown(told)
            }
        }
        (None, None) => Outcome::Unknown(Output::error(format!("{}: its answer is no result", code::TOOL_SERVER))),
    }
}

/// The texts of a result that has nothing but texts; else the result as it is.
fn shown(value: &Value, raw: &RawValue) -> String {
    let parts = value.get("content").and_then(Value::as_array).filter(|_| value.get("structuredContent").is_none());
    let text = |part: &Value| part.get("text").filter(|_| part["type"] == "text")?.as_str().map(str::to_owned);
    let texts = parts.and_then(|parts| parts.iter().map(text).collect::<Option<Vec<_>>>());
    texts.map_or_else(|| raw.get().to_owned(), |texts| texts.join("\n"))
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let note = format!("\n[{}: cut here, the answer has {} bytes]", code::TOOL_FLOOD, text.len());
        text.truncate(text.floor_char_boundary(max.saturating_sub(note.len())));
        text.push_str(&note);
    }
    text
}

/// A tool of the wrapped server.
pub(super) struct Effect(pub(super) Arc<Wire>);

impl Tool for Effect {
    fn kind(&self) -> &'static str {
        "mcp"
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            match self.0.call(invocation.effect.run).await {
                Some(call) => self.0.send(&call, &invocation).await,
                None => Outcome::Refused(Output::error(format!(
                    "{}: the session that made this call has ended; nothing was sent",
                    code::WRAP_GONE
                ))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::id::{EffectId, SessionId};

    use super::*;

    fn of(line: &str) -> Outcome<Output> {
        outcome(line.as_bytes(), 1_000)
    }

    #[tokio::test]
    async fn a_call_of_a_session_that_has_ended_is_not_sent() {
        let mut server = tokio::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let wire = Wire::new(Arc::new(Lines::new(server.stdin.take().unwrap())));
        let effect = EffectId { run: RunId(7), n: 1 };
        let tool = Effect(Arc::new(wire));
        let outcome = tool.call(Invocation {
            precondition: None,
            effect,
            session: SessionId(7),
            tenant: "default".into(),
            key: "k".into(),
            tool: "pay".into(),
            arguments: RawValue::from_string("{}".into()).unwrap().into(),
            max_output: 1_000,
            may_send: stead_ports::tool::MaySend::default(),
            connects: stead_ports::connect::Connects::default(),
            workspace: None,
            limits: stead_core::sandbox::BoxLimits::default(),
            left: stead_ports::tool::Left::default(),
            on_behalf: None,
            trace: None,
        });
        let outcome = outcome.await;
        assert!(matches!(&outcome, Outcome::Refused(told) if told.content.starts_with("ST0172: ")), "{outcome:?}");
    }

    #[test]
    fn what_an_answer_says_is_told_apart() {
        let text = of(
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}"#,
        );
        assert_eq!(text, Outcome::Returned(Output::ok("a\nb")));
        let image = r#"{"content":[{"type":"image","data":"AA==","mimeType":"image/png"}],"isError":true}"#;
        let answer = of(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{image}}}"#));
        assert_eq!(answer, Outcome::Returned(Output::error(image)));
        let error = |code: i64| of(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"no"}}}}"#));
        let told = Output::error(r#"ST0050: {"code":-32602,"message":"no"}"#);
        assert_eq!(error(-32_602), Outcome::Refused(told));
        // It may have done half of it.
        assert!(matches!(error(-32_603), Outcome::Unknown(told) if told.content.starts_with("ST0050: ")));
        assert!(matches!(of(r#"{"jsonrpc":"2.0","id":1}"#), Outcome::Unknown(_)));
    }
}
