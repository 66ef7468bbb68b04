//! Versions: aliases, going back, comparing, and runs that keep theirs; and what is told of a run afterwards.

use serde_json::json;
use stead_api::{
    agent::ApplyAgent,
    right::Right,
    run::{Limits, StartRun, Status, WaitUntil},
    session::StartInSession,
    usage::UsageBy,
    why::Cause,
};
use stead_client::{Client, UsageQuery};
use stead_core::code;
use stead_ports::journal::{AliasMove, Journal as _, MAX_ALIASES, MovedBy, Step, VersionRow};
use stead_store::{SqliteOptions, SqliteStore};

use crate::lab::{ASKING, ASKING_FILES, HELLO, HELLO_SCRIPT, Lab, apply, config, entry_for, problem, start};

fn saying(text: &str) -> ApplyAgent {
    apply(HELLO, &[("./script.yaml", &format!("rules: [{{ say: {text} }}]"))])
}

async fn said(lab: &Lab, agent: &str) -> String {
    let run = lab.start(agent).await;
    lab.ended(run).await.output.unwrap()
}

#[tokio::test]
async fn a_canary_leaves_live_where_it_is_and_is_run_by_its_name() {
    let lab = Lab::new().await;
    let one = lab.client.apply_agent(&saying("One")).await.unwrap();
    let two = ApplyAgent { alias: Some("canary".into()), ..saying("Two") };
    let two = lab.client.apply_agent(&two).await.unwrap();
    assert_eq!((one.live, two.live), (true, false));
    assert_eq!((said(&lab, "hello").await, said(&lab, "hello@canary").await), ("One".into(), "Two".into()));
    let prefix = &two.version.to_string()["sha256:".len()..][..10];
    assert_eq!(said(&lab, &format!("hello@{prefix}")).await, "Two");
    assert_eq!(said(&lab, &format!("hello@{}", one.version)).await, "One");
    assert_eq!(lab.client.agent("hello@canary").await.unwrap().version, two.version);
    let versions = lab.client.versions("hello").await.unwrap();
    assert_eq!(versions.items[0].aliases, ["canary".into()]);
    assert_eq!(
        versions.history.iter().map(|e| (e.alias.as_str(), e.why.as_str())).collect::<Vec<_>>(),
        [("canary", "apply"), ("live", "apply")]
    );
    problem(lab.get("/v1/agents/hello@nothing").await, 404, "ST0202").await;
    let both = StartRun { version: Some(one.version), ..start("hello@canary") };
    assert_eq!(lab.client.start_run(&both, None).await.unwrap_err().status, Some(400));
}

#[tokio::test]
async fn live_is_taken_back_step_by_step_and_who_did_it_is_written_down() {
    let lab = Lab::new().await;
    let mut all = Vec::new();
    for text in ["One", "Two", "Three"] {
        all.push(lab.client.apply_agent(&saying(text)).await.unwrap().version);
    }
    for (version, text) in [(all[1], "Two"), (all[0], "One")] {
        let live = lab.client.rollback("hello", None).await.unwrap();
        assert_eq!((live.version, live.moved), (Some(version), true));
        assert_eq!(said(&lab, "hello").await, text);
    }
    problem(lab.post("/v1/agents/hello/rollback", &json!({})).await, 409, "ST0216").await;
    let to = Some(all[2].to_string());
    assert_eq!(lab.client.rollback("hello", to).await.unwrap().version, Some(all[2]));
    let history = lab.client.versions("hello").await.unwrap().history;
    assert_eq!(history.iter().filter(|e| e.why == "rollback" && e.by.as_str() == "owner").count(), 3);

    let alias = lab.client.set_alias("hello", "stable", Some("live".into())).await.unwrap();
    assert_eq!((alias.version, alias.moved), (Some(all[2]), true));
    assert!(!lab.client.set_alias("hello", "stable", Some(all[2].to_string())).await.unwrap().moved);
    assert_eq!(lab.client.set_alias("hello", "stable", None).await.unwrap().version, None);
    problem(lab.post("/v1/agents/hello/aliases/stable", &json!({"version": null})).await, 404, "ST0202").await;
    problem(lab.post("/v1/agents/hello/aliases/live", &json!({"version": null})).await, 409, "ST0217").await;
    for wrong in ["Upper", "deadbeef", "a@b"] {
        let answer = lab.post(&format!("/v1/agents/hello/aliases/{wrong}"), &json!({"version": "live"})).await;
        problem(answer, 400, "ST0201").await;
    }
}

#[tokio::test]
async fn a_run_whose_version_was_replaced_and_taken_back_finishes_on_its_own_after_a_restart() {
    let lab = Lab::new().await;
    let first = lab.asking().await;
    let run = lab.start("asking").await;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    // Another version, which would not ask anything, and one more; then back to neither of the two.
    let other = ASKING.replace("instructions: ", "instructions: Other. ");
    let second = lab.client.apply_agent(&apply(&other, &ASKING_FILES)).await.unwrap();
    assert_ne!(second.version, first.version);
    let third = ASKING.replace("instructions: ", "instructions: Third. ");
    lab.client.apply_agent(&apply(&third, &ASKING_FILES)).await.unwrap();
    lab.client.rollback("asking", None).await.unwrap();
    let dir = lab.stop().await;

    let config = config(dir.path());
    let lab = Lab::over(dir, config).await;
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    let ended = lab.ended(run).await;
    assert_eq!((ended.summary.status, ended.summary.version), (Status::Completed, first.version));
    let context = lab.client.context(run, "2").await.unwrap();
    assert!(!context.instructions.contains("Other") && !context.instructions.contains("Third"));
    // A new run is of the version that is live now.
    let new = lab.start("asking").await;
    assert_eq!(lab.client.run(new).await.unwrap().summary.version, second.version);
}

#[tokio::test]
async fn a_session_moves_to_the_live_version_at_its_next_run_and_keeps_what_was_said() {
    let lab = Lab::new().await;
    let one = lab.client.apply_agent(&saying("One")).await.unwrap();
    let first = lab.client.start_run(&start("hello"), None).await.unwrap();
    assert_eq!(lab.ended(first.run).await.output.as_deref(), Some("One"));
    let two = lab.client.apply_agent(&saying("Two")).await.unwrap();
    let next = async |version: Option<&str>| {
        let next = StartInSession {
            input: "And?".into(),
            attachments: Vec::new(),
            version: version.map(Into::into),
            limits: Limits::default(),
        };
        let run = lab.client.start_in_session(first.session, &next, None).await.unwrap().run;
        lab.ended(run).await
    };
    let second = next(None).await;
    assert_eq!((second.summary.version, second.output.as_deref()), (two.version, Some("Two")));
    let third = next(Some(&one.version.to_string())).await;
    assert_eq!((third.summary.version, third.output.as_deref()), (one.version, Some("One")));
    let context = lab.client.context(third.summary.id, "1").await.unwrap();
    assert_eq!(context.messages.iter().map(|m| m.earlier).collect::<Vec<_>>(), [true, true, true, true, false]);
}

#[tokio::test]
async fn the_schema_of_the_answer_is_part_of_what_the_model_was_given() {
    let lab = Lab::new().await;
    let manifest = format!("{HELLO}output: ./answer.json\n");
    let schema = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;
    let script = "rules: [{ say: '{\"n\":1}' }]";
    lab.apply(&manifest, &[("./script.yaml", script), ("./answer.json", schema)]).await;
    let run = lab.start("hello").await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some(r#"{"n":1}"#));
    let output = lab.client.context(run, "1").await.unwrap().output.unwrap();
    assert_eq!(output["required"], json!(["n"]));
}

#[tokio::test]
async fn one_alias_too_many_is_refused_by_both_doors() {
    let lab = Lab::new().await;
    lab.client.apply_agent(&saying("One")).await.unwrap();
    for n in 1..MAX_ALIASES {
        lab.client.set_alias("hello", &format!("a{n}"), Some("live".into())).await.unwrap();
    }
    problem(lab.post("/v1/agents/hello/aliases/more", &json!({"version": "live"})).await, 409, "ST0217").await;
    let more = ApplyAgent { alias: Some("more".into()), ..saying("Two") };
    assert_eq!(lab.client.apply_agent(&more).await.unwrap_err().status, Some(409));
    assert_eq!(lab.client.versions("hello").await.unwrap().items.len(), 1, "nothing of it is kept");
    // Nor where its folder is: runs of the version that stays go on in theirs.
    let noted = lab.dir.path().join("data/agents/default/hello.dir");
    let place = lab.dir.path().to_str().unwrap().to_owned();
    lab.client.apply_agent(&ApplyAgent { dir: Some(place.clone()), ..saying("One") }).await.unwrap();
    let moving = ApplyAgent { dir: Some("/tmp".into()), ..more.clone() };
    assert_eq!(lab.client.apply_agent(&moving).await.unwrap_err().status, Some(409));
    assert_eq!(std::fs::read_to_string(&noted).unwrap(), place);
    lab.client.set_alias("hello", "a1", None).await.unwrap();
    lab.client.apply_agent(&more).await.unwrap();
}

#[tokio::test]
async fn two_versions_are_compared_by_their_files_and_by_what_they_may_do() {
    let lab = Lab::new().await;
    lab.client.apply_agent(&apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)])).await.unwrap();
    let more = format!("{HELLO}\nmax_turns: 7\n");
    lab.client.apply_agent(&apply(&more, &[("./script.yaml", "rules: [{ say: Other }]")])).await.unwrap();
    let diff = lab.client.diff("hello", None, None).await.unwrap();
    assert_eq!(diff.files.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(), ["agent.yaml", "script.yaml"]);
    assert!(diff.files[0].diff.contains("+max_turns: 7"), "{}", diff.files[0].diff);
    assert!(diff.safety.iter().any(|c| c.what == "limit" && c.name == "turns" && !c.looser), "{:?}", diff.safety);
    let same = lab.client.diff("hello", Some("live"), Some("live")).await.unwrap();
    assert!(same.files.is_empty() && same.safety.is_empty());
}

#[tokio::test]
async fn why_context_and_usage_tell_of_a_run() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let (run, approval) = (waiting.summary.id, waiting.approvals[0].id);
    let why = lab.client.why(run, Some("e1")).await.unwrap();
    assert!(matches!(&why.causes[..], [Cause::Human { effect, .. }] if *effect == approval), "{:?}", why.causes);
    assert_eq!(why.step.as_ref().and_then(|s| s.effect.as_ref()).map(|e| e.id), Some(approval));
    lab.client.approve(approval, None).await.unwrap();
    let spent = lab.ended(run).await.summary.spent;
    let context = lab.client.context(run, "1").await.unwrap();
    assert_eq!(context.messages.len(), 1);
    assert_eq!(lab.client.context(run, &approval.to_string()).await.unwrap(), context);
    for (path, status, code) in
        [("why?step=x", 400, "ST0201"), ("context", 400, "ST0201"), ("context?step=99", 404, "ST0202")]
    {
        problem(lab.get(&format!("/v1/runs/{run}/{path}")).await, status, code).await;
    }
    let query = UsageQuery { by: UsageBy::ALL.to_vec(), since: Some("30d".into()), until: None };
    let report = lab.client.usage(&query).await.unwrap();
    assert_eq!((report.total.runs, report.total.spent), (1, spent));
    assert_eq!((report.groups.len(), report.groups[0].user.as_deref()), (1, Some("owner")));
    assert_eq!(report.groups[0].session, Some(waiting.summary.session));
    problem(lab.get("/v1/usage?by=nobody").await, 400, "ST0201").await;
    problem(lab.get("/v1/usage?since=yesterday").await, 400, "ST0201").await;
}

#[tokio::test]
async fn the_beginning_of_several_versions_names_none_of_them() {
    let lab = Lab::new().await;
    let one = lab.client.apply_agent(&saying("One")).await.unwrap().version;
    let dir = lab.stop().await;
    // Another that begins with the same 31 bytes: no two that are applied ever do.
    let mut other = one;
    other.0[31] ^= 1;
    let store = SqliteStore::open(&dir.path().join("data"), SqliteOptions::default()).unwrap();
    let row = store.version(&"default".into(), one).await.unwrap().unwrap();
    let alias = AliasMove {
        tenant: row.tenant.clone(),
        agent: row.agent.clone(),
        alias: "other".into(),
        to: Some(other),
        expect: None,
        at: row.created,
        by: "test".into(),
        why: MovedBy::Apply,
        step: Step::Moved,
    };
    store.put_version(VersionRow { version: other, ..row }, alias).await.unwrap();
    drop(store);
    let settings = config(dir.path());
    let lab = Lab::over(dir, settings).await;
    let digits = one.to_string()["sha256:".len()..].to_owned();
    let told = problem(lab.get(&format!("/v1/agents/hello@{}", &digits[..10])).await, 409, "ST0215").await;
    assert!(told["detail"].as_str().unwrap().starts_with("2 versions of `hello`"), "{told}");
    assert_eq!(lab.client.agent(&format!("hello@{digits}")).await.unwrap().version, one);
}

#[tokio::test]
async fn with_four_eyes_what_one_person_applies_sets_or_takes_back_waits_for_another() {
    let rights = [Right::Read, Right::Apply, Right::Run];
    // Two tokens of ann's are one person.
    let tokens = [("ann", "ann"), ("ann-too", "ann"), ("bob", "bob")]
        .map(|(word, who)| entry_for(&format!("token-which-is-long-enough-{word}"), who, "default", &rights));
    let lab = Lab::with(|c| {
        c.auth.tokens = tokens.to_vec();
        c.agents.four_eyes = true;
    })
    .await;
    let [ann, ann_too, bob] = ["ann", "ann-too", "bob"]
        .map(|who| Client::new(&lab.url, &format!("token-which-is-long-enough-{who}")).unwrap());
    let kind = |word: &str| apply(&HELLO.replace("Be kind", word), &[("./script.yaml", HELLO_SCRIPT)]);
    let first = ann.apply_agent(&kind("Be kind")).await.unwrap();
    assert_eq!((first.live, first.proposed.as_deref()), (false, Some("live")));
    let digits = |agent: &stead_api::agent::Agent| Some(agent.version.to_string());
    assert_eq!(ann.start_run(&start("hello"), None).await.unwrap_err().code, code::NOT_FOUND, "nothing is live yet");
    for own in [&ann, &ann_too] {
        let refused = own.confirm_alias("hello", "live", digits(&first)).await.unwrap_err();
        assert_eq!((refused.code, refused.status), (code::ALIAS_REFUSED, Some(409)));
        assert!(refused.detail.contains("who proposed") && refused.hint.is_some(), "{refused:?}");
    }
    let waits = ann.versions("hello").await.unwrap().proposed;
    assert_eq!((waits.len(), waits[0].by.as_str(), waits[0].version), (1, "ann", Some(first.version)));
    assert!(bob.confirm_alias("hello", "live", digits(&first)).await.unwrap().moved);
    let run = ann.start_run(&start("hello"), None).await.unwrap().run;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Hello there, friend."));
    assert_eq!(bob.confirm_alias("hello", "live", digits(&first)).await.unwrap_err().code, code::ALIAS_REFUSED, "once");

    // Another version, a canary, a rollback: none of them by one person.
    let second = bob.apply_agent(&kind("Be brief")).await.unwrap();
    assert!(lab.client.agent("hello").await.unwrap().version == first.version && !second.live);
    ann.confirm_alias("hello", "live", digits(&second)).await.unwrap();
    assert_eq!(lab.client.agent("hello").await.unwrap().version, second.version);
    let canary = ann.set_alias("hello", "canary", digits(&first)).await.unwrap();
    assert_eq!((canary.moved, canary.proposed), (false, true));
    assert!(bob.confirm_alias("hello", "canary", digits(&first)).await.unwrap().moved);
    let back = ann.rollback("hello", None).await.unwrap();
    assert_eq!((back.proposed, back.version), (true, Some(first.version)));
    assert_eq!(lab.client.agent("hello").await.unwrap().version, second.version);
    assert!(bob.confirm_alias("hello", "live", digits(&first)).await.unwrap().moved);
    let told = bob.versions("hello").await.unwrap();
    assert_eq!(told.proposed, []);
    let history: Vec<_> = told.history.iter().map(|e| (e.by.as_str(), e.why.as_str(), e.step.as_str())).collect();
    assert_eq!(history[..2], [("bob", "rollback", "confirmed"), ("ann", "rollback", "proposed")]);
    // What was proposed before the alias moved is overtaken.
    let third = ann.apply_agent(&kind("Be wise")).await.unwrap();
    bob.set_alias("hello", "live", digits(&second)).await.unwrap();
    ann.confirm_alias("hello", "live", digits(&second)).await.unwrap();
    let late = bob.confirm_alias("hello", "live", digits(&third)).await.unwrap_err();
    assert!(late.detail.contains("since it moved last") && late.hint.is_some(), "{late:?}");
}
