//! Data of a former format is brought forward when it is opened, and what its runs ask is found from then on.

use std::path::Path;

use rusqlite::Connection;
use stead_core::{budget::Spend, fact::Fact, record::Record, run::GENESIS, time::Span};
use stead_ports::journal::{ApprovalFilter, Journal as _, RunFilter, UsageFilter};
use stead_store::{SqliteOptions, SqliteStore};

use crate::common::*;

const DUMP: &str = include_str!("../fixtures/format-1.sql");
/// What the dump's runs ask, newest first: the paused one, and the one that waits.
const ASKED: [&str; 2] = ["run_01M871PVY6F2APPM8M1EKPNZJV.e2", "run_01M871PSFPRSM8Q709QGKFW6SP.e2"];

/// Makes the data directory that the dump was taken of.
fn former(dir: &Path) {
    std::fs::create_dir(dir.join("keys")).unwrap();
    let hex = DUMP.lines().find_map(|l| l.strip_prefix("-- keys/blob.key: ")).unwrap();
    let key: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    std::fs::write(dir.join("keys/blob.key"), key).unwrap();
    Connection::open(dir.join("stead.db")).unwrap().execute_batch(DUMP).unwrap();
}

fn tables(dir: &Path) -> Vec<String> {
    let conn = Connection::open(dir.join("stead.db")).unwrap();
    let mut all = conn.prepare("SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
    all.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, SqliteOptions::default()).unwrap()
}

/// What is told to have been used is what the journals settled.
async fn assert_used(store: &SqliteStore) {
    let runs = RunFilter { tenant: "default".into(), limit: 100, ..RunFilter::default() };
    let mut settled = Spend::ZERO;
    for run in store.runs(&runs).await.unwrap() {
        for stored in store.read(run.id, 0, 1_000).await.unwrap() {
            let (record, _) = Record::decode(&stored.bytes, GENESIS).unwrap();
            for fact in &record.facts {
                match fact {
                    Fact::ModelReplied(f) => settled = settled.plus(f.spent),
                    Fact::ModelFailed(f) => settled = settled.plus(f.spent),
                    _ => {}
                }
            }
        }
    }
    let all = UsageFilter { tenant: "default".into(), limit: 1, ..UsageFilter::default() };
    let used = store.usage(&all).await.unwrap();
    assert!(settled.tokens > 0);
    assert_eq!(used[0].used.spent(), settled);
}

#[test]
fn data_of_a_former_format_opens_and_what_its_runs_ask_is_listed() {
    let lab = lab();
    former(lab.path());
    let filter = ApprovalFilter { tenant: "default".into(), limit: 10, ..ApprovalFilter::default() };
    // Twice: what was left in the middle is done again.
    for _ in 0..2 {
        let store = open(lab.path());
        let owed = tokio::runtime::Runtime::new().unwrap().block_on(async {
            store.acquire("test", Span::from_secs(60)).await.unwrap();
            assert!(store.approvals(&filter).await.unwrap().is_empty());
            store.unlisted(None, 10).await.unwrap()
        });
        assert_eq!(owed.len(), 3);
    }
    // The former release's agents are not here: nothing is taken up, and everything can be looked at.
    let node = lab.open_with(stead_engine::Options { at_rest: true, ..stead_engine::Options::default() });
    let page = node.go(node.engine().approvals(&filter)).unwrap();
    assert_eq!(page.items.iter().map(|a| a.effect.to_string()).collect::<Vec<_>>(), ASKED);
    assert_eq!(page.items[1].tool.as_str(), "payments_refund");
    assert!(page.items[1].arguments.contains(r#""order_id":"1042""#), "{}", page.items[1].arguments);
    let first = ApprovalFilter { limit: 1, ..filter.clone() };
    let page = node.go(node.engine().approvals(&first)).unwrap();
    let page = node.go(node.engine().approvals(&ApprovalFilter { before: page.next, ..first })).unwrap();
    assert_eq!(page.items.iter().map(|a| a.effect.to_string()).collect::<Vec<_>>(), ASKED[1..]);
    assert_eq!(page.next, None);
    node.crash();
    // Once and for all.
    let store = open(lab.path());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        assert!(store.unlisted(None, 10).await.unwrap().is_empty());
        assert_eq!(store.approvals(&filter).await.unwrap().len(), 2);
        assert!(store.unmetered(None, 10).await.unwrap().is_empty());
        assert_used(&store).await;
    });
}

#[test]
fn data_brought_forward_has_the_tables_of_data_made_today() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    former(old.path());
    drop((open(old.path()), open(new.path())));
    assert_eq!(tables(old.path()), tables(new.path()));
}
