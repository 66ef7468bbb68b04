//! A schema of a former format is brought forward when a server connects, and not under another server's feet.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{append, noise, run};
use stead_core::{
    code,
    id::EffectId,
    time::{Span, Timestamp},
};
use stead_ports::journal::{ApprovalFilter, ApprovalRow, Journal as _, Question};
use stead_store::{BlobKey, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;

const TTL: Span = Span::from_secs(600);
/// What formats 2 to 10 add, taken away.
const BACK: &str = "DROP TABLE stead.approvals; DROP INDEX stead.sessions_key, stead.sessions_agent, stead.runs_agent;
    CREATE UNIQUE INDEX sessions_key ON stead.sessions (tenant, agent, key) WHERE key IS NOT NULL;
    CREATE INDEX runs_agent ON stead.runs (tenant, agent, id);
    DROP TABLE stead.aliases, stead.alias_moves, stead.usage, stead.objects, stead.policies, stead.data_keys,
        stead.budgets, stead.budget_use, stead.counted, stead.counters, stead.switches,
        stead.directories, stead.notices;
    CREATE TABLE stead.live (tenant text NOT NULL, agent text NOT NULL, version bytea NOT NULL, PRIMARY KEY (tenant, agent));
    INSERT INTO stead.live VALUES ('acme', 'desk', '\\x01');
    DROP TABLE stead.legal_holds, stead.erasures, stead.erasure_blobs, stead.kept_trees,
        stead.subject_keys, stead.subject_keys_gone;
    DROP TABLE stead.audit_acts, stead.audit_queue, stead.audit_logs, stead.audit_tiles, stead.audit_spans;
    ALTER TABLE stead.runs DROP COLUMN started_by;
    ALTER TABLE stead.sessions DROP COLUMN tool_calls, DROP COLUMN active_time, DROP COLUMN cpu, DROP COLUMN traffic,
        DROP COLUMN disk, DROP COLUMN children;
    UPDATE stead.meta SET value = '1' WHERE key = 'format'";
const INDEXES: &str = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'stead' ORDER BY indexname";

async fn connect(server: &TestPostgres) -> Result<PgStore, stead_ports::journal::StoreError> {
    PgStore::connect(&server.url(), PgOptions::new(BlobKey::from_bytes([7; 32]))).await
}

#[tokio::test]
async fn a_schema_of_a_former_format_is_brought_forward_once_its_server_has_gone() {
    let server = TestPostgres::start();
    let (sql, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let indexes =
        async || -> Vec<String> { sql.query(INDEXES, &[]).await.unwrap().iter().map(|row| row.get(0)).collect() };
    let store = connect(&server).await.unwrap();
    let lease = store.acquire("the former", TTL).await.unwrap();
    store.append(append(run(1), 0, lease.epoch, noise(10, 1))).await.unwrap();
    let now = indexes().await;
    sql.batch_execute(BACK).await.unwrap();
    assert_ne!(indexes().await, now);

    let error = connect(&server).await.unwrap_err();
    assert_eq!(error.code, code::DATA_LOCKED, "{error}");
    assert!(error.detail.contains("the former"), "{error}");
    store.release(lease).await.unwrap();
    let next = connect(&server).await.unwrap();
    assert_eq!(indexes().await, now);
    assert_eq!(next.unlisted(None, 10).await.unwrap(), [run(1)]);
    assert!(next.unlisted(Some(run(1)), 10).await.unwrap().is_empty());
    assert_eq!(next.unmetered(None, 10).await.unwrap(), [run(1)]);
    let live = sql.query("SELECT alias, version FROM stead.aliases", &[]).await.unwrap();
    assert_eq!(live.iter().map(|r| (r.get(0), r.get(1))).collect::<Vec<(&str, &[u8])>>(), [("live", &[1_u8][..])]);
    let lease = next.acquire("the next", TTL).await.unwrap();
    let open = [(run(1), Question { effect: 1, asked: Timestamp(5), round: 0 })];
    next.fill_approvals(lease, &open, false).await.unwrap();
    assert_eq!(connect(&server).await.unwrap().unlisted(None, 10).await.unwrap(), [run(1)]);
    next.fill_approvals(lease, &open, true).await.unwrap();
    assert!(next.unlisted(None, 10).await.unwrap().is_empty());
    let tenant = next.run(run(1)).await.unwrap().unwrap().tenant;
    let filter = ApprovalFilter { tenant, limit: 10, ..ApprovalFilter::default() };
    let row = ApprovalRow { asked: Timestamp(5), effect: EffectId { run: run(1), n: 1 } };
    assert_eq!(next.approvals(&filter).await.unwrap(), [row]);
}
