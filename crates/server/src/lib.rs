//! The server: `/v1` over HTTP, its configuration, and the wiring of stores, models and tools into an engine.
//!
//! * [`runtime`] joins a store, the agents in it and an engine; `stead run` uses it without HTTP.
//! * [`agents`] turns stored bundles into agents.
//! * [`providers`] says what this machine can give of models.
//! * `shop` gives agents their boxes and workspaces, within what the operator allows; [`tiers`] is how these are set up.
//! * [`elsewhere`] says how to start Stead on a Linux, for hosts that have no boxes.
//! * [`secrets`] says where the operator's secrets are.
//! * [`backup`] takes and restores what a store keeps, without a server.
//! * [`encryption`] has the key under which a store's texts are encrypted.
//! * [`approvers`] keeps whose signatures count.
//! * [`config`] is `stead.toml`; [`auth`] says who is calling, and `people` of whom an identity provider knows.
//! * [`identity`] has the keys that sign tokens of runs; `delegate` makes those that tools show on somebody's behalf, and `standing` says
//!   who may have runs at all.
//! * `openai` is the face for clients that know agents as models.
//! * `pages` is the approval page: the browsers that are signed in on it.
//! * [`policies`] applies policy sets and makes them ready to decide.
//! * [`cassettes`] keeps what recorded runs said to their models, and plays it again.
//! * [`testing`] is what a test of an agent puts in the place of the world.
//! * [`wrap`] puts an MCP server that is in use already under a journal.
//! * `audit` has the key of the audit log, publishes its checkpoints, and holds runs against it.
//! * `telemetry` tells a collector what runs do.
//! * `sandboxes` makes session sandboxes of what a runtime has; `sweep` removes content of workspaces that is of no use any more.
//! * [`serve`] listens, answers and ends in order; the resources are under `routes`, what every request passes under
//!   `http`.
//!
//! Not here: any decision about a run (`stead-core`, `stead-engine`), the words of the API (`stead-api`), and the
//! command line.

pub mod agents;
pub mod approvers;
mod audit;
pub mod auth;
pub mod backup;
pub mod cassettes;
pub use stead_engine::clock;
pub mod config;
mod delegate;
pub mod elsewhere;
pub mod encryption;
mod erasure;
mod http;
pub mod identity;
mod lines;
pub mod migrate;
mod notices;
mod openai;
mod pages;
mod people;
pub mod policies;
pub mod presence;
pub mod providers;
mod routes;
pub mod runtime;
#[cfg(target_os = "linux")]
mod sandboxes;
pub mod secrets;
pub mod serve;
mod shop;
mod standing;
mod sweep;
mod telemetry;
pub mod testing;
#[cfg(target_os = "linux")]
pub mod tiers;
pub mod wrap;

pub use http::listen::ListenError;
pub use stead_ports::journal::StoreError;
