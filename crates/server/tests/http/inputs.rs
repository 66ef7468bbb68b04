//! What a run may be asked: its input satisfies the schema of its agent version, at every door, or nothing of it exists.

use serde_json::{Value, json};
use stead_api::{
    run::{StartRun, Status},
    session::StartInSession,
};
use stead_client::{RunQuery, SessionQuery};

use crate::lab::{HELLO, HELLO_SCRIPT, Lab, apply, problem, start};

const SCHEMA: &str = r#"{ "type": "object", "required": ["order_id"], "additionalProperties": false,
  "properties": { "order_id": { "type": "integer", "minimum": 1000 }, "why": { "type": "string" } } }"#;

fn taking(schema: &str) -> (String, Vec<(&'static str, String)>) {
    let files = vec![("./script.yaml", HELLO_SCRIPT.to_owned()), ("./input.json", schema.to_owned())];
    (format!("{HELLO}input: ./input.json\n"), files)
}

async fn applied(lab: &Lab, schema: &str) -> stead_api::agent::Agent {
    let (manifest, files) = taking(schema);
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    lab.apply(&manifest, &files).await
}

async fn runs(lab: &Lab) -> usize {
    lab.client.runs(&RunQuery::default()).await.unwrap().items.len()
}

fn asked(input: &str) -> Value {
    json!({"agent": "hello", "input": input})
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_with_its_places_and_nothing_is_written() {
    let lab = Lab::new().await;
    let agent = applied(&lab, SCHEMA).await;
    assert_eq!(agent.input, serde_json::from_str(SCHEMA).unwrap());
    let told = problem(lab.post("/v1/runs", &asked(r#"{"order_id": 7, "more": 1}"#)).await, 422, "ST0218").await;
    let places: Vec<_> = told["errors"].as_array().unwrap().iter().map(|e| (&e["file"], &e["key"])).collect();
    assert!(places.contains(&(&json!("input"), &json!("/order_id"))), "{told}");
    assert_eq!(told["hint"], r#"an input that fits: {"order_id":1000}"#);
    for no_json in ["Refund order 1042", "", "{\"order_id\": 1042} please", r#"{"order_id": 1042, "order_id": 1043}"#] {
        problem(lab.post("/v1/runs", &asked(no_json)).await, 422, "ST0218").await;
    }
    // Not even the session that it names.
    let mut keyed = asked("7");
    keyed["session_key"] = "ann".into();
    problem(lab.post("/v1/runs", &keyed).await, 422, "ST0218").await;
    assert_eq!(runs(&lab).await, 0);
    assert!(lab.client.sessions(&SessionQuery::default()).await.unwrap().items.is_empty());

    let fits = StartRun { input: r#"{"order_id": 1042}"#.into(), ..start("hello") };
    let run = lab.client.start_run(&fits, None).await.unwrap().run;
    assert_eq!(lab.ended(run).await.summary.status, Status::Completed);
}

#[tokio::test]
async fn each_run_of_a_session_satisfies_the_schema_of_its_own_version() {
    let lab = Lab::new().await;
    lab.hello().await;
    let first = lab.client.start_run(&start("hello"), None).await.unwrap();
    lab.ended(first.run).await;
    applied(&lab, SCHEMA).await;
    let next = |input: &str| StartInSession {
        input: input.into(),
        attachments: Vec::new(),
        version: None,
        limits: Default::default(),
    };
    let refused = lab.client.start_in_session(first.session, &next("And now?"), None).await.unwrap_err();
    assert_eq!((refused.status, refused.code.to_string()), (Some(422), "ST0218".to_owned()));
    assert_eq!(runs(&lab).await, 1);
    let second = lab.client.start_in_session(first.session, &next(r#"{"order_id": 1042}"#), None).await.unwrap();
    assert_eq!(lab.ended(second.run).await.summary.status, Status::Completed);
}

#[tokio::test]
async fn an_input_for_a_busy_session_is_refused_before_it_is_queued() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let manifest = format!("{}input: ./input.json\n", crate::lab::ASKING);
    let mut files = crate::lab::ASKING_FILES.to_vec();
    files.push(("./input.json", SCHEMA));
    lab.apply(&manifest, &files).await;
    let path = format!("/v1/sessions/{}/runs", waiting.summary.session);
    problem(lab.post(&path, &json!({"input": "next"})).await, 422, "ST0218").await;
    assert!(lab.client.session(waiting.summary.session).await.unwrap().queued.is_empty());
    let queued = lab.post(&path, &json!({"input": "{\"order_id\": 1042}"})).await;
    assert_eq!(queued.status(), 201);
    assert_eq!(lab.client.session(waiting.summary.session).await.unwrap().queued.len(), 1);
}

#[tokio::test]
async fn a_request_that_was_taken_is_still_that_run_when_another_schema_is_live() {
    let lab = Lab::new().await;
    lab.hello().await;
    let first = lab.client.start_run(&start("hello"), Some("mail-17")).await.unwrap();
    applied(&lab, SCHEMA).await;
    let again = lab.client.start_run(&start("hello"), Some("mail-17")).await.unwrap();
    assert_eq!((again.run, again.existing), (first.run, true));
    let other = lab.client.start_run(&start("hello"), Some("mail-18")).await.unwrap_err();
    assert_eq!(other.code.to_string(), "ST0218");
}

#[tokio::test]
async fn a_schema_of_a_text_takes_the_text_itself() {
    let lab = Lab::new().await;
    applied(&lab, r#"{ "type": "string", "maxLength": 5 }"#).await;
    let run = lab.client.start_run(&start("hello"), None).await.unwrap().run;
    assert_eq!(lab.ended(run).await.summary.status, Status::Completed);
    problem(lab.post("/v1/runs", &asked("A longer text")).await, 422, "ST0218").await;
}

#[tokio::test]
async fn an_agent_that_is_a_tool_takes_its_schema_as_the_arguments() {
    let lab = Lab::new().await;
    applied(&lab, SCHEMA).await;
    let boss = "stead: v1\nname: boss\nmodel: { rehearsal: ./s.yaml }\ninstructions: Delegate.\ntools:\n  helper: { agent: hello }\n";
    let script = "rules:\n  - when: { tool: helper, error: true }\n    call: [{ tool: helper, args: { order_id: 1042 } }]\n  - when: { tool: helper }\n    say: \"They say: {{result | text}}\"\n  - call: [{ tool: helper, args: { input: \"Hi\" } }]\n";
    let agent = lab.apply(boss, &[("./s.yaml", script)]).await;
    assert_eq!(agent.tools[0].schema, serde_json::from_str::<Value>(SCHEMA).unwrap());
    let run = lab.start("boss").await;
    let ended = lab.ended(run).await;
    assert_eq!(ended.output.as_deref(), Some("They say: Hello there, friend."), "{ended:?}");
    let facts = lab.client.facts(run, &Default::default()).await.unwrap().items;
    let texts: Vec<_> = facts.iter().filter_map(|f| f.text.as_deref()).collect();
    assert!(texts.iter().any(|t| t.starts_with("The arguments do not fit") && t.contains("order_id")), "{texts:?}");
    let query = RunQuery { parent: Some(run), ..Default::default() };
    let children = lab.client.runs(&query).await.unwrap().items;
    assert_eq!(children.len(), 1);
    assert_eq!(lab.client.run(children[0].id).await.unwrap().summary.title, r#"{"order_id":1042}"#);
}

#[tokio::test]
async fn an_agent_that_is_a_tool_and_takes_a_list_is_given_the_list() {
    let lab = Lab::new().await;
    applied(&lab, r#"{ "type": "array", "items": { "type": "integer" } }"#).await;
    let boss = "stead: v1\nname: boss\nmodel: { rehearsal: ./s.yaml }\ninstructions: Delegate.\ntools:\n  helper: { agent: hello }\n";
    let script = "rules:\n  - when: { tool: helper }\n    say: \"{{result | text}}\"\n  - call: [{ tool: helper, args: { input: [1, 2] } }]\n";
    lab.apply(boss, &[("./s.yaml", script)]).await;
    let run = lab.start("boss").await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Hello there, friend."));
    let query = RunQuery { parent: Some(run), ..Default::default() };
    assert_eq!(lab.client.runs(&query).await.unwrap().items[0].title, "[1,2]");
}

#[tokio::test]
async fn a_schema_that_cannot_be_checked_makes_no_version() {
    let lab = Lab::new().await;
    for bad in
        [r#"{ "type": "nonsense" }"#, r#"{ "$ref": "https://elsewhere.example/schema.json" }"#, r##"{ "$ref": "#" }"##]
    {
        let (manifest, files) = taking(bad);
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let body = serde_json::to_value(apply(&manifest, &files)).unwrap();
        let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0103").await;
        assert!(told["detail"].as_str().unwrap().starts_with("input: "), "{told}");
    }
    assert!(lab.client.agents().await.unwrap().items.is_empty());
}
