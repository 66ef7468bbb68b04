//! Machines as users meet them: a real kernel in a real QEMU, translated where no KVM boots it. A machine takes seconds to boot, so a
//! test tries as much in one as belongs together.

#![cfg(target_arch = "x86_64")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "machines/abuse.rs"]
mod abuse;
#[path = "machines/egress.rs"]
mod egress;
#[path = "machines/lab.rs"]
mod lab;
#[path = "machines/layers.rs"]
mod layers;
#[path = "machines/lifecycle.rs"]
mod lifecycle;
#[path = "machines/limits.rs"]
mod limits;
#[path = "machines/streams.rs"]
mod streams;
