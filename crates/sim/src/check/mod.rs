//! The checks: what must hold in every history, each by its name.
//!
//! [`journal`] looks at one run's records as they are written, [`machine`] at the state they fold to, [`world`] at what
//! the destinations counted. None of them knows how a history was made, so both simulations use them, and tests feed
//! them forged histories that they must reject.

pub mod call;
pub mod delegation;
pub mod gate;
pub mod journal;
pub mod machine;
pub mod patience;
pub(crate) mod workspace;
pub mod world;
