//! Approvals that people sign with keys of their own: what is signed, how a signature is verified, and whose key it is.
//!
//! * [`json`]: the canonical form (RFC 8785) of everything that is signed;
//! * [`action`], [`question`] and [`statement`]: what is to be done, what a person is asked and shown of it, and what they
//!   sign;
//! * [`verify`]: Ed25519 as a JWS, SSH signatures, WebAuthn assertions;
//! * [`receipt`]: a statement with its signature, that anybody can verify years later;
//! * [`evidence`]: everything that it takes to do so, in one file;
//! * [`passkey`]: a passkey that somebody asks to be enrolled;
//! * [`directory`]: a chain of signed entries that says whose key is whose.
//!
//! Pure: no I/O, no clock, no randomness. Nothing here decides whether an action may be done; it says who said yes to what.
//!
//! ```
//! use stead_trust::json;
//! let canonical = json::parse(b"{\"b\":1,\"a\":[true,null]}").expect("is JSON").to_string();
//! assert_eq!(canonical, r#"{"a":[true,null],"b":1}"#);
//! assert!(json::parse(b"{\"a\":1,\"a\":2}").is_err());
//! ```

pub mod action;
pub mod directory;
pub mod evidence;
mod fields;
pub mod hex;
pub mod json;
pub mod key;
pub mod passkey;
pub mod question;
pub mod receipt;
pub mod shown;
pub mod signer;
pub mod statement;
pub mod verify;
mod wire;

/// The namespace of SSH signatures, and the tag of everything else that is signed here.
pub const NAMESPACE: &str = "stead-approval-v1";
