//! TLS: what a hello says, certificates for the box, and trust in hosts.

mod authority;
mod hello;
mod trust;

pub(crate) use authority::Authority;
pub(crate) use hello::{Hello, UNRECOGNIZED_NAME, read_hello};
pub use trust::Trust;
