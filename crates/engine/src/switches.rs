//! What operators have turned off, as this engine knows it. It is looked at when a call is decided, and last of all before something
//! leaves the process: so nothing that was turned off begins once that is acknowledged.
//!
//! **More than one server.** Where others may turn switches too, what is known here counts for [`LIFE`] after it was looked up, and
//! then lets nothing out before it is looked up again; whoever turns a switch waits for as long before acknowledging it. So no
//! server need be asked, and none that hangs or is cut off lets anything out afterwards.
//!
//! What follows from a switch for runs is in [`crate::off`].

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::RwLock;
use stead_core::{
    code,
    fact::StopMode,
    id::{Name, RunId, VersionId},
    ruling::Behalf,
    time::Span,
};
use stead_ports::{
    clock::Clock,
    journal::StoreError,
    switches::{NewSwitch, SwitchRow, SwitchStore, What},
};

use crate::{Engine, recover::background, types::EngineError};

/// How long what was looked up counts, where others may turn switches too.
const LIFE: Span = Span::from_millis(600);
/// How often it is looked up there.
const EVERY: Duration = Duration::from_millis(150);
/// Rows read at once.
const PAGE: u32 = 1_000;

/// Whose something is, as switches see it.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(crate) tenant: Name,
    pub(crate) agent: Name,
    pub(crate) version: VersionId,
    pub(crate) run: RunId,
    pub(crate) behalf: Behalf,
}

/// What is off.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The number of the last row that it knows.
    pub(crate) n: u64,
    tenants: HashMap<Name, Off>,
}

/// What is off in a tenant.
#[derive(Clone, Debug, Default)]
struct Off {
    runs: Option<Arc<SwitchRow>>,
    /// People of whom it is known that runs work on their behalf.
    delegating: HashSet<Name>,
    off: HashMap<(What, Name), Arc<SwitchRow>>,
}

impl View {
    fn apply(&mut self, row: SwitchRow) {
        self.n = self.n.max(row.n);
        let off = self.tenants.entry(row.switch.tenant.clone()).or_default();
        let key = (row.switch.what, row.switch.name.clone());
        if row.switch.what == What::Delegation {
            off.delegating.insert(row.switch.name.clone());
        }
        match row.switch.what {
            What::Runs => off.runs = Some(Arc::new(row)),
            _ if row.switch.on => drop(off.off.remove(&key)),
            _ => drop(off.off.insert(key, Arc::new(row))),
        }
    }

    pub(crate) fn off(&self, tenant: &Name, what: What, name: &Name) -> Option<&Arc<SwitchRow>> {
        self.tenants.get(tenant)?.off.get(&(what, name.clone()))
    }

    /// The row that stops a run: all that had begun before it are stopped.
    pub(crate) fn stops(&self, whose: &Whose) -> Option<&Arc<SwitchRow>> {
        let row = self.tenants.get(&whose.tenant)?.runs.as_ref()?;
        (whose.behalf.switch.unwrap_or(0) < row.n).then_some(row)
    }

    /// The row that lets a run begin nothing until it is turned on again.
    pub(crate) fn holds(&self, whose: &Whose) -> Option<&Arc<SwitchRow>> {
        let off = &self.tenants.get(&whose.tenant)?.off;
        if off.is_empty() {
            return None;
        }
        let Whose { tenant, agent, version, run, behalf } = whose;
        let is_off = |what, name: Name| off.get(&(what, name));
        let above = || behalf.above.iter();
        is_off(What::Tenant, tenant.clone())
            .or_else(|| [agent].into_iter().chain(&behalf.callers).find_map(|a| is_off(What::Agent, a.clone())))
            .or_else(|| {
                let versions = [*version].into_iter().chain(above().map(|a| a.version));
                versions.into_iter().find_map(|v| is_off(What::Version, v.to_string().into()))
            })
            .or_else(|| {
                let runs = [*run].into_iter().chain(above().map(|a| a.run));
                runs.into_iter().find_map(|r| is_off(What::Run, r.to_string().into()))
            })
            .or_else(|| {
                let user = behalf.user.as_ref()?;
                let of = |what| is_off(what, user.name.clone());
                of(What::Person).or_else(|| of(What::Delegation))
            })
    }

    /// The row that turns off a tool, by its name or that of its entry of the manifest.
    pub(crate) fn tool(&self, tenant: &Name, tool: &Name, toolset: &Name) -> Option<&Arc<SwitchRow>> {
        self.off(tenant, What::Tool, tool).or_else(|| self.off(tenant, What::Tool, toolset))
    }

    /// The row that turns off the provider of a model, by the name of its account there, or of the provider.
    pub(crate) fn provider(&self, tenant: &Name, model: &Name, account: Option<&Name>) -> Option<&Arc<SwitchRow>> {
        let of = |name: &str| self.off(tenant, What::Provider, &name.into());
        let account = account.and_then(|a| of(a).or_else(|| of(a.split('#').next().unwrap_or_default())));
        account.or_else(|| of(model.split(':').next().unwrap_or_default()))
    }

    /// Whether runs work on somebody's behalf, or did.
    pub(crate) fn delegates(&self, tenant: &Name, person: &Name) -> bool {
        self.tenants.get(tenant).is_some_and(|off| off.delegating.contains(person))
    }

    /// The tenants in which runs work on somebody's behalf.
    pub(crate) fn delegating(&self, person: &Name) -> Vec<Name> {
        let theirs = self.tenants.iter().filter(|(_, off)| off.delegating.contains(person));
        theirs.map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Everything that is off in a tenant, in the order in which it was turned off.
    fn all(&self, tenant: &Name) -> Vec<SwitchRow> {
        let off = self.tenants.get(tenant).map(|off| &off.off);
        let mut all: Vec<SwitchRow> = off.into_iter().flat_map(HashMap::values).map(|row| (**row).clone()).collect();
        all.sort_by_key(|row| row.n);
        all
    }
}

/// See the module.
pub(crate) struct Board {
    store: Arc<dyn SwitchStore>,
    view: RwLock<Arc<View>>,
    /// Whether no row was ever there: then nothing needs to be looked at.
    quiet: AtomicBool,
    /// Boot-time microseconds until which what is known counts; `u64::MAX` where nobody else can turn a switch.
    until: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

impl Board {
    /// Reads everything; `shared` when others may turn switches in the same store.
    pub(crate) async fn open(store: Arc<dyn SwitchStore>, shared: bool, clock: &dyn Clock) -> Result<Self, StoreError> {
        let until = AtomicU64::new(if shared { 0 } else { u64::MAX });
        let (view, turn) = (RwLock::default(), tokio::sync::Mutex::default());
        let board = Self { store, view, quiet: AtomicBool::new(true), until, turn };
        board.refresh(clock).await?;
        Ok(board)
    }

    /// What is known to be off.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// The same, or nothing when no switch was ever turned.
    pub(crate) fn any(&self) -> Option<Arc<View>> {
        (!self.quiet.load(SeqCst)).then(|| self.view())
    }

    /// Whether what is known still counts.
    pub(crate) fn is_fresh(&self, clock: &dyn Clock) -> bool {
        let until = self.until.load(SeqCst);
        until == u64::MAX || clock.boot_micros() < until
    }

    /// Reads what came since the last time and tells it.
    pub(crate) async fn refresh(&self, clock: &dyn Clock) -> Result<Vec<SwitchRow>, StoreError> {
        let _turn = self.turn.lock().await;
        let (mut view, mut fresh) = (self.view(), Vec::new());
        loop {
            let asked = clock.boot_micros();
            let rows = self.store.switches(view.n, PAGE).await?;
            let full = rows.len() >= PAGE as usize;
            if !rows.is_empty() {
                let mut next = (*view).clone();
                for row in rows {
                    fresh.push(row.clone());
                    next.apply(row);
                }
                view = Arc::new(next);
                *self.view.write() = view.clone();
                self.quiet.store(false, SeqCst);
            }
            if !full {
                if self.until.load(SeqCst) != u64::MAX {
                    self.until.store(asked.saturating_add(LIFE.0), SeqCst);
                }
                return Ok(fresh);
            }
        }
    }
}

impl Engine {
    /// Turns something off, or on again, or stops all runs of a tenant. Once it returns, nothing begins any more that this keeps from
    /// beginning, on no server; runs are stopped, or woken, behind it, by this process or the next.
    ///
    /// # Errors
    /// When the store cannot write, or has no room for more: then it is not in force, as far as anybody can tell.
    pub async fn turn(&self, switch: NewSwitch) -> Result<SwitchRow, EngineError> {
        let (board, clock) = (&self.0.board, &*self.0.ports.clock);
        let new = NewSwitch { at: clock.now(), ..switch };
        let Some(n) = board.store.put_switch(new.clone()).await? else {
            let most = stead_ports::switches::MAX_SWITCHES;
            return Err(EngineError::Conflict {
                why: format!("{most} switches have been turned, the most there may be"),
            });
        };
        let since = clock.boot_micros();
        match board.refresh(clock).await {
            Ok(rows) => self.heed(rows),
            Err(error) => {
                // It is durable and will be heeded, but nobody can say yet that it is.
                background(self, once(self.clone()));
                return Err(error.into());
            }
        }
        if board.until.load(SeqCst) != u64::MAX {
            let left = since.saturating_add(LIFE.0).saturating_sub(clock.boot_micros());
            tokio::time::sleep(Duration::from_micros(left)).await;
        }
        Ok(SwitchRow { n, switch: new, heard: false })
    }

    /// Everything that is off in a tenant now.
    pub fn switched_off(&self, tenant: &Name) -> Vec<SwitchRow> {
        self.0.board.view().all(tenant)
    }

    /// What was turned off and on in a tenant, the last first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn past_switches(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<SwitchRow>, EngineError> {
        Ok(self.0.board.store.past_switches(tenant, before, limit).await?)
    }

    /// Whether a person may do what needs these rights: not when they were turned off, and nothing in a sandbox of a tenant that was.
    ///
    /// # Errors
    /// `ST0340` with who turned it off and why.
    pub fn may_act(&self, tenant: &Name, person: &Name, sandbox: bool) -> Result<(), EngineError> {
        let Some(view) = self.0.board.any() else { return Ok(()) };
        let off = view.off(tenant, What::Person, person);
        match off.or_else(|| view.off(tenant, What::Tenant, tenant).filter(|_| sandbox)) {
            None => Ok(()),
            Some(row) => Err(EngineError::Agent { code: code::DISABLED, detail: told(row) }),
        }
    }
}

/// Looks at what others have turned, for as long as the engine lives.
async fn watch(engine: Engine) {
    loop {
        once(engine.clone()).await;
    }
}

/// Looks at it until that succeeds. Meanwhile nothing leaves once what is known has become too old.
async fn once(engine: Engine) {
    loop {
        tokio::time::sleep(EVERY).await;
        match engine.0.board.refresh(&*engine.0.ports.clock).await {
            Ok(rows) => return engine.heed(rows),
            Err(error) => tracing::warn!(%error, "what operators have turned off cannot be read; trying again"),
        }
    }
}

/// Starts what an engine does about switches: those of before, and those of others.
pub(crate) async fn begin(engine: &Engine) -> Result<(), StoreError> {
    let (board, mut after) = (&engine.0.board, 0);
    loop {
        let page = board.store.switches(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.n;
        let unheard: Vec<SwitchRow> = page.into_iter().filter(|row| !row.heard).collect();
        engine.heed(unheard);
    }
    if board.until.load(SeqCst) != u64::MAX {
        background(engine, watch(engine.clone()));
    }
    Ok(())
}

impl Engine {
    /// Notes that all runs have heard of a row. That it is not noted costs only that they hear of it again.
    pub(crate) async fn note_heard(&self, n: u64) {
        if let Err(error) = self.0.board.store.switch_heard(n).await {
            tracing::warn!(%error, n, "that all runs have heard of a switch is not on record");
        }
    }
}

/// How a row stops runs.
pub(crate) fn mode(row: &SwitchRow) -> StopMode {
    if &*row.switch.name == "kill" { StopMode::Kill } else { StopMode::Cancel }
}

/// What whoever meets a row is told.
pub(crate) fn told(row: &SwitchRow) -> String {
    let NewSwitch { what, name, by, reason, .. } = &row.switch;
    let which = match what {
        What::Runs => "all runs of the tenant were stopped".to_owned(),
        What::Delegation => format!("what `{name}` lets runs do on their behalf was ended"),
        _ => format!("the {what} `{name}` was turned off"),
    };
    match reason.is_empty() {
        true => format!("{which} by {by}."),
        false => format!("{which} by {by}: {reason}"),
    }
}

/// Nothing can be turned off: for engines that are tried without operators. No server has it.
#[derive(Clone, Copy, Debug)]
pub struct NoSwitches;

#[async_trait]
impl SwitchStore for NoSwitches {
    async fn put_switch(&self, _: NewSwitch) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn switches(&self, _: u64, _: u32) -> Result<Vec<SwitchRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn last_switch(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn past_switches(&self, _: &Name, _: Option<u64>, _: u32) -> Result<Vec<SwitchRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn switch_heard(&self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
