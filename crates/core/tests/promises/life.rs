//! A run driven by hand: each decision becomes a record, the records are encoded, decoded and folded, and the fold
//! must be the state that the decision gave.

use stead_core::{
    budget::{Limits, Spend, Usage},
    effect::{EffectClass, Outcome},
    fact::{CallHead, CallRules, Fact, ModelConfig, RunConfig},
    id::{ActivationId, LeafHash, RunId, SessionId, VersionId},
    record::{Actor, Header, Payload, Record, Source, VERSION},
    run::{Admit, CallIn, Carry, Command, Debt, Decision, Inputs, NewRun, Phase, Refusal, State, decide, fold, owes},
    time::{Span, Timestamp},
};

/// A run, its journal, and the world's clock.
pub(crate) struct Life {
    pub(crate) state: State,
    records: Vec<Record>,
    carry: Carry,
    inputs: Inputs,
}

/// An agent without limits.
pub(crate) fn agent() -> RunConfig {
    RunConfig {
        limits: Limits::default(),
        models: vec![ModelConfig { name: "rehearsal".into(), max_output_tokens: 500, price: None }],
        model_attempts: 3,
        backoff: Span::from_millis(100),
        backoff_max: Span::from_secs(10),
        max_turns: 1_000,
        context_tokens: 1_000_000,
        approval_ttl: None,
        overhead_tokens: 10,
    }
}

/// A text that nobody reads.
pub(crate) fn text(t: &'static str) -> Payload {
    Payload::inline(t, Source::Tool)
}

/// A call of a tool of that class, always with the same arguments.
pub(crate) fn call(class: EffectClass, rules: CallRules) -> CallIn {
    let tool = format!("tool-{class:?}").into();
    CallIn {
        head: CallHead { effect: 0, tool, class, args: [1; 16], schema: [2; 16], key: None, rules },
        invalid: None,
    }
}

/// The model's reply to what is asked now.
pub(crate) fn reply(life: &Life, calls: Vec<CallIn>) -> Command {
    let (turn, attempt) = life.asked();
    let usage = Usage { input: 10, cached: 0, output: 10, reasoning: 0 };
    Command::ModelReplied { turn, attempt, reply: text("{}"), usage, calls }
}

impl Life {
    /// A run that is admitted at once.
    pub(crate) fn begin(config: RunConfig, admit: Option<Admit>) -> Self {
        let admit = admit.unwrap_or_default();
        let carry = admit.base.as_ref().map(|(_, carry)| (**carry).clone()).unwrap_or_default();
        let run = RunId(if admit.base.is_some() { 2 } else { 1 });
        let new = NewRun {
            run,
            tenant: "default".into(),
            session: SessionId(1),
            agent: "a".into(),
            version: VersionId([0; 32]),
            parent: None,
            hops: 0,
            config,
            input: Payload::inline("go", Source::User),
            admit: Some(admit),
        };
        let inputs = Inputs { now: Timestamp(1_000_000), activation: ActivationId(1) };
        let decision = new.decide(inputs);
        let mut life = Self { state: decision.state.clone(), records: vec![], carry, inputs };
        life.keep(decision);
        life
    }

    /// Decides a command that must be accepted.
    pub(crate) fn does(&mut self, command: Command) {
        self.tries(command).unwrap();
    }

    /// Decides a command; a refusal changes nothing.
    pub(crate) fn tries(&mut self, command: Command) -> Result<(), Refusal> {
        self.inputs.now = self.inputs.now.after(Span(1));
        let decision = decide(&self.state, command, self.inputs)?;
        self.keep(decision);
        Ok(())
    }

    /// Makes a decision durable, and checks that the journal alone gives its state.
    fn keep(&mut self, decision: Decision) {
        self.state = decision.state;
        if decision.facts.is_empty() {
            return;
        }
        let header = Header {
            v: VERSION,
            run: self.state.run,
            seq: self.records.len() as u64,
            at: decision.at,
            activation: self.inputs.activation,
            epoch: 1,
            tenant: self.state.tenant.clone(),
            actor: Actor::Runtime,
            salt: [0; 16],
            subject_key: None,
        };
        let record = Record { header, facts: decision.facts, payloads: decision.payloads };
        let encoded = record.encode(LeafHash([0; 32]));
        let (read, leaf) = Record::decode(&encoded.bytes, LeafHash([0; 32])).unwrap();
        assert_eq!((&read, leaf), (&record, encoded.leaf));
        self.records.push(read);
        let folded = fold(&self.records, |_| self.carry.clone()).unwrap();
        assert_eq!(folded, self.state, "after {:?}", self.records.last().map(|r| &r.facts));
    }

    /// The model answers what is asked with these calls.
    pub(crate) fn replied(&mut self, calls: Vec<CallIn>) {
        let reply = reply(self, calls);
        self.does(reply);
    }

    /// The model answers, having used so many tokens.
    pub(crate) fn replied_using(&mut self, tokens: u64, calls: Vec<CallIn>) {
        let (turn, attempt) = self.asked();
        let usage = Usage { input: tokens, cached: 0, output: 0, reasoning: 0 };
        self.does(Command::ModelReplied { turn, attempt, reply: text("{}"), usage, calls });
    }

    /// The last attempt at an effect comes back.
    pub(crate) fn outcome(&mut self, effect: u32, outcome: Outcome<Payload>) {
        let attempt = self.state.calls.iter().find(|c| c.head.effect == effect).unwrap().attempt;
        self.does(Command::Outcome { effect, attempt, outcome, error: false });
    }

    /// Turn and attempt of the model call under way.
    fn asked(&self) -> (u32, u32) {
        match self.state.phase {
            Phase::Model { attempt, .. } => (self.state.turn, attempt),
            ref other => panic!("no model call is under way: {other:?}"),
        }
    }

    /// What is set aside for the model call under way.
    pub(crate) fn reserved(&self) -> Spend {
        match self.state.phase {
            Phase::Model { reserved, .. } => reserved,
            ref other => panic!("no model call is under way: {other:?}"),
        }
    }

    /// Time passes.
    pub(crate) fn later(&mut self, span: Span) {
        self.inputs.now = self.inputs.now.after(span);
    }

    /// The process ends; another loads the run.
    pub(crate) fn crash(&mut self) {
        self.inputs.activation.0 += 1;
    }

    /// What is owed now.
    pub(crate) fn owed(&self) -> Vec<Debt> {
        owes(&self.state, self.inputs.activation, self.inputs.now).collect()
    }

    /// How many facts are like that.
    pub(crate) fn count(&self, like: impl Fn(&Fact) -> bool) -> usize {
        self.records.iter().flat_map(|r| &r.facts).filter(|f| like(f)).count()
    }
}
