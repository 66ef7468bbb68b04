//! Who somebody is: tokens that an identity provider gave to people are verified ([`token`], [`jwk`]) and read ([`claims`]); runs have
//! ids ([`workload`]) and short-lived tokens ([`mint`]), signed by keys that rotate ([`keys`]).
//!
//! Time comes in as an argument, and so do documents that stand on the network; the only files are those of keys.
//!
//! Not here: any request to a provider (`stead-server`, `stead-client`), what somebody may do (`stead-policy`), statements that people
//! sign.

pub mod claims;
pub mod jwk;
pub mod keys;
pub mod mint;
pub mod token;
pub mod workload;
