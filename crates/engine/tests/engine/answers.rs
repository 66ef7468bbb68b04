//! Answers that must satisfy a schema: what the model is told of one that does not, and how often.

use parking_lot::Mutex;
use std::sync::Arc;

use stead_core::{code, message::Message};

use crate::common::*;

#[test]
fn the_model_is_told_what_is_wrong_with_its_answer_and_repairs_it() {
    let lab = lab();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let v = lab.add(agent("a").answers("right", 2).model(model(move |call| {
        sees.lock().push(call.messages.last().map(|m| (**m).clone()));
        say(if call.turn < 3 { "wrong" } else { "right" })
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "right");
    let told = seen.lock();
    let Some(Message::User { text, .. }) = &told[1] else { panic!("{:?}", told[1]) };
    assert!(text.starts_with("[notice from the runtime] Your answer was not accepted: - $: not `right`\n"), "{text}");
    assert_eq!(told[1], told[2]);
    let kinds = node.kinds(run);
    assert_eq!(tally(&kinds)["answer_rejected"], 2);
    let view = node.go(node.engine().context(run, 2)).unwrap();
    let last = view.messages.last().unwrap();
    assert_eq!(last.source, Some(stead_core::record::Source::Runtime));
    assert_eq!(*last.message, told[1].clone().unwrap(), "what is shown is what the model saw");
    node.empties();
}

#[test]
fn a_run_whose_answer_never_fits_fails_and_says_why() {
    let lab = lab();
    let v = lab.add(agent("a").answers("right", 1).model(turns(vec![say("wrong")])));
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.fails(run), (code::ANSWER_SCHEMA, "- $: not `right`".to_owned()));
    assert_eq!(node.go(node.engine().view(run)).unwrap().row.state.turns, 2);
    let why = node.go(node.engine().why_step(run, stead_engine::Step::Turn(1))).unwrap();
    assert!(why.facts.iter().any(|f| kind(&f.fact) == "answer_rejected"));
    assert_eq!(node.engine().stats().answers_rejected, 2);
}

#[test]
fn a_crash_in_a_repair_turn_repeats_the_turn_and_not_the_repair() {
    let lab = lab();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let v = lab.add(agent("a").answers("right", 1).model(Arc::new(move |call, _| {
        let gate = at_gate.clone();
        Box::pin(async move {
            if call.turn == 1 {
                return Ok(say("wrong"));
            }
            gate.pass().await;
            Ok(say("right"))
        })
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.crash();
    let node = lab.open();
    gate.open(2);
    assert_eq!(node.completes(run), "right");
    assert_eq!(tally(&node.kinds(run))["answer_rejected"], 1);
}
