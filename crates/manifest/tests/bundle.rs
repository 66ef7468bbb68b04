//! A version is the manifest and every file it names, nothing else, and nothing from outside of its folder.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use stead_core::{budget::MicroUsd, code, effect::EffectClass, time::Span};
use stead_manifest::{
    Bundle, BundleError, Pinned, Places, load,
    manifest::{Kind, ModelSource, Risk, Tracing},
};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn agent(dir: &Path, more: &str) {
    fs::create_dir_all(dir).unwrap();
    let text = format!("stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: ./TEXT.md\n{more}");
    fs::write(dir.join("agent.yaml"), text).unwrap();
    fs::write(dir.join("TEXT.md"), "Be kind.").unwrap();
}

fn only_error(path: &Path) -> (code::Code, String, usize) {
    let errors = load(path).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    (errors[0].code, errors[0].message.clone(), errors[0].line)
}

#[test]
fn the_refund_desk_says_what_it_seems_to_say() {
    let bundle = load(&example("refund-desk")).unwrap();
    let m = &bundle.manifest;
    assert_eq!(m.model.first.source, ModelSource::Script("./script.yaml".into()));
    assert_eq!(m.budget.limits.usd, Some(MicroUsd(500_000)));
    assert_eq!(m.budget.limits.active, Some(Span::from_secs(300)));
    assert_eq!(m.approvals.ttl, Some(Span::from_secs(3 * 86_400)));
    let refund = m.tools["payments"].rules("refund");
    assert_eq!((refund.class, refund.key.as_deref()), (Some(EffectClass::Keyed), Some("$.order_id")));
    assert_eq!((refund.ask, refund.risk), (true, Risk::Critical));
    assert_eq!(refund.reconcile.as_deref(), Some("find_refund"));
    assert_eq!(refund.timeout, Span::from_secs(10));
    assert_eq!(m.tools["payments"].rules("find_refund").class, Some(EffectClass::Pure));
    assert_eq!(m.tools["orders"].rules("lookup").class, Some(EffectClass::Pure));
    assert_eq!(m.tools["mail"].rules("send").class, Some(EffectClass::Irreversible));
    assert!(bundle.instructions().contains("refund desk"));
    let names: Vec<&str> = bundle.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["./INSTRUCTIONS.md", "./script.yaml", "./shop.sql"]);
}

#[test]
fn the_mcp_example_says_what_it_seems_to_say() {
    let bundle = load(&example("mcp-files/agent.yaml")).unwrap();
    let files = &bundle.manifest.tools["files"];
    let Kind::Mcp(mcp) = &files.kind else { panic!("{files:?}") };
    assert_eq!(mcp.cwd.as_deref(), Some("./files"));
    assert!(files.offers("read_text_file") && !files.offers("write_file"));
    assert_eq!(files.max_output, 256 << 10);
}

#[test]
fn the_openapi_example_has_the_operations_that_it_names_and_no_other() {
    let bundle = load(&example("openapi-shop")).unwrap();
    let operations = &bundle.apis["payments"].operations;
    assert_eq!(operations.keys().collect::<Vec<_>>(), ["findRefund", "refund"]);
    let arguments: Vec<_> = operations["refund"].arguments().collect();
    assert_eq!(arguments, [("order_id", true), ("amount_cents", true), ("currency", true)]);
    assert_eq!(Bundle::decode(&bundle.encode(), bundle.dir.clone()).unwrap(), bundle);
}

#[test]
fn a_document_is_part_of_the_version_and_what_is_wrong_with_it_has_its_place() {
    let tmp = tempfile::tempdir().unwrap();
    let (ok, key) = ("only: [find]", "effects: { pay: { class: keyed, key: $.order } }");
    let document = "openapi: 3.1.0\nservers: [{ url: 'https://h' }]\npaths:\n  /o/{order}:\n    get: { operationId: find, parameters: [{ name: order, in: path, schema: {} }] }\n  /pay:\n    post: { operationId: pay, requestBody: { content: { application/json: { schema: { properties: { order: {} } } } } } }\n    put: { operationId: bad, requestBody: { content: { text/csv: {} } } }\n";
    let write = |http: &str, rest: &str| {
        agent(tmp.path(), &format!("tools:\n  api:\n    http: {{ openapi: ./api.yaml, {http} }}\n    {rest}\n"));
        fs::write(tmp.path().join("api.yaml"), document).unwrap();
    };
    write(ok, "");
    let bundle = load(tmp.path()).unwrap();
    assert!(bundle.files.contains_key("./api.yaml"));
    fs::write(tmp.path().join("api.yaml"), format!("{document}# more\n")).unwrap();
    assert_ne!(bundle.digest(), load(tmp.path()).unwrap().digest());
    for (http, rest, file, place, says) in [
        (
            "only: [find, fnid]",
            "",
            "agent.yaml",
            (7, 47),
            "no operation `fnid` (at `tools.api.http.only`)\n  hint: did you mean `find`?",
        ),
        ("only: [bad]", "", "api.yaml", (8, 56), "operation `bad`: the body is `text/csv`"),
        ("only: [pay]", key, "agent.yaml", (8, 42), "`order` may be left out, so it cannot be the key"),
        (
            "only: [find]",
            "effects: { find: { class: keyed, key: $.id } }",
            "agent.yaml",
            (8, 43),
            "there is no argument `id`",
        ),
        ("only: [pay, find]", "effects: { find: { reconcile: pay } }", "agent.yaml", (8, 35), "`pay` is no read"),
        (
            "only: [pay, find]",
            "effects: { find: { compensate: refund } }",
            "agent.yaml",
            (8, 36),
            "no operation `refund`",
        ),
    ] {
        write(http, rest);
        let errors = load(tmp.path()).unwrap_err();
        let shown = errors[0].to_string();
        assert!(errors[0].file.ends_with(file) && shown.contains(says), "{shown}");
        assert_eq!((errors[0].line, errors[0].column), place, "{shown}");
        let stored = serde_json::json!({"format": 1, "manifest": fs::read_to_string(tmp.path().join("agent.yaml")).unwrap(),
            "files": {"./TEXT.md": "Be kind.", "./api.yaml": document}});
        assert!(Bundle::decode(stored.to_string().as_bytes(), None).is_err(), "what is stored is checked as well");
    }
    fs::remove_file(tmp.path().join("api.yaml")).unwrap();
    write(ok, "");
    fs::remove_file(tmp.path().join("api.yaml")).unwrap();
    assert_eq!(only_error(tmp.path()).0, code::MANIFEST_FILE);
}

#[test]
fn the_digest_covers_each_file_and_no_place() {
    let tmp = tempfile::tempdir().unwrap();
    let (a, b) = (tmp.path().join("a"), tmp.path().join("b"));
    agent(&a, "");
    agent(&b, "");
    fs::write(b.join("unnamed.txt"), "x").unwrap();
    let bundle = load(&a).unwrap();
    let digest = bundle.digest();
    assert_eq!(digest, load(&b.join("agent.yaml")).unwrap().digest());
    fs::write(b.join("TEXT.md"), "Be kinder.").unwrap();
    assert_ne!(digest, load(&b).unwrap().digest());
    let schema = serde_json::json!({"type": "object", "properties": {"b": {}, "a": {}}});
    let def = Pinned { name: "x_y".into(), description: "d".into(), schema, output: None };
    let pinned = Bundle { pinned: BTreeMap::from([("x".to_owned(), vec![def])]), ..bundle };
    assert_ne!(digest, pinned.digest());
    assert_eq!(Bundle::decode(&pinned.encode(), None).unwrap().digest(), pinned.digest());
}

#[test]
fn its_own_policies_are_part_of_the_version_and_a_folder_without_any_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "policy: ./policy\nconfidence: { ask_below: 0.7 }\n");
    let (code, message, line) = only_error(tmp.path());
    assert_eq!((code, line), (code::MANIFEST_FILE, 5), "{message}");
    let policy = tmp.path().join("policy");
    fs::create_dir_all(policy.join("gates")).unwrap();
    fs::write(policy.join("tests.yaml"), "cases: []").unwrap();
    assert!(only_error(tmp.path()).1.contains("there is no `*.cedar` in `./policy`"));
    fs::write(policy.join("gates/large.cedar"), "forbid (principal, action, resource);").unwrap();
    fs::write(policy.join("history.yaml"), "{}").unwrap();
    let bundle = load(tmp.path()).unwrap();
    assert_eq!(
        bundle.manifest.confidence.map(|c| (c.ask_below.millionths(), c.ask_below.of_one())),
        Some((700_000, 0.7))
    );
    let files: Vec<&str> = bundle.policy().map(|(name, _)| name).collect();
    assert_eq!(files, ["./policy/gates/large.cedar", "./policy/history.yaml"], "cases are no part of the agent");
    assert_eq!(Bundle::decode(&bundle.encode(), bundle.dir.clone()).unwrap(), bundle);
    fs::write(policy.join("more.cedar"), "permit (principal, action, resource);").unwrap();
    assert_ne!(load(tmp.path()).unwrap().digest(), bundle.digest());

    let stored = |files: serde_json::Value| {
        let manifest = "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\npolicy: ./p\n";
        let stored = serde_json::json!({"format": 1, "manifest": manifest, "files": files});
        Bundle::decode(stored.to_string().as_bytes(), None).is_ok()
    };
    assert!(stored(serde_json::json!({"./p/a.cedar": ""})));
    for files in [
        serde_json::json!({}),
        serde_json::json!({"./p/history.yaml": "{}"}),
        serde_json::json!({"./p/a.cedar": "", "./p/tests.yaml": ""}),
        serde_json::json!({"./p/a.cedar": "", "./q/a.cedar": ""}),
    ] {
        assert!(!stored(files.clone()), "{files}");
    }
}

#[test]
fn the_encoding_is_what_it_was_in_the_first_release() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "");
    let bundle = load(tmp.path()).unwrap();
    assert_eq!(
        String::from_utf8(bundle.encode()).unwrap(),
        r#"{"agents":{},"files":{"./TEXT.md":"Be kind."},"format":1,"manifest":"stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: ./TEXT.md\n","pinned":{}}"#
    );
    let written = "sha256:9d4d079a93aa4f6819dd0c030877cac35f570243978685e0d7b5d5f0008ba196";
    assert_eq!(bundle.digest().to_string(), written);
}

#[test]
fn a_stored_bundle_comes_back_as_it_was() {
    let bundle = load(&example("refund-desk")).unwrap();
    let back = Bundle::decode(&bundle.encode(), bundle.dir.clone()).unwrap();
    assert_eq!(back, bundle);
    assert_eq!(back.digest(), bundle.digest());
}

#[test]
fn agents_of_the_folder_are_part_of_the_version() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "tools: { helper: { agent: ./helper, budget: { tokens: 500 } }, other: { agent: other } }\n");
    agent(&tmp.path().join("helper"), "");
    let bundle = load(tmp.path()).unwrap();
    assert_eq!(bundle.agents["./helper"].instructions(), "Be kind.");
    let digest = bundle.digest();
    fs::write(tmp.path().join("helper/TEXT.md"), "Be quick.").unwrap();
    let changed = load(tmp.path()).unwrap();
    assert_ne!(digest, changed.digest());
    assert_eq!(Bundle::decode(&changed.encode(), None).unwrap().digest(), changed.digest());
}

#[test]
fn a_mistake_in_an_inner_agent_names_its_file() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "tools: { helper: { agent: ./helper } }\n");
    agent(&tmp.path().join("helper"), "nme: x\n");
    let errors = load(tmp.path()).unwrap_err();
    assert!(errors[0].file.ends_with("helper/agent.yaml"), "{}", errors[0].file);
    assert_eq!((errors[0].line, errors[0].code), (5, code::MANIFEST_KEY));
}

#[test]
fn agents_cannot_nest_without_end() {
    let tmp = tempfile::tempdir().unwrap();
    let mut dir = tmp.path().to_owned();
    for _ in 0..8 {
        agent(&dir, "tools: { t: { agent: ./in } }\n");
        dir = dir.join("in");
    }
    agent(&dir, "");
    let (code, message, _) = only_error(tmp.path());
    assert_eq!((code, message.contains("too deep")), (code::MANIFEST_FILE, true), "{message}");
}

#[test]
fn files_that_cannot_be_had_are_named_with_their_key() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "input: ./in.json\n");
    let (code, message, line) = only_error(tmp.path());
    assert_eq!((code, line), (code::MANIFEST_FILE, 5));
    assert!(message.contains("there is no `./in.json`"), "{message}");
    fs::write(tmp.path().join("in.json"), "[1]").unwrap();
    assert!(only_error(tmp.path()).1.contains("must be an object"));
    fs::write(tmp.path().join("in.json"), b"\xff").unwrap();
    assert!(only_error(tmp.path()).1.contains("not UTF-8"));
    fs::write(tmp.path().join("in.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(only_error(tmp.path()).1.contains("larger than 1 MiB"));
    fs::remove_file(tmp.path().join("in.json")).unwrap();
    fs::create_dir(tmp.path().join("in.json")).unwrap();
    assert!(only_error(tmp.path()).1.contains("not a regular file"));
}

#[test]
fn no_name_and_no_link_leads_out_of_the_folder() {
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("secret.json"), "{}").unwrap();
    let dir = tmp.path().join("agent");
    agent(&dir, "input: ./../secret.json\n");
    assert!(only_error(&dir).1.contains("leads out"));
    agent(&dir, "input: ./link.json\n");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(tmp.path().join("secret.json"), dir.join("link.json")).unwrap();
        assert!(only_error(&dir).1.contains("leads out"));
        fs::write(dir.join("real.json"), "{}").unwrap();
        fs::remove_file(dir.join("link.json")).unwrap();
        std::os::unix::fs::symlink("real.json", dir.join("link.json")).unwrap();
        assert!(load(&dir).is_ok(), "a link inside of the folder is a file like any other");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_said_so() {
    let tmp = tempfile::tempdir().unwrap();
    assert_eq!(only_error(&tmp.path().join("gone")).0, code::MANIFEST_READ);
    assert_eq!(only_error(tmp.path()).0, code::MANIFEST_READ);
    fs::write(tmp.path().join("agent.yaml"), b"name: \xff").unwrap();
    assert!(only_error(tmp.path()).1.contains("not UTF-8"));
    fs::write(tmp.path().join("agent.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(only_error(tmp.path()).1.contains("larger than 1 MiB"));
}

#[test]
fn stored_bytes_from_anyone_are_checked_like_files() {
    let refuse = |json: serde_json::Value| match Bundle::decode(json.to_string().as_bytes(), None) {
        Err(BundleError::Format(e)) => e,
        other => panic!("{other:?}"),
    };
    let manifest = "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: ./TEXT.md\n";
    assert!(refuse(serde_json::json!({"format": 2, "manifest": manifest})).contains("format 2"));
    assert!(refuse(serde_json::json!({"format": 1, "manifest": manifest})).contains("files"));
    let files = serde_json::json!({"./TEXT.md": "x", "./more": "y"});
    assert!(refuse(serde_json::json!({"format": 1, "manifest": manifest, "files": files})).contains("files"));
    let big = serde_json::json!({"./TEXT.md": "x".repeat((1 << 20) + 1)});
    assert!(refuse(serde_json::json!({"format": 1, "manifest": manifest, "files": big})).contains("1 MiB"));
    let bad = serde_json::json!({"format": 1, "manifest": "nme: x"}).to_string();
    assert!(matches!(Bundle::decode(bad.as_bytes(), None), Err(BundleError::Manifest(_))));
    assert!(Bundle::decode("[".repeat(1 << 20).as_bytes(), None).is_err());
    assert!(Bundle::decode(b"\xff", None).is_err());
}

#[test]
fn places_are_filled_in_and_a_missing_service_is_refused() {
    let bundle = load(&example("refund-desk")).unwrap();
    let mut places = Places { data: "/data/refund-desk".into(), services: BTreeMap::new() };
    let error = bundle.placed(&places).unwrap_err();
    assert_eq!(error.code, code::MANIFEST_UNSUPPORTED);
    assert_eq!(&error.source_text[error.span.clone()], "${services.mail.url}");
    for (name, port) in [("payments", 1), ("mail", 2)] {
        places.services.insert(name.into(), format!("http://127.0.0.1:{port}"));
    }
    let manifest = bundle.placed(&places).unwrap();
    let Kind::Http(payments) = &manifest.tools["payments"].kind else { panic!() };
    assert_eq!(payments.base_url.as_deref(), Some("http://127.0.0.1:1"));
    let Kind::Sql(orders) = &manifest.tools["orders"].kind else { panic!() };
    assert_eq!(orders.url, "sqlite:/data/refund-desk/shop.db");
    let command = bundle.manifest.dev.services["mail"].command_in(&places.data);
    assert_eq!(command, ["stead", "demo-service", "mail", "--data", "/data/refund-desk"]);
}

#[test]
fn who_says_nothing_of_provenance_has_it_traced_and_a_version_stays_what_it_was() {
    let tmp = tempfile::tempdir().unwrap();
    agent(tmp.path(), "");
    let mut bundle = load(tmp.path()).unwrap();
    // As an earlier release has stored it.
    let (before, digest) = (bundle.encode(), bundle.digest());
    assert_eq!(Bundle::decode(&before, None).unwrap().tracing(), Tracing::Off);
    bundle.settle();
    assert_eq!(bundle.tracing(), Tracing::Trace);
    assert_ne!(bundle.digest(), digest, "one version never stands for two behaviours");
    let stored = Bundle::decode(&bundle.encode(), None).unwrap();
    assert_eq!((stored.tracing(), stored.digest()), (Tracing::Trace, bundle.digest()));
    for (word, tracing) in [("off", Tracing::Off), ("trace", Tracing::Trace), ("plan", Tracing::Plan)] {
        agent(tmp.path(), &format!("provenance: {word}\n"));
        let mut said = load(tmp.path()).unwrap();
        let digest = said.digest();
        said.settle();
        assert_eq!((said.tracing(), said.digest()), (tracing, digest), "what is said is all that is said");
        let twice =
            String::from_utf8(said.encode()).unwrap().replace("\"pinned\":{}", "\"pinned\":{},\"unsaid\":\"off\"");
        assert!(Bundle::decode(twice.as_bytes(), None).is_err());
    }
}
