//! The run machine: `decide` turns a command into facts, `apply` folds a fact, `owes` says what is still to be done.
//!
//! ```text
//!            RunAdmitted                 calls           all calls ended
//! Queued ────────────────► Idle ──► Model ─────► Tools ────────────────► Idle
//!                                     │ no calls
//!                                     ▼
//!                                   Ended
//! ```
//!
//! One small file per step kind (`step/`) and per operator's action (`life/`); each holds both halves, what is decided
//! and how its facts fold, so that they are read together. [`advance`](advance::advance) is the only loop.
//!
//! Invariants, each checked by the simulator:
//! * `fold(facts)` gives exactly the state that `decide` returned with them;
//! * a non-pure effect is owed `Dispatch` only by the activation named in its durable intent;
//! * after `CancelRequested` nothing becomes newly owed but reconcile queries;
//! * nothing begins that the [`Gate`] was not asked about;
//! * `apply` never fails and never reads a payload's text.

mod advance;
mod apply;
mod decide;
mod gate;
mod life;
mod owes;
mod state;
mod step;
mod transcript;

pub use apply::{Env, apply, fold};
pub use decide::{
    Admit, CallIn, Command, Decision, Inputs, ModelFailure, NewRun, Refusal, Retry, Terms, decide, decide_holding,
    decide_under,
};
pub use gate::{Gate, Rewrite, Ruling, Shut, Ungated};
pub use life::start::GENESIS;
pub use owes::{Debt, owes, wake_at};
pub use state::{
    Asking, Call, CallPhase, Carry, KeyMark, Life, Look, Phase, Planning, Request, RestoreMark, STATE_VERSION, Seen,
    State, Stop, UnknownMark,
};
pub use transcript::{Entry, EntryKind, Transcript};
