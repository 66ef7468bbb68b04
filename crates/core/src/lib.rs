//! The pure heart of Stead: a run is a journal of facts, and a state machine folds them.
//!
//! * [`fact`] is the whole vocabulary of what can have happened, [`record`] the envelope it is kept in.
//! * [`run`] is the machine: [`run::decide`] turns a command into facts, [`run::apply`] folds a fact
//!   into the state, [`run::owes`] says what the world still owes that state.
//! * [`effect`], [`budget`], [`message`], [`artifact`], [`sandbox`] are the words those two share with the adapters.
//!
//! Nothing here reads a clock, draws a random number, opens a file or awaits: time, ids and salts come in
//! through [`run::Inputs`]. `clippy.toml` and `cargo xtask tidy` hold that line.
//!
//! ```
//! use stead_core::effect::{EffectClass, Recovery};
//! assert_eq!(EffectClass::Irreversible.recovery(), Recovery::Surface);
//! ```

pub mod artifact;
pub mod budget;
pub mod code;
pub mod config;
pub mod context;
pub mod effect;
pub mod fact;
pub mod grant;
pub mod id;
pub mod label;
mod list;
pub mod message;
pub mod record;
pub mod ruling;
pub mod run;
pub mod sandbox;
pub mod status;
pub mod time;
pub mod trace;
