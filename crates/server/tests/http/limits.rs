//! What is too much, too deep or nonsense is refused, clearly and at once.

use reqwest::{Method, Response};
use serde_json::json;
use stead_server::config::units::Size;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::lab::{HELLO, Lab, apply, problem};

async fn send(lab: &Lab, path: &str, body: impl Into<reqwest::Body>) -> Response {
    lab.ask(Method::POST, path).header("content-type", "application/json").body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let lab = Lab::new().await;
    lab.hello().await;
    let big = json!({"agent": "hello", "input": "x".repeat(1 << 20)}).to_string();
    problem(send(&lab, "/v1/runs", big.clone()).await, 413, "ST0203").await;
    // Also when its length is not told.
    let pieces = futures_util::stream::iter(
        big.into_bytes().chunks(4096).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    );
    problem(send(&lab, "/v1/runs", reqwest::Body::wrap_stream(pieces)).await, 413, "ST0203").await;
    let fits = json!({"agent": "hello", "input": "x".repeat((1 << 20) - 100)}).to_string();
    assert_eq!(send(&lab, "/v1/runs", fits).await.status(), 201);
}

#[tokio::test]
async fn an_agent_may_be_larger_than_other_bodies_up_to_its_own_limit() {
    let lab = Lab::with(|c| (c.limits.body, c.limits.bundle) = (Size(1_000), Size(3_000))).await;
    let script = |n| format!("# {}\nrules: [{{ say: Hi }}]\n", "x".repeat(n));
    lab.apply(HELLO, &[("./script.yaml", &script(1_500))]).await;
    let body = serde_json::to_string(&apply(HELLO, &[("./script.yaml", &script(4_000))])).unwrap();
    problem(send(&lab, "/v1/agents", body).await, 413, "ST0203").await;
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_refused() {
    let lab = Lab::new().await;
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    problem(send(&lab, "/v1/runs", deep(65)).await, 400, "ST0208").await;
    problem(send(&lab, "/v1/runs", "[".repeat(1_000_000)).await, 400, "ST0208").await;
    problem(send(&lab, "/v1/runs", deep(64)).await, 400, "ST0201").await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let lab = Lab::new().await;
    for body in [&b"{\"agent\": \"\xff\"}"[..], b"{", b"", b"null", b"{\"agent\": 7, \"input\": \"\"}", b"\"\\ud800\""]
    {
        problem(send(&lab, "/v1/runs", body.to_vec()).await, 400, "ST0201").await;
    }
    let told = send(&lab, "/v1/runs", "{\"agent\": \"a\", \"input\": \"b\", \"imput\": \"c\"}").await;
    let told = problem(told, 400, "ST0201").await;
    assert!(told["detail"].as_str().unwrap().contains("unknown field `imput`"), "{told}");
    for kind in ["text/plain", "application/xml", "é"] {
        let request = lab.ask(Method::POST, "/v1/runs").header("content-type", kind.as_bytes()).body("{}");
        problem(request.send().await.unwrap(), 415, "ST0201").await;
    }
    let untold = lab.ask(Method::POST, "/v1/runs").body("{}").send().await.unwrap();
    problem(untold, 415, "ST0201").await;
}

#[tokio::test]
async fn more_followers_than_places_are_told_to_come_back() {
    let lab = Lab::with(|c| c.limits.followers = 1).await;
    let run = lab.waiting().await.summary.id;
    let path = format!("/v1/runs/{run}/stream");
    let held = lab.get(&path).await;
    assert_eq!(held.status(), 200);
    let refused = lab.get(&path).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 503, "ST0205").await;
    assert_eq!(lab.get("/v1/runs").await.status(), 200);
    drop(held);
    // The place is free again once the server has noticed.
    loop {
        if lab.get(&path).await.status() == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn more_requests_than_places_are_told_to_come_back() {
    let lab = Lab::with(|c| c.limits.requests = 1).await;
    let address = lab.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    // A request whose body does not come keeps its place.
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{",
        lab.token
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let refused = loop {
        let answer = lab.get("/v1/runs").await;
        if answer.status() != 200 {
            break answer;
        }
    };
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 503, "ST0205").await;
    assert_eq!(lab.get("/healthz").await.status(), 200);
    slow.write_all(b"}        ").await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    use stead_server::config::units::Time;
    let lab = Lab::with(|c| c.limits.request_timeout = Time(std::time::Duration::from_millis(200))).await;
    for path in ["/v1/runs", "/v1/agents"] {
        given_up(&lab, path).await;
    }
}

async fn given_up(lab: &Lab, path: &str) {
    let mut slow = TcpStream::connect(lab.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{",
        lab.token
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}
