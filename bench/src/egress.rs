//! The egress proxy: what it adds to a call of a host on loopback, and how many calls it does.
//!
//! Client, proxy and host run in this process, on the same cores. A call is a GET with a 1 KiB answer over plain HTTP, once over a
//! connection that stays open, once over a new one each; the same with a secret put in and every answer searched for echoes.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_egress::{
    Audit, Config, Entry, Gone, Limits, Name, Resolve, RuleSpec, Rules, Session, Trust, serve_listener,
};
use stead_ports::{
    BoxFuture,
    connect::Connects,
    secret::{Secret, SecretError, Secrets},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Bytes of an answer's body.
const BODY: usize = 1 << 10;
/// Connections of the loaded case.
const CLIENTS: usize = 32;

pub(crate) fn main(quick: bool, as_json: bool) -> ExitCode {
    let out = json!({ "egress": measure(quick) });
    if !as_json {
        println!("{out:#}");
    }
    println!("{out}");
    ExitCode::SUCCESS
}

/// The figures: `added_p50_us`, `req_per_s`, and the same for new connections and with a secret.
pub(crate) fn measure(quick: bool) -> Value {
    crate::durable::runtime().block_on(async {
        let calls = if quick { 2_000 } else { 10_000 };
        let span = Duration::from_secs(if quick { 2 } else { 5 });
        let host = host().await;
        let (plain, secret) = (proxy(host, false).await, proxy(host, true).await);
        let direct = Call { to: host, line: "/".to_owned() };
        let through = |proxy| Call { to: proxy, line: format!("http://bench.example:{}/", host.port()) };
        let (kept, fresh) = (direct.p50(calls, true).await, direct.p50(calls, false).await);
        let added = |with: f64, without: f64| ((with - without) * 10.0).round() / 10.0;
        json!({
            "added_p50_us": added(through(plain).p50(calls, true).await, kept),
            "added_new_connection_p50_us": added(through(plain).p50(calls, false).await, fresh),
            "added_with_secret_p50_us": added(through(secret).p50(calls, true).await, kept),
            "req_per_s": through(plain).per_s(span).await.round(),
            "req_per_s_with_secret": through(secret).per_s(span).await.round(),
            "direct_p50_us": kept.round(),
            "direct_req_per_s": direct.per_s(span).await.round(),
        })
    })
}

/// A host that answers every head with the same bytes.
async fn host() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be listened on");
    let address = listener.local_addr().expect("a listener has an address");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    let answer: Arc<[u8]> = answer.into_bytes().into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await? > 0 {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        stream.write_all(&answer).await?;
                    }
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

struct Loopback;

impl Resolve for Loopback {
    fn resolve<'a>(&'a self, _: &'a Name, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    }
}

struct Counted(AtomicU64);

impl Audit for Counted {
    fn record(&self, _: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        self.0.fetch_add(1, Relaxed);
        Box::pin(async { Ok(()) })
    }
}

struct One;

impl Secrets for One {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        Box::pin(async { Ok(Some(Secret::new("sk-bench-4eC39HqLyjWDarjtT1zdp7dc"))) })
    }
}

async fn proxy(host: SocketAddr, secret: bool) -> SocketAddr {
    let inject = if secret { json!([{ "secret": "key", "inject": "bearer" }]) } else { json!([]) };
    let rule: RuleSpec = serde_json::from_value(json!({
        "host": "bench.example", "scheme": "http", "ports": [host.port()], "addresses": ["127.0.0.0/8"],
        "methods": ["GET"], "paths": ["/**"], "secrets_in_clear": true, "secrets": inject,
    }))
    .expect("a rule");
    let session = Session::new(Config {
        rules: Rules::new([&rule]).expect("it can be used"),
        secrets: Arc::new(One),
        connects: Connects::default(),
        audit: Arc::new(Counted(AtomicU64::new(0))),
        resolver: Arc::new(Loopback),
        trust: Trust::system().expect("authorities"),
        limits: Limits::default(),
    })
    .expect("a session");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be listened on");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move { serve_listener(listener, &session).await });
    address
}

#[derive(Clone)]
struct Call {
    to: SocketAddr,
    line: String,
}

impl Call {
    async fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.to).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    async fn once(&self, stream: &mut TcpStream, into: &mut Vec<u8>) {
        let host = self.line.trim_start_matches("http://").trim_end_matches('/');
        let head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", self.line);
        stream.write_all(head.as_bytes()).await.expect("it reads");
        into.clear();
        loop {
            assert!(stream.read_buf(into).await.expect("it answers") > 0, "the connection was closed");
            if let Some(at) = into.windows(4).position(|w| w == b"\r\n\r\n")
                && into.len() >= at + 4 + BODY
            {
                break;
            }
        }
        assert!(into.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(into));
    }

    /// The median of calls one after the other, in microseconds.
    async fn p50(&self, calls: usize, kept: bool) -> f64 {
        let (mut times, mut answer) = (Vec::with_capacity(calls), Vec::new());
        let mut stream = self.open().await;
        for _ in 0..calls {
            let start = Instant::now();
            if !kept {
                stream = self.open().await;
            }
            self.once(&mut stream, &mut answer).await;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        times[calls / 2].as_secs_f64() * 1e6
    }

    /// Calls a second of many connections at once.
    async fn per_s(&self, span: Duration) -> f64 {
        let done = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (call, done) = (self.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    let (mut stream, mut answer) = (call.open().await, Vec::new());
                    while start.elapsed() < span {
                        call.once(&mut stream, &mut answer).await;
                        done.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("a client does not fail");
        }
        done.load(Relaxed) as f64 / start.elapsed().as_secs_f64()
    }
}
