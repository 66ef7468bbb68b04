//! `stead wrap`: an MCP server that somebody uses already, under journal and approval.
//!
//! Two pipes are joined line by line: the client's (an editor) and the server's. What passes is passed as it is, byte for
//! byte, in both directions: the handshake, lists, resources, prompts, progress, what the server asks of its client. Only a
//! request `tools/call` is held back, and becomes a **run of its own** whose model is the caller
//! ([`stead_models::caller`]): decided on, put before a human where that is asked for, its intent durable before a byte of
//! it reaches the server, its outcome durable before a byte of that reaches the client.
//!
//! * [`envelope`] reads what a line is; what could be read in two ways is refused.
//! * [`door`] joins the pipes; [`call`] is one call from its line to its answer.
//! * [`upstream`] is the wrapped server's process; [`tools`] what it lists.
//! * [`agent`] makes the agent of that list, and serves it to the engine; [`effect`] is the tool behind it.
//! * [`past`] settles what an earlier session left, and says what nobody knows.
//! * [`place`] finds the folder.
//!
//! Not here: the machine, the engine, the store. A wrapped server runs as the user, with the user's environment, as it did
//! before it was wrapped.

mod agent;
mod call;
mod door;
mod effect;
mod envelope;
mod options;
mod past;
mod place;
mod session;
mod tools;
mod upstream;

pub use door::Ended;
pub use options::{Ask, WrapOptions};
pub use session::{WrapError, wrap};
