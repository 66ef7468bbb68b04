//! The client that the suites start: this crate's own discovery, session, authorization and calls, driven by what a suite says in its
//! environment. Nothing of the protocol is decided here.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use stead_ports::BoxFuture;
use stead_tools::{
    config::{McpProtocol, McpUrlConfig},
    mcp::{
        self, Answer, Asks, Question, Shown,
        oauth::{Authorization, Consent, Grant, Grants, Identity, Registered},
    },
    offer::Offered,
    reach::Reach,
    schema,
    secret::Secret,
};

use crate::common::{arguments, call, config, invocation};

/// Where the suites expect this client's metadata document to be; they never fetch it.
const METADATA: &str = "https://conformance-test.local/client-metadata.json";
/// Nobody listens there: the suites' authorization page sends back at once.
const REDIRECT: &str = "http://127.0.0.1:3000/callback";

/// Keeps grants in memory.
#[derive(Default)]
struct Kept(Mutex<Option<Grant>>);

impl Grants for Kept {
    fn load(&self, _: &str) -> BoxFuture<'_, Result<Option<Grant>, String>> {
        let kept = self.0.lock().clone();
        Box::pin(async { Ok(kept) })
    }

    fn save(&self, _: &str, grant: Grant) -> BoxFuture<'_, Result<(), String>> {
        *self.0.lock() = Some(grant);
        Box::pin(async { Ok(()) })
    }
}

/// A browser whose person always agrees.
struct Agrees;

impl Consent for Agrees {
    fn redirect_uri(&self) -> String {
        REDIRECT.into()
    }

    fn authorize(&self, page: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
            let shown = browser.map_err(|e| e.to_string())?.get(page).send().await.map_err(|e| e.to_string())?;
            let back = shown.headers().get("location").and_then(|v| v.to_str().ok());
            back.map(str::to_owned).ok_or_else(|| format!("the page answered {}", shown.status()))
        })
    }
}

/// Takes what a form offers, and says yes where it offers nothing.
struct Yes;

impl Asks for Yes {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        let required = question.schema["required"].as_array().cloned().unwrap_or_default();
        let blank = required.iter().filter_map(Value::as_str);
        let blank = blank.filter(|name| question.schema["properties"][name].get("default").is_none());
        let answer = blank.map(|name| (name.to_owned(), example(&question.schema["properties"][name]))).collect();
        Box::pin(async { Answer::Accept(answer) })
    }
}

/// Speaks to the server that a suite has started. What fails is told on the standard error, and ends the process with 1.
pub(crate) async fn run(url: &str) -> Result<(), String> {
    let context: Value = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(text) => serde_json::from_str(&text).map_err(|e| e.to_string())?,
        Err(_) => Value::Null,
    };
    let mut server: McpUrlConfig = config(json!({ "url": url }));
    server.protocol = match std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION") {
        Ok(version) => config(json!(version)),
        Err(_) => McpProtocol::Any,
    };
    let registered = context["client_id"].as_str().map(|id| Registered {
        client_id: id.to_owned(),
        client_secret: context["client_secret"].as_str().map(Secret::new),
        issuer: context["issuer"].as_str().map(str::to_owned),
    });
    let identity = Identity { registered, metadata_url: Some(METADATA.into()), name: Some("Stead".into()) };
    let shown = || {
        Some(Shown::Authorization(Authorization {
            grants: Arc::clone(kept()),
            consent: Some(Arc::new(Agrees)),
            identity: identity.clone(),
            scopes: None,
            private: false,
        }))
    };
    let reach = Reach::default();
    let pinned = mcp::discover_url(&server, shown(), &reach).await.map_err(|e| e.to_string())?;
    let offered = mcp::offer_asking("t", &server, shown(), (&reach, Arc::new(Yes)), &pinned);
    let offered = offered.map_err(|e| e.to_string())?;
    let calls = context["toolCalls"].as_array().cloned();
    let calls = calls.unwrap_or_else(|| offered.iter().map(|o| json!({ "name": o.operation })).collect());
    for wanted in calls {
        let tool = offered.iter().find(|o| wanted["name"] == o.operation);
        let tool = tool.ok_or_else(|| format!("the server has no tool {}", wanted["name"]))?;
        println!("{}: {}", tool.operation, called(tool, wanted.get("arguments").cloned()).await?);
    }
    if let Some(tool) = offered.first() {
        tool.tool.release(invocation(tool, arguments(json!({})), 1).effect.run).await;
    }
    Ok(())
}

fn kept() -> &'static Arc<dyn Grants> {
    static KEPT: std::sync::OnceLock<Arc<dyn Grants>> = std::sync::OnceLock::new();
    KEPT.get_or_init(|| Arc::new(Kept::default()))
}

/// Calls a tool as the engine does: what this client writes is checked first. Arguments that a suite gives are sent as they are; some
/// are wrong on purpose.
async fn called(tool: &Offered, given: Option<Value>) -> Result<String, String> {
    let check = schema::compile(&tool.def.schema).map_err(|e| e.to_string())?;
    let given = match given {
        Some(given) => given,
        None => {
            let own = example(&tool.def.schema);
            check(&own.to_string())?;
            own
        }
    };
    Ok(format!("{:?}", call(tool, given).await))
}

/// A value that holds to a simple schema: only what it requires.
fn example(schema: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values.first().cloned().unwrap_or_default();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), example(&schema["properties"][name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ => json!("a"),
    }
}
