//! The loop: it feeds commands to the machine in `stead-core` and pays the machine's debts through the ports.
//!
//! ```text
//! command -> decide -> facts -> append (group commit) -> acknowledged -> state advances -> owes -> pay -> command
//! ```
//!
//! Not here: any decision about a run (core), any adapter (store, models, tools), any wire (server).

mod types;

pub use types::{
    ApprovalView, EngineError, Event, EventBody, EventId, FactEvent, Options, Ports, RunView, StartRun, Started, Stats,
};
