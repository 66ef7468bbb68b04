//! `agent.yaml`: what it may say, what it says, and the version that it makes.
//!
//! * [`parse()`] checks a manifest's text; every error names file, line, column, key and the nearest valid one.
//! * [`load()`] also reads the files it names and gives a [`Bundle`], whose [`Bundle::digest`] is the agent's version.
//! * [`cases`] are the tests of an agent, read by the same means.
//! * [`schema()`] is the JSON Schema of `agent.yaml`, made from the same table of keys as the parser.
//!
//! What a later release brings is refused, never ignored. Not here: anything that acts on a manifest (models, tools,
//! the network), secrets (a manifest holds only their names), and rendering of errors.
//!
//! ```
//! let manifest = stead_manifest::parse("stead: v1\nname: hello\nmodel: rehearsal:auto\ninstructions: Be kind.", "agent.yaml")?;
//! assert_eq!(manifest.name.as_str(), "hello");
//! # Ok::<(), Vec<stead_manifest::ManifestError>>(())
//! ```

pub mod api;
mod apis;
mod bundle;
mod canonical;
pub mod cases;
mod check;
mod error;
mod files;
mod keys;
mod keys_sandbox;
mod keys_tools;
mod load;
pub mod manifest;
mod manifest_sandbox;
mod manifest_tools;
mod named;
mod openapi;
mod parse;
mod pinned;
mod places;
mod policy;
mod providers;
mod read;
#[cfg(test)]
mod reference;
pub mod scalar;
mod schema;
mod shape;
mod source;
mod yaml;

pub use bundle::{Bundle, MAX_ENCODED};
pub use error::{BundleError, ManifestError};
pub use load::{FILE_NAME, load};
pub use manifest::Manifest;
pub use parse::parse;
pub use pinned::Pinned;
pub use places::Places;
pub use providers::PROVIDERS;
pub use schema::schema;
