//! What a history is made of: tools, limits, runs, faults and disturbances, all drawn from the seed.

use stead_core::{
    budget::{Limits, MicroUsd, Price},
    effect::{EffectClass, OnUnknown},
    fact::{CallRules, ModelConfig, RunConfig},
    grant::GrantRule,
    id::Name,
    sandbox::{Access, Place},
    time::Span,
};

use crate::rng::Rng;

/// Microseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000;
/// When faults stop, after the beginning.
pub(crate) const CALM: u64 = 90 * SECOND;
/// Farthest the wall clock may be from true time, either way.
pub(crate) const MAX_OFFSET: u64 = 3 * SECOND;
/// Longest a request is on its way to a destination.
pub(crate) const MAX_TRANSIT: u64 = 2 * SECOND;
/// How much longer than it declares a keyed destination remembers: transit, appends and clock jumps.
pub(crate) const MEMORY_MARGIN: u64 = 15 * SECOND;

/// Thousandths of histories whose store is lost and restored.
const RESTORED: u64 = 250;

/// A tool of the agent.
#[derive(Clone, Debug)]
pub(crate) struct PlanTool {
    pub name: Name,
    pub class: EffectClass,
    pub rules: CallRules,
    pub business_key: bool,
}

/// How often things go wrong, in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub append_refused: u64,
    pub append_unknown: u64,
    pub answer_lost: u64,
    pub answer_twice: u64,
    pub not_sent: u64,
    pub refused: u64,
    pub broken: u64,
    pub model: u64,
    pub slow: u64,
}

/// Something done to the whole process or to a run by its operator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disturbance {
    Crash,
    /// The process is asked to end: it finishes what it has begun, begins nothing, and ends soon.
    Drain,
    Takeover,
    Jump(i64),
    Evict,
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    Kill(usize),
    /// An operator applies other policies.
    Apply,
    /// A backup is taken; the process does not notice.
    Backup,
    /// The store is destroyed and restored from the last backup, if there is one.
    Restore,
}

/// A whole history's ingredients.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub tools: Vec<PlanTool>,
    pub config: RunConfig,
    pub session_limits: Limits,
    /// Start time and session of each run.
    pub runs: Vec<(u64, usize)>,
    pub faults: Faults,
    pub disturbances: Vec<(u64, Disturbance)>,
    /// Thousandths of approvals that nobody ever answers (until calm).
    pub human_never: u64,
    pub human_denies: u64,
    /// Thousandths of calls that policies do not simply allow.
    pub strict: u64,
    /// How long the person lets runs work on their behalf each time; for ever when silent.
    pub delegated: Option<Span>,
}

/// The person on whose behalf runs work.
pub(crate) const PERSON: &str = "client";

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let sessions = rng.range(1, 2);
        let count = *rng.pick(&[1, 1, 1, 2, 2, 3]);
        let runs: Vec<_> = (0..count).map(|_| (start(rng), rng.below(sessions) as usize)).collect();
        let level = *rng.pick(&[0, 1, 1, 2, 4]);
        let mut rate = |max: u64| if level == 0 { 0 } else { rng.below(max * level) };
        let faults = Faults {
            append_refused: rate(40),
            append_unknown: rate(60),
            answer_lost: rate(80),
            answer_twice: rate(80),
            not_sent: rate(80),
            refused: rate(50),
            broken: rate(60),
            model: rate(80),
            slow: rate(100),
        };
        let mut disturbances = disturbances(rng, runs.len());
        let strict = *rng.pick(&[0, 150, 400]);
        for _ in 0..rng.below(if strict == 0 { 2 } else { 5 }) {
            disturbances.push((rng.below(20 * SECOND), Disturbance::Apply));
        }
        let jumps = disturbances.iter().any(|(_, d)| matches!(d, Disturbance::Jump(_)));
        let settle = MAX_TRANSIT + 2 * SECOND + if jumps { 2 * MAX_OFFSET } else { 0 };
        let mut plan = Self {
            tools: (0..rng.range(1, 5)).map(|n| tool(rng, n, settle)).collect(),
            config: config(rng),
            session_limits: if rng.chance(150) {
                Limits { tokens: Some(rng.range(100, 3_000)), ..Limits::default() }
            } else {
                Limits::default()
            },
            disturbances,
            runs,
            faults,
            human_never: *rng.pick(&[0, 0, 200, 600]),
            human_denies: *rng.pick(&[0, 200, 500]),
            strict,
            delegated: None,
        };
        // Drawn last: what was drawn before stays what it was.
        plan.delegated = rng.chance(400).then(|| Span::from_secs(rng.range(10, 40)));
        let names: Vec<Name> = plan.tools.iter().map(|tool| tool.name.clone()).collect();
        for tool in plan.tools.iter_mut().filter(|tool| tool.rules.child.is_some()) {
            tool.rules.grant = rng.chance(600).then(|| Box::new(grant(rng, &names)));
        }
        plan
    }
}

fn grant(rng: &mut Rng, names: &[Name]) -> GrantRule {
    GrantRule {
        tools: rng.chance(600).then(|| names.iter().filter(|_| rng.chance(600)).cloned().collect()),
        hosts: None,
        scopes: None,
        lasts: rng.chance(400).then(|| Span::from_secs(rng.range(1, 20))),
        depth: rng.chance(300).then_some(0),
    }
}

fn disturbances(rng: &mut Rng, runs: usize) -> Vec<(u64, Disturbance)> {
    let mut out = Vec::new();
    for _ in 0..rng.below(9) {
        let run = rng.below(runs as u64) as usize;
        let what = match rng.below(20) {
            0..=5 => Disturbance::Crash,
            6..=7 => Disturbance::Drain,
            8..=9 => Disturbance::Takeover,
            10..=12 => Disturbance::Jump(rng.range(0, 2 * MAX_OFFSET) as i64 - MAX_OFFSET as i64),
            13 => Disturbance::Evict,
            14..=16 => Disturbance::Pause(run),
            17 => Disturbance::Kill(run),
            _ => Disturbance::Cancel(run),
        };
        // Most of a short life is over in a few seconds.
        let reach = *rng.pick(&[3, 3, 8, 30]);
        let at = rng.below(reach * SECOND);
        out.push((at, what));
        if rng.chance(200) {
            out.push((at + rng.below(SECOND), what));
        }
        if let Disturbance::Pause(run) = what {
            out.push((at + rng.below(40 * SECOND), Disturbance::Resume(run)));
        }
    }
    if rng.chance(RESTORED) {
        lost_life(rng, &mut out);
    }
    out
}

/// A backup, a life after it, and the loss of that life; now and then a second loss, of the same backup or of a later one.
fn lost_life(rng: &mut Rng, out: &mut Vec<(u64, Disturbance)>) {
    let mut at = rng.below(6 * SECOND);
    out.push((at, Disturbance::Backup));
    for _ in 0..rng.range(1, 2) {
        let reach = *rng.pick(&[2, 8, 30]);
        at += rng.below(reach * SECOND);
        out.push((at, Disturbance::Restore));
        at += rng.below(4 * SECOND);
        if rng.chance(500) {
            out.push((at, Disturbance::Backup));
        }
    }
}

fn tool(rng: &mut Rng, n: u64, settle: u64) -> PlanTool {
    let class = *rng.pick(&[
        EffectClass::Pure,
        EffectClass::Contained,
        EffectClass::Keyed,
        EffectClass::Keyed,
        EffectClass::Reconcilable,
        EffectClass::Compensable,
        EffectClass::Irreversible,
        EffectClass::Irreversible,
    ]);
    let child =
        rng.chance(120).then(|| Limits { tokens: rng.chance(500).then(|| rng.range(50, 800)), ..Limits::default() });
    let class = if child.is_some() { EffectClass::Pure } else { class };
    let rules = CallRules {
        ask: child.is_none() && rng.chance(200),
        on_unknown: if rng.chance(400) { OnUnknown::Ask } else { OnUnknown::Tell },
        attempts: rng.range(1, 3) as u8,
        key_ttl: rng.chance(300).then(|| Span::from_secs(rng.range(1, 30))),
        // Longer than a request can be on its way, as far as a jumping clock can tell.
        settle: Span(settle + rng.below(5) * SECOND),
        place: (child.is_none() && rng.chance(300)).then(|| place(rng)),
        preview: (child.is_none() && class != EffectClass::Pure && rng.chance(200)).then(|| "look".into()),
        child,
        grant: None,
    };
    PlanTool { name: format!("tool{n}").into(), class, rules, business_key: rng.chance(500) }
}

/// Where a tool works: most of those that work anywhere write the workspace.
fn place(rng: &mut Rng) -> Place {
    let workspace = *rng.pick(&[Access::None, Access::Read, Access::Write, Access::Write]);
    Place { workspace, boxed: rng.chance(700) }
}

fn config(rng: &mut Rng) -> RunConfig {
    let price =
        rng.chance(800).then_some(Price { input: 1_000_000, cached: 100_000, output: 4_000_000, cache_write: None });
    let models = (0..rng.range(1, 2))
        .map(|n| ModelConfig { name: format!("model{n}").into(), max_output_tokens: 50, price })
        .collect();
    let mut maybe = |per_mille: u64, low: u64, high: u64| rng.chance(per_mille).then(|| rng.range(low, high));
    let limits = Limits {
        tokens: maybe(250, 60, 2_500),
        usd: maybe(150, 100, 4_000).map(MicroUsd),
        tool_calls: maybe(200, 0, 6).map(|n| n as u32),
        active: maybe(120, 1, 15).map(Span::from_secs),
        deadline: maybe(120, 2, 80).map(Span::from_secs),
        children: maybe(200, 0, 2).map(|n| n as u32),
        cpu: maybe(100, 1, 10).map(Span::from_secs),
        traffic: maybe(100, 1, 10_000),
        disk: None,
    };
    RunConfig {
        limits,
        models,
        model_attempts: rng.range(1, 3) as u8,
        backoff: Span::from_millis(300),
        backoff_max: Span::from_secs(5),
        max_turns: rng.range(1, 7) as u32,
        context_tokens: if rng.chance(300) { rng.range(60, 200) } else { 100_000 },
        approval_ttl: rng.chance(500).then(|| Span::from_secs(rng.range(1, 60))),
        overhead_tokens: 20,
        repairs: rng.chance(300).then(|| rng.below(3) as u8),
        plan: None,
        at_limit: stead_core::budget::AtLimit::Stop,
        max_open_asks: rng.chance(200).then(|| rng.range(1, 3) as u32),
        max_asks: rng.chance(200).then(|| rng.range(1, 6) as u32),
    }
}

/// When a run is started: most of them at about the same time.
fn start(rng: &mut Rng) -> u64 {
    let reach = *rng.pick(&[1, 1, 20]);
    rng.below(reach * SECOND)
}

impl Faults {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self {
        append_refused: 0,
        append_unknown: 0,
        answer_lost: 0,
        answer_twice: 0,
        not_sent: 0,
        refused: 0,
        broken: 0,
        model: 0,
        slow: 0,
    };
}
