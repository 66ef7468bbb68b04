//! Adapters of the tool port: what an agent can do to the world.
//!
//! * [`schema`] checks arguments before anything else happens to them.
//! * [`sql`] asks SQLite and PostgreSQL, under a statement guard.
//! * [`http`] calls an HTTP service from inline templates or an API description.
//! * [`mcp`] speaks to an MCP server: a process over stdio, or a URL over streamable HTTP; one session a run.
//! * [`reach`] guards where requests may go.
//! * [`template`] is text with places for arguments.
//! * [`config`] holds the part of a manifest that describes them; [`offer`] what each adapter hands to the wiring.
//!
//! Every adapter reports honestly what may have left (see [`stead_core::effect::Outcome`]). Not here: retries, time-outs
//! of a whole call, budgets, approval and effect classes, which are the engine's; the effect class of a tool comes from
//! the manifest, and [`offer::Offered::default_class`] is only what holds when the manifest is silent.

pub mod config;
pub mod error;
pub mod http;
pub mod mcp;
pub mod offer;
pub mod reach;
pub mod schema;
pub mod secret;
pub mod sql;
pub mod template;
mod text;
