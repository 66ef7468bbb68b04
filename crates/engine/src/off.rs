//! What follows for runs from what operators turn off ([`crate::switches`]): all that had begun are stopped, or a run holds until it
//! is turned on again, or a tool or model is denied to it. Loaded runs look by themselves; the others are told one after the other.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use stead_core::{
    code,
    fact::Held,
    grant::Use,
    id::{Name, RunId},
    record::Actor as By,
    ruling::Behalf,
    run::{Call, CallPhase, Command, Debt, Life, State},
    time::Timestamp,
};
use stead_ports::{
    agent::Agent,
    journal::{RunFilter, Status},
    switches::{NewSwitch, SwitchRow, What},
};

use crate::{
    Engine,
    actor::{Actor, Ask, Msg},
    pay::key,
    recover::background,
    sessions::promote,
    switches::{View, Whose, mode, told},
    types::{EngineError, StartRun},
};

/// Runs that are told at once.
const AT_ONCE: usize = 64;
/// Runs read at once.
const PAGE: u32 = 1_000;
/// A pause before those are told again that could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// What something goes through on its way out.
#[derive(Clone, Debug)]
pub(crate) enum Through {
    /// A tool, and its entry of the manifest.
    Tool { tool: Name, toolset: Name },
    /// A model, and its account at a provider.
    Model { model: Name, account: Option<Name> },
}

impl Through {
    fn off<'v>(&self, view: &'v View, tenant: &Name) -> Option<&'v Arc<SwitchRow>> {
        match self {
            Self::Tool { tool, toolset } => view.tool(tenant, tool, toolset),
            Self::Model { model, account } => view.provider(tenant, model, account.as_ref()),
        }
    }

    /// The model at a place of an agent's chain.
    pub(crate) fn model(agent: &Agent, model: usize) -> Option<Self> {
        let model = agent.models.get(model)?;
        Some(Self::Model { model: model.name().clone(), account: model.account().cloned() })
    }

    /// A tool of an agent.
    pub(crate) fn tool(agent: &Agent, tool: &Name) -> Option<Self> {
        let bound = agent.tool(tool)?;
        Some(Self::Tool { tool: tool.clone(), toolset: bound.toolset.clone() })
    }

    /// Why it is off in a tenant, if it is.
    pub(crate) fn why_off(&self, view: &View, tenant: &Name) -> Option<String> {
        self.off(view, tenant).map(|row| told(row))
    }
}

/// What is looked at last of all before something of a run leaves the process.
#[derive(Clone)]
pub(crate) struct Leave {
    pub(crate) engine: Engine,
    pub(crate) whose: Arc<Whose>,
    pub(crate) through: Option<Through>,
    /// Until when the person lets it work on their behalf; see [`Actor::until`].
    pub(crate) until: Arc<AtomicI64>,
}

impl Leave {
    /// Whether it may leave now.
    pub(crate) fn now(&self) -> bool {
        let (board, clock) = (&self.engine.0.board, &*self.engine.0.ports.clock);
        let may = self.engine.0.lease.valid(clock) && board.is_fresh(clock) && self.why_not().is_none();
        may && !has_ended(&self.whose, self.through.as_ref(), &self.until, clock.now())
    }

    /// Why it may not, when what was handed on to the run has ended.
    pub(crate) fn why_ended(&self) -> Option<String> {
        let now = self.engine.0.ports.clock.now();
        if self.whose.behalf.user.is_some() && self.until.load(SeqCst) <= now.0 {
            let why = "the person on whose behalf it works has to say that it may go on";
            return Some(format!("{}: not done: {why}", code::DELEGATION));
        }
        let denied = self.whose.behalf.allows(Use::Anything, now).err()?;
        Some(format!("{}: not done: {denied}", code::GRANT))
    }

    /// Why it may not, when operators have turned off what it needs.
    pub(crate) fn why_not(&self) -> Option<String> {
        if let Some(row) = self.engine.gone(&self.whose) {
            return Some(told(&row));
        }
        let view = self.engine.0.board.any()?;
        let off = view.stops(&self.whose).or_else(|| view.holds(&self.whose));
        let off = off.or_else(|| self.through.as_ref().and_then(|t| t.off(&view, &self.whose.tenant)));
        off.map(|row| told(row))
    }
}

/// Whether the time of the person is over on whose behalf something would be done, or that of a grant; grants are about effects alone.
fn has_ended(whose: &Whose, through: Option<&Through>, until: &AtomicI64, now: Timestamp) -> bool {
    let Behalf { user, grants, .. } = &whose.behalf;
    let model = matches!(through, Some(Through::Model { .. }));
    (user.is_some() && until.load(SeqCst) <= now.0)
        || (!model && !grants.is_empty() && whose.behalf.allows(Use::Anything, now).is_err())
}

pub(crate) fn whose(state: &State) -> Whose {
    let State { tenant, agent, version, run, behalf, .. } = state;
    Whose { tenant: tenant.clone(), agent: agent.clone(), version: *version, run: *run, behalf: behalf.clone() }
}

impl Actor {
    pub(crate) fn whose(&self) -> &Arc<Whose> {
        self.whose.get_or_init(|| whose(&self.state).into())
    }

    /// Notes until when the person lets the run work on their behalf, for what is on its way out.
    pub(crate) fn note_until(&self) {
        let until = self.state.behalf.delegated.map_or(i64::MAX, |delegated| delegated.until.0);
        self.until.store(until, SeqCst);
    }

    pub(crate) fn leave(&self, through: Option<Through>) -> Leave {
        Leave { engine: self.engine.clone(), whose: self.whose().clone(), through, until: self.until.clone() }
    }

    /// Whether the run only holds because of what operators turned off.
    pub(crate) fn is_off(&self) -> bool {
        if self.engine.gone(self.whose()).is_some() {
            return true;
        }
        let Some(view) = self.engine.0.board.any() else { return false };
        view.holds(self.whose()).is_some() || (self.state.stop.is_none() && view.stops(self.whose()).is_some())
    }

    /// Why the run is left alone for a while when it leaves memory: a time that comes would only find it holding again.
    pub(crate) fn off_for_now(&self) -> Option<EngineError> {
        let nothing = self.engine.0.options.at_rest || self.state.life == Life::Queued;
        let row = self.engine.off(&self.state).filter(|_| !nothing)?;
        Some(EngineError::Agent { code: code::DISABLED, detail: told(&row) })
    }

    /// The row that stops the run, unless it has been heeded.
    pub(crate) fn stopped_by(&self) -> Option<Arc<SwitchRow>> {
        let view = self.engine.0.board.any()?;
        view.stops(self.whose()).filter(|row| row.n > self.heeded && !self.state.life.ended()).cloned()
    }

    /// Stops the run when all that there are were stopped.
    pub(crate) async fn heed(&mut self) -> Result<(), EngineError> {
        let Some(row) = self.stopped_by() else { return Ok(()) };
        let stop = Command::Stop { mode: mode(&row), dispatched: self.flights.sent_effects() };
        self.commit(stop, By::User(row.switch.by.clone())).await?;
        self.heeded = row.n;
        Ok(())
    }

    /// What a debt goes through.
    fn through(&self, debt: &Debt) -> Option<Through> {
        match debt {
            Debt::CallModel { model, .. } => Through::model(&self.agent, usize::from(*model)),
            Debt::Dispatch { effect } => Through::tool(&self.agent, &self.state.call(*effect)?.head.tool),
            Debt::Preview { effect } => match &self.state.call(*effect)?.phase {
                CallPhase::Previewing(look) => Through::tool(&self.agent, &look.tool),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether what pays a debt has not left, and operators turned off what it goes through.
    fn is_barred(&self, debt: &Debt) -> bool {
        let Some(through) = self.through(debt) else { return false };
        let view = self.engine.0.board.any();
        let off = view.is_some_and(|view| through.off(&view, &self.state.tenant).is_some());
        (off || self.has_ended(&through)) && !key(debt).is_some_and(|key| self.flights.has_sent(key))
    }

    fn has_ended(&self, through: &Through) -> bool {
        has_ended(self.whose(), Some(through), &self.until, self.engine.0.ports.clock.now())
    }

    /// Gives back what was promised and may not be sent: it is decided again, and then denied. Tells what is owed and may be paid.
    pub(crate) async fn give_back(&mut self, debts: Vec<Debt>) -> Result<Vec<Debt>, EngineError> {
        if !debts.iter().any(|debt| self.is_barred(debt)) {
            return Ok(debts);
        }
        let (mut model, mut effects) = (false, Vec::new());
        let barred: Vec<&Debt> = debts.iter().filter(|debt| self.is_barred(debt)).collect();
        for debt in &barred {
            let key = key(debt);
            self.flights.retain(|k| Some(k) != key);
            match debt {
                Debt::CallModel { .. } => model = true,
                Debt::Dispatch { effect } => {
                    let intended = |c: &Call| matches!(c.phase, CallPhase::Intended { .. });
                    effects.extend(self.state.call(*effect).is_some_and(intended).then_some(*effect));
                }
                _ => {}
            }
        }
        if model || !effects.is_empty() {
            let ended = barred.iter().filter_map(|debt| self.through(debt)).any(|through| self.has_ended(&through));
            let why = if ended { Held::Ended } else { Held::Disabled };
            self.commit(Command::Unsent { model, effects, why }, By::Runtime).await?;
        }
        self.commit(Command::Tick, By::Runtime).await?;
        let mut debts = self.debts();
        debts.retain(|debt| !self.is_barred(debt));
        Ok(debts)
    }
}

impl Engine {
    /// Whether a run may be started now. A run that nobody starts belongs to those that begin from now on.
    pub(crate) async fn may_start(&self, start: &mut StartRun, agent: &Name, run: RunId) -> Result<(), EngineError> {
        let (board, clock) = (&self.0.board, &*self.0.ports.clock);
        if !board.is_fresh(clock) {
            let rows = board.refresh(clock).await?;
            self.heed(rows);
        }
        let disabled = |row: &SwitchRow| EngineError::Agent { code: code::DISABLED, detail: told(row) };
        let person = start.behalf.user.as_ref().map(|user| &user.name);
        if let Some(row) = person.and_then(|person| self.unknown(&start.tenant, person)) {
            return Err(disabled(&row));
        }
        let Some(view) = board.any() else { return Ok(()) };
        if start.parent.is_none() {
            start.behalf.switch = Some(view.n);
        }
        let StartRun { tenant, version, behalf, .. } = &*start;
        let (tenant, agent, behalf) = (tenant.clone(), agent.clone(), behalf.clone());
        let whose = Whose { tenant, agent, version: *version, run, behalf };
        match view.stops(&whose).or_else(|| view.holds(&whose)) {
            None => Ok(()),
            Some(row) => Err(disabled(row)),
        }
    }

    /// The row that keeps a run from going on.
    pub(crate) fn off(&self, state: &State) -> Option<Arc<SwitchRow>> {
        let whose = whose(state);
        if let Some(row) = self.gone(&whose) {
            return Some(row);
        }
        let view = self.0.board.any()?;
        view.holds(&whose).or_else(|| view.stops(&whose).filter(|_| state.stop.is_none())).cloned()
    }

    /// What keeps a run from going on whose person may have no runs any more.
    pub(crate) fn gone(&self, whose: &Whose) -> Option<Arc<SwitchRow>> {
        self.unknown(&whose.tenant, &whose.behalf.user.as_ref()?.name)
    }

    /// The same, of a person. No switch was turned, so it has no number: the configuration says so.
    fn unknown(&self, tenant: &Name, person: &Name) -> Option<Arc<SwitchRow>> {
        let reason = self.0.ports.people.why_not(tenant, person)?;
        let (tenant, name, by) = (tenant.clone(), person.clone(), "the configuration".into());
        let switch = NewSwitch { tenant, what: What::Delegation, name, on: false, by, at: Timestamp(0), reason };
        Some(Arc::new(SwitchRow { n: 0, switch, heard: true }))
    }

    /// Whether a token of a run was turned off, by its `jti`.
    pub fn is_revoked(&self, tenant: &Name, jti: &str) -> bool {
        self.0.board.any().is_some_and(|view| view.off(tenant, What::Token, &jti.into()).is_some())
    }

    /// Lets runs hear of rows: those in memory at once, the others behind it.
    pub(crate) fn heed(&self, rows: Vec<SwitchRow>) {
        if rows.is_empty() {
            return;
        }
        self.0.shout();
        for row in rows {
            background(self, hear(self.clone(), row));
        }
    }
}

/// Lets all runs hear of a row, however often that takes.
async fn hear(engine: Engine, row: SwitchRow) {
    loop {
        match all_hear(&engine, &row).await {
            Ok(true) => return engine.note_heard(row.n).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, n = row.n, "runs could not be told of a switch; trying again"),
        }
        if engine.0.is_draining() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells every run that a row is about; false when some could not be told.
async fn all_hear(engine: &Engine, row: &SwitchRow) -> Result<bool, EngineError> {
    let stops = row.switch.what == What::Runs;
    // What is turned off lets nothing begin: only who is in memory has to look.
    if !stops && !row.switch.on {
        return Ok(true);
    }
    let status = match stops {
        true => Status::ALL.into_iter().filter(|s| !s.ended()).collect(),
        false => vec![Status::Queued, Status::Running, Status::Waiting],
    };
    let (mut before, mut all) = (None, true);
    loop {
        let filter = RunFilter {
            tenant: row.switch.tenant.clone(),
            status: status.clone(),
            before,
            limit: PAGE,
            ..RunFilter::default()
        };
        let page = engine.journal().runs(&filter).await?;
        before = page.last().map(|run| run.id);
        let runs: Vec<(RunId, Status)> = page.iter().map(|run| (run.id, run.state.status)).collect();
        let told = stream::iter(runs).map(|run| tell(engine, row, run, stops)).buffer_unordered(AT_ONCE);
        all &= told.all(|told| async move { told }).await;
        // The next one of a session was left in its line when its turn came, and nobody else tells it again.
        let queued = page.iter().filter(|run| !stops && run.state.status == Status::Queued).map(|run| run.session);
        for session in queued.collect::<BTreeSet<_>>() {
            if let Err(error) = promote(engine, session).await {
                tracing::debug!(%session, %error, "the session's next run could not be told of a switch yet");
                all = false;
            }
        }
        if page.len() < PAGE as usize {
            // What was due meanwhile is due now.
            engine.0.wakes.at(engine.0.ports.clock.now());
            return Ok(all);
        }
    }
}

async fn tell(engine: &Engine, row: &SwitchRow, (run, status): (RunId, Status), stops: bool) -> bool {
    if !stops {
        engine.0.aside.back(run);
        if status == Status::Running {
            engine.0.rouse(engine, run);
        }
        return true;
    }
    let by = By::User(row.switch.by.clone());
    match engine.ask(run, |reply| Msg::Ask(Ask::Heed, by, reply)).await {
        Ok(_) => true,
        // One that has ended, or is set aside, begins nothing either.
        Err(EngineError::Conflict { .. } | EngineError::NotFound { .. } | EngineError::Quarantined { .. }) => true,
        Err(error) => {
            tracing::debug!(%run, %error, "the run could not be stopped with all others yet");
            false
        }
    }
}
