//! The machine against the promises of `docs/promises.md`, one straight history each. The simulator tries what nobody
//! thought of; here stands what each promise says, as small as it can be said.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "promises/life.rs"]
mod life;

use life::{Life, agent, call, reply, text};
use stead_core::{
    budget::{Limits, Spend},
    code,
    effect::{EffectClass, OnUnknown, Outcome, Recovery},
    fact::{CallRules, Fact, StopMode},
    run::{self, Admit, Carry, Command, Debt, Refusal, Retry},
    time::Span,
};

/// A life in which one effect of that class has its intent, and has been sent or not: nobody will ever say.
fn crashed(class: EffectClass, rules: CallRules) -> Life {
    let mut life = Life::begin(agent(), None);
    life.replied(vec![call(class, rules)]);
    assert_eq!(life.owed(), [Debt::Dispatch { effect: 1 }]);
    life.crash();
    life
}

fn rules() -> CallRules {
    CallRules::default()
}

#[test]
fn no_irreversible_or_compensable_effect_is_dispatched_again_after_a_crash() {
    for class in [EffectClass::Irreversible, EffectClass::Compensable] {
        for on_unknown in [OnUnknown::Tell, OnUnknown::Ask] {
            let mut life = crashed(class, CallRules { on_unknown, ..rules() });
            assert_eq!(life.owed(), [Debt::Recover { effect: Some(1), rule: Recovery::Surface }], "{class:?}");
            life.does(Command::Recover);
            for _ in 0..10 {
                assert!(!life.owed().contains(&Debt::Dispatch { effect: 1 }), "{class:?} {on_unknown:?}");
                life.later(Span::from_secs(3_600));
                life.crash();
                life.does(Command::Recover);
            }
            assert_eq!(life.count(|f| matches!(f, Fact::EffectIntended(_))), 1);
        }
    }
}

#[test]
fn an_equal_call_needs_a_human_while_an_outcome_is_unknown() {
    let mut life = crashed(EffectClass::Irreversible, rules());
    life.does(Command::Recover);
    life.replied(vec![call(EffectClass::Irreversible, rules())]);
    assert_eq!(life.owed(), []);
    assert_eq!(life.count(|f| matches!(f, Fact::ApprovalRequested(_))), 1);
    assert_eq!(life.count(|f| matches!(f, Fact::EffectIntended(_))), 1);
}

#[test]
fn a_keyed_effect_is_repeated_as_the_same_effect_and_only_while_its_key_lives() {
    let ttl = Span::from_secs(60);
    let mut life = crashed(EffectClass::Keyed, CallRules { key_ttl: Some(ttl), ..rules() });
    life.does(Command::Recover);
    assert_eq!(life.owed(), [Debt::Dispatch { effect: 1 }]);
    assert_eq!(life.state.calls.len(), 1);

    let mut life = crashed(EffectClass::Keyed, CallRules { key_ttl: Some(ttl), ..rules() });
    life.later(ttl);
    life.does(Command::Recover);
    assert!(!life.owed().contains(&Debt::Dispatch { effect: 1 }));
}

#[test]
fn a_key_with_other_arguments_is_refused() {
    let mut life = Life::begin(agent(), None);
    let keyed = |args: u8| {
        let mut call = call(EffectClass::Keyed, rules());
        call.head.key = Some("order-1042".into());
        call.head.args = [args; 16];
        call
    };
    life.replied(vec![keyed(1)]);
    life.outcome(1, Outcome::Returned(text("refunded")));
    life.replied(vec![keyed(2)]);
    assert_eq!(life.count(|f| matches!(f, Fact::EffectIntended(_))), 1);
    assert_eq!(life.count(|f| matches!(f, Fact::EffectDecided(d) if d.code == Some(code::KEY_REUSED))), 1);
}

#[test]
fn only_the_activation_that_intended_an_effect_may_dispatch_it() {
    for class in [EffectClass::Contained, EffectClass::Keyed, EffectClass::Reconcilable, EffectClass::Irreversible] {
        let life = crashed(class, rules());
        assert_eq!(life.owed(), [Debt::Recover { effect: Some(1), rule: class.recovery() }]);
    }
}

#[test]
fn folding_the_journal_gives_the_state_that_served() {
    // `Life` folds its encoded journal after each step and compares; here the steps are as different as they come.
    let mut first = Life::begin(agent(), None);
    first.replied(vec![call(EffectClass::Irreversible, rules()), call(EffectClass::Pure, rules())]);
    first.outcome(2, Outcome::Returned(text("42")));
    first.crash();
    first.does(Command::Recover);
    first.does(reply(&first, vec![]));
    assert!(first.state.life.ended());

    let carry = Carry {
        transcript: first.state.transcript.clone(),
        clear_before: first.state.clear_before,
        unknown: first.state.unknown.clone(),
        keys: first.state.keys.clone(),
    };
    assert!(!carry.unknown.is_empty());
    let mut life =
        Life::begin(agent(), Some(Admit { base: Some((first.state.run, Box::new(carry))), ..Admit::default() }));
    life.does(Command::ModelFailed {
        turn: 1,
        attempt: 1,
        failure: run::ModelFailure {
            code: code::MODEL_BUSY,
            detail: text("429"),
            retry: Retry::After(Some(Span::from_secs(5))),
            charged: true,
        },
    });
    life.does(Command::Pause);
    life.later(Span::from_secs(10));
    life.does(Command::Resume);
    life.does(Command::Tick);
    life.replied(vec![
        call(EffectClass::Keyed, CallRules { ask: true, ..rules() }),
        call(EffectClass::Reconcilable, rules()),
    ]);
    life.does(Command::Approve { effect: 1, approved: true, by: "user:grace".into(), note: Some("fine".into()) });
    life.outcome(1, Outcome::NotSent(text("no connection")));
    life.later(Span::from_secs(60));
    life.does(Command::Tick);
    life.outcome(1, Outcome::Refused(text("closed")));
    life.outcome(2, Outcome::Unknown(text("500")));
    life.does(Command::Stop { mode: StopMode::Kill, dispatched: vec![2] });
    assert!(life.state.life.ended());
}

#[test]
fn after_a_stop_is_acknowledged_nothing_new_starts() {
    let asks = CallRules { ask: true, ..rules() };
    let classes = [EffectClass::Keyed, EffectClass::Irreversible, EffectClass::Reconcilable, EffectClass::Contained];
    for mode in [StopMode::Cancel, StopMode::Kill] {
        for dispatched in [vec![], vec![1], vec![2, 3]] {
            let mut life = Life::begin(agent(), None);
            let mut calls: Vec<_> = classes.iter().map(|class| call(*class, rules())).collect();
            calls.push(call(EffectClass::Pure, rules()));
            calls.push(call(EffectClass::Irreversible, asks.clone()));
            life.replied(calls);
            life.does(Command::Stop { mode, dispatched: dispatched.clone() });
            for _ in 0..5 {
                for debt in life.owed() {
                    let allowed = match &debt {
                        Debt::Dispatch { effect } => dispatched.contains(effect),
                        Debt::Recover { .. } | Debt::Reconcile { .. } => true,
                        _ => false,
                    };
                    assert!(allowed, "{mode:?} {dispatched:?}: {debt:?}");
                }
                let late = Command::Approve { effect: 6, approved: true, by: "user:ada".into(), note: None };
                assert!(life.tries(late).is_err(), "a yes after the stop opens nothing");
                life.later(Span::from_secs(60));
                life.does(Command::Tick);
                life.crash();
                life.does(Command::Recover);
            }
            let intents = classes.len();
            assert_eq!(life.count(|f| matches!(f, Fact::EffectIntended(_))), intents);
            assert_eq!(life.count(|f| matches!(f, Fact::ModelRequested(_))), 1);
        }
    }
}

#[test]
fn a_stop_while_the_model_thinks_lets_no_call_of_its_reply_through() {
    let mut life = Life::begin(agent(), None);
    let reply = reply(&life, vec![call(EffectClass::Pure, rules())]);
    life.does(Command::Stop { mode: StopMode::Cancel, dispatched: vec![] });
    assert!(matches!(life.tries(reply), Err(Refusal::Stale | Refusal::Ended)));
    assert_eq!(life.owed(), []);
    assert!(life.state.life.ended());
}

#[test]
fn a_looping_agent_stops_before_the_call_that_would_cross_its_budget() {
    let limit = 20_000;
    let mut config = agent();
    config.limits = Limits { tokens: Some(limit), ..Limits::default() };
    let mut life = Life::begin(config, None);
    for turn in 1..1_000 {
        let reserved = life.reserved();
        assert!(life.state.budget.spent.tokens + reserved.tokens <= limit);
        // As hungry as it was allowed to be.
        life.replied_using(reserved.tokens, vec![call(EffectClass::Pure, rules())]);
        life.outcome(turn, Outcome::Returned(text("again")));
        if life.state.life.ended() {
            break;
        }
    }
    assert_eq!(life.state.life, run::Life::Failed(code::BUDGET));
    let spent = life.state.budget.spent;
    assert!(spent.tokens <= limit && spent.tokens > 0, "{spent:?}");
    assert_ne!(spent, Spend::ZERO);
}
