//! A session with its proxy, its name server, its secrets and its record.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use stead_core::code::Code;
use stead_egress::{Audit, Config, Entry, Event, Gone, Limits, RuleSpec, Rules, Session, Trust, serve_listener};
use stead_ports::{
    BoxFuture,
    connect::Connects,
    secret::{Secret, SecretError, Secrets},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{dns::Dns, server::TestCa};

/// Everything that was put on record.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Entry>>>);

impl Audit for Record {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        self.0.lock().unwrap().push(entry);
        Box::pin(async { Ok(()) })
    }
}

impl Record {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// Codes of what was denied, in order.
    pub(crate) fn denied(&self) -> Vec<Code> {
        let code = |e: Entry| match e.event {
            Event::Denied { refusal, .. } => Some(refusal.code),
            _ => None,
        };
        self.entries().into_iter().filter_map(code).collect()
    }
}

#[derive(Clone, Default)]
struct Values(Arc<Mutex<HashMap<String, String>>>);

impl Secrets for Values {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        let value = self.0.lock().unwrap().get(name).map(Secret::new);
        Box::pin(async move { Ok(value) })
    }
}

/// A box's surroundings.
pub(crate) struct World {
    pub(crate) session: Session,
    pub(crate) proxy: SocketAddr,
    pub(crate) record: Record,
    pub(crate) dns: Dns,
    pub(crate) ca: TestCa,
    values: Values,
}

impl World {
    /// With no rule yet, and hosts' certificates of an authority of its own.
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let record = Record::default();
        Self::telling(limits, record.clone(), Arc::new(record)).await
    }

    /// One whose decisions are told to another sink.
    pub(crate) async fn telling(limits: Limits, record: Record, audit: Arc<dyn Audit>) -> Self {
        Self::made(limits, record, audit, Connects::default()).await
    }

    /// One that asks somebody about what its rules allow.
    pub(crate) async fn asking(connects: Connects) -> Self {
        let record = Record::default();
        Self::made(Limits::default(), record.clone(), Arc::new(record), connects).await
    }

    async fn made(limits: Limits, record: Record, audit: Arc<dyn Audit>, connects: Connects) -> Self {
        let (dns, values, ca) = (Dns::start().await, Values::default(), TestCa::new());
        let session = Session::new(Config {
            rules: Rules::default(),
            secrets: Arc::new(values.clone()),
            connects,
            audit,
            resolver: Arc::new(dns.clone()),
            trust: Trust::pem(&ca.pem).unwrap(),
            limits,
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let serving = session.clone();
        tokio::spawn(async move { serve_listener(listener, &serving).await.unwrap() });
        Self { session, proxy, record, dns, ca, values }
    }

    /// Puts rules in force, as JSON.
    pub(crate) fn rules(&self, rules: Value) {
        put(&self.session, rules);
    }

    /// Has a name lead to loopback.
    pub(crate) fn host(&self, name: &str) {
        self.dns.set(name, &["127.0.0.1"]);
    }

    pub(crate) fn secret(&self, name: &str, value: &str) {
        self.values.0.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn placeholder(&self, name: &str) -> String {
        self.session.placeholders()[name].clone()
    }

    /// Sends bytes on a connection of its own; gives all that comes until the proxy closes it.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        // Whoever refuses stops reading, and closes with what it has not read.
        let _ = stream.write_all(bytes.as_ref()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A GET of an http URL, on a connection of its own.
    pub(crate) async fn get(&self, url: &str) -> String {
        self.send("GET", url, "", "").await
    }

    /// A request with more fields, each ending with CR LF, and a body.
    pub(crate) async fn send(&self, method: &str, url: &str, fields: &str, body: &str) -> String {
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}{length}\r\n");
        self.raw(head + body).await
    }
}

/// Puts rules of a session in force, as JSON.
pub(crate) fn put(session: &Session, rules: Value) {
    let specs: Vec<RuleSpec> = serde_json::from_value(rules).unwrap();
    session.set_rules(Rules::new(&specs).unwrap()).unwrap();
}

/// Asserts that an answer is a refusal with that code.
#[track_caller]
pub(crate) fn refused(answer: &str, code: Code) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    assert!(head.contains("application/problem+json"), "{answer}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], code.to_string(), "{problem}");
    assert!(!problem["hint"].as_str().unwrap().is_empty() && !problem["title"].as_str().unwrap().is_empty());
}

/// The body of an answer with status 200 and a length.
#[track_caller]
pub(crate) fn body(answer: &str) -> &str {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body
}
