//! A look at what an action would do, before people are asked: it is decided, made, made again after a crash, and whatever comes of it
//! the question is asked once.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    fact::{AskReason, Fact, Precondition, RunConfig, StopMode, Verdict},
    grant::{Delegated, Grant, Granted},
    record::{Body, Payload, Source},
    ruling::{Behalf, Given},
    run::{CallPhase, Command, Debt, Gate, Life, Rewrite, Ruling, State, wake_at},
    time::{Span, Timestamp},
};

use crate::story::{Called, Story, agent, call, limited};

/// Policies of an epoch that a test moves: by each third one nobody may look, by each fifth nothing is done.
#[derive(Debug)]
struct Moving(AtomicU64);

impl Moving {
    const fn at(epoch: u64) -> Self {
        Self(AtomicU64::new(epoch))
    }

    fn allow(&self) -> Ruling {
        Ruling::allow(self.0.load(SeqCst), vec!["granted".into()])
    }
}

impl Gate for Moving {
    fn epoch(&self) -> Option<u64> {
        Some(self.0.load(SeqCst))
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, _: &[Given]) -> Ruling {
        match self.0.load(SeqCst) % 5 {
            0 => Ruling::deny(self.0.load(SeqCst), vec!["closed".into()], "nothing is done".to_owned()),
            _ => self.allow(),
        }
    }

    fn preview(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        match self.0.load(SeqCst) % 3 {
            0 => Ruling::deny(self.0.load(SeqCst), vec!["blind".into()], "nobody looks".to_owned()),
            _ => {
                let rewritten = Some(Rewrite { arguments: r#"{"id":1}"#.into(), args: [7; 16], key: None });
                Ruling { rewritten, ..self.allow() }
            }
        }
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        self.allow()
    }
}

fn purge() -> Called {
    call("purge").is(EffectClass::Irreversible).asks().seen_by("count")
}

const LOOK: Debt = Debt::Preview { effect: 1 };

fn seen(story: &mut Story, precondition: Option<Precondition>) {
    let text = Payload::inline("4 rows", Source::Tool);
    story.does(Command::Previewed { effect: 1, found: Ok((text, precondition)), action: None });
}

/// What the question shows: its text, whether that says that there is nothing, and what must hold.
fn shown(story: &Story) -> (String, bool, Option<Precondition>) {
    let seen = story.state().calls[0].seen.as_deref().expect("it was looked at");
    let Body::Inline(text) = &seen.text.body else { panic!("{seen:?}") };
    (String::from_utf8_lossy(text).into_owned(), seen.failed, seen.precondition.clone())
}

fn questions(story: &Story) -> usize {
    story.count(|f| matches!(f, Fact::ApprovalRequested(_)))
}

#[test]
fn the_question_waits_for_the_look_and_carries_what_it_found() {
    static GATE: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &GATE);
    story.replies([purge()]);
    assert_eq!((story.owed(), questions(&story), story.wakes_in()), (vec![LOOK], 0, None));
    assert!(story.state().working(), "it is at work, and nobody is waited for");
    assert_eq!(story.state().budget.tool_calls, 2, "the call, and the look");
    seen(&mut story, Some(Precondition::Rows(4)));
    assert_eq!((story.owed(), questions(&story)), (vec![], 1));
    assert_eq!(shown(&story), ("4 rows".to_owned(), false, Some(Precondition::Rows(4))));
    assert!(matches!(story.last_facts(), [Fact::Previewed(_), Fact::ApprovalRequested(_)]), "{:?}", story.last_facts());
    // One that comes twice, or too late, is nobody's.
    let again = Command::Previewed { effect: 1, found: Err(Payload::inline("x", Source::Tool)), action: None };
    assert!(story.tries(again).is_err());
    story.human_says(1, true).unwrap();
    assert_eq!(story.intents(1), 1);
    assert_eq!(shown(&story).2, Some(Precondition::Rows(4)), "it binds what is done");
}

#[test]
fn a_look_is_made_again_by_whoever_comes_next_and_not_while_the_run_is_paused() {
    static GATE: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &GATE);
    story.replies([purge()]);
    story.crashes();
    assert_eq!(story.owed(), [LOOK]);
    story.does(Command::Pause);
    assert_eq!(story.owed(), []);
    story.does(Command::Resume);
    assert_eq!(story.owed(), [LOOK]);
    assert_eq!(story.count(|f| matches!(f, Fact::PreviewDecided(_))), 1, "it was decided once");
}

#[test]
fn a_look_waits_for_the_person_whose_time_is_over_and_ends_with_the_grant() {
    static GATE: Moving = Moving::at(1);
    let lasts = Span::from_secs(60);
    let until = Timestamp(1_000_000_000).after(lasts);
    let delegated = Some(Delegated { until, lasts });
    let ann = Behalf { user: Some("ann".into()), delegated, ..Behalf::default() };
    let mut story = Story::on_behalf(agent(), ann).decided_by(&GATE);
    story.replies([purge()]);
    assert_eq!((story.owed(), wake_at(story.state(), story.now())), (vec![LOOK], Some(until)));
    story.passes(60);
    story.does(Command::Tick);
    let effect = story.state().renewing.expect("the look would be on ann's behalf").effect;
    assert!(story.owed().is_empty() && !story.state().working());
    story.tries(Command::Approve { effect, approved: true, by: "ann".into(), note: None, signed: None }).unwrap();
    assert_eq!(story.owed(), [LOOK]);

    let grants = vec![Granted { by: 0, grant: Grant { until: Some(until), ..Grant::default() } }];
    let granted = Behalf { callers: vec!["boss".into()], grants, ..Behalf::default() };
    let mut story = Story::on_behalf(agent(), granted).decided_by(&GATE);
    story.replies([purge()]);
    assert_eq!((story.owed(), wake_at(story.state(), story.now())), (vec![LOOK], Some(until)));
    story.passes(60);
    story.does(Command::Tick);
    let denied = story.count(|f| matches!(f, Fact::EffectDecided(d) if d.code == Some(code::GRANT)));
    assert_eq!((denied, questions(&story)), (1, 0));
}

#[test]
fn a_question_that_waits_for_a_look_counts_towards_the_most_that_there_may_be() {
    static GATE: Moving = Moving::at(1);
    let caps = [RunConfig { max_open_asks: Some(2), ..agent() }, RunConfig { max_asks: Some(2), ..agent() }];
    for config in caps {
        let mut story = Story::guarded(config, &GATE);
        story.replies((0..5).map(|n| purge().args(n)));
        assert_eq!(story.owed(), [LOOK, Debt::Preview { effect: 2 }]);
        let full = |f: &Fact| matches!(f, Fact::EffectDecided(d) if d.code == Some(code::ASKS_FULL));
        assert_eq!(story.count(full), 3);
        seen(&mut story, None);
        assert_eq!(questions(&story), 1);
    }
}

#[test]
fn what_may_not_be_looked_at_is_asked_about_at_once_with_the_reason() {
    static BLIND: Moving = Moving::at(3);
    let mut story = Story::guarded(agent(), &BLIND);
    story.replies([purge()]);
    assert_eq!((story.owed(), questions(&story)), (vec![], 1));
    assert_eq!(shown(&story), ("nobody looks".to_owned(), true, None));
    static GATE: Moving = Moving::at(1);
    let mut story = Story::guarded(limited(Limits { tool_calls: Some(1), ..Limits::default() }), &GATE);
    story.replies([purge()]);
    assert_eq!((questions(&story), shown(&story).1), (1, true), "no call is left for it");
    assert_eq!(story.life(), Life::Live);
}

#[test]
fn policies_that_change_during_the_look_say_what_follows() {
    static BLINDED: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &BLINDED);
    story.replies([purge()]);
    BLINDED.0.store(3, SeqCst);
    story.does(Command::Tick);
    assert_eq!((questions(&story), shown(&story).1), (1, true), "it may not be looked at any more");
    static CLOSED: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &CLOSED);
    story.replies([purge()]);
    CLOSED.0.store(10, SeqCst);
    seen(&mut story, None);
    assert_eq!(questions(&story), 0, "nobody is asked about what is forbidden");
    assert_eq!(story.last_said(), "1 failed: ST0057: nothing is done");
    // A yes is asked for by the manifest: that others rule does not take it back.
    static OTHER: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &OTHER);
    story.replies([purge()]);
    OTHER.0.store(2, SeqCst);
    seen(&mut story, Some(Precondition::Rows(4)));
    assert_eq!((questions(&story), story.intents(1)), (1, 0));
    let [Fact::Previewed(_), Fact::EffectDecided(decided), Fact::ApprovalRequested(_)] = story.last_facts() else {
        panic!("{:?}", story.last_facts())
    };
    let epoch = decided.ruled.as_ref().map(|ruled| ruled.epoch);
    assert_eq!((decided.verdict, epoch), (Verdict::Ask, Some(2)), "they are shown why they are asked now");
}

#[test]
fn a_stop_or_a_restore_ends_a_look_and_nothing_is_done_unasked() {
    static GATE: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &GATE);
    story.replies([purge()]);
    story.stops(StopMode::Cancel, &[]);
    assert_eq!((story.life(), story.owed()), (Life::Cancelled, vec![]));
    assert_eq!(story.count(|f| matches!(f, Fact::EffectWithdrawn(_))), 1);
    let mut story = Story::guarded(agent(), &GATE);
    story.replies([purge()]);
    story.crashes_silently();
    story.does(Command::Restore { generation: 2, taken: Timestamp(1_000_000_000) });
    assert_eq!((story.owed(), questions(&story)), (vec![], 1));
    assert!(shown(&story).1, "what was to be seen is of a world that has gone on");
    let phase = &story.state().calls[0].phase;
    assert!(matches!(phase, CallPhase::Asking { reason: AskReason::Restored, .. }), "{phase:?}");
}

#[test]
fn who_is_not_asked_is_not_shown_anything() {
    static GATE: Moving = Moving::at(1);
    let mut story = Story::guarded(agent(), &GATE);
    story.replies([call("purge").is(EffectClass::Irreversible).seen_by("count")]);
    assert_eq!(story.intents(1), 1);
    assert_eq!(story.count(|f| matches!(f, Fact::PreviewDecided(_))), 0);
    let decided = story.facts().filter(|f| matches!(f, Fact::EffectDecided(d) if d.verdict == Verdict::Allow)).count();
    assert_eq!(decided, 1);
}
