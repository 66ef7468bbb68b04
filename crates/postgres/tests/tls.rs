//! TLS to a real server, whose certificate is made here.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stead_postgres::{is_tls, target};
use stead_testkit::postgres::TestPostgres;

/// An authority in a file, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = dir.join(name);
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Certificate and key of a server of that name, as PEM.
    fn server(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Connects; tells whether the server says that the connection is protected.
async fn protected(url: &str) -> Result<bool, tokio_postgres::Error> {
    let target = target(url).unwrap();
    let (client, connection) = target.config.connect(target.tls).await?;
    tokio::spawn(connection);
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await?;
    Ok(row.get(0))
}

#[tokio::test]
async fn each_mode_asks_of_a_certificate_what_libpq_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(dir.path(), "ca.pem"), Authority::new(dir.path(), "other.pem"));
    for (name, named) in [("127.0.0.1", true), ("db.example", false)] {
        let (cert, key) = ours.server(name);
        let server = TestPostgres::start_with_tls(&cert, &key);
        for (mode, authority, want) in [
            ("verify-full", Some(&ours), named),
            ("verify-full", Some(&other), false),
            ("verify-full", None, false),
            ("verify-ca", Some(&ours), true),
            ("verify-ca", Some(&other), false),
            ("require", Some(&ours), true),
            ("require", Some(&other), false),
            ("require", None, true),
            ("prefer", None, true),
        ] {
            let roots = authority.map_or_else(String::new, |a| format!("&sslrootcert={}", a.file.display()));
            let found = protected(&format!("{}?sslmode={mode}{roots}", server.url())).await;
            let failed = found.as_ref().is_err_and(is_tls);
            assert!(if want { matches!(found, Ok(true)) } else { failed }, "{name} {mode}{roots}: {found:?}");
        }
        assert!(!protected(&format!("{}?sslmode=disable", server.url())).await.unwrap());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = TestPostgres::start();
    let refused = protected(&format!("{}?sslmode=require", server.url())).await;
    assert!(refused.as_ref().is_err_and(is_tls), "{refused:?}");
    assert!(!protected(&server.url()).await.unwrap());
}
