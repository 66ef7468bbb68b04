//! Gateways: the model of an agent whose loop runs elsewhere, asked over other people's protocols with a token for it alone.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use stead_api::run::{Run, Status};
use stead_core::id::RunId;
use stead_server::config::TokenEntry;

use crate::lab::{HELLO, HELLO_SCRIPT, Lab, entry, problem};

const BOUND: &str = "token-which-is-long-enough-graph";
const CHAT: &str = "/openai/v1/chat/completions";
const GATE: &str =
    "stead: v1\nname: graph\nmodel: { rehearsal: ./script.yaml }\ninstructions: House rules.\ngateway: true\n";
const SCRIPT: &str = "rules:\n  - when: { tool: look }\n    say: \"It rains: {{result}}.\"\n    stream: 4\n  - when: { user: weather }\n    say: \"Let me look.\"\n    \
                      call: [{ tool: look, args: { city: Ulm } }]\n  - say: \"Good day.\"\n";

fn bound() -> TokenEntry {
    TokenEntry { agent: Some("graph".into()), session: Some("graph/1".into()), ..entry(BOUND, "grace", "default") }
}

async fn lab(more: &str) -> Lab {
    let lab = Lab::with(|c| c.auth.tokens = vec![bound()]).await;
    lab.apply(&format!("{GATE}{more}"), &[("./script.yaml", SCRIPT)]).await;
    lab
}

async fn ask(lab: &Lab, path: &str, body: &Value) -> Response {
    lab.bare(Method::POST, path).bearer_auth(BOUND).json(body).send().await.unwrap()
}

async fn ok(response: Response) -> (Value, RunId) {
    let run = response.headers().get("x-stead-run").map(|v| v.to_str().unwrap().parse().unwrap());
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert!(status.is_success(), "{body}");
    (body, run.unwrap())
}

async fn code(response: Response, status: u16) -> String {
    assert_eq!(response.status().as_u16(), status);
    let body: Value = response.json().await.unwrap();
    body["error"]["code"].as_str().unwrap().to_owned()
}

async fn run(lab: &Lab, run: RunId) -> Run {
    lab.client.run(run).await.unwrap()
}

fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn chat(messages: Value, more: Value) -> Value {
    let mut body = json!({"model": "rehearsal", "messages": messages,
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": tool()}}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_loop_that_runs_elsewhere_is_journaled_call_by_call_and_its_tools_are_shown_as_ungoverned() {
    let lab = lab("").await;
    let user = json!({"role": "user", "content": "How is the weather?"});
    let (first, one) = ok(ask(&lab, CHAT, &chat(json!([user]), json!({}))).await).await;
    let choice = &first["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &json!("Let me look."))
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["function"]["name"], &call["function"]["arguments"]),
        (&json!("look"), &json!("{\"city\":\"Ulm\"}"))
    );
    let messages = json!([user, choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "yes"}]);
    let (second, two) = ok(ask(&lab, CHAT, &chat(messages, json!({}))).await).await;
    assert_eq!(second["choices"][0]["message"]["content"], "It rains: yes.");

    // Each call is a run of the token's session, on behalf of its subject; what the client ran itself is no effect.
    let (one, two) = (run(&lab, one).await, run(&lab, two).await);
    assert_eq!((one.summary.session, one.summary.effects), (two.summary.session, 0));
    assert_eq!(one.summary.session_key.as_deref(), Some("graph/1"));
    assert!(one.summary.spent.tokens > 0);
    let said: Value = serde_json::from_str(one.output.as_deref().unwrap()).unwrap();
    assert_eq!((&said["ungoverned"][0]["name"], &said["model"]), (&json!("look"), &json!("rehearsal")));
    // It goes on with no other: the client tells the whole conversation each time.
    let facts = lab.client.facts(two.summary.id, &Default::default()).await.unwrap();
    assert!(!serde_json::to_string(&facts).unwrap().contains(&format!("\"base\":\"{}\"", one.summary.id)));
}

#[tokio::test]
async fn all_three_protocols_say_the_same_whole_and_streamed() {
    let lab = lab("").await;
    let whole =
        ok(ask(&lab, CHAT, &chat(json!([{"role": "user", "content": "weather"}]), json!({"stream": false}))).await)
            .await
            .0;
    let streamed = data(
        &ask(&lab, CHAT, &chat(json!([{"role": "user", "content": "weather"}]), json!({"stream": true})))
            .await
            .text()
            .await
            .unwrap(),
    );
    let text: String = streamed.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    let calls: Vec<_> = streamed.iter().filter(|c| c["choices"][0]["delta"]["tool_calls"].is_array()).collect();
    assert_eq!(
        calls[0]["choices"][0]["delta"]["tool_calls"][0]["function"],
        whole["choices"][0]["message"]["tool_calls"][0]["function"]
    );
    assert_eq!(streamed.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");

    let body = |stream: bool| {
        json!({"model": "rehearsal", "input": "weather", "stream": stream, "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "look", "parameters": tool()}]})
    };
    let whole = ok(ask(&lab, "/openai/v1/responses", &body(false)).await).await.0;
    let kinds: Vec<_> = whole["output"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "function_call"]);
    let events = data(&ask(&lab, "/openai/v1/responses", &body(true)).await.text().await.unwrap());
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["output"][1]["arguments"], &last["model"]), (&json!("{\"city\":\"Ulm\"}"), &json!("rehearsal")));

    let body = |stream: bool| {
        json!({"model": "rehearsal", "max_tokens": 50, "messages": [{"role": "user", "content": "weather"}], "stream": stream,
        "tools": [{"name": "look", "input_schema": tool()}]})
    };
    // As Anthropic's client sends its key.
    let ask = async |body: &Value| {
        lab.bare(Method::POST, "/anthropic/v1/messages").header("x-api-key", BOUND).json(body).send().await.unwrap()
    };
    let whole = ok(ask(&body(false)).await).await.0;
    assert_eq!((&whole["stop_reason"], &whole["content"][1]["input"]), (&json!("tool_use"), &json!({"city": "Ulm"})));
    let events = data(&ask(&body(true)).await.text().await.unwrap());
    let kinds: Vec<_> =
        events.iter().map(|e| e["type"].as_str().unwrap()).filter(|k| *k != "content_block_delta").collect();
    let block = ["content_block_start", "content_block_stop"];
    let expected: Vec<_> =
        ["message_start"].into_iter().chain(block).chain(block).chain(["message_delta", "message_stop"]).collect();
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_token_for_a_gateway_does_nothing_else() {
    let lab = lab("").await;
    lab.hello().await;
    let get = async |path: &str| lab.bare(Method::GET, path).bearer_auth(BOUND).send().await.unwrap();
    let models = get("/openai/v1/models").await.json::<Value>().await.unwrap();
    assert_eq!((models["data"].as_array().unwrap().len(), &models["data"][0]["id"]), (1, &json!("rehearsal")));
    assert!(get("/openai/v1/models/rehearsal").await.status().is_success());
    assert_eq!(code(get("/openai/v1/models/hello").await, 404).await, "ST0416");
    for path in ["/v1/runs", "/v1/agents", "/v1/sessions", "/v1/status", "/v1/approvals", "/v1/secrets"] {
        let answer = get(path).await;
        assert!(matches!(answer.status().as_u16(), 403 | 404), "{path}: {answer:?}");
    }
    let run = lab.start("hello").await;
    problem(get(&format!("/v1/runs/{run}")).await, 403, "ST0417").await;
    let response = run.to_string().replace("run_", "resp_");
    assert_eq!(code(get(&format!("/openai/v1/responses/{response}")).await, 403).await, "ST0417");
    // Neither an agent, nor another model, nor another session.
    let hello = json!({"model": "hello", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(code(ask(&lab, CHAT, &hello).await, 404).await, "ST0416");
    let other = json!({"model": "openai:gpt-5", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(code(ask(&lab, CHAT, &other).await, 404).await, "ST0416");
    let elsewhere = lab
        .bare(Method::POST, CHAT)
        .bearer_auth(BOUND)
        .header("x-stead-session", "other")
        .header("x-stead-agent", "hello");
    let (_, ran) =
        ok(elsewhere.json(&chat(json!([{"role": "user", "content": "Hi"}]), json!({}))).send().await.unwrap()).await;
    assert_eq!(self::run(&lab, ran).await.summary.session_key.as_deref(), Some("graph/1"));
}

#[tokio::test]
async fn a_token_that_is_for_no_gateway_names_one_or_is_refused() {
    let lab = lab("").await;
    lab.hello().await;
    let body = json!({"model": "openai:gpt-5", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(code(lab.post(CHAT, &body).await, 403).await, "ST0417");
    let named = |agent: &str, model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
        lab.ask(Method::POST, CHAT).header("x-stead-agent", agent).header("x-stead-session", "mine").json(&body).send()
    };
    let (answer, _) = ok(named("graph", "rehearsal").await.unwrap()).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Good day.");
    assert_eq!(code(named("hello", "rehearsal").await.unwrap(), 403).await, "ST0417");
    // A gateway is no agent that could be talked to.
    let talk = json!({"model": "graph", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(code(lab.post(CHAT, &talk).await, 422).await, "ST0020");
}

#[tokio::test]
async fn budgets_and_policies_hold_for_a_loop_that_runs_elsewhere() {
    let lab = lab("session: { budget: { tokens: 1 } }\n").await;
    let hi = json!({"model": "rehearsal", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(code(ask(&lab, CHAT, &hi).await, 429).await, "ST0001");
    let lab = self::lab("").await;
    let forbids =
        r#"@id("no-models") @reason("not today") forbid (principal, action == Action::"call_model", resource);"#;
    lab.client
        .apply_policies(std::collections::BTreeMap::from([("p.cedar".to_owned(), forbids.to_owned())]))
        .await
        .unwrap();
    assert_eq!(code(ask(&lab, CHAT, &hi).await, 403).await, "ST0057");
}

#[tokio::test]
async fn what_a_gateway_cannot_pass_on_is_refused() {
    let lab = lab("").await;
    let user = json!([{"role": "user", "content": "Hi"}]);
    for more in [
        json!({"temperature": 0.3}),
        json!({"tool_choice": "required"}),
        json!({"parallel_tool_calls": false}),
        json!({"made_up": 1}),
        json!({"logit_bias": {"1": 2}}),
        json!({"stop": ["x"]}),
    ] {
        assert_eq!(code(ask(&lab, CHAT, &chat(user.clone(), more)).await, 400).await, "ST0410");
    }
    // It passes no files on, and none make a body longer.
    let data = format!("data:image/png;base64,{}", "A".repeat(3 << 20));
    let picture = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": data}}]}]);
    assert_eq!(code(ask(&lab, CHAT, &chat(picture, json!({}))).await, 413).await, "ST0203");
    let state = json!({"model": "rehearsal", "input": "Hi", "previous_response_id": "resp_x"});
    assert_eq!(code(ask(&lab, "/openai/v1/responses", &state).await, 400).await, "ST0410");
    assert!(lab.client.runs(&Default::default()).await.unwrap().items.is_empty(), "nothing was started");
}

#[tokio::test]
async fn one_key_is_one_call_of_the_model() {
    let lab = lab("").await;
    let ask = |words: &str| {
        let body = json!({"model": "rehearsal", "messages": [{"role": "user", "content": words}]});
        lab.bare(Method::POST, CHAT).bearer_auth(BOUND).header("idempotency-key", "one").json(&body).send()
    };
    let (first, again) = (ok(ask("Hi").await.unwrap()).await.1, ok(ask("Hi").await.unwrap()).await.1);
    assert_eq!(first, again);
    assert_eq!(code(ask("Else").await.unwrap(), 409).await, "ST0204");
}

#[tokio::test]
async fn what_a_client_repeats_by_itself_without_a_key_starts_no_run() {
    let lab = lab("").await;
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let repeated = [
        (CHAT, json!({"model": "rehearsal", "messages": hi})),
        ("/openai/v1/responses", json!({"model": "rehearsal", "input": "Hi"})),
        ("/anthropic/v1/messages", json!({"model": "rehearsal", "max_tokens": 50, "messages": hi})),
    ];
    let again = |path: &str, body: &Value| {
        lab.bare(Method::POST, path).bearer_auth(BOUND).header("x-stainless-retry-count", "1").json(body)
    };
    for (path, body) in repeated.clone() {
        let answer = again(path, &body).send().await.unwrap();
        assert_eq!(answer.headers()["x-should-retry"], "false", "{path}");
        assert_eq!(code(answer, 400).await, "ST0201", "{path}");
    }
    assert!(lab.client.runs(&Default::default()).await.unwrap().items.is_empty(), "nothing was started");
    // The key says which run it is.
    for (path, body) in repeated {
        let keyed = async || ok(again(path, &body).header("idempotency-key", path).send().await.unwrap()).await.1;
        assert_eq!(keyed().await, keyed().await, "{path}");
    }
}

#[tokio::test]
async fn a_call_that_waits_for_people_is_no_answer_of_the_model() {
    let lab = lab("budget: { tokens: 1, at_limit: ask }\n").await;
    let hi = |stream: bool| json!({"model": "rehearsal", "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    for path in [CHAT, "/anthropic/v1/messages"] {
        let whole = ask(&lab, path, &hi(false)).await;
        let waits: RunId = whole.headers()["x-stead-run"].to_str().unwrap().parse().unwrap();
        assert_eq!(run(&lab, waits).await.summary.status, Status::Waiting, "{path}");
        assert_eq!(whole.headers()["x-should-retry"], "false", "{path}");
        assert_eq!(code(whole, 422).await, "ST0414", "{path}");
        lab.client.cancel(waits).await.unwrap();
        let streamed = ask(&lab, path, &hi(true)).await;
        let waits: RunId = streamed.headers()["x-stead-run"].to_str().unwrap().parse().unwrap();
        let events = data(&streamed.text().await.unwrap());
        assert_eq!(events.last().unwrap()["error"]["code"], "ST0414", "{path}: {events:?}");
        lab.client.cancel(waits).await.unwrap();
    }
}

#[tokio::test]
async fn a_gateway_falls_back_as_its_manifest_says() {
    let lab = Lab::with(|c| c.auth.tokens = vec![bound()]).await;
    let manifest = GATE.replace(
        "model: { rehearsal: ./script.yaml }",
        "model: { rehearsal: ./down.yaml, attempts: 1, fallback: [{ rehearsal: ./script.yaml }] }",
    );
    let down = "rules:\n  - say: Never\n    fail: { code: refused, times: 99 }\n";
    lab.apply(&manifest, &[("./down.yaml", down), ("./script.yaml", SCRIPT)]).await;
    let hi = json!({"model": "rehearsal", "messages": [{"role": "user", "content": "Hi"}]});
    let (answer, ran) = ok(ask(&lab, CHAT, &hi).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Good day.");
    assert_eq!(run(&lab, ran).await.summary.status, Status::Completed);
}

#[tokio::test]
async fn a_manifest_that_is_a_gateway_has_nothing_that_only_a_loop_uses() {
    let lab = Lab::new().await;
    let manifest = format!("{HELLO}gateway: true\noutput: ./out.json\n");
    let files = [("./script.yaml", HELLO_SCRIPT), ("./out.json", "{}")];
    let refused = lab.client.apply_agent(&crate::lab::apply(&manifest, &files)).await.unwrap_err();
    assert_eq!(refused.code.to_string(), "ST0103");
}
