//! One session sandbox.

mod change;
mod commands;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_core::{
    id::{Name, TreeId},
    time::{Span, Timestamp},
};
use stead_egress::{RuleSpec, Session as Proxy};
use stead_ports::{
    BoxFuture,
    clock::Clock,
    sandbox::{self as port, BoxError, Evidence, Session},
};
use stead_workshop::{Given, Left, Staying};
use stead_workspace::Workspaces;
use tokio::sync::{RwLock, watch};

use crate::{Files, Gone, SandboxId, Sandboxes, SandboxesError, exec::Execs, limits::WATCHES};

/// Everything that one is made of.
pub(crate) struct Made {
    pub(crate) id: SandboxId,
    pub(crate) tenant: Name,
    pub(crate) owner: Name,
    pub(crate) label: Option<String>,
    pub(crate) template: Name,
    pub(crate) tree: TreeId,
    pub(crate) created: Timestamp,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) egress: Vec<RuleSpec>,
    pub(crate) limits: port::Limits,
    pub(crate) ttl: Duration,
    pub(crate) staying: Staying,
    pub(crate) workspaces: Workspaces,
}

/// A session sandbox that runs, or has just ended.
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// Whose it is.
    pub tenant: Name,
    /// Who asked for it.
    pub owner: Name,
    /// What callers call it.
    pub label: Option<String>,
    /// Its template.
    pub template: Name,
    /// The tree that its workspace began with.
    pub tree: TreeId,
    /// When it was made.
    pub created: Timestamp,
    /// What its box promised and holds.
    pub evidence: Evidence,
    env: BTreeMap<String, String>,
    pub(crate) session: Arc<dyn Session>,
    given: Given,
    proxy: Proxy,
    pub(crate) workspaces: Workspaces,
    state: Mutex<State>,
    execs: Mutex<Execs>,
    /// Commands start one after another, so that a key starts one only.
    starting: tokio::sync::Mutex<()>,
    /// Whoever writes to its files from outside has it shared; a snapshot has it alone.
    pub(crate) writing: Arc<RwLock<()>>,
    expires: watch::Sender<Timestamp>,
    why: watch::Sender<Option<Gone>>,
    dead: watch::Sender<bool>,
    all: Sandboxes,
    watches: Arc<tokio::sync::Semaphore>,
}

/// What of a sandbox changes.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// When its time is up.
    pub expires: Timestamp,
    /// Its limits.
    pub limits: port::Limits,
    /// What it may reach.
    pub egress: Vec<RuleSpec>,
}

/// What a sandbox has used until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Processes, memory and time.
    pub sandbox: port::Usage,
    /// What went through its way out.
    pub egress: stead_egress::Usage,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("id", &self.id).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Sandbox {
    pub(crate) fn start(made: Made, all: Sandboxes) -> Arc<Self> {
        let given = made.staying.given();
        let Staying { session, evidence, proxy, end, .. } = made.staying;
        let expires = made.created.after(span(made.ttl));
        let sandbox = Arc::new(Self {
            id: made.id,
            tenant: made.tenant,
            owner: made.owner,
            label: made.label,
            template: made.template,
            tree: made.tree,
            created: made.created,
            evidence,
            env: made.env,
            session,
            given,
            proxy,
            workspaces: made.workspaces,
            state: Mutex::new(State { expires, limits: made.limits, egress: made.egress }),
            execs: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            writing: Arc::default(),
            expires: watch::Sender::new(expires),
            why: watch::Sender::new(None),
            dead: watch::Sender::new(false),
            all,
            watches: Arc::new(tokio::sync::Semaphore::new(WATCHES)),
        });
        tokio::spawn(Arc::clone(&sandbox).live(end));
        sandbox
    }

    /// Follows it to its end.
    async fn live(self: Arc<Self>, end: BoxFuture<'static, Left>) {
        let clock = Arc::clone(&self.all.0.parts.clock);
        tokio::pin!(end);
        let mut expires = self.expires.subscribe();
        let left = loop {
            let time = until(*expires.borrow_and_update(), clock.now());
            tokio::select! {
                left = &mut end => break left,
                // Looked at again: it may have been renewed in this moment.
                () = tokio::time::sleep(time) => {
                    if until(*self.expires.borrow(), clock.now()).is_zero() {
                        self.kill(Gone::Expired);
                        break (&mut end).await;
                    }
                }
                _ = expires.changed() => {}
            }
        };
        let Left { outcome, traffic, stopped } = left;
        let unsaid = if stopped.is_some() { Gone::Stopped } else { Gone::Died };
        let why = self.why.borrow().unwrap_or(unsaid);
        // Whoever found it a moment ago hears the same as who asks later.
        self.why.send_replace(Some(why));
        match outcome {
            Ok(port::Outcome { end, usage, .. }) => tracing::info!(
                sandbox = %self.id, why = %why, ?end, cpu = ?usage.cpu, memory_peak = usage.memory_peak, wall = ?usage.wall,
                sent = traffic.sent, received = traffic.received, "a session sandbox ended"
            ),
            Err(error) => tracing::warn!(sandbox = %self.id, %error, "a session sandbox was lost"),
        }
        self.all.over(&self, why);
        self.dead.send_replace(true);
    }

    /// Kills it, and says why.
    pub(crate) fn kill(&self, why: Gone) {
        self.why.send_if_modified(|said| said.replace_if_none(why));
        self.session.kill();
    }

    /// Returns once all in it is dead.
    pub async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// What of it changes.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// What it has used.
    ///
    /// # Errors
    /// ST0320 when it has ended.
    pub async fn usage(&self) -> Result<Used, SandboxesError> {
        let sandbox = self.session.usage().await.map_err(|e| self.gone_or(e))?;
        Ok(Used { sandbox, egress: self.proxy.usage() })
    }

    /// An error of its box, or that it is gone.
    pub(crate) fn gone_or(&self, error: BoxError) -> SandboxesError {
        let said = *self.why.borrow();
        match (error, said) {
            (BoxError::Lost(_), Some(why)) => SandboxesError::Gone { id: self.id, why },
            (error, _) => error.into(),
        }
    }

    /// Its files, from outside.
    pub fn files(&self) -> Files {
        Files::new(&self.session, Arc::clone(&self.writing), Arc::clone(&self.watches))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.all.0.parts.clock
    }
}

/// For a value that is said once.
trait ReplaceIfNone<T> {
    fn replace_if_none(&mut self, value: T) -> bool;
}

impl<T> ReplaceIfNone<T> for Option<T> {
    fn replace_if_none(&mut self, value: T) -> bool {
        let new = self.is_none();
        self.get_or_insert(value);
        new
    }
}

pub(crate) fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(at.since(now).0)
}
