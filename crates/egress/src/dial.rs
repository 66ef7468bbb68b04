//! From a name to a connection: each address judged, and the very address that was judged connected to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use stead_core::code;
use stead_ports::{address::internal, connect::Ruled};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    audit::Event,
    error::Refusal,
    limits::{ADDRESSES, Limits},
    resolve::Resolve,
    rules::{Name, Rule},
};

/// Why there is no connection, and the address that was the reason.
#[derive(Debug)]
pub(crate) struct NoDial {
    pub(crate) refusal: Refusal,
    pub(crate) address: Option<SocketAddr>,
    /// The policies that forbade it, if they did.
    pub(crate) policies: Option<Ruled>,
}

impl From<Refusal> for NoDial {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, address: None, policies: None }
    }
}

impl NoDial {
    /// A refusal because of an address.
    pub(crate) fn at(refusal: Refusal, address: SocketAddr) -> Self {
        Self { address: Some(address), ..refusal.into() }
    }

    /// As it is put on record.
    pub(crate) fn event(&self) -> Event {
        let Self { refusal, address, policies } = self;
        Event::Denied { refusal: refusal.clone(), policies: policies.clone(), address: *address }
    }
}

/// Whether a rule lets an address be spoken to.
pub(crate) fn permitted(rule: &Rule, address: SocketAddr) -> Result<(), &'static str> {
    match internal(address.ip()) {
        Some(what) if !rule.addresses.iter().any(|range| range.contains(address.ip())) => Err(what),
        _ => Ok(()),
    }
}

/// Whether a rule lets an address be connected to from here. One of this machine's own is inside as well, whatever its range: what
/// listens here is reached by it past every firewall in front.
fn connectable(rule: &Rule, address: IpAddr) -> Result<(), &'static str> {
    permitted(rule, SocketAddr::new(address, 0))?;
    if !rule.addresses.iter().any(|range| range.contains(address)) && is_own(address) {
        return Err("this machine's own address");
    }
    Ok(())
}

/// Whether a packet to that address would stay on this machine: then the kernel would send it from the same one. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let source = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        // Any port: that of `discard`.
        socket.connect((address, 9))?;
        Ok(socket.local_addr()?.ip().to_canonical())
    };
    source().is_ok_and(|source| source == address.to_canonical())
}

/// Connects to the first address of the name that the rule lets be spoken to and that answers.
pub(crate) async fn dial(
    resolver: &dyn Resolve,
    limits: &Limits,
    rule: &Rule,
    host: &Name,
    port: u16,
) -> Result<(TcpStream, SocketAddr), NoDial> {
    let unreachable = |what: &str| -> NoDial {
        let hint = "try again later; if it persists, check the name and the host's own network";
        Refusal::new(code::EGRESS_UNREACHABLE, format!("{host}:{port} {what}"), hint).into()
    };
    let found = match timeout(limits.connect, resolver.resolve(host, port)).await {
        Ok(Ok(found)) if !found.is_empty() => found,
        _ => return Err(unreachable("has no address")),
    };
    let mut refused = None;
    let mut left = Vec::new();
    for address in found {
        match connectable(rule, address.ip()) {
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
        return Err(NoDial::at(refusal, address));
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
