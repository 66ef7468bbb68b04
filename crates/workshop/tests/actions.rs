//! Actions as runs meet them: real programs in real boxes, workspaces on a real store, the proxy with a real host behind it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "actions/commands.rs"]
mod commands;
#[path = "actions/control.rs"]
mod control;
#[path = "actions/files.rs"]
mod files;
#[path = "actions/hosts.rs"]
mod hosts;
#[path = "actions/kit.rs"]
mod kit;
#[path = "actions/outside.rs"]
mod outside;
#[path = "actions/places.rs"]
mod places;
#[path = "actions/servers.rs"]
mod servers;
#[path = "actions/staying.rs"]
mod staying;
#[path = "actions/tiers.rs"]
mod tiers;
// Components as text are those of the tier's own tests.
#[expect(dead_code, reason = "not all of them are needed here")]
#[path = "../../wasm/tests/components/text.rs"]
mod text;
#[path = "actions/wasm.rs"]
mod wasm;
