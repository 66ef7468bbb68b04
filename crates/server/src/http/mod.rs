//! What every request passes, whatever its resource: listening, bounds, credentials, bodies, errors, counting.
//! The resources themselves are in [`crate::routes`].

pub(crate) mod app;
pub(crate) mod body;
pub(crate) mod export;
pub(crate) mod failure;
pub(crate) mod guard;
pub(crate) mod input;
pub(crate) mod listen;
pub(crate) mod metrics;
pub(crate) mod operate;
mod stall;
mod tls;
