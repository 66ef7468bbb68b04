//! The audit log at the server: its key, what operators do, what is published where, and whether a run is what the log says.
//!
//! * `publish` looks for new checkpoints from time to time; `place` is a place for them, `witness` whoever signs them too.
//! * `verify` holds a run against the log, `rules` is what must hold between its facts.
//!
//! Not here: the integrator (`stead-engine`), and the log's format (`stead-audit`).

mod acts;
mod key;
mod place;
mod publish;
mod rules;
mod verify;
mod witness;

pub(crate) use acts::Acts;
pub(crate) use key::open_key;
pub(crate) use publish::keep_published;
pub(crate) use verify::verify;
