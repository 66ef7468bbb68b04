//! The checks themselves: each is fed a forged history that breaks one promise, and must say so.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_core::{
    budget::{Limits, Spend, Usage},
    effect::{EffectClass, Outcome},
    fact::{
        ApprovalGiven, ApprovalRequested, AskReason, CallHead, CallRules, CancelRequested, EffectDecided,
        EffectIntended, EffectOutcome, EffectRef, Fact, ModelConfig, ModelRequested, Restored, RunConfig, StopMode,
        Verdict,
    },
    id::{ActivationId, EffectId, LeafHash, RunId, SessionId, TreeId, VersionId},
    record::{Actor, Header, Payload, Record, Source, VERSION},
    ruling::{Behalf, Ruled},
    run::{Admit, CallIn, CallPhase, Carry, Command, Decision, GENESIS, Inputs, NewRun, State, Ungated, decide},
    sandbox::{Action, TreeChange},
    time::{Span, Timestamp},
};
use stead_sim::check::{
    gate::{Rules, Said},
    journal::RunAudit,
    machine,
    world::{Ledger, ledger_is_true, never_repeated, one_key},
};

const RUN: RunId = RunId(1);

/// A journal in the making: honest records by the machine, forged ones by hand.
struct Forger {
    audit: RunAudit,
    state: State,
    leaf: LeafHash,
    activation: u64,
    epoch: u64,
    now: i64,
}

fn text(t: &'static str) -> Payload {
    Payload::inline(t, Source::Tool)
}

impl Forger {
    fn begin(limits: Limits) -> Self {
        let price = None;
        let new = NewRun {
            run: RUN,
            tenant: "t".into(),
            session: SessionId(1),
            agent: "a".into(),
            version: VersionId([0; 32]),
            parent: None,
            hops: 0,
            config: RunConfig {
                limits,
                models: vec![ModelConfig { name: "m".into(), max_output_tokens: 100, price }],
                model_attempts: 1,
                backoff: Span(1),
                backoff_max: Span(1),
                max_turns: 3,
                context_tokens: 1_000_000,
                approval_ttl: None,
                overhead_tokens: 0,
                repairs: None,
                plan: None,
                at_limit: stead_core::budget::AtLimit::Stop,
                max_open_asks: None,
                max_asks: None,
            },
            input: text("go"),
            restored: None,
            admit: Some(Admit::default()),
            behalf: Behalf::default(),
            label: None,
        };
        let decision = new.decide(Inputs { now: Timestamp(1_000), activation: ActivationId(1), gate: &Ungated });
        let mut forger = Self {
            audit: RunAudit::new(RUN),
            state: (*decision.state).clone(),
            leaf: GENESIS,
            activation: 1,
            epoch: 1,
            now: 1_000,
        };
        forger.keep(decision).unwrap();
        forger
    }

    fn header(&self, seq: u64) -> Header {
        Header {
            v: VERSION,
            run: RUN,
            seq,
            at: Timestamp(self.now),
            activation: ActivationId(self.activation),
            epoch: self.epoch,
            tenant: "t".into(),
            actor: Actor::Runtime,
            salt: [0; 16],
            subject_key: None,
        }
    }

    fn write(&mut self, record: &Record) -> Result<(), &'static str> {
        let encoded = record.encode(self.leaf);
        self.audit.observe(&encoded.bytes, encoded.leaf, |_| Carry::default()).map_err(|v| v.check)?;
        self.leaf = encoded.leaf;
        Ok(())
    }

    fn keep(&mut self, decision: Decision) -> Result<(), &'static str> {
        let seq = self.audit.state.as_ref().map_or(0, |s| s.next_seq);
        let header = Header { at: decision.at, ..self.header(seq) };
        self.write(&Record { header, facts: decision.facts, payloads: decision.payloads })?;
        self.state = *decision.state;
        Ok(())
    }

    /// What the machine decides.
    fn honest(&mut self, command: Command) {
        self.now += 1;
        let inputs = Inputs { now: Timestamp(self.now), activation: ActivationId(self.activation), gate: &Ungated };
        let decision = decide(&self.state, command, inputs).unwrap();
        self.keep(decision).unwrap();
    }

    /// Facts that the machine would not have decided; the check that notices.
    fn forged(&mut self, facts: Vec<Fact>) -> &'static str {
        self.now += 1;
        let header = self.header(self.state.next_seq);
        self.write(&Record { header, facts, payloads: vec![text("a forged text")] }).expect_err("it must be noticed")
    }

    fn replied(&mut self, calls: Vec<CallHead>) {
        let (turn, attempt) = (self.state.turn, self.state.attempt);
        let calls = calls.into_iter().map(|head| CallIn { head, invalid: None }).collect();
        let usage = Usage { input: 10, ..Usage::default() };
        self.honest(Command::ModelReplied { turn, attempt, reply: text("reply"), usage, calls, misfit: None });
    }

    fn returned(&mut self, effect: u32) {
        let outcome = Outcome::Returned(text("done"));
        self.honest(Command::Outcome { effect, attempt: 1, outcome, error: false, action: None });
    }
}

fn mail() -> CallHead {
    let rules = CallRules::default();
    let class = EffectClass::Irreversible;
    CallHead { effect: 0, tool: "mail".into(), class, args: [1; 16], schema: [0; 16], key: None, rules }
}

fn id(n: u32) -> EffectId {
    EffectId { run: RUN, n }
}

fn intended(effect: u32, activation: u64) -> Fact {
    Fact::EffectIntended(EffectIntended { effect, activation: ActivationId(activation), attempt: 2 })
}

/// A run whose mail has been returned, and a ledger in which it was done once.
fn one_mail() -> (Forger, Ledger) {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    forger.returned(1);
    let mut ledger = Ledger::default();
    let seen = ledger.of(id(1));
    (seen.arrived, seen.done) = (1, 1);
    seen.keys.insert(id(1).to_string().into());
    (forger, ledger)
}

#[test]
fn an_effect_done_twice_is_noticed() {
    let (forger, mut ledger) = one_mail();
    let audit = |_: EffectId| Some(&forger.audit);
    assert_eq!(never_repeated(&ledger, audit), Ok(()));
    ledger.of(id(1)).done = 2;
    assert_eq!(never_repeated(&ledger, audit).unwrap_err().check, "never repeated");
}

#[test]
fn an_effect_under_two_keys_is_noticed() {
    let (forger, mut ledger) = one_mail();
    let audit = |_: EffectId| Some(&forger.audit);
    assert_eq!(one_key(&ledger, audit), Ok(()));
    ledger.of(id(1)).keys.insert("another".into());
    assert_eq!(one_key(&ledger, audit).unwrap_err().check, "one key");
}

#[test]
fn an_effect_that_no_journal_knows_is_noticed() {
    let (forger, mut ledger) = one_mail();
    ledger.of(id(7)).arrived = 1;
    assert_eq!(never_repeated(&ledger, |_| Some(&forger.audit)).unwrap_err().check, "intent before effect");
}

#[test]
fn an_effect_that_the_journal_calls_done_and_nobody_did_is_noticed() {
    let (forger, mut ledger) = one_mail();
    assert_eq!(ledger_is_true(&ledger, [&forger.audit].into_iter()), Ok(()));
    ledger.of(id(1)).done = 0;
    assert_eq!(ledger_is_true(&ledger, [&forger.audit].into_iter()).unwrap_err().check, "the ledger is true");
}

#[test]
fn an_effect_done_and_called_withdrawn_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    forger.honest(Command::Stop { mode: StopMode::Cancel, dispatched: vec![] });
    let mut ledger = Ledger::default();
    assert_eq!(ledger_is_true(&ledger, [&forger.audit].into_iter()), Ok(()));
    ledger.of(id(1)).done = 1;
    assert_eq!(ledger_is_true(&ledger, [&forger.audit].into_iter()).unwrap_err().check, "the ledger is true");
}

#[test]
fn an_intent_after_an_unknown_outcome_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail(), CallHead { args: [2; 16], ..mail() }]);
    forger.activation = 2;
    forger.honest(Command::Recover);
    assert_eq!(forger.forged(vec![intended(1, 2)]), "repeated only by the rule of its class");
}

#[test]
fn an_intent_while_an_attempt_is_open_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    assert_eq!(forger.forged(vec![intended(1, 1)]), "repeated only by the rule of its class");
}

#[test]
fn an_intent_in_anothers_name_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    assert_eq!(forger.forged(vec![intended(1, 9)]), "an intent names its writer");
}

#[test]
fn a_second_end_of_an_effect_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail(), CallHead { args: [2; 16], ..mail() }]);
    forger.returned(1);
    let again = Fact::EffectRefused(EffectOutcome { effect: 1, payload: 0, late: false, error: true, action: None });
    assert_eq!(forger.forged(vec![again]), "an effect ends once");
}

#[test]
fn a_tree_that_does_not_follow_or_comes_with_no_result_is_noticed() {
    let change = |before| TreeChange { before, after: TreeId([9; 32]), added: 1, changed: 0, removed: 0, bytes: 1 };
    let left = |before| Some(Box::new(Action { workspace: Some(change(before)), sandbox: None }));
    let outcome = |action| EffectOutcome { effect: 1, payload: 0, late: false, error: false, action };
    for (fact, check) in [
        (Fact::EffectReturned(outcome(left(Some(TreeId([1; 32]))))), "writers follow each other"),
        (Fact::EffectRefused(outcome(left(None))), "only what returned has written"),
    ] {
        let mut forger = Forger::begin(Limits::default());
        forger.replied(vec![mail(), CallHead { args: [2; 16], ..mail() }]);
        assert_eq!(forger.forged(vec![fact]), check);
    }
}

#[test]
fn a_withdrawal_of_what_may_have_happened_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    let keyed = CallHead { class: EffectClass::Keyed, ..mail() };
    forger.replied(vec![keyed]);
    forger.activation = 2;
    forger.honest(Command::Recover);
    assert_eq!(forger.forged(vec![Fact::EffectWithdrawn(EffectRef { effect: 1 })]), "the ledger is true");
}

#[test]
fn a_new_start_after_a_stop_is_noticed() {
    let stop = Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit: None, blocked: None });
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    let request = ModelRequested { turn: 2, attempt: 1, model: 0, reserved: Spend::ZERO, ruled: None, planning: None };
    assert_eq!(forger.forged(vec![stop, Fact::ModelRequested(request)]), "nothing new after a stop");
}

#[test]
fn an_intent_that_a_stop_leaves_open_is_noticed_unless_it_was_owed_before() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    let before = forger.state.clone();
    let mut after = before.clone();
    after.stop = Some(stead_core::run::Stop { mode: StopMode::Cancel, limit: None });
    assert_eq!(machine::gate_stays_closed(&before, &after), Ok(()));
    let mut closed = before;
    closed.calls[0].phase = stead_core::run::CallPhase::Open;
    assert_eq!(machine::gate_stays_closed(&closed, &after).unwrap_err().check, "the gate stays closed");
}

#[test]
fn a_start_while_paused_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    forger.honest(Command::Pause);
    let request = ModelRequested { turn: 2, attempt: 1, model: 0, reserved: Spend::ZERO, ruled: None, planning: None };
    assert_eq!(forger.forged(vec![Fact::ModelRequested(request)]), "nothing new while paused");
}

#[test]
fn a_crossed_limit_is_noticed() {
    let mut forger = Forger::begin(Limits { tokens: Some(500), ..Limits::default() });
    forger.replied(vec![mail()]);
    let reserved = Spend { tokens: 5_000, usd: None };
    let request =
        Fact::ModelRequested(ModelRequested { turn: 2, attempt: 1, model: 0, reserved, ruled: None, planning: None });
    assert_eq!(forger.forged(vec![request]), "limits hold");
}

#[test]
fn a_zombies_record_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    (forger.epoch, forger.activation) = (2, 2);
    forger.honest(Command::Recover);
    forger.epoch = 1;
    assert_eq!(forger.forged(vec![Fact::Paused]), "a replaced owner writes nothing");

    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail()]);
    (forger.epoch, forger.activation) = (2, 2);
    forger.honest(Command::Recover);
    (forger.epoch, forger.activation) = (2, 1);
    assert_eq!(forger.forged(vec![Fact::Paused]), "a replaced owner writes nothing");
}

#[test]
fn time_that_runs_backwards_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.now = 10;
    assert_eq!(forger.forged(vec![Fact::Paused]), "time never decreases");
}

#[test]
fn a_gap_a_changed_byte_and_a_record_after_the_end_are_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.state.next_seq += 1;
    assert_eq!(forger.forged(vec![Fact::Paused]), "positions have no gaps");

    let mut forger = Forger::begin(Limits::default());
    let record = Record { header: forger.header(1), facts: vec![Fact::Paused], payloads: vec![] };
    let leaf = record.encode(LeafHash([9; 32])).leaf;
    let bytes = record.encode(forger.leaf).bytes;
    let found = forger.audit.observe(&bytes, leaf, |_| Carry::default()).unwrap_err();
    assert_eq!(found.check, "records round-trip and chain");

    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![]);
    assert_eq!(forger.forged(vec![Fact::Paused]), "nothing after the end");
}

#[test]
fn a_run_that_sleeps_for_ever_is_noticed() {
    let forger = Forger::begin(Limits::default());
    let mut state = forger.state.clone();
    assert_eq!(machine::waits_for_something(&state), Ok(()));
    state.phase = stead_core::run::Phase::Tools;
    assert_eq!(machine::waits_for_something(&state).unwrap_err().check, "a live run waits for something");
}

#[test]
fn a_missing_or_misplaced_result_is_noticed() {
    let mut forger = Forger::begin(Limits::default());
    forger.replied(vec![mail(), CallHead { args: [2; 16], ..mail() }]);
    forger.returned(2);
    forger.returned(1);
    let check = |turns: &[Vec<u32>]| machine::one_result_per_call(&forger.state, 0, turns);
    assert_eq!(check(&[vec![1, 2]]), Ok(()));
    for wrong in [vec![vec![2, 1]], vec![vec![1]], vec![vec![1, 2, 3]], vec![], vec![vec![1, 2], vec![]]] {
        assert_eq!(check(&wrong).unwrap_err().check, "one result per call, in order", "{wrong:?}");
    }
}

#[test]
fn a_reservation_that_is_not_given_back_is_noticed() {
    let mut state = Forger::begin(Limits::default()).state;
    assert_eq!(machine::reserved_adds_up(&state), Ok(()));
    state.budget.reserved.tokens += 1;
    assert_eq!(machine::reserved_adds_up(&state).unwrap_err().check, "what is reserved adds up");
    state.view_tokens += 1;
    assert_eq!(machine::view_adds_up(&state).unwrap_err().check, "the view adds up");
}

/// A restore as the machine decides it: the run is marked and waits for an operator.
fn restored() -> Forger {
    let mut forger = Forger::begin(Limits::default());
    forger.activation = 2;
    forger.honest(Command::Restore { generation: 2, taken: Timestamp(1_000) });
    forger
}

#[test]
fn a_restored_run_that_goes_on_by_itself_is_noticed() {
    assert!(restored().state.paused);
    let mut forger = Forger::begin(Limits::default());
    let mark = Restored { generation: 2, taken: Timestamp(1_000) };
    assert_eq!(forger.forged(vec![Fact::Restored(mark)]), "a restored run is paused");
}

#[test]
fn a_keyed_effect_that_the_lost_life_may_have_done_under_another_key_is_noticed() {
    let mut forger = restored();
    forger.honest(Command::Recover);
    forger.honest(Command::Resume);
    forger.honest(Command::Tick);
    forger.replied(vec![CallHead { class: EffectClass::Keyed, ..mail() }]);
    assert!(matches!(forger.state.calls[0].phase, CallPhase::Asking { .. }), "{:?}", forger.state.calls);
    let unasked = Fact::ApprovalExpired(EffectRef { effect: 1 });
    assert_eq!(forger.forged(vec![unasked, intended(1, 2)]), "repeated only by the rule of its class");
}

fn decided(effect: u32, verdict: Verdict, epoch: u64) -> Fact {
    let ruled = Some(Box::new(Ruled { epoch, by: vec!["granted".into()], why: None }));
    let (code, payload, rewritten, plan) = (None, None, None, None);
    Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan })
}

/// A run whose call nobody has decided about: it was paused while its model thought.
fn undecided() -> Forger {
    let mut forger = Forger::begin(Limits::default());
    forger.honest(Command::Pause);
    forger.replied(vec![mail()]);
    forger
}

fn begun() -> Fact {
    Fact::EffectIntended(EffectIntended { effect: 1, activation: ActivationId(1), attempt: 1 })
}

#[test]
fn an_intent_that_no_policy_in_force_allows_is_noticed() {
    const CHECK: &str = "nothing begins but by the policies in force";
    assert_eq!(undecided().forged(vec![Fact::Resumed, begun()]), CHECK, "nobody was asked");
    let mut forger = undecided();
    forger.audit.gated.in_force = Some(7);
    assert_eq!(forger.forged(vec![Fact::Resumed, decided(1, Verdict::Allow, 6), begun()]), CHECK, "others were asked");
    let mut forger = undecided();
    assert_eq!(forger.forged(vec![decided(1, Verdict::Allow, 7), Fact::Resumed, begun()]), CHECK, "before a pause");
    // A yes opens nothing by itself, whoever asked.
    let asked = Fact::ApprovalRequested(ApprovalRequested {
        effect: 1,
        reason: AskReason::Manifest,
        expires: None,
        asked: None,
        raise: None,
        signing: None,
    });
    let yes = approved("ann", "finance");
    let mut forger = undecided();
    forger.audit.gated.in_force = Some(7);
    let again = decided(1, Verdict::Ask, 7);
    let check = forger.forged(vec![Fact::Resumed, again, asked, yes, begun()]);
    assert_eq!(check, "repeated only by the rule of its class", "it is still asked about");
}

fn approved(name: &str, role: &str) -> Fact {
    let (by, roles) = (name.into(), vec![role.into()]);
    Fact::ApprovalGiven(ApprovalGiven { effect: 1, approved: true, by, note: None, roles, later: None, signed: None })
}

#[test]
fn a_call_that_is_let_go_without_its_people_is_noticed() {
    const CHECK: &str = "only what policies allow is let go";
    let head = CallHead { effect: 1, ..mail() };
    let said = |wanted: Said| {
        let rules = Rules { seed: 1, strict: 1_000 };
        (rules, (0..1_000).find(|epoch| rules.say(*epoch, &head) == wanted).unwrap())
    };
    let asked = Fact::ApprovalRequested(ApprovalRequested {
        effect: 1,
        reason: AskReason::Policy,
        expires: None,
        asked: None,
        raise: None,
        signing: None,
    });
    let (rules, epoch) = said(Said::Deny);
    let mut forger = undecided();
    forger.audit.gated.rules = Some(rules);
    assert_eq!(forger.forged(vec![decided(1, Verdict::Allow, epoch)]), CHECK);
    let (rules, epoch) = said(Said::Ask(2));
    for second in [approved("bob", "support"), asked.clone()] {
        let mut forger = undecided();
        forger.audit.gated.rules = Some(rules);
        let facts = vec![
            decided(1, Verdict::Ask, epoch),
            asked.clone(),
            approved("ann", "finance"),
            second,
            approved("cem", "support"),
            decided(1, Verdict::Allow, epoch),
        ];
        assert_eq!(forger.forged(facts), CHECK);
    }
}
