//! The gate: what policies say is done, no more and no less, and what they say after an approval counts.

#![expect(clippy::disallowed_types, reason = "a gate that a test changes by hand")]

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    fact::{AskReason, Fact, ModelConfig, RunConfig, Verdict},
    record::Body,
    ruling::{Asked, GateAsks, Given},
    run::{CallPhase, Command, Gate, Life, Refusal, Rewrite, Ruling, State},
    time::{Span, Timestamp},
};

use crate::story::{Called, Story, agent, call, limited, model};

/// Two people of finance for a payment, nobody for a deletion, and a note that is always redacted.
#[derive(Debug)]
struct Desk {
    epoch: u64,
}

const DESK: &Desk = &Desk { epoch: 3 };

fn finance(quorum: u32) -> Asked {
    let gate = GateAsks { policy: "large".into(), approvers: vec!["finance".into()], quorum, ..GateAsks::default() };
    Asked { gates: vec![gate], quorum }
}

fn asks(epoch: u64, quorum: u32, given: &[Given]) -> Ruling {
    let yes = given.iter().filter(|g| g.roles.contains(&"finance".into())).count();
    let allowed = Ruling::allow(epoch, vec!["granted".into()]);
    if yes >= quorum as usize {
        return allowed;
    }
    let ttl = Some(Span::from_secs(900));
    Ruling { verdict: Verdict::Ask, by: vec!["large".into()], asked: Some(finance(quorum)), ttl, ..allowed }
}

impl Gate for Desk {
    fn epoch(&self) -> Option<u64> {
        Some(self.epoch)
    }

    fn call(&self, state: &State, i: usize, _: Timestamp, given: &[Given]) -> Ruling {
        match &*state.calls[i].head.tool {
            "pay" => asks(self.epoch, 2, given),
            "delete" => Ruling::deny(self.epoch, vec!["never".into()], "nothing is deleted here".into()),
            "note" => {
                let rewrite = Rewrite { arguments: "{}".into(), args: [9; 16], key: None };
                Ruling { rewritten: Some(rewrite), ..Ruling::allow(self.epoch, vec!["granted".into()]) }
            }
            _ => Ruling::allow(self.epoch, vec!["granted".into()]),
        }
    }

    fn model(&self, state: &State, model: usize, _: Timestamp) -> Ruling {
        match &*state.config.models[model].name {
            "cloud" => Ruling::deny(self.epoch, vec!["no-clouds".into()], "no data of ours to that model".into()),
            _ => Ruling::allow(self.epoch, vec!["granted".into()]),
        }
    }
}

fn pay() -> Called {
    call("pay").is(EffectClass::Irreversible)
}

fn decided(story: &Story) -> Vec<(u32, Verdict, u64)> {
    let decided = |f: &Fact| match f {
        Fact::EffectDecided(f) => Some((f.effect, f.verdict, f.ruled.as_ref().map_or(0, |r| r.epoch))),
        _ => None,
    };
    story.facts().filter_map(decided).collect()
}

#[test]
fn what_policies_deny_is_not_done_and_the_model_reads_why() {
    let mut story = Story::guarded(agent(), DESK);
    story.replies([call("delete").is(EffectClass::Irreversible)]);
    assert_eq!(story.intents(1), 0);
    assert_eq!(story.last_said(), "1 failed: ST0057: nothing is deleted here");
    assert_eq!(decided(&story), [(1, Verdict::Deny, 3)], "with the epoch that decided");
}

#[test]
fn a_gate_waits_for_as_many_people_as_it_asks_for() {
    let mut story = Story::guarded(agent(), DESK);
    story.replies([pay()]);
    assert!(matches!(&story.state().calls[0].phase,
        CallPhase::Asking { reason: AskReason::Policy, asked: Some(asked), .. } if **asked == finance(2)));
    assert_eq!(story.wakes_in(), Some(900.0), "the gate's time, for the manifest gives none");
    story.approves(1, "ann", "finance").unwrap();
    assert_eq!(story.intents(1), 0, "one of two");
    story.approves(1, "bob", "support").unwrap();
    assert_eq!(story.intents(1), 0, "the second is nobody of finance");
    story.approves(1, "cem", "finance").unwrap();
    assert_eq!(story.dispatchable(), [1]);
    assert_eq!(decided(&story), [(1, Verdict::Ask, 3), (1, Verdict::Allow, 3)]);
    assert_eq!(story.state().budget.tool_calls, 1, "it was decided twice and is one call");
}

#[test]
fn a_person_counts_once_and_one_no_is_enough() {
    let mut story = Story::guarded(agent(), DESK);
    story.replies([pay()]);
    story.approves(1, "ann", "finance").unwrap();
    assert!(matches!(story.approves(1, "ann", "finance"), Err(Refusal::Conflict(_))));
    assert_eq!(story.intents(1), 0);
    story.does(Command::Approve { effect: 1, approved: false, by: "bob".into(), note: None, signed: None });
    assert!(matches!(story.approves(1, "cem", "finance"), Err(Refusal::Conflict(_))));
    assert_eq!(story.last_said(), "1 failed: ST0044: a human (bob) denied this action.");
}

#[test]
fn approvals_of_a_paused_run_are_kept_and_decided_on_when_it_goes_on() {
    let mut story = Story::guarded(agent(), DESK);
    story.replies([pay()]);
    story.does(Command::Pause);
    story.approves(1, "ann", "finance").unwrap();
    story.approves(1, "cem", "finance").unwrap();
    assert_eq!(decided(&story), [(1, Verdict::Ask, 3)], "nothing is decided while it is paused");
    story.crashes();
    story.does(Command::Resume);
    assert_eq!(story.dispatchable(), [1]);
}

/// Policies that an operator changes meanwhile.
#[derive(Debug)]
struct Changing(Ruling, AtomicBool);

impl Gate for Changing {
    fn epoch(&self) -> Option<u64> {
        Some(if self.1.load(SeqCst) { self.0.epoch } else { 3 })
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, given: &[Given]) -> Ruling {
        match self.1.load(SeqCst) {
            true => self.0.clone(),
            false => asks(3, 1, given),
        }
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::allow(3, vec!["granted".into()])
    }
}

/// A payment that one of finance approves after the policies became others.
fn approved_under(later: Ruling) -> Story {
    let gate: &Changing = Box::leak(Box::new(Changing(later, AtomicBool::new(false))));
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay()]);
    assert!(story.is_asking(1));
    gate.1.store(true, SeqCst);
    story.approves(1, "ann", "finance").unwrap();
    story
}

#[test]
fn an_approval_opens_nothing_that_the_policies_of_now_forbid() {
    let story = approved_under(Ruling::deny(4, vec!["closed".into()], "closed for today".into()));
    assert_eq!(story.intents(1), 0);
    // Nobody may think that a yes opened it, or that people said no.
    let told = "1 failed: ST0057: approved by ann, and denied after that by the policy `closed`: closed for today";
    assert_eq!(story.last_said(), told);
    assert_eq!(decided(&story), [(1, Verdict::Ask, 3), (1, Verdict::Deny, 4)]);
    // By no policy: what operators turned off, say.
    let story = approved_under(Ruling::deny(4, Vec::new(), "the tool is off".into()));
    assert_eq!(story.last_said(), "1 failed: ST0057: approved by ann, and denied after that: the tool is off");
}

#[test]
fn other_gates_than_those_that_were_approved_are_another_question() {
    let mut story = approved_under(asks(4, 2, &[]));
    assert!(story.is_asking(1));
    assert_eq!(story.state().calls[0].given, [], "what was approved was another question");
    story.approves(1, "ann", "finance").unwrap();
    assert!(story.is_asking(1));
    assert_eq!(story.intents(1), 0);
}

#[test]
fn what_policies_would_now_rewrite_was_not_approved() {
    let rewrite = Rewrite { arguments: "{}".into(), args: [7; 16], key: None };
    let rewritten = Some(rewrite);
    let story = approved_under(Ruling { rewritten, ..Ruling::allow(4, vec!["granted".into()]) });
    assert_eq!(story.intents(1), 0);
    let told = "1 failed: ST0058: approved by ann, and denied after that: the policies have changed";
    assert!(story.last_said().starts_with(told), "{}", story.last_said());
}

#[test]
fn what_is_done_is_what_policies_wrote() {
    let mut story = Story::guarded(agent(), DESK);
    story.replies([call("note").is(EffectClass::Irreversible).args(1)]);
    let call = &story.state().calls[0];
    assert_eq!(call.head.args, [9; 16], "two calls that come to the same are equal");
    let arguments = call.arguments.as_ref().map(|p| &p.body);
    assert!(matches!(arguments, Some(Body::Inline(text)) if &text[..] == b"{}"));
    assert_eq!(story.dispatchable(), [1]);
}

#[test]
fn a_model_that_policies_deny_is_passed_over_for_the_next() {
    let mut config = agent();
    config.models = vec![model("cloud"), model("here")];
    let story = Story::guarded(config, DESK);
    let models: Vec<u8> =
        story.facts().filter_map(|f| if let Fact::ModelRequested(f) = f { Some(f.model) } else { None }).collect();
    assert_eq!(models, [1]);
    assert!(story.facts().any(|f| matches!(f, Fact::ModelDenied(f) if f.model == 0)));
}

#[test]
fn a_limit_in_the_way_of_a_model_that_may_be_asked_says_more_than_that_another_is_denied() {
    let dear = ModelConfig { max_output_tokens: 10_000, ..model("here") };
    let limits = Limits { tokens: Some(1_000), ..Limits::default() };
    let story = Story::guarded(RunConfig { models: vec![model("cloud"), dear], ..limited(limits) }, DESK);
    assert!(story.facts().any(|f| matches!(f, Fact::ModelDenied(f) if f.model == 0)));
    assert_eq!(story.state().life, Life::Failed(code::BUDGET));
}

#[test]
fn a_run_without_a_model_that_may_be_asked_fails_and_says_why() {
    let mut config = agent();
    config.models = vec![model("cloud")];
    let story = Story::guarded(config, DESK);
    assert_eq!(story.state().life, Life::Failed(code::POLICY));
    assert_eq!(story.state().budget.reserved.tokens, 0);
}

/// Policies that are changed, or lost, by hand.
#[derive(Debug)]
struct Hand {
    epoch: AtomicU64,
    lost: AtomicBool,
    says: Mutex<fn(u64, &[Given]) -> Ruling>,
}

impl Hand {
    fn new(says: fn(u64, &[Given]) -> Ruling) -> &'static Self {
        Box::leak(Box::new(Self { epoch: AtomicU64::new(3), lost: AtomicBool::new(false), says: Mutex::new(says) }))
    }

    /// From now on others are in force.
    fn apply(&self, says: fn(u64, &[Given]) -> Ruling) {
        *self.says.lock().unwrap() = says;
        self.epoch.fetch_add(1, SeqCst);
    }
}

impl Gate for Hand {
    fn epoch(&self) -> Option<u64> {
        (!self.lost.load(SeqCst)).then(|| self.epoch.load(SeqCst))
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, given: &[Given]) -> Ruling {
        match self.epoch() {
            Some(epoch) => (self.says.lock().unwrap())(epoch, given),
            None => closed(0, given),
        }
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::allow(3, vec!["granted".into()])
    }
}

fn open(epoch: u64, _: &[Given]) -> Ruling {
    Ruling::allow(epoch, vec!["granted".into()])
}

fn closed(epoch: u64, _: &[Given]) -> Ruling {
    Ruling::deny(epoch, vec!["closed".into()], "closed for today".into())
}

fn one_of_finance(epoch: u64, given: &[Given]) -> Ruling {
    asks(epoch, 1, given)
}

#[test]
fn a_yes_to_whatever_was_asked_is_weighed_by_the_policies_of_now() {
    // The manifest asks.
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().asks()]);
    gate.apply(closed);
    story.human_says(1, true).unwrap();
    assert_eq!((story.intents(1), decided(&story).last()), (0, Some(&(1, Verdict::Deny, 4))));
    // An equal call came to nobody knows what.
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay()]);
    story.unknown(1);
    story.replies([pay()]);
    assert!(story.is_asking(2));
    gate.apply(one_of_finance);
    story.approves(2, "bob", "support").unwrap();
    assert!(story.is_asking(2), "now a gate asks for somebody of finance");
    story.approves(2, "ann", "finance").unwrap();
    assert_eq!((story.intents(2), decided(&story).last()), (1, Some(&(2, Verdict::Allow, 4))));
}

#[test]
fn what_may_have_happened_is_done_again_only_with_the_people_of_its_gate() {
    let mut story = Story::guarded(agent(), Hand::new(one_of_finance));
    story.replies([pay().asks_when_unknown()]);
    story.approves(1, "ann", "finance").unwrap();
    story.unknown(1);
    assert!(matches!(&story.state().calls[0].phase,
        CallPhase::Asking { reason: AskReason::OutcomeUnknown, asked: Some(asked), .. } if **asked == finance(1)));
    story.approves(1, "bob", "support").unwrap();
    assert_eq!(story.intents(1), 1, "anybody may not say that it be done again");
    story.approves(1, "cem", "finance").unwrap();
    assert_eq!(story.intents(1), 2);
}

#[test]
fn what_may_have_happened_and_is_forbidden_now_stays_unknown() {
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().asks_when_unknown()]);
    story.unknown(1);
    gate.apply(closed);
    story.approves(1, "ann", "finance").unwrap();
    assert_eq!((story.intents(1), story.unknown_effects()), (1, vec![1]));
    assert!(story.last_said().contains("whether it happened then is unknown"), "{}", story.last_said());
}

#[test]
fn what_was_let_go_and_has_not_begun_is_asked_about_when_the_policies_are_others() {
    // It waits for its next attempt.
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().attempts(5)]);
    story.not_sent(1);
    story.waits(1);
    assert_eq!((story.intents(1), decided(&story).len()), (2, 1), "of the same policies nobody asks twice");
    story.not_sent(1);
    gate.apply(closed);
    story.waits(2);
    assert_eq!((story.intents(1), decided(&story).last()), (2, Some(&(1, Verdict::Deny, 4))));
    // Its process ended before it began.
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    let reply = story.reply([pay()]);
    story.does_holding(reply);
    gate.apply(one_of_finance);
    story.crashes();
    story.does(Command::Tick);
    assert!(story.is_asking(1), "a gate that is new asks");
    story.approves(1, "ann", "finance").unwrap();
    assert_eq!(story.intents(1), 1);
}

#[test]
fn what_was_let_go_before_a_pause_is_asked_about_after_it() {
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().attempts(3), call("look")]);
    story.not_sent(1);
    story.does(Command::Pause);
    // The same policies may say something else at another time.
    *gate.says.lock().unwrap() = closed;
    story.passes(86_400);
    story.does(Command::Resume);
    assert_eq!(story.owed(), [], "not even what is pure");
    story.does(Command::Tick);
    assert_eq!(story.intents(1), 1);
    assert_eq!(decided(&story)[2..], [(2, Verdict::Deny, 3), (1, Verdict::Deny, 3)]);
}

#[test]
fn who_approved_is_remembered_when_it_is_asked_again() {
    let gate = Hand::new(one_of_finance);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().attempts(3)]);
    story.approves(1, "ann", "finance").unwrap();
    story.not_sent(1);
    gate.apply(one_of_finance);
    story.waits(1);
    assert_eq!((story.intents(1), decided(&story).last()), (2, Some(&(1, Verdict::Allow, 4))));
}

#[test]
fn a_yes_that_nothing_can_weigh_now_is_kept_until_something_can() {
    let gate = Hand::new(one_of_finance);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay(), pay().asks().args(1)]);
    gate.lost.store(true, SeqCst);
    story.approves(1, "ann", "finance").unwrap();
    story.approves(2, "ann", "finance").unwrap();
    assert!(story.is_asking(1) && story.is_asking(2));
    assert!(story.state().held(), "it is looked at again");
    story.does(Command::Pause);
    story.does(Command::Resume);
    story.crashes();
    gate.lost.store(false, SeqCst);
    story.does(Command::Tick);
    assert_eq!(story.dispatchable(), [1, 2]);
    // When it is too little, that is noted, and nothing is held any more.
    let gate = Hand::new(one_of_finance);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay()]);
    gate.lost.store(true, SeqCst);
    story.approves(1, "bob", "support").unwrap();
    gate.lost.store(false, SeqCst);
    story.does(Command::Tick);
    assert!(story.is_asking(1) && !story.state().held());
    assert_eq!(decided(&story), [(1, Verdict::Ask, 3), (1, Verdict::Ask, 3)]);
}

#[test]
fn what_was_approved_waits_for_policies_that_cannot_be_had() {
    let gate = Hand::new(one_of_finance);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay().attempts(3)]);
    story.approves(1, "ann", "finance").unwrap();
    story.not_sent(1);
    gate.lost.store(true, SeqCst);
    story.waits(1);
    assert_eq!((story.intents(1), story.state().held()), (1, true));
    gate.lost.store(false, SeqCst);
    story.does(Command::Tick);
    assert_eq!(story.intents(1), 2);
}

#[test]
fn whoever_only_keeps_a_run_decides_nothing_in_its_place() {
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    let reply = story.reply([pay()]);
    gate.lost.store(true, SeqCst);
    story.does_holding(reply);
    assert_eq!((decided(&story), story.state().held()), (vec![], true));
    gate.lost.store(false, SeqCst);
    story.does(Command::Tick);
    assert_eq!(story.intents(1), 1);
}

#[test]
fn what_policies_would_no_longer_rewrite_was_not_approved() {
    let rewritten = |epoch, given: &[Given]| {
        let rewrite = Rewrite { arguments: "{}".into(), args: [9; 16], key: None };
        Ruling { rewritten: Some(rewrite), ..asks(epoch, 1, given) }
    };
    let gate = Hand::new(rewritten);
    let mut story = Story::guarded(agent(), gate);
    story.replies([pay()]);
    gate.apply(one_of_finance);
    story.approves(1, "ann", "finance").unwrap();
    assert_eq!(story.intents(1), 0);
    let told = "1 failed: ST0058: approved by ann, and denied after that: the policies have changed";
    assert!(story.last_said().starts_with(told), "{}", story.last_said());
}

#[test]
fn a_question_of_a_restored_run_keeps_the_time_that_its_gate_gives() {
    let mut story = Story::guarded(agent(), Hand::new(one_of_finance));
    story.replies([pay()]);
    assert_eq!(story.wakes_in(), Some(900.0));
    story.passes(600);
    story.crashes_silently();
    story.does(Command::Restore { generation: 2, taken: Timestamp(0) });
    assert_eq!(story.wakes_in(), Some(900.0), "it is asked anew, for as long");
}

#[test]
fn a_call_of_a_lost_life_that_is_denied_only_now_stays_unknown() {
    let gate = Hand::new(open);
    let mut story = Story::guarded(agent(), gate);
    // The backup has the call and not yet what became of it.
    story.does(Command::Pause);
    story.replies([pay()]);
    story.crashes_silently();
    story.does(Command::Restore { generation: 2, taken: Timestamp(0) });
    story.does(Command::Recover);
    gate.apply(closed);
    story.does(Command::Resume);
    assert_eq!((story.intents(1), decided(&story)), (0, vec![(1, Verdict::Deny, 4)]));
    assert_eq!(story.unknown_effects(), [1], "the life that was lost may have let it go");
    assert!(
        story.last_said().ends_with("whether it happened then is unknown. Do not repeat it."),
        "{}",
        story.last_said()
    );
    // What the model asks for only now was there in no other life.
    story.replies([pay().args(2)]);
    assert_eq!(decided(&story).last(), Some(&(2, Verdict::Deny, 4)));
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.last_said(), "2 failed: ST0057: closed for today");
}
