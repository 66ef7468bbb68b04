//! What was known of a run's calls when they were decided, heard again: the journal folded record by record, and its conversation heard as a
//! loaded run hears it. It decides nothing; whoever tries other policies on what was recorded asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stead_core::{
    fact::{EffectDecided, Fact},
    id::{Name, RunId},
    message::Reply,
    record::Record,
    ruling::PlanMark,
    run::{State, fold},
};
use stead_policy::{Confidence, Provenance, Risk};
use stead_ports::agent::Agent;

use crate::{
    Engine,
    gate::{self, split, ten_thousandths},
    hearing::{Hearing, Made},
    listen::hear,
    load,
    messages::Messages,
    types::EngineError,
    view,
};

/// What was known of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Whether it was followed who said what.
    pub traced: bool,
    /// Whether something untrusted had been read.
    pub taint: bool,
    /// Whether the run's plan had it, or it needed none.
    pub plan: bool,
    /// Where each argument came from.
    pub provenance: Vec<(String, Provenance)>,
    /// How bad a mistake would be, as the model said.
    pub risk: Risk,
    /// How sure the model said it was.
    pub confidence: Option<Confidence>,
    /// Below which confidence its manifest asks a human.
    pub ask_below: Option<Confidence>,
}

/// A call of the open turn.
struct Open {
    tool: Name,
    /// As the model wrote them.
    arguments: Box<str>,
    /// How many entries of the conversation the model had read.
    read: usize,
}

impl Engine {
    /// What was known of each call of a run when it was first decided, by the ordinals of the effects. A call whose arguments cannot be read
    /// any more is missing.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read, or its agent version cannot be loaded.
    pub async fn known(&self, run: RunId) -> Result<BTreeMap<u32, Known>, EngineError> {
        let journal = self.journal();
        let records = load::records(journal, run).await?;
        let mut carry = match load::base(&records) {
            Some(base) => Some(load::carry_of(journal, base).await?.0),
            None => None,
        };
        let mut again: Option<Again<'_>> = None;
        let mut out = BTreeMap::new();
        for record in &records {
            if let Some(again) = &mut again {
                again.record(record, &mut out).await?;
                let (state, carry) = (&mut again.state, &mut carry);
                load::guarded(run, || state.apply_record(record, |_| carry.take().unwrap_or_default()))?;
                continue;
            }
            let state = load::guarded(run, || fold([record], &mut |_| carry.take().unwrap_or_default()))?;
            let missing = || EngineError::Quarantined { run, why: "its first record is not a start".into() };
            let state = state.ok_or_else(missing)?;
            let agent = self.0.ports.agents.load(&state.tenant, state.version).await;
            let agent = agent.map_err(|e| EngineError::Agent { code: e.code, detail: e.detail })?;
            again = Some(Again::new(self, agent, state));
        }
        Ok(out)
    }
}

/// A run that is heard again.
struct Again<'e> {
    engine: &'e Engine,
    agent: Arc<Agent>,
    state: State,
    messages: Messages,
    hearing: Hearing,
    open: BTreeMap<u32, Open>,
    decided: BTreeSet<u32>,
}

impl<'e> Again<'e> {
    fn new(engine: &'e Engine, agent: Arc<Agent>, state: State) -> Self {
        let (hearing, messages) = (Hearing::new(&agent), Messages::default());
        Self { engine, agent, state, messages, hearing, open: BTreeMap::new(), decided: BTreeSet::new() }
    }

    /// Looks at a record that the state does not have yet.
    async fn record(&mut self, record: &Record, out: &mut BTreeMap<u32, Known>) -> Result<(), EngineError> {
        let mut marks = None;
        for fact in &record.facts {
            match fact {
                Fact::ModelReplied(replied) => {
                    let payload = record.payloads.get(usize::from(replied.payload));
                    let Some(payload) = payload.filter(|_| !replied.calls.is_empty()) else { continue };
                    let reply = view::reply(self.engine.journal(), &self.state, payload).await?;
                    let read = self.state.transcript.len();
                    let heads = replied.calls.iter().map(|head| (head.effect, head.tool.clone()));
                    self.open = opened(heads, &reply, read);
                }
                Fact::EffectDecided(decided) => {
                    if marks.is_none() {
                        self.listen().await?;
                    }
                    let marks = marks.get_or_insert_with(|| self.state.plan_marks.clone());
                    if self.decided.insert(decided.effect)
                        && let Some(known) = self.known(decided, marks)
                    {
                        out.insert(decided.effect, known);
                    }
                    marks.retain(|(effect, _)| *effect != decided.effect);
                    marks.extend(decided.plan.clone().map(|mark| (decided.effect, mark)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn listen(&mut self) -> Result<(), EngineError> {
        let Some(provenance) = &self.agent.provenance else { return Ok(()) };
        self.messages.refresh(self.engine.journal(), &self.state, None).await?;
        hear(self.engine, &mut self.hearing, &self.messages, (&self.agent, provenance), &self.state).await
    }

    fn known(&self, decided: &EffectDecided, marks: &[(u32, PlanMark)]) -> Option<Known> {
        let call = self.open.get(&decided.effect)?;
        let (arguments, sure) = split(&self.agent, &call.arguments);
        let known = Known {
            traced: false,
            taint: false,
            plan: false,
            provenance: Vec::new(),
            risk: sure.risk.unwrap_or_default(),
            confidence: sure.confidence,
            ask_below: self.agent.ask_below.and_then(ten_thousandths),
        };
        let Some(provenance) = &self.agent.provenance else { return Some(known) };
        let made = Made {
            effect: decided.effect,
            tool: &call.tool,
            arguments: &arguments,
            window: self.hearing.window(call.read),
            began: self.state.started_at,
            marks,
        };
        let judged = self.hearing.judge_as(provenance, &made).ok()?;
        Some(Known {
            traced: true,
            taint: judged.traced.window.is_tainted(),
            plan: gate::is_planned(&judged),
            provenance: gate::said_by(&judged),
            ..known
        })
    }
}

fn opened(heads: impl Iterator<Item = (u32, Name)>, reply: &Reply, read: usize) -> BTreeMap<u32, Open> {
    let call = |(n, (effect, tool)): (usize, (u32, Name))| {
        let arguments = reply.calls.get(n)?.arguments.get().into();
        Some((effect, Open { tool, arguments, read }))
    };
    heads.enumerate().filter_map(call).collect()
}
