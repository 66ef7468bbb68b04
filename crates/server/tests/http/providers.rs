//! Model providers that have limits, refuse, and die in the middle of a reply: what runs do about it over the real wires,
//! and what it is settled at.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use stead_api::page::PageQuery;
use stead_core::{
    budget::{Limits as Budget, MicroUsd, Spend},
    fact::Fact,
    id::RunId,
    record::Actor,
};
use stead_engine::StartRun;
use stead_ports::journal::Status;
use stead_server::{
    agents::Naming,
    config::{Config, Provider as Limited, units::Time},
    runtime::{OpenOptions, Runtime},
};

use crate::{
    double::{Does, Limits, Provider, SIGNATURE},
    lab::{ASKING, ASKING_FILES, Lab},
};

fn manifest(model: &str, url: &str, more: &str) -> String {
    format!(
        "stead: v1\nname: asker\ninstructions: Be brief.\nmodel:\n  use: {model}\n  base_url: {url}\n  max_output_tokens: 100\n  \
         price: {{ input: 1, output: 2 }}\n{more}"
    )
}

/// Runs of the first of these tests.
const RUNS: usize = 1_000;
/// What its provider allows, and what the operator has written down of that.
const LIMITS: Limits = Limits { concurrent: 24, per_second: 400 };

/// Three in ten requests are refused; none of one run more than three times in a row.
fn refuses(user: &str, before: u32) -> Does {
    // FNV-1a: the same every time, and without a pattern.
    let dice = user
        .bytes()
        .chain([before as u8])
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    match (dice >> 32) % 1_000 {
        _ if before >= 3 => Does::Says("done"),
        0..3 => Does::Refuses(1_000),
        3..300 => Does::Refuses(20),
        _ => Does::Says("done"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runs_over_a_provider_that_refuses_three_in_ten_all_finish_within_its_limits_and_are_billed_exactly()
{
    let provider = Provider::start(Some(LIMITS), refuses).await;
    let dir = tempfile::tempdir().unwrap();
    let limited = Limited {
        concurrent: Some(LIMITS.concurrent as u32),
        requests_per_second: Some(LIMITS.per_second as u32),
        ..Limited::default()
    };
    let config = Config { providers: BTreeMap::from([(provider.address.clone(), limited)]), ..Config::default() };
    let options = OpenOptions {
        data_dir: dir.path().join("data"),
        engine: config.engine_options("test"),
        ..OpenOptions::default()
    };
    let runtime = Runtime::open(options).await.unwrap();
    let agent = dir.path().join("agent.yaml");
    let url = format!("http://{}/v1", provider.address);
    std::fs::write(&agent, manifest("openai:m", &url, "  attempts: 8\n")).unwrap();
    let bundle = stead_manifest::load(&agent).unwrap();
    let applied = runtime.apply(&"default".into(), bundle, &Naming::live("test".into())).await.unwrap();

    let engine = runtime.engine().clone();
    let start = |n: usize| StartRun {
        tenant: "default".into(),
        version: applied.row.version,
        session: None,
        input: format!("question {n}"),
        files: Vec::new(),
        limits: Budget::default(),
        idempotency: None,
        actor: Actor::User("test".into()),
        behalf: Default::default(),
        label: None,
        parent: None,
    };
    let mut runs = Vec::new();
    for n in 0..RUNS {
        runs.push(engine.start(start(n)).await.unwrap().run);
    }
    let mut spent = Spend::ZERO;
    for run in &runs {
        let view = engine.wait(*run, false).await.unwrap();
        assert_eq!(view.row.state.status, Status::Completed, "{:?}", view.error);
        spent = spent.plus(view.row.state.spent);
    }

    let counted = provider.ledger(|l| Spend { tokens: l.tokens, usd: Some(MicroUsd(l.micro_usd)) });
    assert_eq!(spent, counted, "the journal has what the provider has counted");
    assert_eq!(settled(&runtime, &runs).await, counted, "and so have its facts");
    provider.ledger(|l| {
        assert_eq!(l.broken, Vec::<String>::new());
        assert_eq!(l.replies as usize, RUNS);
        let share = l.refused * 100 / l.requests;
        assert!((25..=35).contains(&share), "{} of {} were refused", l.refused, l.requests);
        assert!(l.most_at_once > 1, "calls were under way together");
    });
    let stats = engine.stats();
    let of = stats.providers.iter().find(|p| *p.provider == *provider.address).unwrap();
    assert_eq!((of.under_way, of.waiting), (0, 0));
    assert_eq!((of.passed, of.refused), provider.ledger(|l| (l.requests, l.refused)));
    assert!(of.waited > 0);
    runtime.drain(Duration::from_secs(10)).await;
}

/// The sum of what the facts of these runs settle.
async fn settled(runtime: &Runtime, runs: &[RunId]) -> Spend {
    let mut sum = Spend::ZERO;
    for run in runs {
        for event in runtime.engine().facts(*run, 0, 1_000).await.unwrap() {
            match event.fact {
                Fact::ModelReplied(f) => sum = sum.plus(f.spent),
                Fact::ModelFailed(f) => {
                    assert!(!f.estimated, "what was refused costs nothing");
                    sum = sum.plus(f.spent);
                }
                _ => {}
            }
        }
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_dies_after_tokens_arrived_is_settled_at_its_reservation_and_says_that_it_is_an_estimate() {
    for (model, path) in [("openai:m", "/v1"), ("anthropic:claude-m", "")] {
        for fault in [Does::Dies, Does::Stops] {
            let provider =
                Provider::start(None, move |_, before| if before == 0 { fault } else { Does::Says("whole") }).await;
            let lab = Lab::new().await;
            let url = format!("http://{}{path}", provider.address);
            lab.apply(&manifest(model, &url, ""), &[]).await;
            let run = lab.start("asker").await;
            let ended = lab.ended(run).await;
            assert_eq!(ended.output.as_deref(), Some("whole"), "{model} {fault:?}: {:?}", ended.error);

            let facts = lab.client.facts(run, &PageQuery::default()).await.unwrap().items;
            let facts = facts.iter().map(|f| serde_json::to_value(&f.fact).unwrap());
            let of = |kind: &str| facts.clone().find(|f| f["kind"] == kind).unwrap();
            let (asked, failed, replied) = (of("model_requested"), of("model_failed"), of("model_replied"));
            assert_eq!((&failed["code"], &failed["estimated"]), (&Value::from("ST0022"), &Value::from(true)));
            assert_eq!(failed["spent"], asked["reserved"], "{model} {fault:?}");
            assert_eq!(replied["spent"]["tokens"], provider.ledger(|l| l.tokens));

            let usage: Value = lab.get("/v1/usage?by=model").await.json().await.unwrap();
            let sums = &usage["total"];
            assert_eq!(sums["estimated"], failed["spent"]);
            assert_eq!((&sums["model_calls"], &sums["failed_calls"]), (&Value::from(1), &Value::from(1)));
            let tokens = |v: &Value| v["tokens"].as_u64().unwrap();
            assert_eq!(tokens(&sums["spent"]), tokens(&failed["spent"]) + tokens(&replied["spent"]));
            lab.stop().await;
        }
    }
}

const SCHEMA: &str = r#"{"type":"object","required":["total"],"properties":{"total":{"type":"number"}}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_fit_its_schema_is_repaired_over_the_real_wire_or_fails_the_run() {
    let told = Arc::new(std::sync::Mutex::new(String::new()));
    let hears = told.clone();
    let provider = Provider::start(None, move |user, _| match user {
        "Hi" => Does::Says("about seven"),
        notice => {
            *hears.lock().unwrap() = notice.to_owned();
            Does::Says(r#"{"total": 7}"#)
        }
    })
    .await;
    let lab = Lab::new().await;
    let url = format!("http://{}/v1", provider.address);
    let files = [("./answer.json", SCHEMA)];
    lab.apply(&manifest("openai:m", &url, "output: ./answer.json\n"), &files).await;
    let ended = lab.ended(lab.start("asker").await).await;
    assert_eq!(ended.output.as_deref(), Some(r#"{"total": 7}"#));
    let notice = told.lock().unwrap().clone();
    assert!(notice.starts_with("[notice from the runtime] Your answer was not accepted: the answer is not valid JSON"));

    let strict = "output: { schema: ./answer.json, repairs: 0 }\n";
    lab.apply(&manifest("openai:m", &url, strict), &files).await;
    let ended = lab.ended(lab.start("asker").await).await;
    assert_eq!(ended.summary.code.map(|c| c.to_string()).as_deref(), Some("ST0180"));
    assert!(ended.error.unwrap().contains("the answer is not valid JSON"));
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("stead_answers_rejected_total 2"), "{metrics}");
    lab.stop().await;
}

#[tokio::test]
async fn a_schema_that_no_answer_can_be_checked_against_is_refused_when_the_agent_is_applied() {
    let lab = Lab::new().await;
    let text = manifest("openai:m", "http://127.0.0.1:9/v1", "output: ./answer.json\n");
    let body = serde_json::to_value(crate::lab::apply(&text, &[("./answer.json", r##"{"$ref":"#"}"##)])).unwrap();
    let problem = crate::lab::problem(lab.post("/v1/agents", &body).await, 422, "ST0103").await;
    assert!(problem["detail"].as_str().unwrap().contains("output: the output schema cannot be used"), "{problem}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_in_line_for_its_provider_says_so() {
    // A provider that never answers the first.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            kept.push(socket);
            let _ = asked.send(());
        }
    });
    let one = Limited { concurrent: Some(1), ..Limited::default() };
    let name = address.clone();
    let lab = Lab::with(move |c| {
        c.providers.insert(name, one);
        // The first call never comes back.
        c.drain_timeout = Time(Duration::from_millis(50));
    })
    .await;
    lab.apply(&manifest("openai:m", &format!("http://{address}/v1"), ""), &[]).await;
    let first = lab.start("asker").await;
    was_asked.recv().await.unwrap();
    let second = lab.start("asker").await;
    let why = loop {
        let why: Value = lab.get(&format!("/v1/runs/{second}/why")).await.json().await.unwrap();
        if why["causes"][0]["cause"] == "provider" {
            break why;
        }
    };
    let cause = &why["causes"][0];
    assert_eq!((&cause["provider"], &cause["position"]), (&Value::from(address.clone()), &Value::from(1)));
    assert_eq!(cause["waits_for"], "as many calls as may be are under way");
    let why: Value = lab.get(&format!("/v1/runs/{first}/why")).await.json().await.unwrap();
    assert_eq!(why["causes"][0]["cause"], "model");
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(&format!("stead_provider_calls_waiting{{provider=\"{address}\"}} 1")), "{metrics}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_models_goes_on_with_the_next_which_is_not_shown_what_the_first_has_signed() {
    let first = Provider::start(None, |_, before| if before == 0 { Does::Thinks } else { Does::Rejects }).await;
    let second = Provider::start(None, |_, _| Does::Says("Milk is noted.")).await;
    let lab = Lab::new().await;
    let model = |name: &str, url: &str| {
        format!("{{ use: \"{name}\", base_url: \"{url}\", max_output_tokens: 100, price: {{ input: 1, output: 2 }} }}")
    };
    let (claude, chat) = (format!("http://{}", first.address), format!("http://{}/v1", second.address));
    let first_model = model("anthropic:claude-m", &claude);
    let chain = format!("{}, fallback: [{}] }}", first_model.strip_suffix(" }").unwrap(), model("openai:m", &chat));
    let manifest = ASKING.replace("{ rehearsal: ./script.yaml }", &chain).replace("    ask: true\n", "");
    lab.apply(&manifest, &ASKING_FILES[..1]).await;
    let run = lab.start("asking").await;
    let ended = lab.ended(run).await;
    assert_eq!(ended.output.as_deref(), Some("Milk is noted."), "{:?}", ended.error);

    // The first gets back what it has signed, byte for byte; the second gets the call and its result without it.
    let again = first.ledger(|l| l.seen.clone());
    assert_eq!(again.len(), 2);
    assert_eq!(again[1].pointer("/messages/1/content/0/signature"), Some(&Value::from(SIGNATURE)), "{}", again[1]);
    let asked = second.ledger(|l| l.seen.clone());
    let messages = asked[0]["messages"].as_array().unwrap();
    let said = messages.iter().find(|m| m["role"] == "assistant").unwrap();
    assert_eq!(said.pointer("/tool_calls/0/function/name"), Some(&Value::from("notes_add")), "{said}");
    let told = messages.last().unwrap();
    assert_eq!((&told["role"], &told["tool_call_id"]), (&Value::from("tool"), &said["tool_calls"][0]["id"]), "{told}");
    for trace in [SIGNATURE, "signature", "thinking", "Milk is missing."] {
        assert!(!asked[0].to_string().contains(trace), "{trace}: {}", asked[0]);
    }

    let facts = lab.client.facts(run, &PageQuery::default()).await.unwrap().items;
    let facts: Vec<Value> = facts.iter().map(|f| serde_json::to_value(&f.fact).unwrap()).collect();
    let failed: Vec<_> = facts.iter().filter(|f| f["kind"] == "model_failed").collect();
    assert_eq!(failed.len(), 1, "what is wrong is not sent to the same again: {failed:?}");
    assert_eq!((&failed[0]["code"], &failed[0]["next"]["model"]), (&Value::from("ST0020"), &Value::from(1)));

    let of = |p: &Provider| p.ledger(|l| Spend { tokens: l.tokens, usd: Some(MicroUsd(l.micro_usd)) });
    assert_eq!(ended.summary.spent, of(&first).plus(of(&second)));
    let usage: Value = lab.get("/v1/usage?by=model").await.json().await.unwrap();
    for (name, provider, failed) in [("anthropic:claude-m", &first, 1), ("openai:m", &second, 0)] {
        let group = usage["groups"].as_array().unwrap().iter().find(|g| g["model"] == name).unwrap();
        let told = (&group["model_calls"], &group["failed_calls"], &group["spent"]);
        let spent = serde_json::to_value(of(provider)).unwrap();
        assert_eq!(told, (&Value::from(1), &Value::from(failed), &spent), "{group}");
    }
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    let tokens = of(&first).plus(of(&second)).tokens;
    for line in [
        "stead_failures_total{of=\"model\",code=\"ST0020\"} 1".to_owned(),
        format!("stead_provider_tokens_total{{provider=\"other\"}} {tokens}"),
        "stead_model_attempt_seconds_count{provider=\"other\"} 3".to_owned(),
        "stead_tool_call_seconds_count{kind=\"sql\"} 1".to_owned(),
        "stead_run_seconds_count{status=\"completed\"} 1".to_owned(),
        "stead_effects_ended_total{outcome=\"returned\"} 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_not_known_is_never_told_as_a_figure() {
    let provider = Provider::start(None, |_, _| Does::Says("whole")).await;
    let lab = Lab::new().await;
    let url = format!("http://{}/v1", provider.address);
    lab.apply(&manifest("openai:m", &url, ""), &[]).await;
    lab.ended(lab.start("asker").await).await;
    let text = async || lab.get("/metrics").await.text().await.unwrap();
    let money = |text: &str| text.lines().filter(|l| l.contains("spent_micro_usd") && !l.starts_with('#')).count();
    assert_eq!(money(&text().await), 2, "of all, and of the one provider");

    lab.apply(&manifest("openai:m", &url, "").replace("  price: { input: 1, output: 2 }\n", ""), &[]).await;
    let ended = lab.ended(lab.start("asker").await).await;
    assert_eq!(ended.summary.spent.usd, None);
    let told = text().await;
    assert_eq!(money(&told), 0, "{told}");
    let tokens = provider.ledger(|l| l.tokens);
    assert!(told.lines().any(|l| l == format!("stead_tokens_total {tokens}")), "{told}");
    let status: Value = lab.get("/v1/status").await.json().await.unwrap();
    assert_eq!((&status["work"]["spent"]["tokens"], &status["work"]["spent"]["usd"]), (&tokens.into(), &Value::Null));
    lab.stop().await;
}
