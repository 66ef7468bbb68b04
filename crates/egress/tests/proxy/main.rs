//! The proxy as a box sees it: real servers and a real name server on loopback, real clients.

#![expect(clippy::unwrap_used, reason = "tests")]

mod clients;
mod dns;
mod hosts;
mod http;
mod live;
#[cfg(target_os = "linux")]
mod passed;
mod policies;
mod secrets;
mod server;
mod tls;
mod world;
