//! The drill behind `stead demo`: one order is refunded by an agent whose runtime is killed again and again, and then
//! everything that can be counted is counted.
//!
//! * [`plan`] says at which moments the runtime is killed.
//! * [`world`] is what the agent acts on: the stand-in services, which live here and so outlive every kill.
//! * [`child`] is one life of the runtime: a real process, ended by a real SIGKILL.
//! * [`lives`] plays them one after the other, and the human too.
//! * [`journal`] reads afterwards what the journal says; [`report`] tells it.
//!
//! Not here: anything that a run needs. The runtime under the drill is `stead dev` as everybody starts it.

pub(crate) mod child;
pub(crate) mod folder;
pub(crate) mod journal;
pub(crate) mod lives;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod world;
