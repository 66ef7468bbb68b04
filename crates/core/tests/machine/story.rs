//! The words of the stories: a run driven by hand, with a clock that moves when told.

use stead_core::{
    budget::{Amounts, AtLimit, Limits, MicroUsd, Move, Offer, Price, Spend, Usage, moves},
    code::{self, Code},
    effect::{EffectClass, Ended, OnUnknown, Outcome, Reconciled},
    fact::{CallHead, CallRules, Fact, ModelConfig, RunConfig, StopMode},
    grant::GrantRule,
    id::{ActivationId, RunId, SessionId, VersionId},
    record::{Actor, Body, Header, Payload, Record, Source, VERSION},
    ruling::{Behalf, Person},
    run::{
        Admit, CallIn, CallPhase, Carry, Command, Debt, Decision, EntryKind, GENESIS, Gate, Inputs, Life, ModelFailure,
        NewRun, Phase, Refusal, RestoreMark, Retry, State, Terms, Ungated, decide, decide_holding, decide_under, fold,
        owes, wake_at,
    },
    sandbox::{Access, Action, BoxTotals, Place},
    time::{Span, Timestamp},
};

/// A run, what is written of it, and the world's clock.
pub(crate) struct Story {
    state: Option<State>,
    records: Vec<Record>,
    carry: Carry,
    now: Timestamp,
    activation: u64,
    gate: &'static dyn Gate,
}

/// An agent without limits.
pub(crate) fn agent() -> RunConfig {
    RunConfig {
        limits: Limits::default(),
        models: vec![model("first")],
        model_attempts: 3,
        backoff: Span::from_secs(1),
        backoff_max: Span::from_secs(60),
        max_turns: 20,
        context_tokens: 1_000_000,
        approval_ttl: None,
        overhead_tokens: 0,
        repairs: None,
        plan: None,
        at_limit: AtLimit::Stop,
        max_open_asks: None,
        max_asks: None,
    }
}

/// A model that costs one micro-dollar a token.
pub(crate) fn model(name: &str) -> ModelConfig {
    let price = Price { input: 1_000_000, cached: 1_000_000, output: 1_000_000, cache_write: None };
    ModelConfig { name: name.into(), max_output_tokens: 100, price: Some(price) }
}

pub(crate) fn limited(limits: Limits) -> RunConfig {
    RunConfig { limits, ..agent() }
}

pub(crate) fn text(t: &'static str) -> Payload {
    Payload::inline(t, Source::Tool)
}

/// A call, told in a chain: `call("mail").is(Irreversible).asks()`.
#[derive(Clone)]
pub(crate) struct Called {
    head: CallHead,
    invalid: bool,
}

/// A call of a pure tool.
pub(crate) fn call(tool: &str) -> Called {
    let rules = CallRules::default();
    let head = CallHead {
        effect: 0,
        tool: tool.into(),
        class: EffectClass::Pure,
        args: [0; 16],
        schema: [0; 16],
        key: None,
        rules,
    };
    Called { head, invalid: false }
}

impl Called {
    pub(crate) fn is(mut self, class: EffectClass) -> Self {
        self.head.class = class;
        self
    }
    pub(crate) fn args(mut self, n: u8) -> Self {
        self.head.args = [n; 16];
        self
    }
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.head.key = Some(key.into());
        self
    }
    pub(crate) fn key_lives(mut self, secs: u64) -> Self {
        self.head.rules.key_ttl = Some(Span::from_secs(secs));
        self
    }
    pub(crate) fn asks(mut self) -> Self {
        self.head.rules.ask = true;
        self
    }
    pub(crate) fn seen_by(mut self, tool: &str) -> Self {
        self.head.rules.preview = Some(tool.into());
        self
    }

    pub(crate) fn asks_when_unknown(mut self) -> Self {
        self.head.rules.on_unknown = OnUnknown::Ask;
        self
    }
    pub(crate) fn attempts(mut self, n: u8) -> Self {
        self.head.rules.attempts = n;
        self
    }
    pub(crate) fn settles_in(mut self, secs: u64) -> Self {
        self.head.rules.settle = Span::from_secs(secs);
        self
    }
    /// It works in a box with that access to the workspace.
    pub(crate) fn in_box(mut self, workspace: Access) -> Self {
        self.head.class = EffectClass::Contained;
        self.head.rules.place = Some(Place { workspace, boxed: true });
        self
    }
    pub(crate) fn child(mut self, limits: Limits) -> Self {
        self.head.rules.child = Some(limits);
        self
    }
    pub(crate) fn grants(mut self, rule: GrantRule) -> Self {
        self.head.rules.grant = Some(Box::new(rule));
        self
    }
    pub(crate) fn invalid(mut self) -> Self {
        self.invalid = true;
        self
    }
}

/// A failed model attempt.
pub(crate) fn failure(code: Code, retry: Retry, charged: bool) -> ModelFailure {
    ModelFailure { code, detail: text("the provider's words"), retry, charged, spread: 0 }
}

impl Story {
    /// A run that is admitted at once.
    pub(crate) fn begin(config: RunConfig) -> Self {
        Self::of(config, Some(Admit::default()))
    }

    /// A run whose calls that gate decides.
    pub(crate) fn guarded(config: RunConfig, gate: &'static dyn Gate) -> Self {
        let mut story = Self::queued(config);
        story.gate = gate;
        story.does(Command::Admit(Admit::default()));
        story
    }

    /// Its calls are decided by that gate from now on.
    pub(crate) fn decided_by(mut self, gate: &'static dyn Gate) -> Self {
        self.gate = gate;
        self
    }

    pub(crate) fn queued(config: RunConfig) -> Self {
        Self::of(config, None)
    }

    pub(crate) fn of(config: RunConfig, admit: Option<Admit>) -> Self {
        Self::child_of(config, admit, None)
    }

    /// A run that works on somebody's behalf.
    pub(crate) fn on_behalf(config: RunConfig, behalf: Behalf) -> Self {
        Self::new(config, Some(Admit::default()), None, behalf)
    }

    /// A run whose parent has that mark.
    pub(crate) fn child_of(config: RunConfig, admit: Option<Admit>, restored: Option<RestoreMark>) -> Self {
        Self::new(config, admit, restored, Behalf::default())
    }

    fn new(config: RunConfig, admit: Option<Admit>, restored: Option<RestoreMark>, behalf: Behalf) -> Self {
        let base = admit.as_ref().and_then(|a| a.base.as_ref());
        let mut story = Self {
            state: None,
            records: Vec::new(),
            carry: base.map(|(_, c)| (**c).clone()).unwrap_or_default(),
            now: Timestamp(1_000_000_000),
            activation: 1,
            gate: &Ungated,
        };
        let new = NewRun {
            run: RunId(base.map_or(1, |(run, _)| run.0 + 1)),
            tenant: "t".into(),
            session: SessionId(1),
            agent: "a".into(),
            version: VersionId([0; 32]),
            parent: None,
            hops: 0,
            config,
            input: Payload::inline("do it", Source::User),
            admit,
            restored,
            behalf,
            label: None,
        };
        let decision = new.decide(story.inputs());
        story.write(decision);
        story
    }

    fn inputs(&self) -> Inputs<'static> {
        Inputs { now: self.now, activation: ActivationId(self.activation), gate: self.gate }
    }

    pub(crate) fn state(&self) -> &State {
        self.state.as_ref().unwrap()
    }

    /// A decision becomes a record; the journal alone must give its state.
    fn write(&mut self, decision: Decision) {
        if decision.facts.is_empty() {
            assert_eq!(self.state.as_ref(), Some(&*decision.state), "nothing happened, so nothing changes");
            return;
        }
        let header = Header {
            v: VERSION,
            run: decision.state.run,
            seq: self.records.len() as u64,
            at: decision.at,
            activation: ActivationId(self.activation),
            epoch: 1,
            tenant: "t".into(),
            actor: Actor::Runtime,
            salt: [0; 16],
            subject_key: None,
        };
        let record = Record { header, facts: decision.facts, payloads: decision.payloads };
        let encoded = record.encode(GENESIS);
        self.records.push(Record::decode(&encoded.bytes, GENESIS).unwrap().0);
        let folded = fold(&self.records, |_| self.carry.clone()).unwrap();
        assert_eq!(folded, *decision.state);
        assert_eq!(State::from_snapshot(&folded.to_snapshot()).unwrap(), folded);
        self.state = Some(folded);
    }

    // ------------------------------------------------------------------------------------- what happens

    /// A command, which may be refused.
    pub(crate) fn tries(&mut self, command: Command) -> Result<(), Refusal> {
        let decision = decide(self.state(), command, self.inputs())?;
        self.write(decision);
        Ok(())
    }

    pub(crate) fn does(&mut self, command: Command) {
        self.tries(command).unwrap();
    }

    /// The same by an activation that begins nothing.
    pub(crate) fn does_holding(&mut self, command: Command) {
        let decision = decide_holding(self.state(), command, self.inputs()).unwrap();
        self.write(decision);
    }

    /// A command under what the budgets above the run have left; gives what it moves in them.
    pub(crate) fn does_under(&mut self, command: Command, offer: Offer) -> Vec<Move> {
        let terms = Terms { hold: false, offer: Some(offer) };
        let decision = decide_under(self.state(), command, self.inputs(), terms).unwrap();
        let moved = moves(self.state().slice.as_ref(), &decision.facts);
        self.write(decision);
        moved
    }

    /// The model replies with these calls; without any, that is the answer.
    pub(crate) fn replies(&mut self, calls: impl IntoIterator<Item = Called>) {
        self.replies_using(10, calls);
    }

    pub(crate) fn replies_using(&mut self, tokens: u64, calls: impl IntoIterator<Item = Called>) {
        self.does(self.reply_using(tokens, calls));
    }

    /// The model gives an answer that does not fit, for that reason.
    pub(crate) fn answers_badly(&mut self, why: &'static str) {
        let Command::ModelReplied { turn, attempt, reply, usage, calls, .. } = self.reply([]) else { return };
        self.does(Command::ModelReplied { turn, attempt, reply, usage, calls, misfit: Some(text(why)) });
    }

    /// The reply itself, for when it comes too late.
    pub(crate) fn reply(&self, calls: impl IntoIterator<Item = Called>) -> Command {
        self.reply_using(10, calls)
    }

    pub(crate) fn reply_using(&self, tokens: u64, calls: impl IntoIterator<Item = Called>) -> Command {
        let calls = calls
            .into_iter()
            .map(|c| CallIn { head: c.head, invalid: c.invalid.then(|| (code::TOOL_UNKNOWN, text("no such tool"))) })
            .collect();
        let (turn, attempt) = self.asked_model();
        let usage = Usage { input: tokens, ..Usage::default() };
        Command::ModelReplied { turn, attempt, reply: text("reply"), usage, calls, misfit: None }
    }

    pub(crate) fn model_fails(&mut self, failure: ModelFailure) {
        let (turn, attempt) = self.asked_model();
        self.does(Command::ModelFailed { turn, attempt, failure });
    }

    fn answer(&self, effect: u32, outcome: Outcome<Payload>) -> Command {
        let attempt = self.state().call(effect).map_or(0, |c| c.attempt);
        Command::Outcome { effect, attempt, outcome, error: false, action: None }
    }

    pub(crate) fn returns(&mut self, effect: u32, t: &'static str) {
        self.does(self.answer(effect, Outcome::Returned(text(t))));
    }

    /// It returned, and has left this behind.
    pub(crate) fn acts(&mut self, effect: u32, action: Action) {
        let Command::Outcome { attempt, outcome, error, .. } = self.answer(effect, Outcome::Returned(text("done")))
        else {
            unreachable!("an answer is an outcome")
        };
        self.does(Command::Outcome { effect, attempt, outcome, error, action: Some(Box::new(action)) });
    }

    pub(crate) fn refuses(&mut self, effect: u32) {
        self.does(self.answer(effect, Outcome::Refused(text("refused"))));
    }

    pub(crate) fn not_sent(&mut self, effect: u32) {
        self.does(self.answer(effect, Outcome::NotSent(text("no connection"))));
    }

    pub(crate) fn unknown(&mut self, effect: u32) {
        self.does(self.answer(effect, Outcome::Unknown(text("500"))));
    }

    /// An answer of an attempt that may not be the present one.
    pub(crate) fn answers_late(&mut self, effect: u32, attempt: u8, outcome: Outcome<Payload>) -> Result<(), Refusal> {
        self.tries(Command::Outcome { effect, attempt, outcome, error: false, action: None })
    }

    /// The destination, asked just now, says so.
    pub(crate) fn reconciles(&mut self, effect: u32, answer: Reconciled<Payload>) {
        self.does(Command::Reconciled { effect, asked: self.now, answer });
    }

    pub(crate) fn child_ends(&mut self, effect: u32, ended: Ended, tokens: u64) -> Result<(), Refusal> {
        self.child_ends_using(effect, ended, Amounts { tokens, ..Amounts::default() })
    }

    /// The same, with all that the child has used.
    pub(crate) fn child_ends_using(&mut self, effect: u32, ended: Ended, used: Amounts) -> Result<(), Refusal> {
        let spent = Spend { tokens: used.tokens, usd: Some(MicroUsd(used.tokens)) };
        self.tries(Command::ChildFinished {
            effect,
            ended,
            content: text("done"),
            spent,
            boxes: BoxTotals { cpu: used.cpu, traffic: used.traffic, ..BoxTotals::default() },
            label: None,
            used: used.counted(),
        })
    }

    pub(crate) fn human_says(&mut self, effect: u32, approved: bool) -> Result<(), Refusal> {
        self.tries(Command::Approve { effect, approved, by: "ada".into(), note: None, signed: None })
    }

    /// A human with that role says yes.
    pub(crate) fn approves(&mut self, effect: u32, name: &str, role: &str) -> Result<(), Refusal> {
        let by = Person { name: name.into(), roles: vec![role.into()] };
        self.tries(Command::Approve { effect, approved: true, by, note: None, signed: None })
    }

    pub(crate) fn stops(&mut self, mode: StopMode, dispatched: &[u32]) {
        self.does(Command::Stop { mode, dispatched: dispatched.to_vec() });
    }

    /// The process ends; another loads the run and settles what was lost.
    pub(crate) fn crashes(&mut self) {
        self.crashes_silently();
        self.does(Command::Recover);
    }

    /// The process ends; another loads the run, and has done nothing yet.
    pub(crate) fn crashes_silently(&mut self) {
        self.activation += 1;
    }

    /// Time passes, unnoticed.
    pub(crate) fn passes(&mut self, secs: u64) {
        self.now = self.now.after(Span::from_secs(secs));
    }

    /// The wall clock is set back.
    pub(crate) fn clock_goes_back(&mut self, secs: i64) {
        self.now = Timestamp(self.now.0 - secs * 1_000_000);
    }

    /// Time passes, and the run looks.
    pub(crate) fn waits(&mut self, secs: u64) {
        self.passes(secs);
        self.does(Command::Tick);
    }

    // --------------------------------------------------------------------------------- how things stand

    pub(crate) fn asked_model(&self) -> (u32, u32) {
        match self.state().phase {
            Phase::Model { attempt, .. } => (self.state().turn, attempt),
            ref other => panic!("no model call is under way: {other:?}"),
        }
    }

    pub(crate) fn owed(&self) -> Vec<Debt> {
        owes(self.state(), ActivationId(self.activation), self.now).collect()
    }

    /// Effects that may be dispatched now.
    pub(crate) fn dispatchable(&self) -> Vec<u32> {
        let effects = self.owed().into_iter().filter_map(|d| match d {
            Debt::Dispatch { effect } => Some(effect),
            _ => None,
        });
        effects.collect()
    }

    /// Seconds until the run wants to be woken.
    pub(crate) fn wakes_in(&self) -> Option<f64> {
        wake_at(self.state(), self.now).map(|at| (at.0 - self.now.0) as f64 / 1e6)
    }

    pub(crate) fn is_asking(&self, effect: u32) -> bool {
        self.state().call(effect).is_some_and(|c| matches!(c.phase, CallPhase::Asking { .. }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn life(&self) -> Life {
        self.state().life
    }

    pub(crate) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.records.iter().flat_map(|r| &r.facts)
    }

    pub(crate) fn last_facts(&self) -> &[Fact] {
        &self.records.last().unwrap().facts
    }

    pub(crate) fn count(&self, like: impl Fn(&Fact) -> bool) -> usize {
        self.facts().filter(|f| like(f)).count()
    }

    pub(crate) fn intents(&self, effect: u32) -> usize {
        self.count(|f| matches!(f, Fact::EffectIntended(i) if i.effect == effect))
    }

    pub(crate) fn withdrawn(&self) -> Vec<u32> {
        let effects = self.facts().filter_map(|f| match f {
            Fact::EffectWithdrawn(e) => Some(e.effect),
            _ => None,
        });
        effects.collect()
    }

    /// Effects whose outcome nobody knows.
    pub(crate) fn unknown_effects(&self) -> Vec<u32> {
        self.state().unknown.iter().map(|u| u.effect).collect()
    }

    /// The conversation, an entry a line: `user`, `reply`, `1: text`, `note: text`.
    pub(crate) fn conversation(&self) -> Vec<String> {
        let line = |e: &stead_core::run::Entry| {
            let body = match &e.payload.body {
                Body::Inline(b) => String::from_utf8_lossy(b).into_owned(),
                other => format!("{other:?}"),
            };
            match e.kind {
                EntryKind::User => "user".into(),
                EntryKind::Reply => "reply".into(),
                EntryKind::Note => format!("note: {body}"),
                EntryKind::Rejected => format!("rejected: {body}"),
                EntryKind::Result { effect, error: false, .. } => format!("{effect}: {body}"),
                EntryKind::Result { effect, error: true, .. } => format!("{effect} failed: {body}"),
            }
        };
        self.state().transcript.iter().map(line).collect()
    }

    pub(crate) fn last_said(&self) -> String {
        self.conversation().pop().unwrap()
    }

    /// The session's next run.
    pub(crate) fn next_run(&self, config: RunConfig, grant: Limits) -> Self {
        let base = Some((self.state().run, Box::new(self.state().carry())));
        Self::of(config, Some(Admit { base, grant }))
    }
}
