//! Stand-ins for the services of the examples: real HTTP services on loopback whose state is durable, so that what an
//! agent did to the world can be counted after any crash. Not for anything else.

mod ledger;
mod mail;
mod payments;

use std::{net::SocketAddr, path::Path};

use axum::Router;
use clap::ValueEnum;
use tokio::net::TcpListener;

pub(crate) use ledger::Ledger;

/// Which stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Keeps one refund for each idempotency key
    Payments,
    /// Takes messages; two equal ones are two messages
    Mail,
}

/// Opens the service's state in `data`.
///
/// # Errors
/// When the state cannot be read or written.
pub(crate) fn open(service: Service, data: &Path) -> std::io::Result<Router> {
    std::fs::create_dir_all(data)?;
    match service {
        Service::Payments => payments::router(&data.join("payments.jsonl")),
        Service::Mail => mail::router(&data.join("mail.jsonl")),
    }
}

/// Listens on loopback; port 0 takes a free one.
///
/// # Errors
/// When the port cannot be had.
pub(crate) async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}
