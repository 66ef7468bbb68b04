//! The journal's promises, kept by the SQLite store: each case on a fresh data directory.

use stead_store::{SqliteOptions, SqliteStore};

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let store = SqliteStore::open(dir.path(), SqliteOptions::default()).expect("opens a fresh directory");
            stead_ports::conformance::$name(&store).await;
        }
    )* };
}
stead_ports::journal_cases!(tests);
