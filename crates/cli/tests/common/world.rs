//! The world outside: a service on loopback that does things and counts them. It does only as many as it is allowed to;
//! more requests wait.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::post,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{Notify, Semaphore},
};

/// See the module.
pub(crate) struct World {
    shared: Arc<Shared>,
    /// Its own, so that it can be ended with every connection.
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

struct Shared {
    gate: Semaphore,
    done: AtomicUsize,
    news: Notify,
    ledger: Mutex<Ledger>,
}

/// What was done.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Reads of each order.
    pub(crate) looks: HashMap<String, u32>,
    /// Mails sent for each order.
    pub(crate) mails: HashMap<String, u32>,
    /// Payments and notes: by tool and key, the order they were made for. A key that comes again is done no second time.
    pub(crate) keyed: HashMap<(String, String), String>,
    /// When each thing was done.
    pub(crate) moments: Vec<SystemTime>,
}

impl Ledger {
    /// How often a tool has done something for an order.
    pub(crate) fn times(&self, tool: &str, order: &str) -> u32 {
        match tool {
            "mail" => self.mails.get(order).copied().unwrap_or(0),
            tool => self.keyed.iter().filter(|((t, _), o)| t == tool && *o == order).count() as u32,
        }
    }
}

impl World {
    /// Answers on a free port.
    pub(crate) fn start() -> Self {
        let (gate, done, news) = (Semaphore::new(0), AtomicUsize::new(0), Notify::new());
        let shared = Arc::new(Shared { gate, done, news, ledger: Mutex::default() });
        let (runtime, address) = serve(([127, 0, 0, 1], 0).into(), shared.clone());
        Self { shared, runtime: Some(runtime), address }
    }

    /// Drops every connection with all that waits on it, as it is when those who asked are dead; then answers again.
    pub(crate) fn forget_who_asked(&mut self) {
        let old = self.runtime.take().unwrap();
        std::thread::spawn(move || old.shutdown_timeout(Duration::from_secs(60))).join().unwrap();
        self.runtime = Some(serve(self.address, self.shared.clone()).0);
    }

    /// Lets so many more requests through.
    pub(crate) fn allow(&self, more: usize) {
        self.shared.gate.add_permits(more);
    }

    /// Waits until so many have been done in all.
    pub(crate) async fn reach(&self, done: usize) {
        loop {
            let news = self.shared.news.notified();
            if self.shared.done.load(SeqCst) >= done {
                return;
            }
            news.await;
        }
    }

    /// Looks at the ledger.
    pub(crate) fn ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.shared.ledger.lock().unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn serve(address: SocketAddr, shared: Arc<Shared>) -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let router = Router::new().route("/{tool}/{order}", post(act)).with_state(shared);
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(TcpListener::from_std(listener).unwrap(), router).await.unwrap() });
    (runtime, address)
}

async fn act(
    State(world): State<Arc<Shared>>,
    Path((tool, order)): Path<(String, String)>,
    headers: HeaderMap,
) -> Json<Value> {
    world.gate.acquire().await.unwrap().forget();
    {
        let mut ledger = world.ledger.lock().unwrap();
        ledger.moments.push(SystemTime::now());
        match tool.as_str() {
            "look" => *ledger.looks.entry(order).or_default() += 1,
            "mail" => *ledger.mails.entry(order).or_default() += 1,
            _ => {
                let key = headers["idempotency-key"].to_str().unwrap().to_owned();
                ledger.keyed.entry((tool, key)).or_insert(order);
            }
        }
    }
    world.done.fetch_add(1, SeqCst);
    world.news.notify_waiters();
    Json(json!({ "done": true }))
}
