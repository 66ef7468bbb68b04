//! How a secret gets into a request: by an injector of a known type, at one place of it, and in no other way.

mod binding;
mod form;
pub(crate) mod oauth;
mod sigv4;
mod strip;

pub(crate) use binding::{Binding, Injector, Place};
pub(crate) use form::replace as replace_field;
pub(crate) use sigv4::{Signer, hex, payload_hash};
pub(crate) use strip::{is_credential, is_hop, is_override, plain_name};
