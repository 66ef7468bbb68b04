//! Applying agents and looking at them.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::lab::{ASKING, HELLO, HELLO_SCRIPT, Lab, apply, problem};

#[tokio::test]
async fn applying_equal_files_again_makes_no_new_version() {
    let lab = Lab::new().await;
    let body = serde_json::to_value(apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)])).unwrap();
    let first = lab.post("/v1/agents", &body).await;
    assert_eq!(first.status(), 201);
    let first: stead_api::agent::Agent = first.json().await.unwrap();
    assert!(first.live && first.models[0].scripted);
    let again = lab.post("/v1/agents", &body).await;
    assert_eq!(again.status(), 200);
    let again: stead_api::agent::Agent = again.json().await.unwrap();
    assert_eq!((again.version, again.created), (first.version, first.created));

    let other = lab.apply(HELLO, &[("./script.yaml", "rules: [{ say: Other }]")]).await;
    assert_ne!(other.version, first.version);
    let versions = lab.client.versions("hello").await.unwrap().items;
    assert_eq!(versions.len(), 2);
    assert_eq!(versions.iter().filter(|v| v.live).map(|v| v.version).collect::<Vec<_>>(), [other.version]);
    assert_eq!(lab.client.agent("hello").await.unwrap().version, other.version);
    assert!(!lab.client.version("hello", first.version).await.unwrap().live);
    assert_eq!(lab.client.agents().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_wrong_manifest_is_told_with_every_place() {
    let lab = Lab::new().await;
    let wrong = HELLO.replace("instructions", "instrctions").replace("model", "modl");
    let body = serde_json::to_value(apply(&wrong, &[])).unwrap();
    let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0102").await;
    let places = told["errors"].as_array().unwrap();
    assert!(places.len() >= 2, "{told}");
    assert_eq!(places[0]["line"], 3);
    assert!(places.iter().any(|p| p["hint"].as_str().unwrap_or_default().contains("instructions")), "{told}");

    let error = lab.client.apply_agent(&apply(&wrong, &[])).await.unwrap_err();
    assert_eq!((error.status, error.errors.len()), (Some(422), places.len()));
}

#[tokio::test]
async fn a_document_is_told_with_its_places() {
    let lab = Lab::new().await;
    let manifest = |only: &str| {
        format!(
            "{HELLO}tools:\n  api:\n    http: {{ openapi: ./api.yaml, only: [{only}], base_url: 'http://127.0.0.1:1' }}\n"
        )
    };
    let document = "openapi: 3.1.0\npaths:\n  /x:\n    get: { operationId: find }\n    put: { operationId: put, requestBody: { content: { text/csv: {} } } }\n";
    let body = |only: &str| {
        let files = [("./script.yaml", HELLO_SCRIPT), ("./api.yaml", document)];
        serde_json::to_value(apply(&manifest(only), &files)).unwrap()
    };
    let told = problem(lab.post("/v1/agents", &body("put")).await, 422, "ST0055").await;
    let place = &told["errors"][0];
    assert_eq!((place["file"].as_str(), &place["line"]), (Some("api.yaml"), &json!(5)), "{told}");
    let told = problem(lab.post("/v1/agents", &body("fnid")).await, 422, "ST0103").await;
    assert_eq!(told["errors"][0]["hint"], "did you mean `find`?", "{told}");
    assert_eq!(lab.post("/v1/agents", &body("find")).await.status(), 201);
}

#[tokio::test]
async fn a_url_that_leads_to_a_guarded_address_is_refused_to_tools_and_models() {
    let lab = Lab::new().await;
    let tool = |kind: &str| format!("{HELLO}tools:\n  x: {{ {kind} }}\n");
    let model = HELLO.replace("rehearsal: ./script.yaml", "use: 'openai:m', base_url: 'http://0xA9FEA9FE/v1'");
    for manifest in [
        tool("http: { base_url: 'http://2852039166', operations: { go: { method: GET, path: / } } }"),
        tool("mcp: { url: 'https://[fe80::1]/mcp' }"),
        tool("mcp: { url: 'https://[::ffff:169.254.169.254]/mcp' }"),
        model,
    ] {
        let script = [("./script.yaml", HELLO_SCRIPT)];
        let files = if manifest.contains("./script.yaml") { &script[..] } else { &[] };
        let body = serde_json::to_value(apply(&manifest, files)).unwrap();
        problem(lab.post("/v1/agents", &body).await, 422, "ST0054").await;
    }
}

#[tokio::test]
async fn an_agent_that_does_not_exist_is_not_found() {
    let lab = Lab::new().await;
    let told = problem(lab.get("/v1/agents/nobody").await, 404, "ST0202").await;
    assert!(told["hint"].as_str().unwrap().contains("apply"));
    problem(lab.get("/v1/agents/nobody/versions").await, 404, "ST0202").await;
    problem(lab.post("/v1/runs", &json!({"agent": "nobody", "input": "x"})).await, 404, "ST0202").await;
    let agent = lab.hello().await;
    problem(lab.get(&format!("/v1/agents/other/versions/{}", agent.version)).await, 404, "ST0202").await;
}

#[tokio::test]
async fn an_agent_that_cannot_work_here_is_not_stored() {
    let lab = Lab::new().await;
    let child = format!("{HELLO}tools:\n  helper: {{ agent: researcher }}\n");
    let body = serde_json::to_value(apply(&child, &[("./script.yaml", HELLO_SCRIPT)])).unwrap();
    let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0104").await;
    assert!(told["detail"].as_str().unwrap().contains("researcher"), "{told}");

    let twice = ASKING.replace("name: asking", "name: hello").replace("notes_add", "x");
    let body = serde_json::to_value(apply(&twice, &[("./script.yaml", "rulez: []"), ("./notes.sql", "")])).unwrap();
    assert_eq!(lab.post("/v1/agents", &body).await.status(), 422);
    assert!(lab.client.agents().await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_agent_can_be_the_tool_of_another() {
    let lab = Lab::new().await;
    let helper = lab.hello().await;
    let boss = "stead: v1\nname: boss\nmodel: { rehearsal: ./s.yaml }\ninstructions: Delegate.\ntools:\n  helper: { agent: hello }\n";
    let script = "rules:\n  - when: { tool: helper }\n    say: \"They say: {{result | text}}\"\n  - call: [{ tool: helper, args: { input: \"Hi\" } }]\n";
    let agent = lab.apply(boss, &[("./s.yaml", script)]).await;
    assert_eq!(agent.tools[0].agent, Some(helper.version));
    let run = lab.start("boss").await;
    let ended = lab.ended(run).await;
    assert_eq!(ended.output.as_deref(), Some("They say: Hello there, friend."), "{ended:?}");
    let query = stead_client::RunQuery { parent: Some(run), ..Default::default() };
    let children = lab.client.runs(&query).await.unwrap().items;
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].version, helper.version);
}

#[tokio::test]
async fn the_tools_of_an_mcp_server_are_asked_for_and_pinned() {
    // The launcher of sandboxes is the binary, which these tests are not.
    let lab = Lab::with(|c| c.sandbox.allow_none = true).await;
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/tests/fixtures/server.py");
    let data = tempfile::tempdir().unwrap();
    let manifest = format!(
        "stead: v1\nname: files\nmodel: rehearsal:auto\ninstructions: Use the tools.\ntools:\n  srv:\n    mcp: {{ command: [python3, \"{}\", good, \"{}\"] }}\n    sandbox: none\n    effect: pure\n",
        server.display(),
        data.path().display()
    );
    let mut request = apply(&manifest, &[]);
    let invented =
        stead_api::agent::PinnedTool { name: "x".into(), description: String::new(), schema: json!({}), output: None };
    request.bundle.pinned.insert("srv".into(), vec![invented]);
    let agent = lab.client.apply_agent(&request).await.unwrap();
    let names: Vec<_> = agent.tools.iter().map(|t| t.name.to_string()).collect();
    assert!(names.iter().any(|n| n == "srv_echo") && !names.iter().any(|n| n == "srv_x"), "{names:?}");
    let run = lab.start("files").await;
    let ended = lab.ended(run).await;
    let facts = lab.client.facts(run, &Default::default()).await.unwrap().items;
    let returned = facts.iter().filter(|f| f.fact.kind() == "effect_returned").count();
    assert!(returned > 0, "{ended:?}");
}

#[tokio::test]
async fn a_plan_may_use_the_fields_that_an_mcp_server_tells_of_its_results_and_no_others() {
    let lab = Lab::with(|c| c.sandbox.allow_none = true).await;
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/tests/fixtures/server.py");
    let data = tempfile::tempdir().unwrap();
    let manifest = format!(
        "stead: v1\nname: planner\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Book.\nprovenance: plan\ntools:\n  srv:\n    \
         mcp: {{ command: [python3, \"{}\", typed, \"{}\"] }}\n    sandbox: none\n    effects:\n      best: {{ class: pure, trust: {{ $: attested }} }}\n      \
         book: irreversible\n",
        server.display(),
        data.path().display()
    );
    let script = "rules:\n  - when: { turn: 1 }\n    say: \"let b = srv_best()\\ndo srv_book(hotel: b.nme)\"\n  - when: { turn: 2 }\n    \
                  say: \"let b = srv_best()\\ndo srv_book(hotel: b.name)\"\n  - when: { turn: 3 }\n    call: [{ tool: srv_best, args: {} }]\n  - when: { tool: srv_best }\n    \
                  call: [{ tool: srv_book, args: { hotel: \"{{result.name}}\" } }]\n  - say: booked\n";
    lab.apply(&manifest, &[("./script.yaml", script)]).await;
    let run = lab.start("planner").await;
    let ended = lab.ended(run).await;
    assert_eq!(ended.output.as_deref(), Some("booked"), "{ended:?}");
    let facts = lab.client.facts(run, &Default::default()).await.unwrap().items;
    let told: Vec<_> =
        facts.iter().filter(|f| f.fact.kind() == "plan_rejected").filter_map(|f| f.text.clone()).collect();
    assert!(told.len() == 1 && told[0].contains("there is no field `nme`"), "{told:?}");
    let facts = serde_json::to_value(&facts).unwrap();
    let marks: Vec<_> = facts
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f.pointer("/fact/plan"))
        .filter(|plan| plan.is_object())
        .collect();
    assert_eq!(marks, [&json!({ "read": 0 }), &json!({ "used": { "slot": 0 } })], "{facts}");
}

#[tokio::test]
async fn no_mcp_server_runs_outside_of_a_sandbox_unless_the_operator_allows_it() {
    let lab = Lab::new().await;
    let mark = lab.dir.path().join("was-started");
    let manifest = format!(
        "stead: v1\nname: open\nmodel: rehearsal:auto\ninstructions: x\ntools:\n  srv:\n    mcp: {{ command: [touch, \"{}\"] }}\n    sandbox: none\n",
        mark.display()
    );
    let body = serde_json::to_value(apply(&manifest, &[])).unwrap();
    let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0310").await;
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("Leave `sandbox` out") && detail.contains("allow_none = true"), "{detail}");
    assert!(!mark.exists());
}

#[tokio::test]
async fn the_folder_of_an_agent_must_be_one_of_this_machine() {
    let lab = Lab::new().await;
    for dir in ["relative", "/nonexistent-folder"] {
        let mut body = serde_json::to_value(apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)])).unwrap();
        body["dir"] = dir.into();
        problem(lab.post("/v1/agents", &body).await, 400, "ST0201").await;
    }
    // A folder elsewhere than the data directory holds the relative database.
    let dir = tempfile::tempdir().unwrap();
    let manifest = ASKING.replace("${data}", ".").replace("ask: true", "ask: false");
    let mut request = apply(&manifest, &crate::lab::ASKING_FILES);
    request.dir = Some(dir.path().to_str().unwrap().to_owned());
    lab.client.apply_agent(&request).await.unwrap();
    assert!(dir.path().join("notes.db").is_file());
    let run = lab.start("asking").await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("It was added."));
    assert_eq!(lab.ask(Method::GET, "/v1/agents").send().await.unwrap().status(), 200);
}
