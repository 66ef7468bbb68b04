//! The workshop: an action of an agent, from the tree of its session's workspace to the next one.
//!
//! An action is a **command** that runs in a **box**: the workspace is made a folder and mounted, the box gets the limits, the way
//! out and the placeholders of secrets that its [`Settings`] say, and when all that ran in it is dead, what it wrote becomes a tree.
//! Outcome, tree and usage are told together, so that they become one fact.
//!
//! * [`Workshop`] puts together what boxes ([`stead_ports::sandbox::Boxes`], of whatever tier), workspaces and the egress proxy do.
//! * [`Workshop::command`] and [`Workshop::files`] are tools; [`Workshop::serve`] is a box for an MCP server of one run, [`Workshop::stay`]
//!   one that stays for whoever asked, which is what session sandboxes are made of.
//! * [`Workshop::limit`] and [`Workshop::release`] reach the boxes that live; [`Workshop::watch`] keeps the host usable.
//!
//! Inside: `act` is the one way of an action, `place` what its manifest says of it, `way_out` its proxy, `kept` what becomes of
//! the workspace, `report` what the model is told. `turn` and `queue` are who may have a box next, `live` which boxes there are, `watch` who must go.
//!
//! Not here: how a box is made, how a tree is kept, what a manifest's text means, and which tree a session is at.

mod act;
mod audit;
mod command;
#[cfg(target_os = "linux")]
mod commit;
mod fault;
mod files;
mod furniture;
mod host;
mod kept;
mod limits;
mod live;
mod place;
mod queue;
mod report;
mod server;
mod settings;
mod stay;
mod text;
mod turn;
mod watch;
mod way_out;
mod workshop;

pub use audit::{Audit, Whose, Work};
pub use fault::Fault;
pub use host::{Gauge, HostGauge, HostLimits, Memory};
pub use limits::around;
pub use server::{Ended, Server};
pub use settings::{Settings, Variable};
pub use stay::{Given, Left, Stay, Staying};
pub use watch::Stopped;
pub use workshop::{Outside, Parts, Workshop};
