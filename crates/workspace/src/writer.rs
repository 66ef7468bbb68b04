//! Turns: the writers of one session follow each other, so that each starts at the tree that the one before has made.
//!
//! A session belongs to one server at a time (its partition's lease), so a lock in this process is enough; that a server which lost its
//! lease commits nothing is the journal's matter, for a tree counts only when a fact names it.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use stead_core::id::Name;
use tokio::sync::{Mutex as Turnstile, OwnedMutexGuard};

use crate::Workspaces;

type Key = (Name, Name);

/// Sessions in the table from which those that nobody waits for are taken out.
const MANY: usize = 1024;

/// Who writes to which session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Key, Arc<Turnstile<()>>>>>);

/// The turn to write to the workspace of one session, from the choice of the base to the commit. Nobody else has it until this is
/// dropped.
#[derive(Debug)]
pub struct Writer {
    pub(crate) workspaces: Workspaces,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "commits read it, which are for Linux"))]
    pub(crate) tenant: Name,
    turn: Option<OwnedMutexGuard<()>>,
    key: Key,
}

impl Workspaces {
    /// Waits for the turn to write to the workspace of that session (or whatever owns one: a session sandbox). Turns come in the
    /// order of these calls. Read which tree the session has after this, not before.
    pub async fn writer(&self, tenant: &Name, session: &Name) -> Writer {
        let key = (tenant.clone(), session.clone());
        let turnstile = {
            let mut turns = self.turns.0.lock();
            if turns.len() >= MANY {
                // Those that were given up while they waited.
                turns.retain(|_, t| Arc::strong_count(t) > 1);
            }
            turns.entry(key.clone()).or_default().clone()
        };
        let turn = turnstile.lock_owned().await;
        Writer { workspaces: self.clone(), tenant: tenant.clone(), turn: Some(turn), key }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut turns = self.workspaces.turns.0.lock();
        drop(self.turn.take());
        // Those who wait or are about to have it too.
        if turns.get(&self.key).is_some_and(|t| Arc::strong_count(t) == 1) {
            turns.remove(&self.key);
        }
    }
}
