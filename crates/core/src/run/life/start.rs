//! The first facts of a run: accepted, admitted to the foreground of its session.

use std::sync::Arc;

use crate::{
    budget::Budget,
    fact::{Fact, Restored, RunAdmitted, RunStarted},
    id::LeafHash,
    label::SealedLabel,
    record::{Payload, Record},
    run::{
        apply::Env,
        decide::{Admit, Draft, Inputs, NewRun, Refusal},
        gate::Ungated,
        state::{Carry, Life, Phase, Planning, RestoreMark, State},
        transcript::{Entry, EntryKind, Transcript},
    },
    sandbox::BoxLimits,
};

/// The chain of a run begins with this hash.
pub const GENESIS: LeafHash = LeafHash([0; 32]);

/// What a new run begins with besides its empty state.
pub(in crate::run) struct Begin {
    pub(in crate::run) input: Payload,
    pub(in crate::run) admit: Option<Admit>,
    pub(in crate::run) restored: Option<RestoreMark>,
    pub(in crate::run) label: Option<SealedLabel>,
}

/// The empty state of a new run, and what it begins with.
pub(in crate::run) fn prepare(new: NewRun, inputs: Inputs<'_>) -> (State, Begin) {
    let NewRun { run, tenant, session, agent, version, parent, hops, config, input, admit, restored, behalf, label } =
        new;
    let planned = config.plan.is_some();
    let state = State {
        run,
        tenant,
        session,
        agent,
        version,
        parent,
        hops,
        budget: Budget::new(config.limits.clone()),
        config: Arc::new(config),
        next_seq: 0,
        last_at: inputs.now,
        started_at: inputs.now,
        activation: inputs.activation,
        life: Life::Queued,
        paused: false,
        stop: None,
        phase: Phase::Idle,
        turn: 0,
        attempt: 0,
        tried: 0,
        next_effect: 1,
        calls: Vec::new(),
        transcript: Transcript::default(),
        clear_before: 0,
        view_tokens: 0,
        unknown: Vec::new(),
        keys: Vec::new(),
        base: None,
        notes: Vec::new(),
        restored: None,
        repairs: 0,
        tree: None,
        box_limits: BoxLimits::default(),
        behalf,
        planning: if planned { Planning::Wanted { tries: 0, last: None } } else { Planning::Without },
        plan_marks: Vec::new(),
        earlier: 0,
        slice: None,
        asking: None,
        blocked: None,
        tree_bytes: 0,
        asks: 0,
        renewing: None,
    };
    (state, Begin { input, admit, restored, label })
}

pub(in crate::run) fn start(
    draft: &mut Draft<'_>,
    input: Payload,
    restored: Option<RestoreMark>,
    label: Option<SealedLabel>,
) {
    let input = draft.payload(input);
    let s = &draft.state;
    let started = RunStarted {
        agent: s.agent.clone(),
        version: s.version,
        session: s.session,
        parent: s.parent,
        hops: s.hops,
        config: (*s.config).clone(),
        input,
        behalf: (!s.behalf.is_empty()).then(|| Box::new(s.behalf.clone())),
        label,
    };
    draft.emit(Fact::RunStarted(Box::new(started)));
    // The lost life of a restored parent may have started this very child, which may have done all that it will do now.
    if let Some(RestoreMark { generation, taken, .. }) = restored {
        draft.emit(Fact::Restored(Restored { generation, taken }));
    }
}

/// The empty state that the fold of a run begins with; `None` if the record is not a run's first.
pub(in crate::run) fn from_first(record: &Record) -> Option<State> {
    let Some(Fact::RunStarted(f)) = record.facts.first() else { return None };
    let new = NewRun {
        run: record.header.run,
        tenant: record.header.tenant.clone(),
        session: f.session,
        agent: f.agent.clone(),
        version: f.version,
        parent: f.parent,
        hops: f.hops,
        config: f.config.clone(),
        input: Payload::inline("", crate::record::Source::User),
        admit: None,
        restored: None,
        behalf: f.behalf.as_deref().cloned().unwrap_or_default(),
        label: f.label.clone(),
    };
    let inputs = Inputs { now: record.header.at, activation: record.header.activation, gate: &Ungated };
    Some(prepare(new, inputs).0)
}

pub(in crate::run) fn apply_started(state: &mut State, env: Env<'_>, f: &RunStarted) {
    state.started_at = env.at;
    state.say(Entry { kind: EntryKind::User, payload: env.payload(f.input), label: f.label.clone() });
}

pub(in crate::run) fn admit(draft: &mut Draft<'_>, admit: Admit) -> Result<(), Refusal> {
    if draft.state.life != Life::Queued {
        return Err(Refusal::Stale);
    }
    let (base, carry) = admit.base.unzip();
    draft.emit(Fact::RunAdmitted(RunAdmitted { base, grant: admit.grant }));
    if let Some(carry) = carry {
        inherit(&mut draft.state, *carry);
    }
    Ok(())
}

pub(in crate::run) fn apply_admitted(state: &mut State, f: &RunAdmitted) {
    state.life = Life::Live;
    state.base = f.base;
    state.budget.limits = state.budget.limits.tighten(&f.grant);
}

/// Puts the base's conversation before the run's own input.
pub(in crate::run) fn inherit(state: &mut State, carry: Carry) {
    let own = std::mem::replace(&mut state.transcript, carry.transcript);
    state.earlier = u32::try_from(state.transcript.len()).unwrap_or(u32::MAX);
    state.clear_before = carry.clear_before;
    state.unknown = carry.unknown;
    state.keys = carry.keys;
    state.tree = carry.tree;
    state.tree_bytes = carry.tree_bytes;
    for entry in own.iter() {
        state.transcript.push(entry.clone());
    }
    state.view_tokens = crate::context::view_tokens(state);
}
