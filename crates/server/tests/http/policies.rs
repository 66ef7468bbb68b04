//! Policy sets: applied, refused, listed, gone back to, confirmed by another person, served to whoever decides, and tried on what
//! was recorded.

use std::collections::BTreeMap;

use serde_json::json;
use stead_api::{
    page::PageQuery,
    policy::{PolicyStatus, ReplayPolicies},
    right::Right,
};
use stead_client::Client;
use stead_core::{code, id::Name};
use stead_policy::{Asker, Deed, Facts, History, Policies, Principal, Request, Verdict};
use stead_ports::policies::{NewPolicy, PolicyRow, PolicyStore as _};
use stead_server::{
    config::DatabaseUrl,
    policies::PolicyError,
    runtime::{OpenOptions, Runtime},
    serve::Server,
};
use stead_store::{BlobKey, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;

use crate::lab::{ASKING, ASKING_FILES, Lab, apply, config, entry_for, problem};

/// Forbids a text, and asks two people for a long one.
const SET: &str = r#"
@id("no-beer")
@reason("we do not drink at work")
forbid (principal, action == Action::"notes_add", resource)
when { context.args.text == "beer" };
"#;

fn files(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn set(text: &str) -> BTreeMap<String, String> {
    files(&[("notes.cedar", text)])
}

#[tokio::test]
async fn a_set_is_checked_against_the_tools_of_the_agents_and_becomes_the_next_epoch() {
    let lab = Lab::new().await;
    problem(lab.get("/v1/policies/current").await, 404, "ST0202").await;
    let unknown = lab.client.apply_policies(set(SET)).await.unwrap_err();
    assert_eq!((unknown.code, unknown.status), (code::POLICY_REFUSED, Some(422)), "nobody has that tool yet");
    lab.asking().await;
    let first = lab.client.apply_policies(set(SET)).await.unwrap();
    assert_eq!((first.set.epoch, first.set.status, first.set.by.as_str()), (1, PolicyStatus::InForce, "owner"));
    let again = lab.client.apply_policies(set(SET)).await.unwrap();
    assert_eq!(again.set, first.set, "the same files are no new epoch");

    let wrong = set("forbid (principal, action == Action::\"notes_add\", resource)\nwhen { context.args.text > 1 };\n");
    let wrong = lab.client.apply_policies(wrong).await.unwrap_err();
    assert_eq!(wrong.errors.len(), 1, "{wrong:?}");
    assert_eq!((wrong.errors[0].file.as_str(), wrong.errors[0].line, wrong.errors[0].column), ("notes.cedar", 2, 8));
    for (name, text) in [("../a.cedar", ""), ("a.txt", ""), ("more/a.cedar", "")] {
        let refused = lab.client.apply_policies(files(&[(name, text), ("notes.cedar", SET)])).await.unwrap_err();
        assert_eq!((refused.code, refused.errors[0].file.as_str()), (code::POLICY_REFUSED, name));
    }
    let cases = "cases: [{ name: milk is bad, call: notes_add, args: { text: milk }, expect: deny }]";
    let failed = lab.client.apply_policies(files(&[("notes.cedar", SET), ("tests.yaml", cases)])).await.unwrap_err();
    assert_eq!(failed.code, code::POLICY_REFUSED);
    assert_eq!(failed.errors[0].message, "case `milk is bad`: expected deny, got allow by `granted`");
    let shown = lab.client.policies("current").await.unwrap();
    assert_eq!((shown.set.epoch, shown.files), (1, set(SET)), "what was refused changed nothing");
    assert_eq!(shown.tools.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["notes_add"]);

    let second = lab.client.apply_policies(set(&SET.replace("beer", "wine"))).await.unwrap();
    let third = lab.client.rollback_policies(1).await.unwrap();
    assert_eq!((third.set.epoch, third.set.rollback, &third.set.digest), (3, Some(1), &first.set.digest));
    let page = PageQuery { cursor: None, limit: Some(2) };
    let page = lab.client.policy_sets(&page).await.unwrap();
    let told: Vec<_> = page.items.iter().map(|set| (set.epoch, set.status)).collect();
    assert_eq!(told, [(3, PolicyStatus::InForce), (2, PolicyStatus::Past)]);
    let rest = lab.client.policy_sets(&PageQuery { cursor: page.next, limit: Some(2) }).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].epoch, rest.next), (1, 1, None));
    assert_eq!(lab.client.policies("2").await.unwrap().set.digest, second.set.digest);
    for epoch in ["0", "4", "one", "-1"] {
        problem(lab.get(&format!("/v1/policies/{epoch}")).await, 404, "ST0202").await;
    }
    problem(lab.post("/v1/policies/9/rollback", &json!(null)).await, 404, "ST0202").await;
}

#[tokio::test]
async fn where_nothing_stands_between_other_peoples_words_and_what_an_agent_does_is_told() {
    let lab = Lab::new().await;
    let queries = "allow: [INSERT, SELECT]\n      queries:\n        list: { description: Lists notes., sql: SELECT text FROM notes }\n";
    let reads = ASKING.replace("allow: [INSERT]\n      queries:\n", queries);
    let reads = reads.replace("    ask: true", "    effects: { list: pure, add: irreversible }");
    let mut versions = Vec::new();
    let vouched = reads.clone() + "    trust: { \"$\": attested }\n";
    for (manifest, alone) in [
        (reads.clone(), false),
        (reads.clone() + "provenance: off\n", true),
        (reads.clone() + "provenance: trace\n", false),
        (vouched + "provenance: off\n", false),
        (ASKING.to_owned() + "provenance: off\n", false),
    ] {
        let agent = lab.client.apply_agent(&apply(&manifest, &ASKING_FILES)).await.unwrap();
        versions.push(agent.version.to_string());
        let told = agent.untraced.map(|untraced| (untraced.reads.join(" "), untraced.acts.join(" ")));
        assert_eq!(told, alone.then(|| ("notes_list".to_owned(), "notes_add".to_owned())), "{manifest}");
        let checked = lab.client.check_policies(set(SET)).await.unwrap();
        let warned: Vec<_> = checked.warnings.iter().map(|w| (w.file.as_str(), w.message.as_str())).collect();
        let warning = (
            "asking/agent.yaml",
            "agent `asking` is on its own with other people's words: it reads what nobody vouches for (`notes_list`) and acts outside \
             (`notes_add`), and its manifest has nothing traced",
        );
        assert_eq!(warned, Vec::from_iter(alone.then_some(warning)), "{manifest}");
    }
    let [_, off, trace, ..] = &versions[..] else { panic!("{versions:?}") };
    let diff = lab.client.diff("asking", Some(trace.as_str()), Some(off.as_str())).await.unwrap();
    let changed = diff.safety.iter().find(|change| change.what == "provenance").unwrap();
    let words = (changed.from.as_deref(), changed.to.as_deref(), changed.looser);
    assert_eq!(words, (Some("trace"), Some("off"), true));
}

#[tokio::test]
async fn an_agent_whose_tools_do_not_fit_any_more_is_refused_and_a_tool_for_nothing_is_warned_of() {
    let lab = Lab::new().await;
    lab.asking().await;
    lab.client.apply_policies(set(SET)).await.unwrap();
    let drifted = ASKING.replace("params: { text: { type: string } }", "params: { text: { type: integer } }");
    let refused = lab.client.apply_agent(&apply(&drifted, &ASKING_FILES)).await.unwrap_err();
    assert_eq!(refused.code, code::POLICY_REFUSED, "{refused:?}");
    assert_eq!((refused.errors[0].file.as_str(), refused.errors[0].line), ("notes.cedar", 5));
    assert_eq!(lab.client.versions("asking").await.unwrap().items.len(), 1, "nothing was stored");

    let always =
        "@id(\"nothing\")\nforbid (principal in Agent::\"asking\", action == Action::\"notes_add\", resource);";
    let checked = lab.client.check_policies(set(always)).await.unwrap();
    let warned: Vec<_> = checked.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warned, ["agent `asking` can never use its tool `notes_add`: `nothing` always forbids it"]);
    assert_eq!((checked.in_force, checked.tools.len()), (1, 1));
    assert_eq!(
        lab.client.apply_policies(set(always)).await.unwrap().warnings,
        checked.warnings,
        "it is applied all the same"
    );

    // Nobody can move an alias to a version that the set does not fit.
    let other = "forbid (principal, action == Action::\"notes_put\", resource) when { context.args.text == \"x\" };";
    let renamed = [ASKING_FILES[0], ("./script.yaml", "rules: [{ say: ok }]")];
    let put = lab.apply(&ASKING.replace("        add:\n", "        put:\n"), &renamed).await;
    assert!(put.live);
    lab.client.apply_policies(set(other)).await.unwrap();
    lab.client.rollback("asking", None).await.unwrap();
    assert_eq!(lab.client.policies("current").await.unwrap().tools[0].name, "notes_put");
}

#[tokio::test]
async fn an_agents_own_policies_must_fit_its_tools_and_the_tenants_set() {
    let lab = Lab::new().await;
    let own = |text: &str| {
        let manifest = format!("{ASKING}policy: ./policy\n");
        let mut all = ASKING_FILES.to_vec();
        all.push(("./policy/own.cedar", text));
        apply(&manifest, &all)
    };
    let refused = lab.client.apply_agent(&own("forbid (principal, action == Action::\"notes_ad\", resource);")).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code, refused.errors[0].file.as_str()), (code::POLICY_REFUSED, "asking/policy/own.cedar"));
    lab.client.apply_agent(&own(&SET.replace("\"beer\"", "\"rum\""))).await.unwrap();
    let both = lab.client.apply_policies(set(SET)).await.unwrap_err();
    assert!(both.detail.contains("there are two policies `no-beer`"), "{both:?}");
    lab.client.apply_policies(set(&SET.replace("no-beer", "no-beer-at-all"))).await.unwrap();
}

#[tokio::test]
async fn with_four_eyes_a_set_waits_for_another_person() {
    let rights = [Right::Read, Right::Apply];
    let tokens =
        ["ann", "bob"].map(|who| entry_for(&format!("token-which-is-long-enough-{who}"), who, "default", &rights));
    let lab = Lab::with(|c| {
        c.auth.tokens = tokens.to_vec();
        c.policy.four_eyes = true;
    })
    .await;
    lab.asking().await;
    let [ann, bob] =
        ["ann", "bob"].map(|who| Client::new(&lab.url, &format!("token-which-is-long-enough-{who}")).unwrap());
    let proposed = ann.apply_policies(set(SET)).await.unwrap().set;
    assert_eq!((proposed.epoch, proposed.status), (1, PolicyStatus::Proposed));
    problem(lab.get("/v1/policies/current").await, 404, "ST0202").await;
    let same = ann.confirm_policies(1).await.unwrap_err();
    assert_eq!((same.code, same.status), (code::POLICY_CONFIRM, Some(409)));
    let confirmed = bob.confirm_policies(1).await.unwrap().set;
    assert_eq!((confirmed.status, confirmed.by.as_str()), (PolicyStatus::InForce, "ann"));
    assert_eq!(confirmed.confirmed_by.as_deref(), Some("bob"));
    assert!(confirmed.confirmed_at.is_some());
    assert_eq!(bob.confirm_policies(1).await.unwrap_err().code, code::POLICY_CONFIRM);
    assert_eq!(bob.confirm_policies(2).await.unwrap_err().code, code::NOT_FOUND);
    for text in ["wine", "rum"] {
        ann.apply_policies(set(&SET.replace("beer", text))).await.unwrap();
    }
    bob.confirm_policies(3).await.unwrap();
    let late = bob.confirm_policies(2).await.unwrap_err();
    assert!(late.detail.contains("policy set 3 came into force") && late.hint.is_some(), "{late:?}");
    assert_eq!(lab.client.policies("2").await.unwrap().set.status, PolicyStatus::Overtaken);
}

#[tokio::test]
async fn recorded_calls_are_decided_again_and_what_turns_out_otherwise_is_told() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    lab.ended(waiting.summary.id).await;
    let replay = async |text: &str| {
        let ask = ReplayPolicies { files: set(text), since: "1d".into(), agent: None };
        lab.client.replay_policies(&ask).await.unwrap()
    };
    let same = replay(SET).await;
    assert_eq!((same.runs, same.decided, same.skipped, same.flipped), (1, 1, 0, 0), "the manifest asks as before");
    let milk = replay(&SET.replace("beer", "milk")).await;
    assert_eq!((milk.decided, milk.flipped), (1, 1));
    let flip = &milk.flips[0];
    assert_eq!(
        (flip.effect, flip.tool.as_str(), flip.arguments.as_str()),
        (waiting.approvals[0].id, "notes_add", r#"{"text":"milk"}"#)
    );
    assert_eq!((flip.was.as_str(), flip.now.as_str(), &flip.by[..]), ("ask", "deny", &["no-milk".to_owned()][..]));
    assert_eq!(flip.told.as_deref(), Some("Not done: we do not drink at work (policy `no-milk`)"));
    // What was counted then counts: the second call of the run would have been the second note of the day.
    let run = lab.start("asking").await;
    lab.client.wait(run, stead_api::run::WaitUntil::Waiting).await.unwrap();
    let counted = files(&[
        ("history.yaml", "notes: { count: notes_add, by: tenant, within: 1d }\n"),
        (
            "once.cedar",
            "@id(\"once\") forbid (principal, action == Action::\"notes_add\", resource) when { context.history.notes > 0 };",
        ),
    ]);
    let ask = ReplayPolicies { files: counted, since: "1d".into(), agent: Some("asking".into()) };
    let found = lab.client.replay_policies(&ask).await.unwrap();
    assert_eq!((found.decided, found.flipped), (2, 1), "{found:?}");
    assert_eq!(found.flips[0].effect.run, run);
    for since in ["91d", "soon", ""] {
        let ask = ReplayPolicies { files: set(SET), since: since.into(), agent: None };
        assert_eq!(lab.client.replay_policies(&ask).await.unwrap_err().code, code::BAD_REQUEST, "{since}");
    }
}

/// An agent that reads notes and then adds one.
fn reading() -> (String, [(&'static str, &'static str); 2]) {
    let queries = "allow: [INSERT, SELECT]\n      queries:\n        list: { description: Lists notes., sql: SELECT text FROM notes }\n";
    let reads = ASKING.replace("allow: [INSERT]\n      queries:\n", queries);
    let script = "rules:\n  - when: { tool: notes_add }\n    say: done\n  - when: { tool: notes_list }\n    call: [{ tool: notes_add, args: { text: beer } }]\n  \
                  - call: [{ tool: notes_list, args: {} }]\n";
    let files = [ASKING_FILES[0], ("./script.yaml", script)];
    (reads.replace("    ask: true", "    effects: { list: pure, add: irreversible }"), files)
}

#[tokio::test]
async fn a_replay_knows_what_had_been_read_and_where_arguments_came_from() {
    let lab = Lab::new().await;
    let (manifest, script) = reading();
    lab.apply(&manifest, &script).await;
    let run = lab.start("asking").await;
    let waiting = lab.client.wait(run, stead_api::run::WaitUntil::Waiting).await.unwrap();
    let effect = waiting.approvals[0].id;
    lab.client.deny(effect, None).await.unwrap();
    lab.ended(run).await;
    let replay = async |text: &str| {
        let ask = ReplayPolicies { files: set(text), since: "1d".into(), agent: None };
        let found = lab.client.replay_policies(&ask).await.unwrap();
        assert_eq!((found.decided, found.skipped), (2, 0), "{found:?}");
        found.flips.into_iter().map(|flip| (flip.effect, flip.was, flip.now)).collect::<Vec<_>>()
    };
    assert_eq!(replay("@id(\"none\") forbid (principal, action, resource) when { false };").await, []);
    let flipped = [(effect, "ask".to_owned(), "deny".to_owned())];
    let of_notes = |when: &str| {
        format!("@id(\"x\") forbid (principal, action == Action::\"notes_add\", resource) when {{ {when} }};")
    };
    assert_eq!(replay(&of_notes("context.traced && context.taint && !context.plan")).await, flipped);
    let from = "context.provenance has text && context.provenance.text.trust == \"untrusted\" && \
                context.provenance.text.sources.contains(\"tool:notes_list\")";
    assert_eq!(replay(&of_notes(from)).await, flipped);
    assert_eq!(replay(&of_notes("!context.taint || context.plan")).await, []);
    let elsewhere = "context.provenance has text && context.provenance.text.trust == \"trusted\"";
    assert_eq!(replay(&of_notes(elsewhere)).await, []);
    lab.stop().await;
}

/// An agent that adds a note without asking anybody.
fn adding() -> String {
    ASKING.replace("    ask: true\n", "").replace("name: asking", "name: adding")
}

const TWO_NOTES: [(&str, &str); 2] = [
    ("history.yaml", "notes: { count: notes_add, by: tenant, within: 1d }\n"),
    (
        "two.cedar",
        "@id(\"two\") forbid (principal, action == Action::\"notes_add\", resource) when { context.history.notes >= 2 };",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_has_counted_counts_for_the_one_that_takes_over() {
    let database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::with(|c| c.database.clone_from(&url)).await;
    lab.apply(&adding(), &ASKING_FILES).await;
    let added = async |lab: &Lab| {
        let run = lab.start("adding").await;
        lab.ended(run).await.output.unwrap()
    };
    // The first one is in the journal alone when the set comes, the second one is counted.
    assert_eq!(added(&lab).await, "It was added.");
    lab.client.apply_policies(files(&TWO_NOTES)).await.unwrap();
    assert_eq!(added(&lab).await, "It was added.");
    let dir = lab.stop().await;
    let mut settings = config(dir.path());
    settings.database.clone_from(&url);
    let lab = Lab::over(dir, settings).await;
    assert_eq!(added(&lab).await, "It was not added.");
    // Under a limit of one the second would have been denied, too.
    let third = files(&TWO_NOTES).into_iter().map(|(name, text)| (name, text.replace(">= 2", ">= 1"))).collect();
    let ask = ReplayPolicies { files: third, since: "1h".into(), agent: None };
    let found = lab.client.replay_policies(&ask).await.unwrap();
    assert_eq!((found.decided, found.flipped), (3, 1), "{found:?}");
    lab.stop().await;
}

fn decide(policies: &Policies, text: &str) -> Verdict {
    let asker = Asker {
        tenant: "default".into(),
        agent: "asking".into(),
        version: "v".into(),
        session: "s".into(),
        run: "r".into(),
        user: None,
        callers: Default::default(),
        grant: None,
    };
    let tools: Vec<_> = policies.world().tools().cloned().collect();
    let (principal, history) = (Principal::run(asker, &tools), History::default());
    let arguments = json!({ "text": text }).to_string();
    let facts = Facts::empty(stead_core::time::Timestamp(0), &history);
    let deed = Deed::CallTool { tool: "notes_add", arguments: &arguments, provenance: &[] };
    policies.decide(&Request { principal: &principal, deed, facts }).verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_decides_is_always_of_the_epoch_in_force_also_when_another_server_applied_it() {
    let database = TestPostgres::start();
    let dir = tempfile::tempdir().unwrap();
    let settings = config(dir.path());
    let url = DatabaseUrl::new(&database.url());
    let options = OpenOptions { data_dir: settings.data_dir.clone(), database: url, ..OpenOptions::default() };
    let runtime = Runtime::open(options).await.unwrap();
    let server = Server::over(settings.clone(), runtime.clone()).await.unwrap();
    let lab = Lab::serving(dir, server);
    let version = lab.asking().await.version;
    let tenant = Name::from("default");
    let sets = runtime.policies();
    assert!(sets.current(&tenant, version).is_none(), "nobody asked for them yet");
    let first = sets.load(&tenant, version).await.unwrap();
    assert_eq!((first.epoch(), decide(&first, "beer")), (0, Verdict::Allow), "the default policy alone");

    lab.client.apply_policies(set(SET)).await.unwrap();
    let now = sets.current(&tenant, version).unwrap();
    assert_eq!(now.epoch(), 1, "what is applied decides when the answer comes");
    assert!(matches!(decide(&now, "beer"), Verdict::Deny(why) if why.contains("we do not drink at work")));
    assert_eq!(decide(&now, "milk"), Verdict::Allow);
    lab.client.apply_policies(set(&SET.replace("beer", "milk"))).await.unwrap();
    assert_eq!(decide(&sets.current(&tenant, version).unwrap(), "beer"), Verdict::Allow);

    // As another server of the fleet does it: an entry in the database that they share.
    let key = BlobKey::read(&settings.data_dir.join("keys/blob.key")).unwrap();
    let other = PgStore::connect(&database.url(), PgOptions::new(key)).await.unwrap();
    let row = other.policy(&tenant, 1).await.unwrap().unwrap();
    let PolicyRow { tenant: of, digest, body, by, at, .. } = row;
    let new = NewPolicy { tenant: of, digest, body, by, at, rollback: Some(1), proposed: false };
    assert_eq!(other.put_policy(new).await.unwrap(), Some(3));
    while sets.current(&tenant, version).unwrap().epoch() != 3 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(decide(&sets.current(&tenant, version).unwrap(), "beer"), Verdict::Deny(_)));

    // A set that does not fit a version takes from it what it had: nothing is allowed without policies.
    let body = serde_json::json!({ "format": 1, "files": set("forbid (principal, action == Action::\"gone\", resource);"), "tools": [] });
    let body = serde_json::to_vec(&body).unwrap().into();
    let new = NewPolicy {
        tenant: tenant.clone(),
        digest: [1; 32],
        body,
        by: "x".into(),
        at,
        rollback: None,
        proposed: false,
    };
    other.put_policy(new).await.unwrap();
    assert!(matches!(sets.load(&tenant, version).await, Err(PolicyError::Refused(_))));
    assert!(sets.current(&tenant, version).is_none());
    // Nobody does anything under a set that cannot be made, but for the folder's own token, which can go back.
    while sets.of_people(&tenant).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // It is not tried again before there is another epoch, however often it is asked for.
    let tried = sets.tried();
    for _ in 0..3 {
        assert!(matches!(sets.load(&tenant, version).await, Err(PolicyError::Refused(_))));
    }
    assert_eq!(sets.tried(), tried);
    let shut = problem(lab.get("/v1/agents").await, 403, "ST0057").await;
    assert!(shut["detail"].as_str().unwrap().contains("the policy set in force cannot be used"), "{shut}");
    lab.client.rollback_policies(1).await.unwrap();
    assert_eq!(sets.load(&tenant, version).await.unwrap().epoch(), 5);
    assert_eq!(lab.client.agents().await.unwrap().items.len(), 1);
    lab.stop().await;
}
