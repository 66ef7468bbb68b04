//! OpenAPI 3.0 and 3.1 documents: the named operations, resolved, as [`crate::api`] holds them.
//!
//! A document is foreign text: everything read from it is bounded, references stay inside of it, and what cannot be sent
//! as described is refused with its place. Not here: callbacks, webhooks, links, and what an answer looks like.

mod arguments;
mod body;
mod document;
mod import;
mod parameters;
mod schema;
mod security;
mod servers;

pub(crate) use import::{ImportError, Wanted, import};

#[cfg(test)]
mod tests;
