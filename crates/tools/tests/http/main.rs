//! The HTTP tool against loopback servers: operations by templates and by an API description.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
#[path = "../common/mod.rs"]
mod common;
mod oauth;
mod templates;
