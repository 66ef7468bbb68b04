//! Who somebody is: tokens that an identity provider gave to people are verified ([`token`], [`jwk`]) and read ([`claims`]); runs have
//! ids ([`workload`]), short-lived tokens ([`mint`]) and tokens on somebody's behalf ([`delegated`]), signed by keys that rotate
//! ([`keys`]).
//!
//! Time comes in as an argument, and so do documents that stand on the network; the only files are those of keys.
//!
//! Not here: any request to a provider (`stead-server`, `stead-client`), what somebody may do (`stead-policy`), statements that people
//! sign.

pub mod claims;
pub mod delegated;
pub mod jwk;
pub mod keys;
pub mod mint;
pub mod token;
pub mod workload;
