//! A server begins, or says why not, and ends in order.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use stead_server::{
    auth::token_path,
    config::Tls,
    presence::Presence,
    runtime::{OpenOptions, Runtime},
    serve::{ServeError, Server},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::lab::{Lab, config};

fn code(result: Result<Server, ServeError>) -> String {
    result.map(|_| ()).unwrap_err().code().to_string()
}

#[tokio::test]
async fn a_port_in_use_is_an_error_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(dir.path());
    config.listen = taken.local_addr().unwrap();
    assert_eq!(code(Server::open(config.clone()).await), "ST0150");
    assert!(!config.data_dir.exists());
}

#[tokio::test]
async fn a_server_off_loopback_needs_tls_or_a_declared_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.listen = "0.0.0.0:0".parse().unwrap();
    assert_eq!(code(Server::open(config).await), "ST0111");
}

#[tokio::test]
async fn a_data_directory_has_one_owner() {
    let lab = Lab::new().await;
    assert_eq!(code(Server::open(config(lab.dir.path())).await), "ST0140");
    let options = OpenOptions { data_dir: lab.dir.path().join("data"), ..OpenOptions::default() };
    assert_eq!(Runtime::open(options).await.unwrap_err().code().to_string(), "ST0140");
    // The one that is there is not disturbed.
    assert_eq!(Presence::read(&lab.dir.path().join("data")).unwrap().url, lab.url);
    assert_eq!(lab.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_server_tells_its_data_directory_where_it_answers_while_it_does() {
    let lab = Lab::new().await;
    let data = lab.dir.path().join("data");
    let presence = Presence::read(&data).unwrap();
    assert_eq!((presence.url.as_str(), presence.pid), (lab.url.as_str(), std::process::id()));
    assert_eq!(std::fs::metadata(token_path(&data)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let token = lab.token.clone();
    let dir = lab.stop().await;
    assert_eq!(Presence::read(&data), None);
    // The token outlives the process.
    let config = config(dir.path());
    assert_eq!(Lab::over(dir, config).await.token, token);
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_waits_and_answers_them() {
    let mut lab = Lab::new().await;
    let run = lab.waiting().await.summary.id;
    let mut stream = lab.get(&format!("/v1/runs/{run}/stream")).await;
    let begun = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&begun).contains("event: fact"));
    let wait = tokio::spawn(lab.ask(reqwest::Method::GET, &format!("/v1/runs/{run}?wait=5m")).send());
    // Both are there: the gauge counts followers and waiters.
    loop {
        if lab.get("/metrics").await.text().await.unwrap().contains("stead_http_followers 2") {
            break;
        }
    }
    lab.tell_to_stop();
    let text = stream.text().await.unwrap();
    assert!(!text.contains("event: end"), "{text}");
    let waited: serde_json::Value = wait.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(waited["status"], "waiting");
    lab.stop().await;
}

#[tokio::test]
async fn a_shutdown_answers_requests_under_way_and_takes_no_new_ones() {
    let mut lab = Lab::new().await;
    lab.hello().await;
    let address = lab.url.strip_prefix("http://").unwrap().to_owned();
    // Under way: its head was read, and half of its body. Idle: it was answered, and may ask again.
    let body = r#"{"agent": "hello", "input": "Hi"}"#;
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        lab.token,
        body.len()
    );
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(format!("{head}{}", &body[..10]).as_bytes()).await.unwrap();
    loop {
        // The request that asks for the figures is under way itself.
        if lab.get("/metrics").await.text().await.unwrap().contains("stead_http_requests_under_way 2") {
            break;
        }
    }
    lab.tell_to_stop();
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // Whatever was left of its answer, it ends; a further request is not answered.
    let _refused = idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut rest = Vec::new();
    let _reset = idle.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"));

    slow.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("connection: close"), "{answer}");
    let started: stead_api::run::Started = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let dir = lab.stop().await;
    let config = config(dir.path());
    let lab = Lab::over(dir, config).await;
    assert_eq!(lab.ended(started.run).await.output.as_deref(), Some("Hello there, friend."));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_request_for_ever() {
    use stead_server::config::units::Time;
    let mut lab = Lab::with(|c| c.drain_timeout = Time(std::time::Duration::from_millis(50))).await;
    let mut slow = TcpStream::connect(lab.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
        lab.token
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    loop {
        if lab.get("/metrics").await.text().await.unwrap().contains("stead_http_requests_under_way 2") {
            break;
        }
    }
    lab.tell_to_stop();
    // Its data has another owner, though the caller is still sending.
    let dir = lab.stop().await;
    let config = config(dir.path());
    assert_eq!(Lab::over(dir, config).await.get("/readyz").await.status(), 200);
    drop(slow);
}

#[tokio::test]
async fn tls_is_spoken_when_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut config = config(dir.path());
    config.tls = Some(Tls { cert: cert.clone(), key });
    let lab = Lab::over(dir, config).await;
    assert!(lab.url.starts_with("https://127.0.0.1:"));
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().tls_certs_only([root]);
    let client = stead_client::Client::with(&lab.url, &lab.token, trusting).unwrap();
    assert_eq!(client.status().await.unwrap().name, "stead");
    // Neither in the clear nor to someone who does not know the certificate.
    assert!(reqwest::get(lab.url.replace("https", "http")).await.is_err());
    assert!(lab.client.status().await.is_err());
    drop(Arc::new(cert));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.tls = Some(Tls { cert: dir.path().join("none.pem"), key: dir.path().join("none.key") });
    let error = Server::open(config).await.unwrap_err();
    assert_eq!(error.code().to_string(), "ST0110");
    assert!(error.to_string().contains("none.pem"), "{error}");
}

#[tokio::test]
async fn a_server_that_was_stopped_goes_on_where_it_was() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    let dir = lab.stop().await;
    let config = config(dir.path());
    let lab = Lab::over(dir, config).await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Hello there, friend."));
    assert_eq!(lab.client.agents().await.unwrap().items.len(), 1);
}
