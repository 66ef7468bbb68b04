//! The MCP tool: a server of the Model Context Protocol, run as a process and spoken to over stdio, or reached by its URL
//! over streamable HTTP.
//!
//! A server is foreign code that sends whatever it likes. So every message is bounded, and its tools are **pinned**: an
//! agent version records what [`discover`] found, and a tool that is no longer that is refused (`ST0047`). What a server
//! asks of its client (sampling, roots) is refused; its questions to a person go to whoever [`Asks`], and are declined where nobody
//! does. A process is started by a [`Host`], which gives each run a
//! box of its own; or, where an operator allows that, with this process's rights: then its environment is cleared, and its process
//! group is killed when its run is over.
//!
//! Each run has a session of its own, begun at its first call. A tool's annotations are shown as [`Hints`] and decide
//! nothing: a server does not get to say how its effects are handled.

mod asks;
mod client;
mod content;
mod host;
mod ledger;
pub mod oauth;
mod pin;
mod pipe;
mod process;
mod remote;
mod runs;
mod server;
mod session;
mod streams;
mod tool;
mod wire;
mod words;

pub use asks::{Answer, Asks, Question};
pub use host::{Host, Hosted, Life, Started, Whose};
pub use pin::{Discovered, Hints};
pub use remote::Shown;
pub use tool::{
    discover, discover_delegated, discover_hosted, discover_url, offer, offer_asking, offer_hosted, offer_url,
};
