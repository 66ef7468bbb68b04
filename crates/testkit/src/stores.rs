//! The frame of the tests by which both stores keep a port: every case of its suite, against a fresh store each.

/// Tests that both stores pass a suite of `stead_ports::conformance`: a test of each case's name on the embedded store, and one of the name
/// that is given for all of them on the shared one.
///
/// The crate that calls it has `stead-ports`, `stead-store`, `tempfile` and `tokio` among its dependencies.
///
/// ```ignore
/// stead_testkit::stores_pass!(switches_cases, SWITCHES, the_shared_store_passes_the_suite_of_switches);
/// ```
#[macro_export]
macro_rules! stores_pass {
    ($cases:ident, $table:ident, $shared:ident) => {
        $crate::stores_pass!(@ ($) $cases $table $shared);
    };
    // The dollar comes in, so that the macro within can have variables of its own.
    (@ ($d:tt) $cases:ident $table:ident $shared:ident) => {
        macro_rules! embedded {
            ($d($d name:ident)*) => { $d(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $d name() {
                    let dir = tempfile::tempdir().unwrap();
                    let options = stead_store::SqliteOptions::default();
                    let store = stead_store::SqliteStore::open(dir.path(), options).unwrap();
                    stead_ports::conformance::$d name(&store).await;
                }
            )* };
        }
        stead_ports::$cases!(embedded);

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $shared() {
            let server = $crate::postgres::TestPostgres::start();
            for (n, case) in stead_ports::conformance::$table.iter().enumerate() {
                eprintln!("{}", case.name);
                let key = stead_store::BlobKey::from_bytes([7; 32]);
                let options =
                    stead_store::PgOptions { schema: format!("case_{n}"), ..stead_store::PgOptions::new(key) };
                let store = stead_store::PgStore::connect(&server.url(), options).await.unwrap();
                (case.run)(&store).await;
            }
        }
    };
}
