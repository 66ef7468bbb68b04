//! The HTTP tool: operations of a service, described by inline templates or by an API description.
//!
//! Every exchange is a new connection that follows no redirect, uses no proxy, keeps no cookie and is never repeated by
//! itself, so that what is reported about it is true: see [`exchange`].

mod answer;
mod api;
pub(crate) mod client;
mod credential;
pub(crate) mod exchange;
mod oauth;
mod operation;
mod request;
mod style;
mod template;
mod tool;

pub use oauth::{ClientCredentials, Endpoint, Given, NoToken, SendAs};
pub use tool::{Auth, offer, offer_api};
