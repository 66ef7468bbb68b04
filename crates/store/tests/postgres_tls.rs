//! The store over TLS, and what it says when that does not come about.

#![expect(clippy::unwrap_used, reason = "tests")]

use stead_core::{code, id::Name, time::Timestamp};
use stead_ports::journal::Journal as _;
use stead_store::{BlobKey, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;

async fn connect(url: &str) -> Result<PgStore, stead_ports::journal::StoreError> {
    PgStore::connect(url, PgOptions::new(BlobKey::from_bytes([7; 32]))).await
}

#[tokio::test]
async fn the_store_works_over_tls_and_says_when_the_certificate_is_not_the_right_one() {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (own, other) = (made("127.0.0.1"), made("127.0.0.1"));
    let server = TestPostgres::start_with_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    let dir = tempfile::tempdir().unwrap();
    let trusting = |name: &str, pem: String| {
        std::fs::write(dir.path().join(name), pem).unwrap();
        format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), dir.path().join(name).display())
    };
    let store = connect(&trusting("own.pem", own.cert.pem())).await.unwrap();
    let (tenant, agent, key): (Name, Name, Name) = ("acme".into(), "desk".into(), "k".into());
    let id = stead_core::id::SessionId(1);
    assert_eq!(store.open_session(&tenant, &agent, &key, id, Timestamp(1)).await.unwrap().id, id);
    let error = connect(&trusting("other.pem", other.cert.pem())).await.unwrap_err();
    assert_eq!(error.code, code::DATA_TLS, "{error}");
    let error = connect(&format!("{}?sslmode=allow", server.url())).await.unwrap_err();
    assert_eq!(error.code, code::CONFIG, "{error}");
    let plain = TestPostgres::start();
    let error = connect(&format!("{}?sslmode=require", plain.url())).await.unwrap_err();
    assert_eq!(error.code, code::DATA_TLS, "{error}");
    connect(&plain.url()).await.unwrap();
}
