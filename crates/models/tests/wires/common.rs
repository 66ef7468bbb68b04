//! A loopback server that misbehaves in every way a provider can, for the tests of all wires.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, Uri, header},
};
use serde_json::json;
use stead_core::{
    id::RunId,
    message::{Message, Reply, ToolDef},
};
use stead_ports::model::{Delta, Model, ModelCall, ModelError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The key that models here are given.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef";

/// What the server was asked last: path with query, headers, body.
pub(crate) type Seen = Arc<Mutex<Option<(String, HeaderMap, Bytes)>>>;

/// A server that gives every request the same answer; its address, and what it was last asked.
pub(crate) async fn serve(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> (String, Seen) {
    let seen = Seen::default();
    let note = Arc::clone(&seen);
    let app = Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        *note.lock().unwrap() = Some((uri.to_string(), headers, body));
        answer()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

/// A server that answers every request with that body.
pub(crate) async fn serve_body(body: impl Into<Bytes>) -> (String, Seen) {
    let body: Bytes = body.into();
    serve(move || event_stream(body.clone())).await
}

/// A server that reads one request and answers with raw bytes, then closes.
pub(crate) async fn raw(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !is_whole(&request) {
            socket.read_buf(&mut request).await.unwrap();
        }
        socket.write_all(&answer).await.unwrap();
        socket.shutdown().await.unwrap();
    });
    url
}

/// Whether a request has arrived with all of the body that its head promises.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().trim();
    body.len() >= length.parse::<usize>().unwrap()
}

/// An answer that is an event stream.
pub(crate) fn event_stream(body: impl Into<Body>) -> Response<Body> {
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body.into()).unwrap()
}

/// An answer with that status, headers and body.
pub(crate) fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::from(body.to_owned())).unwrap()
}

/// One question with one tool.
pub(crate) fn question() -> ModelCall {
    ModelCall {
        run: RunId(1),
        turn: 2,
        attempt: 1,
        instructions: "Be brief.".into(),
        messages: vec![Arc::new(Message::user("hi"))],
        tools: Arc::new([ToolDef { name: "t".into(), description: "d".into(), schema: json!({ "type": "object" }) }]),
        output: None,
        max_output_tokens: 77,
        raw: None,
        begun: None,
    }
}

/// Asks a model, and keeps what it says on the way.
pub(crate) async fn ask(model: &dyn Model, call: ModelCall) -> (Result<Reply, ModelError>, Vec<Delta>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let reply = model.call(call, Arc::new(move |d| sink.lock().unwrap().push(d))).await;
    let deltas = seen.lock().unwrap().clone();
    (reply, deltas)
}
