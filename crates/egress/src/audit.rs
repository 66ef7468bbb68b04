//! What the proxy decided, and what came of it: told to a sink before anything is sent on, so that nothing happens that is not
//! on record.

use std::net::SocketAddr;

use stead_core::code::Code;
use stead_ports::{BoxFuture, connect::Ruled};
use tokio::sync::mpsc;

use crate::{error::Refusal, rules::Scheme};

/// One entry. It holds no query, no field and no body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Joins what belongs to one request or tunnel; counts up within a session.
    pub exchange: u64,
    /// What was asked for, as far as it could be read.
    pub asked: Asked,
    /// What was decided, or what came of it.
    pub event: Event,
}

/// What was asked for. Texts are as the box sent them, cut; what is not printable ASCII is escaped as in `\u{9b}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The method; `CONNECT` for a tunnel.
    pub method: String,
    /// The host, at most 253 bytes.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, at most 512 bytes, without its query; none for a tunnel.
    pub path: Option<String>,
}

/// A decision, or an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is sent on.
    Allowed {
        /// The rule: its place in the list, and its host.
        rule: String,
        /// The address that was checked, and is spoken to.
        address: SocketAddr,
        /// Names of the secrets that are put in.
        secrets: Vec<String>,
        /// Names of fields that were taken out: with the client's own credentials, or naming another method, path, host or sender.
        stripped: Vec<String>,
        /// The policies that let it through; none when no run is behind the session.
        policies: Option<Ruled>,
    },
    /// It is not.
    Denied {
        /// Why.
        refusal: Refusal,
        /// The policies that forbade it, if they did.
        policies: Option<Ruled>,
        /// The address that was the reason, if one was.
        address: Option<SocketAddr>,
    },
    /// What was allowed has ended.
    Ended {
        /// The host's answer; none for a tunnel, or when there was none.
        status: Option<u16>,
        /// Bytes of bodies, or of a tunnel, to the host.
        sent: u64,
        /// And from it.
        received: u64,
        /// Bytes of secrets that were masked in the answer.
        masked: u64,
        /// Why it ended early, if it did.
        cut: Option<Code>,
    },
}

/// The sink is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Takes entries. The proxy waits for each, so that a slow sink slows the box down and is never overrun.
pub trait Audit: Send + Sync + 'static {
    /// Takes one; when it cannot, what was to be sent on is not.
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>>;
}

impl Audit for mpsc::Sender<Entry> {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        Box::pin(async move { self.send(entry).await.map_err(|_| Gone) })
    }
}
