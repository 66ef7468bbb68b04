//! Boxes as users meet them: real programs in real boxes, made by root and by a user without rights.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "boxes/hidden.rs"]
mod hidden;
#[path = "boxes/lab.rs"]
mod lab;
#[path = "boxes/lifecycle.rs"]
mod lifecycle;
#[path = "boxes/limits.rs"]
mod limits;
#[path = "boxes/neighbours.rs"]
mod neighbours;
#[path = "boxes/networks.rs"]
mod networks;
#[path = "boxes/session.rs"]
mod session;
#[path = "boxes/suite.rs"]
mod suite;
#[path = "boxes/zygote.rs"]
mod zygote;
#[path = "boxes/zygote_alike.rs"]
mod zygote_alike;
#[path = "boxes/zygote_process.rs"]
mod zygote_process;
