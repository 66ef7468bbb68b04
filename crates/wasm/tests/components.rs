//! Components from text, run by the tier, and what they must not be able to do. The numbers are those of the list of abuse
//! cases that each tier has to pass, as far as a component can try them.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "components/files.rs"]
mod files;
#[path = "components/lab.rs"]
mod lab;
#[path = "components/limits.rs"]
mod limits;
#[path = "components/runs.rs"]
mod runs;
#[path = "components/text.rs"]
mod text;
