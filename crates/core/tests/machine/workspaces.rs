//! The workspace of a session, and what boxes use: who writes follows who wrote, outcome and tree are one fact, and a budget that is
//! spent lets no further box start.

use stead_core::{
    budget::{Limit, Limits},
    code,
    effect::Outcome,
    fact::{Fact, StopMode},
    id::TreeId,
    run::{Command, Debt, Life},
    sandbox::{Access, Action, BoxLimits, BoxUse, Tier, Traffic, TreeChange},
    time::Span,
};

use crate::story::{Story, agent, call, limited, text};

fn tree(n: u8) -> TreeId {
    TreeId([n; 32])
}

/// What an action leaves that made a tree of another.
fn wrote(before: Option<u8>, after: u8) -> Action {
    let change =
        TreeChange { before: before.map(tree), after: tree(after), added: 1, changed: 0, removed: 0, bytes: 9 };
    Action { workspace: Some(change), sandbox: None }
}

fn used(cpu: u64, bytes: u64) -> Action {
    let traffic = Some(Traffic { sent: bytes, ..Traffic::default() });
    let sandbox = BoxUse {
        tier: Tier::Namespace,
        held: vec![],
        not_held: vec![],
        cpu: Some(Span::from_secs(cpu)),
        memory_peak: Some(100 + cpu),
        wall: Span::from_secs(99),
        traffic,
        evidence: vec![],
        begun: None,
    };
    Action { workspace: None, sandbox: Some(sandbox) }
}

#[test]
fn writers_of_one_reply_follow_each_other_and_who_comes_after_one_sees_its_tree() {
    let mut story = Story::begin(agent());
    let (write, read) = (call("shell").in_box(Access::Write), call("look").in_box(Access::Read));
    story.replies([read.clone(), write.clone(), write.clone(), read, call("clock")]);
    // The reader before all writers, the first writer, and what has nothing to do with the workspace.
    assert_eq!(story.dispatchable(), [1, 2, 5]);
    story.acts(2, wrote(None, 1));
    assert_eq!(story.dispatchable(), [1, 3, 5]);
    assert_eq!(story.state().tree, Some(tree(1)));
    story.acts(3, wrote(Some(1), 2));
    assert_eq!(story.dispatchable(), [1, 4, 5]);
    assert_eq!(story.state().tree, Some(tree(2)));
}

#[test]
fn a_pure_reader_waits_for_the_writer_before_it() {
    let mut story = Story::begin(agent());
    let mut look = call("files_read").in_box(Access::Read);
    look = look.is(stead_core::effect::EffectClass::Pure);
    story.replies([call("shell").in_box(Access::Write), look]);
    assert_eq!(story.dispatchable(), [1]);
    story.crashes();
    assert_eq!(story.dispatchable(), [1], "after a crash too");
    story.acts(1, wrote(None, 1));
    assert_eq!(story.dispatchable(), [2]);
}

#[test]
fn a_writer_that_a_human_is_asked_about_holds_those_behind_it() {
    let mut story = Story::begin(agent());
    story.replies([call("shell").in_box(Access::Write).asks(), call("shell").in_box(Access::Write)]);
    assert_eq!(story.dispatchable(), Vec::<u32>::new());
    assert!(!story.state().working(), "what waits for a human behind another is no work");
    story.human_says(1, false).expect("is asked");
    assert_eq!(story.dispatchable(), [2]);
}

#[test]
fn what_failed_is_unknown_or_late_keeps_the_tree() {
    let mut story = Story::begin(agent());
    let write = call("shell").in_box(Access::Write).attempts(1);
    story.replies([write.clone()]);
    story.acts(1, wrote(None, 1));
    story.replies([write.clone()]);
    let refused = Outcome::Refused(text("no"));
    let action = Some(Box::new(Action { sandbox: used(1, 0).sandbox, ..wrote(Some(1), 2) }));
    story.does(Command::Outcome { effect: 2, attempt: 1, outcome: refused, error: true, action });
    assert_eq!(story.state().tree, Some(tree(1)));
    assert_eq!(story.state().budget.boxes.cpu, Span::from_secs(1), "and yet what it used is settled");
    // One that started at another tree than the run is at: nobody's rule lets that happen, and it is not taken.
    story.replies([write.clone()]);
    story.acts(3, wrote(Some(9), 3));
    assert_eq!(story.state().tree, Some(tree(1)));
    // A late answer of an effect that was settled as unknown.
    story.replies([call("deploy").in_box(Access::Write).is(stead_core::effect::EffectClass::Irreversible).attempts(1)]);
    story.unknown(4);
    let late = Outcome::Returned(text("done after all"));
    let action = Some(Box::new(wrote(Some(1), 4)));
    story.does(Command::Outcome { effect: 4, attempt: 1, outcome: late, error: false, action });
    assert_eq!(story.state().tree, Some(tree(1)));
}

#[test]
fn outcome_and_tree_are_one_fact_and_a_crash_before_it_runs_the_action_again_at_the_old_tree() {
    let mut story = Story::begin(agent());
    story.replies([call("shell").in_box(Access::Write)]);
    story.crashes();
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
    assert_eq!(story.state().tree, None);
    story.acts(1, wrote(None, 1));
    let told =
        story.facts().filter(|f| matches!(f, Fact::EffectReturned(f) if f.action == Some(Box::new(wrote(None, 1)))));
    assert_eq!(told.count(), 1);
    story.crashes();
    assert_eq!(story.state().tree, Some(tree(1)));
    assert_eq!(story.state().carry().tree, Some(tree(1)), "the session's next run starts there");
}

#[test]
fn boxes_that_have_used_the_budget_up_stop_the_run_before_the_next_one() {
    for (limits, limit) in [
        (Limits { cpu: Some(Span::from_secs(5)), ..Limits::default() }, Limit::Cpu),
        (Limits { traffic: Some(50), ..Limits::default() }, Limit::Traffic),
    ] {
        let mut story = Story::begin(limited(limits));
        story.replies([call("shell").in_box(Access::Write)]);
        story.acts(1, used(4, 40));
        story.replies([call("shell").in_box(Access::Write)]);
        story.acts(2, used(4, 40));
        assert_eq!(story.state().budget.boxes.memory_peak, 104);
        // What needs no box goes on.
        story.replies([call("clock")]);
        story.returns(3, "noon");
        story.replies([call("shell").in_box(Access::Write)]);
        assert_eq!(story.state().life, Life::Failed(code::BUDGET), "{limit:?}");
        assert!(story.facts().any(|f| matches!(f, Fact::CancelRequested(f) if f.limit == Some(limit))));
        assert_eq!(story.intents(4), 0);
    }
}

#[test]
fn limits_of_an_operator_hold_after_a_crash_and_only_say_what_they_change() {
    let mut story = Story::begin(agent());
    story.replies([call("shell").in_box(Access::Write)]);
    let memory = BoxLimits { memory: Some(64 << 20), ..BoxLimits::default() };
    let cpu = BoxLimits { cpu_milli: Some(250), ..BoxLimits::default() };
    story.does(Command::LimitBoxes(memory.clone()));
    story.does(Command::LimitBoxes(cpu.clone()));
    let count = story.facts().count();
    story.does(Command::LimitBoxes(cpu.clone()));
    assert_eq!(story.facts().count(), count, "what holds already is no fact");
    story.crashes();
    assert_eq!(story.state().box_limits, memory.clone().changed(cpu));
    story.stops(StopMode::Kill, &[1]);
    story.tries(Command::LimitBoxes(memory)).expect_err("the run has ended");
}
