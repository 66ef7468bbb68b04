//! What all wires have in common: one attempt over HTTP with its bounds, the frames of an event stream, a reply in the
//! making, failures told apart, and the exchange as it is kept for a cassette.
//!
//! A wire adds two things: how a call is written ([`Endpoint::attempt`] takes the body), and how its frames are read
//! ([`Fold`]).

mod bounds;
mod draft;
mod endpoint;
pub(crate) mod failure;
pub(crate) mod names;
pub(crate) mod output;
mod replay;
mod retry_after;
mod stream;
mod tap;
mod unquoted;

pub use bounds::Bounds;
pub(crate) use draft::Draft;
pub(crate) use endpoint::{Auth, Endpoint, Flow, Fold, Site};
pub(crate) use failure::MAX_DETAIL;
pub(crate) use names::MAX_NAME;
pub(crate) use replay::Replay;
pub(crate) use retry_after::MAX as MAX_RETRY_AFTER;
pub(crate) use unquoted::{as_object, unquoted};
