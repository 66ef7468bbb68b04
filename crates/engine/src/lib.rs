//! The loop: it feeds commands to the machine in `stead-core` and pays the machine's debts through the ports.
//!
//! ```text
//! command -> decide -> facts -> append (group commit) -> acknowledged -> state advances -> owes -> pay -> command
//! ```
//!
//! A run comes into memory by [`enter`] (or without its agent, [`unloadable`], or not at all, [`aside`]); each loaded run is
//! one task ([`actor`]) that alone touches its state. It pays
//! debts ([`pay`]), takes what comes back ([`done`]) and commits it ([`commit`], [`durable`]). Everything else finds runs
//! and tasks: [`input`] what a run may be asked, [`inner`] the register, [`sessions`] the order within a session and
//! [`carries`] what it hands on, [`wake`] the sleepers, [`switches`] and [`off`] what operators turn off, [`recover`] the start, [`hold`] the end, [`stream`] and [`watch`] the
//! followers. [`log`] integrates what the journal has taken into the audit log, behind it.
//!
//! Not here: any decision about a run (core), any adapter (store, models, tools), any wire (server). The one adapter that
//! stands here is [`clock`], which every process needs.

mod actor;
mod again;
mod approvals;
mod artifacts;
mod aside;
mod asked;
mod bell;
mod carries;
pub mod clock;
mod commit;
mod context;
mod done;
mod durable;
mod ear;
mod engine;
mod enter;
mod erase;
mod files;
mod first;
mod flights;
mod gate;
mod hearing;
mod history;
mod hold;
mod inner;
mod input;
mod kin;
mod lease;
mod listen;
mod load;
mod log;
mod messages;
mod off;
mod outcomes;
mod parent;
mod pay;
mod payload;
mod planner;
mod prepare;
mod preview;
mod proof;
mod providers;
mod question;
mod record;
mod recover;
mod restore;
mod rights;
mod sessions;
mod signing;
mod start;
mod stats;
mod step;
mod stream;
mod switches;
mod timed;
mod traced;
mod types;
mod unloadable;
mod uppers;
mod usage;
mod view;
mod waiters;
mod wake;
mod watch;
mod why;

pub use again::Known;
pub use artifacts::{ArtifactView, MAX_LISTED};
pub use asked::{Exchanged, Exchanges};
pub use bell::{AskedEvent, AskedId, Told, Turn};
pub use context::{ContextView, SeenMessage};
pub use engine::{Engine, WeakEngine, trees_of};
pub use erase::{Erased, blobs_of, trees_named, without_texts};
pub use gate::{DefaultPolicy, Lineage, PolicySets, offered, specs};
pub use hearing::untrusted;
pub use history::{Called, Calls};
pub use log::{Health, Log, LogError, LogKey, Picked};
pub use messages::answer_rejected;
pub use proof::SignedReport;
pub use providers::{ProviderStats, Rates, Waiting, WaitsFor};
pub use question::Asked;
pub use restore::{Marked, Restore, mark_restored};
pub use signing::{Demand, Directories, ISSUER, Signing, Unsigned, human};
pub use step::{EffectSummary, SeenSummary, Step, StepView};
pub use switches::NoSwitches;
pub use timed::Durations;
pub use traced::Traced;
pub use types::{
    ApprovalPage, ApprovalView, ChildOf, EngineError, Event, EventBody, EventId, FactEvent, Options, Ports, RunView,
    SeenView, StartRun, Started, Stats,
};
pub use why::{Cause, Denial, WhyView};
