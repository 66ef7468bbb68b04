//! The vault's client against a double on loopback that answers as the HTTP APIs of Vault and OpenBao are documented: paths, headers,
//! status codes and bodies of the key-value engine (version 2), of AppRole, and of tokens. The registries that were asked have neither as a program.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use stead_core::code;
use stead_ports::secret::{Secret, Secrets as _};
use stead_secrets::{Login, Place, SecretsFile, Source, Sources, Variables, Vault, VaultOptions};
use tokio::sync::Notify;

const VALUE: &str = "pay-live-0123456789";

/// What the double holds and has seen.
#[derive(Default)]
struct World {
    /// Data by path: the newest version, or nothing when that was deleted.
    kept: HashMap<String, Option<Value>>,
    /// Tokens that are good.
    tokens: Vec<String>,
    lease: u64,
    namespace: Option<String>,
    sealed: bool,
    reads: usize,
    logins: usize,
    /// Rings at each renewal.
    renewed: Arc<Notify>,
}

type Shared = Arc<Mutex<World>>;

struct Double {
    world: Shared,
    url: String,
}

impl Double {
    async fn start() -> Self {
        let world = Shared::new(Mutex::new(World { tokens: vec!["s.good".into()], ..World::default() }));
        let router = Router::new()
            .route("/v1/secret/data/{*path}", get(read))
            .route("/v1/secret/metadata/{*path}", get(list))
            .route("/v1/auth/approle/login", post(log_in))
            .route("/v1/auth/token/lookup-self", get(look_up))
            .route("/v1/auth/token/renew-self", post(renew))
            .with_state(world.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { world, url }
    }

    fn put(&self, path: &str, data: Value) {
        self.world.lock().unwrap().kept.insert(path.into(), Some(data));
    }

    fn options(&self, login: Login) -> VaultOptions {
        VaultOptions {
            address: self.url.clone(),
            namespace: None,
            mount: "secret".into(),
            path: "stead".into(),
            login,
            ca_file: None,
            timeout: Duration::from_secs(20),
            cache: Duration::from_secs(600),
        }
    }

    fn vault(&self) -> Vault {
        Vault::new(self.options(Login::Token(Secret::new("s.good")))).unwrap()
    }
}

fn errors(status: StatusCode, words: &[&str]) -> Response {
    (status, Json(json!({ "errors": words }))).into_response()
}

/// Refuses as Vault does.
fn refused(world: &World, headers: &HeaderMap) -> Option<Response> {
    let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    if world.sealed {
        return Some(errors(StatusCode::SERVICE_UNAVAILABLE, &["Vault is sealed"]));
    }
    if header("x-vault-request").as_deref() != Some("true") {
        return Some(errors(StatusCode::BAD_REQUEST, &["missing header X-Vault-Request"]));
    }
    if header("x-vault-namespace") != world.namespace {
        return Some(errors(StatusCode::NOT_FOUND, &["no handler for route"]));
    }
    let good = header("x-vault-token").is_some_and(|token| world.tokens.contains(&token));
    (!good).then(|| errors(StatusCode::FORBIDDEN, &["permission denied"]))
}

async fn read(State(world): State<Shared>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let mut world = world.lock().unwrap();
    world.reads += 1;
    if let Some(refused) = refused(&world, &headers) {
        return refused;
    }
    let metadata =
        json!({ "created_time": "2026-11-24T18:00:00Z", "deletion_time": "", "destroyed": false, "version": 3 });
    match world.kept.get(&path) {
        Some(Some(data)) => Json(json!({ "request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0,
            "data": { "data": data, "metadata": metadata }, "wrap_info": null, "warnings": null, "auth": null }))
        .into_response(),
        Some(None) => {
            (StatusCode::NOT_FOUND, Json(json!({ "data": { "data": null, "metadata": metadata } }))).into_response()
        }
        None => errors(StatusCode::NOT_FOUND, &[]),
    }
}

async fn list(
    State(world): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let world = world.lock().unwrap();
    if let Some(refused) = refused(&world, &headers) {
        return refused;
    }
    assert_eq!(query.get("list").map(String::as_str), Some("true"));
    let below = format!("{path}/");
    let mut keys: Vec<_> = world.kept.keys().filter_map(|key| key.strip_prefix(&below)).map(str::to_owned).collect();
    keys.push("folder/".into());
    Json(json!({ "data": { "keys": keys } })).into_response()
}

async fn log_in(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    let mut world = world.lock().unwrap();
    if body != json!({ "role_id": "role-1", "secret_id": "secret-id-1" }) {
        return errors(StatusCode::BAD_REQUEST, &["invalid role or secret ID"]);
    }
    world.logins += 1;
    let token = format!("s.login{}", world.logins);
    world.tokens.push(token.clone());
    let auth = json!({ "client_token": token, "accessor": "a", "policies": ["stead"], "lease_duration": world.lease,
        "renewable": true, "token_type": "service" });
    Json(json!({ "auth": auth, "data": null })).into_response()
}

async fn look_up(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let world = world.lock().unwrap();
    refused(&world, &headers).unwrap_or_else(|| {
        Json(json!({ "data": { "id": "hidden", "ttl": world.lease, "renewable": true } })).into_response()
    })
}

async fn renew(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let world = world.lock().unwrap();
    if let Some(refused) = refused(&world, &headers) {
        return refused;
    }
    world.renewed.notify_one();
    Json(json!({ "auth": { "client_token": "hidden", "lease_duration": world.lease, "renewable": true } }))
        .into_response()
}

fn exposed(found: Option<Secret>) -> Option<String> {
    found.map(|secret| secret.expose().to_owned())
}

#[tokio::test]
async fn a_secret_is_its_value_or_an_object_whose_fields_are_taken() {
    let double = Double::start().await;
    double.put("stead/payments", json!({ "value": VALUE }));
    double.put("stead/database", json!({ "user": "ada", "password": VALUE, "port": 5432 }));
    double.world.lock().unwrap().kept.insert("stead/deleted".into(), None);
    let vault = double.vault();
    assert_eq!(exposed(vault.value("payments").await.unwrap()).as_deref(), Some(VALUE));
    let object: Value = serde_json::from_str(&exposed(vault.value("database").await.unwrap()).unwrap()).unwrap();
    assert_eq!(object, json!({ "user": "ada", "password": VALUE, "port": 5432 }));
    for none in ["deleted", "nobody", "../payments", "a/b"] {
        assert_eq!(vault.value(none).await.unwrap(), None, "{none}");
    }
    assert_eq!(vault.names().await.unwrap(), ["database", "deleted", "payments"]);
    assert!(!format!("{vault:?}").contains("s.good"));
}

#[tokio::test]
async fn a_value_is_kept_for_its_time_and_not_used_after_it() {
    let double = Double::start().await;
    double.put("stead/payments", json!({ "value": VALUE }));
    let vault = double.vault();
    for _ in 0..3 {
        vault.value("payments").await.unwrap();
    }
    assert_eq!(double.world.lock().unwrap().reads, 1);
    let options = VaultOptions { cache: Duration::ZERO, ..double.options(Login::Token(Secret::new("s.good"))) };
    let eager = Vault::new(options).unwrap();
    eager.value("payments").await.unwrap();
    double.world.lock().unwrap().sealed = true;
    let error = eager.value("payments").await.unwrap_err();
    assert!(error.code == code::SECRETS_VAULT && error.detail.contains("sealed"), "{error}");
    assert!(vault.value("payments").await.is_ok(), "within its time it is not asked for again");
}

#[tokio::test]
async fn a_role_logs_in_and_again_when_its_token_is_gone() {
    let (double, dir) = (Double::start().await, tempfile::tempdir().unwrap());
    double.put("stead/payments", json!({ "value": VALUE }));
    let secret_id_file = dir.path().join("secret-id");
    fs::write(&secret_id_file, "secret-id-1\n").unwrap();
    let role =
        || Login::AppRole { mount: "approle".into(), role_id: "role-1".into(), secret_id_file: secret_id_file.clone() };
    let vault = Vault::new(VaultOptions { cache: Duration::ZERO, ..double.options(role()) }).unwrap();
    assert!(vault.value("payments").await.unwrap().is_some());
    assert!(vault.value("payments").await.unwrap().is_some());
    assert_eq!(double.world.lock().unwrap().logins, 1);
    double.world.lock().unwrap().tokens.clear();
    assert!(vault.value("payments").await.unwrap().is_some(), "revoked, and logged in again");
    assert_eq!(double.world.lock().unwrap().logins, 2);
    fs::write(&secret_id_file, "another").unwrap();
    let refused = Vault::new(double.options(role())).unwrap().value("payments").await.unwrap_err();
    assert!(refused.detail.contains("400") && !refused.detail.contains("another"), "{refused}");
}

#[tokio::test]
async fn a_token_with_a_lease_is_renewed_before_it_ends() {
    let double = Double::start().await;
    double.put("stead/payments", json!({ "value": VALUE }));
    double.world.lock().unwrap().lease = 2;
    let vault = double.vault();
    vault.value("payments").await.unwrap();
    let renewed = double.world.lock().unwrap().renewed.clone();
    // Twice: the second is due to the first.
    renewed.notified().await;
    renewed.notified().await;
}

#[tokio::test]
async fn a_token_that_is_put_into_its_file_anew_is_used() {
    let (double, dir) = (Double::start().await, tempfile::tempdir().unwrap());
    double.put("stead/payments", json!({ "value": VALUE }));
    let file = dir.path().join("token");
    fs::write(&file, "s.good\n").unwrap();
    let login = Login::TokenFile(file.clone());
    let vault = Vault::new(VaultOptions { cache: Duration::ZERO, ..double.options(login) }).unwrap();
    vault.value("payments").await.unwrap();
    double.world.lock().unwrap().tokens = vec!["s.next".into()];
    let denied = vault.value("payments").await.unwrap_err();
    assert!(denied.detail.contains("refused") && !denied.detail.contains("s.good"), "{denied}");
    fs::write(&file, "s.next").unwrap();
    assert!(vault.value("payments").await.unwrap().is_some());
}

#[tokio::test]
async fn a_namespace_is_named_and_an_address_off_this_machine_is_protected() {
    let double = Double::start().await;
    double.put("stead/payments", json!({ "value": VALUE }));
    double.world.lock().unwrap().namespace = Some("team-a".into());
    let token = || Login::Token(Secret::new("s.good"));
    assert_eq!(Vault::new(double.options(token())).unwrap().value("payments").await.unwrap(), None);
    let options = VaultOptions { namespace: Some("team-a".into()), ..double.options(token()) };
    assert!(Vault::new(options).unwrap().value("payments").await.unwrap().is_some());
    for bad in ["http://vault.example.com:8200", "ftp://vault.example.com", "vault.example.com", ""] {
        let error = Vault::new(VaultOptions { address: bad.into(), ..double.options(token()) }).unwrap_err();
        assert_eq!(error.code, code::SECRETS_VAULT, "{bad}");
    }
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_told_in_time_and_no_value_with_it() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let double = Double::start().await;
    let options = VaultOptions {
        address: format!("http://{}", silent.local_addr().unwrap()),
        timeout: Duration::from_millis(50),
        ..double.options(Login::Token(Secret::new("s.good")))
    };
    let error = Vault::new(options).unwrap().value("payments").await.unwrap_err();
    assert!(error.detail.contains("does not answer within") && !error.detail.contains("s.good"), "{error}");
}

#[tokio::test]
async fn the_first_source_that_has_a_name_counts_and_one_that_cannot_be_read_is_not_passed_over() {
    let (double, dir) = (Double::start().await, tempfile::tempdir().unwrap());
    double.put("stead/payments", json!({ "value": "of-the-vault" }));
    double.put("stead/mail", json!({ "value": "of-the-vault" }));
    let file = SecretsFile::at(Place::in_data(dir.path()));
    file.set("payments", &Secret::new("of-the-file"), stead_core::time::Timestamp(1)).unwrap();
    let sources = Sources { file, folder: None, variables: Variables::default(), vault: Some(double.vault()) };
    assert_eq!(exposed(sources.get("payments").await.unwrap()).as_deref(), Some("of-the-file"));
    assert_eq!(exposed(sources.get("mail").await.unwrap()).as_deref(), Some("of-the-vault"));
    let listed = sources.list().await.unwrap();
    let told: Vec<_> = listed.iter().map(|f| (f.name.as_str(), f.source, f.hidden.clone())).collect();
    assert_eq!(told, [("mail", Source::Vault, vec![]), ("payments", Source::File, vec![Source::Vault])]);
    assert_eq!(sources.states().await.iter().filter(|s| s.found.is_ok()).count(), 2);
    fs::write(dir.path().join("secrets.sealed"), "damaged").unwrap();
    assert!(sources.get("mail").await.is_err());
}
