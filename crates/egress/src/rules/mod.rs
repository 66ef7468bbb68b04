//! What a box may reach. Pure: no name is resolved here, and nothing is sent.

mod list;
pub(crate) mod name;
pub(crate) mod path;
mod rule;
mod shared;
mod spec;

pub use list::Rules;
pub(crate) use list::Way;
pub use name::Name;
pub use rule::Rule;
pub use spec::{InjectSpec, RuleFields, RuleSpec, Scheme, SecretSpec, Tls};
