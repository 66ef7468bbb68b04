//! The workspace of a run, and what its boxes used, as its facts tell of them.

use stead_core::{
    budget::Limits,
    fact::{CallHead, Fact},
    id::TreeId,
    run::State,
    sandbox::{Access, Action, BoxTotals},
};

use crate::failure::{Check, violation};

/// What is known of a run's workspace and boxes.
#[derive(Clone, Debug, Default)]
pub(super) struct Workspace {
    /// The tree that the run is at.
    tree: Option<TreeId>,
    /// What boxes have used.
    used: BoxTotals,
}

impl Workspace {
    /// The run goes on where another one of its session left it.
    pub(super) fn inherit(&mut self, tree: Option<TreeId>) {
        self.tree = tree;
    }

    /// Takes in a fact: a tree follows the one before it, and only what returned in time has made one.
    pub(super) fn fact(&mut self, fact: &Fact) -> Check {
        let (action, may_write) = match fact {
            Fact::EffectReturned(f) => (f.action.as_deref(), !f.late),
            Fact::EffectRefused(f) => (f.action.as_deref(), false),
            Fact::EffectUnknown(f) => (f.action.as_deref(), false),
            Fact::ChildFinished(f) => {
                self.used.join(f.boxes.unwrap_or_default());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(Action { workspace, sandbox }) = action else { return Ok(()) };
        if let Some(change) = workspace {
            if !may_write {
                return violation("only what returned has written", format!("{fact:?}"));
            }
            if change.before != self.tree {
                return violation("writers follow each other", format!("{fact:?} at {:?}", self.tree));
            }
            self.tree = Some(change.after);
        }
        if let Some(used) = sandbox {
            self.used.add(used);
        }
        Ok(())
    }

    /// A box starts only while its budget is not spent.
    pub(super) fn boxed(&self, head: &CallHead, limits: &Limits) -> Check {
        let spent =
            limits.cpu.is_some_and(|l| self.used.cpu >= l) || limits.traffic.is_some_and(|l| self.used.traffic >= l);
        if spent && head.rules.place.is_some_and(|p| p.boxed) {
            return violation("limits hold", format!("{head:?} with {:?} of {limits:?}", self.used));
        }
        Ok(())
    }

    /// The fold says the same.
    pub(super) fn agrees(&self, state: &State) -> Check {
        if state.tree != self.tree || state.budget.boxes != self.used {
            let detail = format!("facts say {self:?}, the fold {:?} {:?}", state.tree, state.budget.boxes);
            return violation("outcome and tree are one", detail);
        }
        Ok(())
    }
}

/// Whether a tool may write the workspace.
pub(crate) fn writes(head: &CallHead) -> bool {
    head.rules.place.is_some_and(|p| p.workspace == Access::Write)
}
