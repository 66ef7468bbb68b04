//! The audit log over HTTP: who sees which log, what its bytes prove, and that runs are held against it.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::StatusCode;
use serde_json::Value;
use stead_api::{
    audit::{AuditEntries, AuditLogs, ConsistencyProof, InclusionProof, RunVerification},
    right::Right,
};
use stead_audit::{
    bundle,
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    key::VerifierKey,
    note::Trust,
    proof,
    read::Reader,
    tile::Tile,
};
use stead_client::{BundleQuery, Client, EntryQuery};
use stead_core::code;
use stead_server::config::Config;

use crate::lab::{Lab, entry, entry_for, problem};

const ANN: &str = "token-which-is-long-enough-ann";
const EVE: &str = "token-which-is-long-enough-eve";

pub(crate) async fn trust(client: &Client, log: &str) -> Trust {
    let logs = client.audit_logs().await.unwrap();
    let found = logs.items.into_iter().find(|found| found.log == log).unwrap();
    Trust::in_log(found.key.parse::<VerifierKey>().unwrap())
}

fn path(texts: &[String]) -> Vec<TreeHash> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_do_is_in_the_log_of_their_tenant_and_proven_to_whoever_has_its_key() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let trust = trust(&lab.client, "tenant").await;
    let listed =
        lab.client.audit_entries("tenant", &EntryQuery { run: Some(run), ..EntryQuery::default() }).await.unwrap();
    let records: Vec<_> = listed.items.iter().map(|entry| entry.record.clone().unwrap()).collect();
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), (0..records.len() as u64).collect::<Vec<_>>());
    assert!(records[0].kinds.contains(&"run_started".to_owned()), "{records:?}");
    assert!(records.last().unwrap().kinds.contains(&"run_completed".to_owned()));

    // By the proofs of the API,
    let first = lab.client.checkpoint("tenant", false).await.unwrap();
    let (old, _) = Checkpoint::verify(&first, &trust).unwrap();
    for entry in &listed.items {
        let proven = lab.client.inclusion("tenant", entry.index, Some(old.size)).await.unwrap();
        let leaf = hash::leaf(&BASE64_STANDARD.decode(&proven.leaf).unwrap());
        assert_eq!(leaf.to_string(), entry.hash);
        proof::inclusion(leaf, entry.index, old.size, &path(&proven.path), old.root).unwrap();
    }
    for _ in 0..3 {
        let more = lab.start("hello").await;
        lab.ended(more).await;
    }
    let (new, _) = Checkpoint::verify(&lab.client.checkpoint("tenant", false).await.unwrap(), &trust).unwrap();
    assert!(new.size > old.size);
    let proven = lab.client.consistency("tenant", old.size, Some(new.size)).await.unwrap();
    proof::consistency((old.size, old.root), (new.size, new.root), &path(&proven.path)).unwrap();
    // by its tiles,
    let mut tiles = BTreeMap::new();
    for tile in Tile::edge(new.size) {
        let answer = lab.get(&format!("/v1/audit/tenant/{tile}")).await;
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        tiles.insert(tile, answer.bytes().await.unwrap().to_vec());
    }
    let bundle = format!("/v1/audit/tenant/tile/entries/000.p/{}", new.size);
    let leaves = lab.get(&bundle).await.bytes().await.unwrap().to_vec();
    let fetch = |tile: Tile| Ok::<_, ()>(tiles.get(&tile).cloned().unwrap_or_else(|| leaves.clone()));
    let mut reader = Reader::open(new.size, new.root, fetch).unwrap();
    assert_eq!(reader.entries(0).unwrap().len() as u64, new.size);
    // and by a bundle, with the records themselves and without their texts.
    for texts in [true, false] {
        let query = BundleQuery {
            run: Some(run),
            links: Some(old.size.to_string()),
            texts: Some(texts),
            ..BundleQuery::default()
        };
        let file = lab.client.audit_bundle("tenant", &query).await.unwrap();
        let report = bundle::verify(&file, &trust, Some(&first)).unwrap();
        assert_eq!((report.records, report.held), (records.len() as u64, Some(old.size)));
        assert!(report.runs.runs().all(|(of, seen)| of == run && seen.is_whole()));
        assert_eq!((report.texts > 0, report.erased > 0), (texts, !texts));
        let said = file.windows(12).any(|w| w == b"Hello there,");
        assert_eq!(said, texts, "what is withheld is not in the file");
    }
    let verified = lab.client.verify_run(run).await.unwrap();
    assert!(verified.holds && verified.whole, "{verified:?}");
    assert_eq!((verified.records, verified.proven), (records.len() as u64, records.len() as u64));
    assert!(verified.decisions > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_its_own_log_alone_and_operators_theirs() {
    let read = [Right::Read];
    let tokens = vec![entry_for(ANN, "ann", "default", &read), entry(EVE, "eve", "globex")];
    let lab = Lab::with(|c: &mut Config| c.auth.tokens = tokens).await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let [ann, eve] = [ANN, EVE].map(|token| Client::new(&lab.url, token).unwrap());
    let names = async |client: &Client| -> Vec<String> {
        client.audit_logs().await.unwrap().items.into_iter().map(|log| log.origin).collect()
    };
    let origins = names(&lab.client).await;
    assert_eq!(origins.len(), 2);
    assert!(origins[0].ends_with("/tenant/default") && origins[1].ends_with("/operators"), "{origins:?}");
    assert_eq!(names(&ann).await, origins[..1]);
    assert_eq!(ann.audit_entries("operators", &EntryQuery::default()).await.unwrap_err().code, code::FORBIDDEN);
    assert_eq!(eve.audit_entries("tenant", &EntryQuery::default()).await.unwrap().size, 0, "nothing of another tenant");
    let of_run = EntryQuery { run: Some(run), ..EntryQuery::default() };
    let bundle = BundleQuery { run: Some(run), ..BundleQuery::default() };
    assert!(ann.audit_bundle("tenant", &bundle).await.is_ok());
    for refused in [
        eve.audit_entries("tenant", &of_run).await.map(drop),
        eve.audit_bundle("tenant", &bundle).await.map(drop),
        eve.checkpoint("tenant", false).await.map(drop),
        eve.inclusion("tenant", 0, None).await.map(drop),
        eve.verify_run(run).await.map(drop),
        ann.checkpoint("globex", false).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code, code::NOT_FOUND);
    }
    // What the operator did, with who did it.
    let acts = lab.client.audit_entries("operators", &EntryQuery::default()).await.unwrap();
    let act = acts.items[0].act.clone().unwrap();
    assert_eq!((act.topic.as_str(), &act.body.as_ref().unwrap()["who"]), ("apply_agent", &Value::from("owner")));
    let trust = trust(&lab.client, "operators").await;
    let file = lab.client.audit_bundle("operators", &BundleQuery::default()).await.unwrap();
    assert_eq!(bundle::verify(&file, &trust, None).unwrap().acts, acts.size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_denied_again_and_again_does_not_fill_the_log_of_operators() {
    let lab = Lab::with(|c: &mut Config| c.auth.tokens = vec![entry(ANN, "ann", "default")]).await;
    lab.hello().await;
    let files =
        BTreeMap::from([("a.cedar".to_owned(), "forbid (principal == User::\"ann\", action, resource);".to_owned())]);
    lab.client.apply_policies(files).await.unwrap();
    let ann = Client::new(&lab.url, ANN).unwrap();
    for _ in 0..200 {
        assert_eq!(ann.agents().await.unwrap_err().code, code::POLICY);
    }
    let acts =
        lab.client.audit_entries("operators", &EntryQuery { limit: Some(500), ..EntryQuery::default() }).await.unwrap();
    let denied = acts.items.iter().filter(|entry| entry.act.as_ref().unwrap().topic == "denied").count();
    assert_eq!(denied, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_questions_about_the_log_are_refused() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    lab.client.audit_logs().await.unwrap();
    for (path, status) in [
        ("/v1/audit/tenant/tile/0/000", 404),
        ("/v1/audit/tenant/tile/0/000.p/0", 404),
        ("/v1/audit/tenant/tile/9/000.p/1", 404),
        ("/v1/audit/tenant/tile/../../../etc/passwd", 404),
        ("/v1/audit/tenant/tile/entries/x999/x999/x999/x999/x999/999", 404),
        ("/v1/audit/tenant/inclusion?index=999999", 404),
        ("/v1/audit/tenant/inclusion?index=0&size=999999", 404),
        ("/v1/audit/tenant/inclusion?index=-1", 400),
        ("/v1/audit/tenant/inclusion", 400),
        ("/v1/audit/tenant/consistency?old=9&new=2", 404),
        ("/v1/audit/tenant/consistency?old=18446744073709551615", 404),
        ("/v1/audit/tenant/entries?limit=0", 400),
        ("/v1/audit/tenant/entries?limit=100000", 400),
        ("/v1/audit/tenant/entries?run=nobody", 400),
        ("/v1/audit/tenant/entries?frm=0", 400),
        ("/v1/audit/tenant/bundle?links=a", 400),
        ("/v1/audit/tenant/bundle?from=0&run=run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B", 400),
        ("/v1/audit/tenant/bundle?run=run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B", 404),
        ("/v1/audit/tenant/checkpoint?cosigned=true", 404),
        ("/v1/runs/run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B/verify", 404),
    ] {
        let answer = lab.get(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}: {}", answer.text().await.unwrap());
    }
    for good in [
        "/v1/audit/tenant/entries?from=-9223372036854775808",
        "/v1/audit/tenant/entries?from=9223372036854775807",
        "/v1/audit/tenant/bundle?from=7&to=3",
        "/v1/audit/tenant/bundle?links=99999999999,1,1",
        "/v1/audit/tenant/consistency?old=0",
    ] {
        assert_eq!(lab.get(good).await.status(), StatusCode::OK, "{good}");
    }
    problem(lab.get("/v1/audit/nobody/checkpoint").await, 404, "ST0202").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_the_document_are_those_of_the_answers() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let _: AuditLogs = lab.get("/v1/audit/logs").await.json().await.unwrap();
    let _: AuditEntries = lab.get("/v1/audit/tenant/entries?limit=2").await.json().await.unwrap();
    let _: InclusionProof = lab.get("/v1/audit/tenant/inclusion?index=1").await.json().await.unwrap();
    let _: ConsistencyProof = lab.get("/v1/audit/tenant/consistency?old=1").await.json().await.unwrap();
    let _: RunVerification = lab.get(&format!("/v1/runs/{run}/verify")).await.json().await.unwrap();
}
