//! Policy sets of tenants: checked and kept when they are applied, and made ready for whoever decides a call of an agent
//! version: the default policy, the tenant's set that is in force, and the version's own policies, as one.
//!
//! Not here: any decision (`stead-policy`), and when one is asked for (`stead-engine`).

mod apply;
mod check;
mod described;
mod error;
mod fits;
mod known;
pub(crate) mod people;
mod ready;
mod replay;
mod set;

pub(crate) use apply::{By, Made};
pub(crate) use check::place;
pub(crate) use described::Described;
pub use error::PolicyError;
pub(crate) use fits::Sets;
pub(crate) use known::Known;
pub use ready::PolicySets;
pub(crate) use set::by_files;
