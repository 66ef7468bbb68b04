//! `stead audit` and `stead runs verify`: what a person sees, with a server, without one, and when something was changed.

use std::{collections::BTreeSet, path::Path};

use futures_util::future::join_all;
use insta::assert_snapshot;
use stead_api::{
    audit::AuditEntries,
    run::{StartRun, WaitUntil},
};
use stead_audit::{bundle, checkpoint::Checkpoint, key::VerifierKey, note::Trust};
use stead_client::{BundleQuery, Client, EntryQuery};
use stead_core::id::RunId;

use crate::common::{Serving, TestEnvironment};

fn env() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write(
        "desk/agent.yaml",
        "stead: v1\nname: desk\nmodel: { rehearsal: ./script.yaml }\ninstructions: Be kind.\n",
    );
    env.write("desk/script.yaml", "rules:\n  - say: Your order is on its way.\n");
    env
}

fn key(env: &TestEnvironment) -> String {
    env.json("audit logs --json")["items"][0]["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_bundle_is_taken_with_a_server_and_verified_without_one() {
    let env = env();
    env.stead("--quiet run desk Hello").succeeds();
    env.stead("audit checkpoint -o kept").succeeds();
    let key = key(&env);
    env.stead("--quiet run desk Hello").succeeds();
    let run = env.json("runs ls --json")["items"][1]["id"].as_str().unwrap().to_owned();
    env.stead(&format!("audit bundle --run {run} --held kept -o run.bundle")).succeeds();
    // Nothing but the file is there any more.
    std::fs::rename(env.path().join(".stead"), env.path().join("elsewhere")).unwrap();
    assert_snapshot!(env.stead(&format!("audit verify run.bundle --key '{key}' --held kept")), @"
    exit 0
    --- stdout
    holds       2 leaves are in the log [log]/tenant/default
    checkpoint  4 leaves, root [hash]
    shown       2 records, 2 texts, 0 withheld or erased
    held        nothing of the first 2 leaves was changed
    runs        [run]  records 0 to 1, all of it
    ");
    assert!(!env.path().join(".stead").exists(), "it needs no data folder");
    let other = key.replace("/default+", "/globex+");
    assert_snapshot!(env.stead(&format!("audit verify run.bundle --key '{other}'")), @"
    exit 2
    --- stderr
    error: --key: the id is not that of this name and key: something was changed or mistyped
    ");
    assert_snapshot!(env.stead(&format!("audit verify run.bundle --key '{key}' --quorum 1")), @"
    exit 2
    --- stderr
    error: --quorum 1: there are only 0 witnesses
    ");
    let mut file = std::fs::read(env.path().join("run.bundle")).unwrap();
    let at = file.len() - 100;
    file[at] ^= 1;
    std::fs::write(env.path().join("run.bundle"), file).unwrap();
    let refused = env.stead(&format!("audit verify run.bundle --key '{key}'"));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.starts_with("error[ST0360]: run.bundle: "), "{refused}");
}

#[test]
fn the_log_is_listed_shown_proven_and_held_against_a_checkpoint() {
    let env = env();
    env.stead("--quiet run desk Hello").succeeds();
    env.stead("audit checkpoint -o kept").succeeds();
    assert_snapshot!(env.stead("audit ls"), @"
    exit 0
    --- stdout
    INDEX  AT                        WHOSE                             WHAT
    0      [time]  [run] 0  run_started, run_admitted, model_requested
    1      [time]  [run] 1  model_replied, run_completed
    ");
    assert_snapshot!(env.stead("audit show 0"), @"
    exit 0
    --- stdout
    leaf      0
    hash      [hash]
    at        [time]
    run       [run]
    record    0 [leaf]
    facts     run_started
              run_admitted
              model_requested
    ");
    assert_snapshot!(env.stead("audit show 99"), @"
    exit 1
    --- stderr
    error[ST0202]: the log has no leaf 99
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("audit tail -n 1"), @"
    exit 0
    --- stdout
    1  [time]  [run] 1  model_replied, run_completed
    ");
    assert_snapshot!(env.stead("audit prove 1"), @"
    exit 0
    --- stdout
    leaf   1
    of     2 leaves
    proof  [hash]
    holds  yes: the leaf is in the log that the checkpoint signs
    ");
    assert_snapshot!(env.stead("audit logs"), @"
    exit 0
    --- stdout
    log       tenant
    key       [log]/tenant/default+[key]
    leaves    2
    root      [hash]
    since     [time]

    log       operators
    key       [log]/operators+[key]
    leaves    1
    root      [hash]
    since     [time]
    ");
    let key = key(&env);
    env.stead("--quiet run desk Hello").succeeds();
    assert_snapshot!(env.stead(&format!("audit verify --key '{key}' --held kept")), @"
    exit 0
    --- stdout
    holds: nothing of the first 2 leaves was changed; the log has 4
    ");
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(env.stead(&format!("runs verify {run}")), @"
    exit 0
    --- stdout
    run        [run]
    verdict    this is what happened, from beginning to end
    records    2, 2 proven in the audit log
    decisions  1 compared with the policy sets of their epochs
    approvals  0 held against their questions
    key        [log]/tenant/default+[key]
    ");
}

#[test]
fn a_changed_record_is_told_with_its_place() {
    let env = env();
    env.stead("--quiet run desk Hello").succeeds();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    env.stead("audit logs").succeeds();
    let conn = rusqlite::Connection::open(env.path().join(".stead/stead.db")).unwrap();
    let changed = conn.execute(
        "UPDATE records SET body = CAST(replace(CAST(body AS TEXT), 'on its way', 'stolen now') AS BLOB) WHERE seq = 1",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    drop(conn);
    assert_snapshot!(env.stead(&format!("runs verify {run}")), @"
    exit 1
    --- stdout
    run        [run]
    verdict    this is not what happened, or not all of it
    breaks     [run] is quarantined: record 1 does not match its hash (fold)
               record 1: its hash is another than the one that was written with it: it was changed (chain)
    records    1, 1 proven in the audit log
    decisions  1 compared with the policy sets of their epochs
    approvals  0 held against their questions
    key        [log]/tenant/default+[key]
    ");
}

/// A way to the server that serves the folder.
fn client(env: &TestEnvironment) -> Client {
    let data = env.path().join("data");
    let presence: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("server.json")).unwrap()).unwrap();
    let token = std::fs::read_to_string(data.join("token")).unwrap();
    Client::new(presence["url"].as_str().unwrap(), token.trim()).unwrap()
}

async fn entries(client: &Client) -> Vec<(RunId, u64)> {
    let (mut out, mut from) = (Vec::new(), 0);
    loop {
        let query = EntryQuery { from: Some(from), limit: Some(500), run: None };
        let AuditEntries { items, next, .. } = client.audit_entries("tenant", &query).await.unwrap();
        out.extend(items.into_iter().map(|entry| entry.record.unwrap()).map(|record| (record.run, record.seq)));
        let Some(next) = next else { return out };
        from = i64::try_from(next).unwrap();
    }
}

fn trust(env: &TestEnvironment, key: &str) -> Trust {
    assert!(Path::new(env.path()).join("data/keys/audit.key").exists());
    Trust::in_log(key.parse::<VerifierKey>().unwrap())
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_no_leaf_has_none_twice_and_its_log_never_forks() {
    const LIVES: usize = 6;
    const RUNS: usize = 40;
    let env = env();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let serve = || Serving::start(env.command(["serve"]), "serving");
    let (mut runs, mut held) = (Vec::new(), Vec::<String>::new());
    for life in 0..LIVES {
        let server = serve();
        if life == 0 {
            env.stead("agents apply desk --data data").succeeds();
        }
        let client = client(&env);
        runtime.block_on(async {
            let start = StartRun { agent: "desk".into(), input: "Hello".into(), ..StartRun::default() };
            let started = join_all((0..RUNS).map(|_| client.start_run(&start, None))).await;
            runs.extend(started.into_iter().map(|started| started.unwrap().run));
            // Somebody keeps what is published; now and then at the very moment of the kill.
            if life % 2 == 1 {
                held.push(client.checkpoint("tenant", false).await.unwrap());
            }
        });
        server.kill();
    }
    let _server = serve();
    let client = client(&env);
    runtime.block_on(async {
        for run in &runs {
            client.wait(*run, WaitUntil::Ended).await.unwrap();
        }
        let key = client.audit_logs().await.unwrap().items.remove(0).key;
        let trust = trust(&env, &key);
        let mut records = 0;
        for run in &runs {
            let found = client.verify_run(*run).await.unwrap();
            assert!(found.holds && found.whole && found.proven == found.records, "{found:?}");
            records += found.records;
        }
        let logged = entries(&client).await;
        assert_eq!(logged.len() as u64, records, "no leaf is lost, none is of nothing");
        assert_eq!(logged.iter().collect::<BTreeSet<_>>().len(), logged.len(), "none is there twice");
        let size = |note: &str| Checkpoint::verify(note, &trust).unwrap().0.size;
        let links = held.iter().map(|note| size(note).to_string()).collect::<Vec<_>>().join(",");
        let query = BundleQuery { links: Some(links), records: Some(false), ..BundleQuery::default() };
        let file = client.audit_bundle("tenant", &query).await.unwrap();
        for note in &held {
            let report = bundle::verify(&file, &trust, Some(note)).unwrap();
            assert_eq!((report.leaves, report.held), (records, Some(size(note))));
        }
        assert_eq!(held.len(), LIVES / 2);
    });
}
