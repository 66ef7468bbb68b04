//! The traits through which the engine reaches the world. Adapters implement them and never import each other;
//! each port with more than one adapter has one conformance suite in [`conformance`], which every adapter passes.
//!
//! Not here: any implementation, and anything the machine decides (that is `stead-core`).

pub mod address;
pub mod agent;
pub mod audit;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connect;
pub mod delegate;
pub mod erasure;
pub mod file;
pub mod input;
pub mod journal;
pub mod model;
pub mod notices;
pub mod objects;
pub mod people;
pub mod policies;
pub mod raw;
pub mod sandbox;
pub mod secret;
pub mod switches;
pub mod tool;
pub mod trust;
pub mod workspace;

/// A boxed future, as object-safe ports return it.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
