//! Whose key is whose: a chain of entries, each signed by those who may say so, each naming the hash of the one before. The first
//! is the root: keys that are kept offline, of which a number together may enrol, revoke and recover the keys of approvers. So may
//! two approvers, who are neither each other nor the person that it is about.
//!
//! Who knows the hash of the first entry trusts nobody for the rest.

mod accept;
mod entry;
mod envelope;
mod fold;

pub use accept::{Accepted, At, Rejected};
pub(crate) use entry::is_name;
pub use entry::{Break, Delegation, Enrolment, Entry, MAX_BREAK, MAX_DELEGATION, Root, RootKey, What};
pub use envelope::{Envelope, MAX_ENVELOPE, Signed};
pub use fold::{BadEntry, Broken, Directory, Enrolled, MAX_ENTRIES};
