//! The machine, rule by rule, as short stories: one file for each kind of step. What a story does is written down,
//! encoded, read back and folded after every sentence, so each of them also tests that the fold gives the state.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "machine/answers.rs"]
mod answers;
#[path = "machine/approvals.rs"]
mod approvals;
#[path = "machine/budgets.rs"]
mod budgets;
#[path = "machine/children.rs"]
mod children;
#[path = "machine/delegation.rs"]
mod delegation;
#[path = "machine/effects.rs"]
mod effects;
#[path = "machine/gates.rs"]
mod gates;
#[path = "machine/holding.rs"]
mod holding;
#[path = "machine/keys.rs"]
mod keys;
#[path = "machine/late.rs"]
mod late;
#[path = "machine/memory.rs"]
mod memory;
#[path = "machine/models.rs"]
mod models;
#[path = "machine/patience.rs"]
mod patience;
#[path = "machine/planning.rs"]
mod planning;
#[path = "machine/previews.rs"]
mod previews;
#[path = "machine/reconcile.rs"]
mod reconcile;
#[path = "machine/restoring.rs"]
mod restoring;
#[path = "machine/sessions.rs"]
mod sessions;
#[path = "machine/stopping.rs"]
mod stopping;
#[path = "machine/story.rs"]
mod story;
#[path = "machine/upper.rs"]
mod upper;
#[path = "machine/workspaces.rs"]
mod workspaces;
