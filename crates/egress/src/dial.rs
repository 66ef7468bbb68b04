//! From a name to a connection: resolved here and nowhere else, each address judged, and the very address that was judged
//! connected to.

use std::{io, net::SocketAddr, sync::Arc};

use stead_core::code;
use stead_ports::{BoxFuture, address::internal};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use crate::{
    error::Refusal,
    limits::{ADDRESSES, LOOKUPS, Limits},
    rules::{Name, Rule},
};

/// Finds the addresses of a name. Asked only for names that a rule allows.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses now, with that port.
    fn resolve<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The host's own resolver, for one session: each look-up takes a thread for as long as the system likes, so that only a few may
/// be under way.
#[derive(Clone, Debug)]
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let place = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_string();
            // In a task of its own: whoever waits no longer does not end the thread, and must not give its place away.
            let looking = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name.as_str(), port)).await.map(Iterator::collect);
                drop(place);
                found
            });
            looking.await.map_err(io::Error::other)?
        })
    }
}

/// Why there is no connection, and the address that was the reason.
#[derive(Debug)]
pub(crate) struct NoDial {
    pub(crate) refusal: Refusal,
    pub(crate) address: Option<SocketAddr>,
}

/// Whether a rule lets an address be spoken to.
pub(crate) fn permitted(rule: &Rule, address: SocketAddr) -> Result<(), &'static str> {
    match internal(address.ip()) {
        Some(what) if !rule.addresses.iter().any(|range| range.contains(address.ip())) => Err(what),
        _ => Ok(()),
    }
}

/// Connects to the first address of the name that the rule lets be spoken to and that answers.
pub(crate) async fn dial(
    resolver: &dyn Resolve,
    limits: &Limits,
    rule: &Rule,
    host: &Name,
    port: u16,
) -> Result<(TcpStream, SocketAddr), NoDial> {
    let unreachable = |what: &str| NoDial {
        refusal: Refusal::new(
            code::EGRESS_UNREACHABLE,
            format!("{host}:{port} {what}"),
            "try again later; if it persists, check the name and the host's own network",
        ),
        address: None,
    };
    let found = match timeout(limits.connect, resolver.resolve(host, port)).await {
        Ok(Ok(found)) if !found.is_empty() => found,
        _ => return Err(unreachable("has no address")),
    };
    let mut refused = None;
    let mut left = Vec::new();
    for address in found {
        match permitted(rule, address) {
            // The resolver's port is not taken on trust.
            Ok(()) => left.push(SocketAddr::new(address.ip(), port)),
            Err(what) => refused = Some((address, what)),
        }
    }
    if let (true, Some((address, what))) = (left.is_empty(), refused) {
        // The box is not told which: it is no map of the network.
        let refusal = Refusal::new(
            code::EGRESS_ADDRESS,
            format!("{host} leads to {what}, and the rule names no such range"),
            "add the range to `addresses` of the rule, if the host is meant to be inside",
        );
        return Err(NoDial { refusal, address: Some(address) });
    }
    for address in left.into_iter().take(ADDRESSES) {
        if let Ok(Ok(stream)) = timeout(limits.connect, TcpStream::connect(address)).await {
            // A small request is not to wait for a larger one.
            let _ = stream.set_nodelay(true);
            return Ok((stream, address));
        }
    }
    Err(unreachable("does not answer"))
}
