//! What a server asks of whoever runs a call: elicitation in form mode (MCP, "Elicitation"), over a session of the stateful protocol
//! and as `input_required` of the stateless one. Without a port it is declined, and no server is told that it may ask.
//!
//! Not here: URL mode, which is declined, and sampling, which is off.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction};
use serde_json::{Map, Value};
use stead_core::id::RunId;
use stead_ports::BoxFuture;

use super::{ledger::Ledger, words::excerpt};
use crate::schema;

/// Most bytes of a question's text; a longer one is declined.
const MAX_MESSAGE: usize = 8 * 1024;
/// Most bytes of the schema of its answer.
const MAX_SCHEMA: usize = 32 * 1024;
/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;
/// Most questions of a session.
const MAX_QUESTIONS: usize = 64;

/// A question of a server. Its words are the server's: data, never to be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What messages call the server.
    pub server: String,
    /// The run whose session it is asked in.
    pub run: RunId,
    /// The tool that is waiting for the answer, where the protocol tells (2026-07-28).
    pub operation: Option<String>,
    /// What it asks.
    pub message: String,
    /// JSON Schema of the answer: a flat object.
    pub schema: Value,
}

/// What whoever was asked says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The values. What is left out takes the schema's `default`, where it has one.
    Accept(Map<String, Value>),
    /// No.
    Decline,
    /// Nobody decided.
    Cancel,
}

/// Brings a question to whoever runs the call. Dropping the future withdraws the question.
pub trait Asks: Send + Sync + 'static {
    /// Asks, and waits for the answer.
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer>;
}

/// The port, as a session holds it.
#[derive(Clone)]
pub(super) struct Asking {
    port: Option<Arc<dyn Asks>>,
    server: Arc<str>,
    run: RunId,
    /// What is blotted out of its questions: tokens are shown while the session lasts.
    ledger: Ledger,
    asked: Arc<AtomicUsize>,
}

impl Asking {
    pub(super) fn new(port: Option<Arc<dyn Asks>>, server: &str, run: RunId, ledger: Ledger) -> Self {
        Self { port, server: server.into(), run, ledger, asked: Arc::default() }
    }

    /// The same over another connection.
    pub(super) fn over(&self, ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), ..self.clone() }
    }

    /// Whether anybody would be asked.
    pub(super) fn is_open(&self) -> bool {
        self.port.is_some()
    }

    /// The answer to a server's question, which holds to its schema.
    pub(super) async fn ask(&self, asked: ElicitRequestParams, operation: Option<&str>) -> ElicitResult {
        let (Some(port), Some((message, schema))) = (&self.port, form(asked)) else { return declined() };
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MAX_QUESTIONS {
            return declined();
        }
        let secrets = self.ledger.secrets();
        let question = Question {
            server: self.server.to_string(),
            run: self.run,
            operation: operation.map(str::to_owned),
            message: excerpt(&secrets, &message, MAX_MESSAGE),
            schema: secrets.iter().fold(schema.clone(), |schema, secret| secret.redact_json(schema)),
        };
        match port.ask(question).await {
            Answer::Accept(values) => match filled(&schema, values) {
                Some(values) => ElicitResult::new(ElicitationAction::Accept).with_content(values),
                // What does not hold to the schema is nobody's answer to this question.
                None => ElicitResult::new(ElicitationAction::Cancel),
            },
            Answer::Decline => declined(),
            Answer::Cancel => ElicitResult::new(ElicitationAction::Cancel),
        }
    }
}

fn declined() -> ElicitResult {
    ElicitResult::new(ElicitationAction::Decline)
}

/// A question that may be asked.
fn form(asked: ElicitRequestParams) -> Option<(String, Value)> {
    let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = asked else { return None };
    let schema = serde_json::to_value(requested_schema).ok()?;
    (message.len() <= MAX_MESSAGE && schema.to_string().len() <= MAX_SCHEMA).then_some((message, schema))
}

/// The values with the schema's defaults in the place of what was left out (SEP-1034), when they hold to it.
fn filled(schema: &Value, mut values: Map<String, Value>) -> Option<Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !values.contains_key(name)
        {
            values.insert(name.clone(), default.clone());
        }
    }
    let values = Value::Object(values);
    let text = values.to_string();
    let check = schema::compile_answer(schema).ok()?;
    (text.len() <= MAX_ANSWER && check(&text).is_ok()).then_some(values)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    /// Says the same to every question, and keeps them.
    struct Says(Answer, Mutex<Vec<Question>>);

    impl Asks for Says {
        fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
            self.1.lock().push(question);
            let answer = self.0.clone();
            Box::pin(async { answer })
        }
    }

    fn asking(answer: Value) -> (Asking, Arc<Says>) {
        let answer = match answer {
            Value::Object(values) => Answer::Accept(values),
            _ => Answer::Decline,
        };
        let says = Arc::new(Says(answer, Mutex::default()));
        let port: Arc<dyn Asks> = Arc::clone(&says) as _;
        (Asking::new(Some(port), "crm", RunId(1), Ledger::new(vec![Secret::new("hunter2-hunter2")])), says)
    }

    fn question() -> ElicitRequestParams {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "seats": { "type": "integer", "minimum": 1, "default": 2 },
            },
            "required": ["name"],
        });
        let message = "Who sits there, hunter2-hunter2?";
        serde_json::from_value(json!({ "mode": "form", "message": message, "requestedSchema": schema })).unwrap()
    }

    #[tokio::test]
    async fn what_is_left_out_takes_its_default() {
        let (asking, says) = asking(json!({ "name": "Ada" }));
        let told = asking.ask(question(), Some("book")).await;
        assert_eq!(told.content, Some(json!({ "name": "Ada", "seats": 2 })));
        let asked = says.1.lock()[0].clone();
        assert_eq!((asked.operation.as_deref(), asked.message.as_str()), (Some("book"), "Who sits there, [secret]?"));
    }

    #[tokio::test]
    async fn a_token_that_was_shown_after_the_greeting_is_in_no_question() {
        let (asking, says) = asking(json!({ "name": "Ada" }));
        let ledger = Ledger::default();
        let asking = asking.over(&ledger);
        ledger.shows(&Secret::new("hunter2-hunter2"));
        asking.ask(question(), None).await;
        assert_eq!(says.1.lock()[0].message, "Who sits there, [secret]?");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_not_sent() {
        for wrong in [json!({}), json!({ "name": 1 }), json!({ "name": "Ada", "seats": 0 })] {
            let told = asking(wrong.clone()).0.ask(question(), None).await;
            assert_eq!((told.action, told.content), (ElicitationAction::Cancel, None), "{wrong}");
        }
        let told = asking(json!("no")).0.ask(question(), None).await;
        assert_eq!((told.action, told.content), (ElicitationAction::Decline, None));
    }

    #[tokio::test]
    async fn nobody_is_asked_too_much() {
        let nobody = Asking::new(None, "crm", RunId(1), Ledger::default());
        assert_eq!(nobody.ask(question(), None).await.action, ElicitationAction::Decline);
        let (asking, says) = asking(json!({ "name": "Ada" }));
        let url = json!({ "mode": "url", "message": "Look", "url": "https://evil.example", "elicitationId": "1" });
        assert_eq!(asking.ask(serde_json::from_value(url).unwrap(), None).await.action, ElicitationAction::Decline);
        for _ in 0..=MAX_QUESTIONS {
            asking.ask(question(), None).await;
        }
        assert_eq!(says.1.lock().len(), MAX_QUESTIONS);
        let mut long = question();
        if let ElicitRequestParams::FormElicitationParams { message, .. } = &mut long {
            *message = "x".repeat(MAX_MESSAGE + 1);
        }
        assert!(form(long).is_none());
    }
}
