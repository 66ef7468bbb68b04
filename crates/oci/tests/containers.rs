//! Containers, made by a real runtime on the real kernel, by the tests' user, who must be root: as an ordinary user the tier
//! cannot be given, and says so.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "containers/abuse.rs"]
mod abuse;
#[path = "containers/lab.rs"]
mod lab;
#[path = "containers/lifecycle.rs"]
mod lifecycle;
#[path = "containers/limits.rs"]
mod limits;
#[path = "containers/mounts.rs"]
mod mounts;
#[path = "containers/network.rs"]
mod network;
#[path = "containers/runtimes.rs"]
mod runtimes;
#[path = "containers/streams.rs"]
mod streams;
