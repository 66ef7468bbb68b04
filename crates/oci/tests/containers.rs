//! Containers, made by a real runtime on the real kernel, by the tests' user, who must be root. As an ordinary user
//! the tier cannot be given, which is one of these tests; the others fail then and say so.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "containers/lab.rs"]
mod lab;
#[path = "containers/lifecycle.rs"]
mod lifecycle;
#[path = "containers/runtimes.rs"]
mod runtimes;
#[path = "containers/suite.rs"]
mod suite;
