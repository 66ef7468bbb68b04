//! Both stores keep the port of notices.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_ports::conformance::NOTICES;
use stead_store::{BlobKey, PgOptions, PgStore, SqliteOptions, SqliteStore};
use stead_testkit::postgres::TestPostgres;

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            let dir = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
            stead_ports::conformance::$name(&store).await;
        }
    )* };
}
stead_ports::notices_cases!(tests);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_store_passes_the_suite_of_notices() {
    let server = TestPostgres::start();
    for (n, case) in NOTICES.iter().enumerate() {
        eprintln!("{}", case.name);
        let schema = format!("case_{n}");
        let options = PgOptions { schema, ..PgOptions::new(BlobKey::from_bytes([7; 32])) };
        let store = PgStore::connect(&server.url(), options).await.unwrap();
        (case.run)(&store).await;
    }
}
