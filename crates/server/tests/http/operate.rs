//! What people do over the API is put to policies: whom they forbid something is told why, it is on record, and nobody is locked out
//! for ever.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stead_api::{
    budget::{BudgetLimits, SetBudget},
    openapi,
    right::Right,
    run::{StartRun, WaitUntil},
};
use stead_client::Client;
use stead_core::code;
use stead_server::config::TokenEntry;

use crate::lab::{HELLO, HELLO_SCRIPT, Lab, apply, entry_for, problem, start};

const BOB: &str = "token-which-is-long-enough-bob";

/// A lab in which bob may do everything, as far as policies let him.
async fn lab() -> (Lab, Client) {
    let mut bob = entry_for(BOB, "bob", "default", &Right::ALL);
    bob.roles = vec!["support".into()];
    let lab = Lab::with(|c| c.auth.tokens = vec![bob]).await;
    let client = Client::new(&lab.url, BOB).unwrap();
    (lab, client)
}

fn set(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("people.cedar".to_owned(), text.to_owned())])
}

/// What is on record about people.
fn record(lab: &Lab) -> Vec<Value> {
    let text = std::fs::read_to_string(lab.dir.path().join("data/operators.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn whom_a_policy_forbids_something_is_told_why_and_it_is_on_record() {
    let (lab, bob) = lab().await;
    lab.hello().await;
    let forbids = r#"
@id("releasers") @reason("only releasers change what is live")
forbid (principal, action == Action::"apply_agent", resource == Agent::"hello")
unless { principal in Role::"releaser" || principal == User::"owner" };
@id("not-bobs")
forbid (principal == User::"bob", action == Action::"control_run", resource in Agent::"asking")
unless { resource has user && resource.user == principal };
"#;
    lab.client.apply_policies(set(forbids)).await.unwrap();
    let hello = apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)]);
    let refused = bob.apply_agent(&hello).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (code::POLICY, Some(403)));
    assert_eq!(refused.detail, "Not done: only releasers change what is live (policy `releasers`)");
    assert!(refused.hint.is_some());
    assert_eq!(
        bob.rollback("hello", None).await.unwrap_err().code,
        code::POLICY,
        "the agent of the path counts as well"
    );
    // Another agent is his to apply, and a run of it that he started his to stop, and no other.
    lab.asking().await;
    let (theirs, own) = (lab.start("asking").await, bob.start_run(&start("asking"), None).await.unwrap().run);
    for run in [theirs, own] {
        lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    }
    assert_eq!(bob.cancel(theirs).await.unwrap_err().code, code::POLICY);
    bob.cancel(own).await.unwrap();
    assert_eq!(bob.run(theirs).await.unwrap().summary.status, stead_api::run::Status::Waiting, "he may look at it");
    let told: Vec<_> = record(&lab)
        .iter()
        .filter(|line| line["verdict"] == "deny")
        .map(|line| {
            (line["who"].clone(), line["action"].clone(), line["to"].clone(), line["by"].clone(), line["epoch"].clone())
        })
        .collect();
    let releasers = (json!("bob"), json!("apply_agent"), json!("hello"), json!(["releasers"]), json!(1));
    let control = (json!("bob"), json!("control_run"), json!(theirs.to_string()), json!(["not-bobs"]), json!(1));
    assert_eq!(told, [releasers.clone(), releasers, control]);
    let allowed = record(&lab).into_iter().filter(|line| line["verdict"] == "allow").count();
    assert_eq!(allowed, 3, "two agents and a policy set were applied");
}

#[tokio::test]
async fn every_door_that_needs_a_right_is_asked_about() {
    let (lab, _) = lab().await;
    lab.hello().await;
    let waiting = lab.waiting().await;
    let (run, approval) = (waiting.summary.id, waiting.approvals[0].id);
    lab.client.apply_policies(set("forbid (principal == User::\"bob\", action, resource);")).await.unwrap();
    let session = waiting.summary.session.to_string();
    for operation in openapi::operations() {
        if operation.rights.is_empty() {
            continue;
        }
        let path = operation
            .path
            .replace("{run}", &run.to_string())
            .replace("{session}", &session)
            .replace("{approval}", &approval.to_string())
            .replace("{version}", "live")
            .replace("{agent}", "hello");
        let method: Method = operation.method.parse().unwrap();
        let body = match operation.path {
            "/v1/agents" => serde_json::to_value(apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)])).unwrap(),
            "/v1/runs" => serde_json::to_value(start("hello")).unwrap(),
            "/v1/sessions" => json!({ "agent": "hello", "key": "customer/42" }),
            "/v1/sessions/{session}/runs" => json!({ "input": "Hi" }),
            _ => Value::Null,
        };
        let asked = lab.bare(method, &path).bearer_auth(BOB);
        let asked = if body.is_null() || operation.method == "GET" { asked } else { asked.json(&body) };
        let answer = asked.send().await.unwrap();
        let told = format!("{} {path}", operation.method);
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{told}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["code"], "ST0057", "{told}: {answer}");
    }
    assert_eq!(lab.client.run(run).await.unwrap().approvals.len(), 1, "nothing has happened");
    let shown = lab.client.sessions(&Default::default()).await.unwrap();
    assert!(shown.items.iter().all(|session| session.key.as_deref() != Some("customer/42")), "{shown:?}");
}

#[tokio::test]
async fn to_set_a_budget_is_to_administer_and_to_look_at_it_is_not() {
    let (lab, bob) = lab().await;
    lab.client
        .apply_policies(set(r#"@id("owners") @reason("only the owner sets budgets")
forbid (principal, action == Action::"administer", resource) unless { principal == User::"owner" };"#))
        .await
        .unwrap();
    let limits = BudgetLimits { tokens: Some(7), ..BudgetLimits::default() };
    let set = SetBudget { limits, ..SetBudget::default() };
    let refused = bob.set_budget(&set).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.detail.as_str()),
        (code::POLICY, "Not done: only the owner sets budgets (policy `owners`)")
    );
    assert!(bob.budgets().await.unwrap().items.is_empty(), "he may look, and nothing was set");
    lab.client.set_budget(&set).await.unwrap();
    let told: Vec<_> = record(&lab)
        .into_iter()
        .filter(|line| line["action"] == "administer")
        .map(|line| (line["who"].clone(), line["verdict"].clone()))
        .collect();
    assert_eq!(told, [(json!("bob"), json!("deny")), (json!("owner"), json!("allow"))]);
}

#[tokio::test]
async fn a_set_that_locks_everybody_out_is_undone_with_the_folders_own_token_and_by_nobody_else() {
    let (lab, bob) = lab().await;
    lab.hello().await;
    let calm = "@id(\"calm\") forbid (principal == User::\"mallory\", action, resource);";
    bob.apply_policies(set(calm)).await.unwrap();
    let shut = bob.apply_policies(set("@id(\"shut\") forbid (principal is User, action, resource);")).await.unwrap();
    assert_eq!(shut.set.epoch, 2, "it is applied");
    let warned = shut.warnings.iter().find(|w| w.message.starts_with("under it `bob` cannot apply policies any more"));
    assert!(warned.is_some_and(|w| w.hint.is_some()), "and its author was told: {:?}", shut.warnings);
    for refused in [bob.rollback_policies(1).await.unwrap_err(), bob.apply_policies(set(calm)).await.unwrap_err()] {
        assert_eq!((refused.code, refused.status), (code::POLICY, Some(403)));
    }
    problem(lab.get("/v1/agents").await, 403, "ST0057").await;
    assert_eq!(lab.client.start_run(&start("hello"), None).await.unwrap_err().code, code::POLICY);
    let listed = lab.client.policy_sets(&Default::default()).await.unwrap();
    assert_eq!(listed.items.len(), 2, "who can read the folder sees the sets");
    assert_eq!(lab.client.rollback_policies(1).await.unwrap().set.epoch, 3);
    assert_eq!(bob.agents().await.unwrap().items.len(), 1);
    let went: Vec<_> = record(&lab).into_iter().filter(|line| line["verdict"] == "mended").collect();
    assert!(went.iter().any(|line| line["action"] == "apply_policy" && line["by"] == json!(["shut"])), "{went:?}");
}

#[tokio::test]
async fn another_tenant_is_mended_with_a_token_whose_entry_says_so_as_far_as_its_rights_go() {
    let word = |who: &str| format!("token-which-is-long-enough-{who}");
    let entry = |who: &str, rights: &[Right]| entry_for(&word(who), who, "acme", rights);
    let eve = entry("eve", &Right::ALL);
    let mender = TokenEntry { mends: true, ..entry("mender", &[Right::Read, Right::Apply]) };
    let reader = TokenEntry { mends: true, ..entry("reader", &[Right::Read]) };
    let lab = Box::pin(Lab::with(|c| c.auth.tokens = vec![eve, mender, reader])).await;
    let [eve, mender, reader] = ["eve", "mender", "reader"].map(|who| Client::new(&lab.url, &word(who)).unwrap());
    eve.apply_policies(set("@id(\"shut\") forbid (principal, action in Action::\"operate\", resource);"))
        .await
        .unwrap();
    assert_eq!(eve.policy_sets(&Default::default()).await.unwrap_err().code, code::POLICY);
    assert_eq!(lab.client.policy_sets(&Default::default()).await.unwrap().items, [], "the owner is of another tenant");
    assert_eq!(reader.apply_policies(set("// none\n")).await.unwrap_err().code, code::FORBIDDEN);
    assert_eq!(mender.agents().await.unwrap_err().code, code::POLICY, "it mends policies, and nothing else");
    mender.apply_policies(set("// none\n")).await.unwrap();
    assert_eq!(eve.agents().await.unwrap().items, []);
}

#[tokio::test]
async fn what_would_need_an_approval_is_not_done_over_the_api_and_what_cannot_be_judged_neither() {
    let (lab, bob) = lab().await;
    lab.hello().await;
    let gate = "@id(\"two\") @require(\"approval\") @approvers(\"lead\") @quorum(\"1\") @ttl(\"1h\")
        forbid (principal == User::\"bob\", action == Action::\"start_run\", resource == Agent::\"hello\");";
    lab.client.apply_policies(set(gate)).await.unwrap();
    let refused = bob.start_run(&start("hello"), None).await.unwrap_err();
    assert!(refused.detail.contains("only with an approval, which a request cannot get"), "{refused:?}");
    let keyed = StartRun { session_key: Some("k".into()), ..start("hello") };
    assert_eq!(bob.start_run(&keyed, None).await.unwrap_err().code, code::POLICY);
    lab.start("hello").await;
}

#[tokio::test]
async fn a_file_of_a_run_leaves_only_as_far_as_policies_let_it() {
    let lab = Lab::new().await;
    lab.hello().await;
    let file = |name: &str, media: &str| json!({ "name": name, "media_type": media, "data": "aGk=" });
    let body = json!({ "agent": "hello", "input": "Hi", "attachments": [file("a.csv", "text/csv"), file("b.txt", "text/plain")] });
    let started: Value = lab.post("/v1/runs", &body).await.json().await.unwrap();
    let run = started["run"].as_str().unwrap().to_owned();
    let get = async |name: &str| lab.get(&format!("/v1/runs/{run}/artifacts/{name}")).await;
    assert_eq!((get("a.csv").await.status(), get("b.txt").await.status()), (StatusCode::OK, StatusCode::OK));
    let forbids = r#"@id("tables-stay") @reason("tables stay here")
        forbid (principal in Agent::"hello", action == Action::"export_artifact", resource)
        when { context.media_type == "text/csv" || context.bytes > 1000 };"#;
    lab.client.apply_policies(set(forbids)).await.unwrap();
    let kept = problem(get("a.csv").await, 403, "ST0057").await;
    assert_eq!(kept["detail"], "Not done: tables stay here (policy `tables-stay`)");
    assert_eq!(get("b.txt").await.text().await.unwrap(), "hi");
    // That there is such a file may be known.
    let listed: Value = lab.get(&format!("/v1/runs/{run}/artifacts")).await.json().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}
