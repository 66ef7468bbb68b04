//! Workspaces from outside: trees, real overlays, hostile directories and archives, the cache, the sweep.
#![expect(clippy::unwrap_used, reason = "tests")]

mod archives;
mod cache;
mod conformance;
mod files;
mod format;
mod hostile;
mod kit;
mod overlay;
mod sweep;
mod writers;
