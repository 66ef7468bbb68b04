//! What can be told of a run afterwards is what it was: the context that its model saw, why it waits, what it used.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::json;
use stead_core::{
    budget::{Limits, Spend},
    code,
    effect::{EffectClass, Outcome},
    fact::Fact,
    id::{EffectId, RunId},
    message::{Message, ToolDef},
};
use stead_engine::{Cause, Step};
use stead_ports::{
    file::File,
    journal::{GroupBy, UsageFilter, UsageRow, Used},
    model::{ModelCall, ModelError, Retry},
    tool::Output,
};

use crate::common::*;

/// What a model was given, as bytes: instructions, messages, tools.
type Given = (String, Vec<Vec<u8>>, Vec<u8>);

fn bytes(instructions: &str, messages: &[Arc<Message>], tools: &[ToolDef]) -> Given {
    let messages = messages.iter().map(|m| serde_json::to_vec(&**m).unwrap()).collect();
    (instructions.to_owned(), messages, serde_json::to_vec(tools).unwrap())
}

/// What models were given, by run, turn and attempt.
type Log = Arc<Mutex<BTreeMap<(RunId, u32, u32), Given>>>;

/// Writes down all that it is given.
fn recording(script: Script) -> (Script, Log) {
    let log = Log::default();
    let kept = log.clone();
    let script: Script = Arc::new(move |call, deltas| {
        let given = bytes(&call.instructions, &call.messages, &call.tools);
        kept.lock().insert((call.run, call.turn, call.attempt), given);
        script(call, deltas)
    });
    (script, log)
}

/// Looks something up in six turns, then answers; the first attempt of the third turn fails.
fn busy_worker() -> Script {
    Arc::new(|c: ModelCall, _| {
        let answer = match (c.turn, c.attempt) {
            (3, 1) => Err(busy(None)),
            (turn @ ..7, _) => Ok(call("look", json!({ "page": turn }))),
            _ => Ok(say("all read")),
        };
        Box::pin(async move { answer })
    })
}

#[test]
fn the_context_of_every_turn_is_byte_for_byte_what_the_model_was_given() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure)
        .does(|i| async move { Outcome::Returned(Output::ok(format!("{}: {}", i.arguments, "text ".repeat(200)))) });
    let (script, log) = recording(busy_worker());
    // So little room that old results are cleared on the way.
    let v = lab.add(agent("reader").model(script).tool(&look).config(|c| c.context_tokens = 1_000));
    let node = lab.open();
    let session = node.session("reader", "s");
    let runs = ["first", "second"].map(|input| {
        let run = node.start_in(v, session, input).run;
        assert_eq!(node.completes(run), "all read");
        run
    });
    node.crash();
    let node = lab.open();
    let (mut cleared, mut earlier) = (0, 0);
    for run in runs {
        for turn in 1..=7 {
            let seen = node.go(node.engine().context(run, turn)).unwrap();
            let given = log.lock().get(&(run, turn, seen.attempt)).cloned().unwrap();
            let messages: Vec<_> = seen.messages.iter().map(|m| m.message.clone()).collect();
            assert_eq!(bytes(&seen.instructions, &messages, &seen.tools), given, "turn {turn} of {run}");
            assert_eq!(seen.attempt, if turn == 3 { 2 } else { 1 });
            assert_eq!(seen.message_tokens, seen.messages.iter().map(|m| m.tokens).sum::<u64>());
            cleared += seen.messages.iter().filter(|m| m.cleared).count();
            earlier += seen.messages.iter().filter(|m| m.earlier).count();
        }
        assert!(node.go(node.engine().context(run, 8)).is_err());
    }
    assert!(cleared > 0 && earlier > 0, "{cleared} cleared, {earlier} of the earlier run");
}

#[test]
fn why_tells_the_question_that_a_run_waits_for_and_the_decision_behind_it() {
    let lab = lab();
    let pay = tool("pay", EffectClass::Irreversible).asks();
    let v = lab.add(agent("desk").model(once("pay", json!({ "cents": 5 }))).tool(&pay));
    let node = lab.open();
    let run = node.start(v, "pay").run;
    let effect = node.asked(run);
    let why = node.go(node.engine().why(run)).unwrap();
    let [Cause::Human { effect: asked, tool, arguments, .. }] = &why.causes[..] else { panic!("{:?}", why.causes) };
    assert_eq!((*asked, tool.as_str(), arguments.as_str()), (effect, "pay", r#"{"cents":5}"#));

    node.go(node.engine().approve(effect, false, "olga".into(), Some("too much".into()), None)).unwrap();
    node.end(run);
    let why = node.go(node.engine().why(run)).unwrap();
    assert!(matches!(why.causes[..], [Cause::Completed]), "{:?}", why.causes);
    assert_eq!(why.denied.iter().map(|d| (d.effect, d.code)).collect::<Vec<_>>(), [(effect, Some(code::DENIED))]);
    assert!(why.denied[0].told.contains("too much"), "{:?}", why.denied);

    let step = node.go(node.engine().why_step(run, Step::Effect(effect.n))).unwrap();
    assert_eq!((step.turn, step.seen.messages), (1, 1));
    assert_eq!(step.effect.map(|e| e.arguments).as_deref(), Some(r#"{"cents":5}"#));
    let kinds: Vec<_> = step.facts.iter().map(|f| kind(&f.fact)).collect();
    assert!(
        kinds.contains(&"approval_requested".to_owned()) && kinds.contains(&"approval_given".to_owned()),
        "{kinds:?}"
    );
    let turn = node.go(node.engine().why_step(run, Step::Turn(1))).unwrap();
    assert_eq!(turn.spent.tokens, 15);
    assert!(node.go(node.engine().why_step(run, Step::Turn(9))).is_err());
    assert!(node.go(node.engine().why_step(run, Step::Effect(9))).is_err());
    assert!(node.go(node.engine().why(RunId(1))).is_err());
}

#[test]
fn why_tells_the_time_of_the_next_attempt_and_the_place_in_the_queue() {
    let lab = lab();
    let later = stead_core::time::Span::from_secs(3_600);
    let script: Script = Arc::new(move |_, _| Box::pin(async move { Err(busy(Some(later))) }));
    let v = lab.add(agent("patient").model(script));
    let node = lab.open();
    let session = node.session("patient", "s");
    let first = node.start_in(v, session, "x").run;
    let second = node.start_in(v, session, "y").run;
    let third = node.start_in(v, session, "z").run;
    node.empties();
    let why = node.go(node.engine().why(first)).unwrap();
    let [Cause::ModelRetry { code, at, .. }] = &why.causes[..] else { panic!("{:?}", why.causes) };
    assert_eq!((*code, Some(*at)), (code::MODEL_BUSY, why.row.state.wake_at));
    for (run, place) in [(second, 1), (third, 2)] {
        let why = node.go(node.engine().why(run)).unwrap();
        let [Cause::Queued { behind, position }] = &why.causes[..] else { panic!("{:?}", why.causes) };
        assert_eq!((*behind, *position), (Some(first), place));
    }
}

/// All settlements of a run's facts.
fn settled(node: &Node, run: RunId) -> (Spend, u64, u64) {
    node.facts(run).iter().fold((Spend::ZERO, 0, 0), |(spent, replies, failures), f| match &f.fact {
        Fact::ModelReplied(f) => (spent.plus(f.spent), replies + 1, failures),
        Fact::ModelFailed(f) => (spent.plus(f.spent), replies, failures + 1),
        _ => (spent, replies, failures),
    })
}

fn usage(node: &Node, by: GroupBy) -> Vec<UsageRow> {
    let filter = UsageFilter { tenant: tenant(), by, limit: 100, ..UsageFilter::default() };
    let engine = node.engine();
    node.go(engine.journal().usage(&filter)).unwrap()
}

#[test]
fn usage_is_exactly_what_the_journals_settled_and_a_childs_is_counted_once() {
    let lab = lab();
    let helper = lab.add(agent("helper").model(turns(vec![say("helped")])));
    let ask = agent_tool("helper", helper, Limits::default());
    let boss = lab.add(agent("boss").model(once("helper", json!({ "input": "x" }))).tool(&ask));
    // Its first attempt is lost with the process, and settled at what was set aside for it.
    let gate = Gate::closed();
    let held = gate.clone();
    let script: Script = Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("late"))
        })
    });
    let slow = lab.add(agent("slow").model(script));
    let charged = ModelError { code: code::MODEL_CUT, detail: "cut".into(), retry: Retry::After(None), charged: true };
    let cut: Script = Arc::new(move |c, _| {
        let answer = if c.attempt == 1 { Err(charged.clone()) } else { Ok(say("whole")) };
        Box::pin(async { answer })
    });
    let cut = lab.add(agent("cut").priced(None, cut));

    let node = lab.open();
    let mut runs = vec![node.start(boss, "x").run, node.start(cut, "x").run];
    runs.iter().for_each(|run| assert!(!node.completes(*run).is_empty()));
    runs.push(EffectId { run: runs[0], n: 1 }.child().0);
    let lost = node.start(slow, "x").run;
    node.go(gate.arrived());
    node.crash();
    gate.open(1);
    let node = lab.open();
    gate.open(1);
    node.completes(lost);
    runs.push(lost);

    let by_agent = usage(&node, GroupBy { agent: true, ..GroupBy::default() });
    for run in &runs {
        let row = node.go(node.engine().view(*run)).unwrap().row;
        let (spent, replies, failures) = settled(&node, *run);
        let told = by_agent.iter().find(|u| u.agent == Some(row.agent.clone())).unwrap();
        assert_eq!((told.runs, told.used.replies, told.used.failures), (1, replies, failures), "{}", row.agent);
        assert_eq!(told.used.spent(), spent, "{}", row.agent);
    }
    let total = usage(&node, GroupBy::default());
    let sum = by_agent.iter().map(|u| u.used).fold(Used::default(), Used::plus);
    assert_eq!((total[0].used, total[0].runs), (sum, 4));
    let estimated =
        |agent: &str| by_agent.iter().find(|u| u.agent == Some(agent.into())).unwrap().used.estimated_tokens;
    assert!(estimated("slow") > 0 && estimated("cut") > 0 && estimated("boss") == 0);
    // A child's user is its parent's.
    let by_user = usage(&node, GroupBy { user: true, ..GroupBy::default() });
    assert_eq!(by_user.iter().map(|u| (u.user.clone(), u.runs)).collect::<Vec<_>>(), [(Some("olga".into()), 4)]);
}

/// A run tells the index now and then while it works, so a process that ends leaves some of it untold.
#[test]
fn what_a_run_had_used_when_its_process_ended_is_told_by_the_next_one() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let gate = Gate::closed();
    let held = gate.clone();
    // Twenty turns of one call each: more than are told at once. Then it hangs.
    let script: Script = Arc::new(move |c, _| {
        let gate = held.clone();
        Box::pin(async move {
            match c.turn {
                turn @ ..=20 => Ok(call("look", json!({ "page": turn }))),
                _ => {
                    gate.pass().await;
                    Ok(say("all read"))
                }
            }
        })
    });
    let reader = lab.add(agent("reader").model(script).tool(&look));
    let node = lab.open();
    let run = node.start(reader, "x").run;
    node.go(gate.arrived());
    let told = usage(&node, GroupBy::default())[0].used.replies;
    assert!((16..20).contains(&told), "a long run is told of while it works, and not at each reply: {told}");
    node.crash();

    for _ in 0..2 {
        let node = lab.open();
        node.go(gate.arrived());
        assert_eq!(usage(&node, GroupBy::default())[0].used.replies, 20, "told twice, it stands once");
        node.crash();
    }
    let node = lab.open();
    node.go(gate.arrived());
    gate.open(1);
    node.completes(run);
    let (spent, replies, failures) = settled(&node, run);
    let all = usage(&node, GroupBy::default())[0].used;
    assert_eq!((all.spent(), all.replies, all.failures), (spent, replies, failures));
    assert_eq!(replies, 21);
}

#[test]
fn a_model_sees_the_picture_that_a_tool_returned_until_its_result_leaves_the_view() {
    let lab = lab();
    let drawn = || {
        let file =
            |name: &str, media: &str| File { name: name.into(), media: media.into(), content: vec![1, 2, 3].into() };
        let files = vec![file("a.png", "image/png"), file("a.pdf", "application/pdf")];
        Outcome::Returned(Output { files, ..Output::ok("[image, kept as the file a.png]") })
    };
    let draw = tool("draw", EffectClass::Pure).does(move |_| async move { drawn() });
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = log.clone();
    // Two pictures, which count as 1,600 tokens each, are more than the view holds.
    let agent = agent("a").tool(&draw).config(|c| (c.context_tokens, c.overhead_tokens) = (3_000, 0));
    let v = lab.add(agent.model(model(move |c| {
        let images = c.messages.iter().filter_map(|m| match &**m {
            Message::Tool(result) => Some(result.images.len()),
            _ => None,
        });
        kept.lock().push(images.collect::<Vec<_>>());
        if c.turn < 4 { call("draw", json!({ "n": c.turn })) } else { say("done") }
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "done");
    assert_eq!(*log.lock(), [vec![], vec![1], vec![0, 1], vec![0, 0, 1]]);
    // What is told afterwards is the same.
    let seen = node.go(node.engine().context(run, 3)).unwrap();
    let images = seen.messages.iter().filter_map(|m| match &*m.message {
        Message::Tool(result) => Some(result.images.len()),
        _ => None,
    });
    assert_eq!(images.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_parent_that_waits_for_its_child_has_told_what_it_used() {
    let lab = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    let script: Script = Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("helped"))
        })
    });
    let helper = lab.add(agent("helper").model(script));
    let ask = agent_tool("helper", helper, Limits::default());
    let boss = lab.add(agent("boss").model(once("helper", json!({ "input": "x" }))).tool(&ask));
    let node = lab.open();
    node.start(boss, "x");
    node.go(gate.arrived());
    let by_agent = usage(&node, GroupBy { agent: true, ..GroupBy::default() });
    assert_eq!(
        by_agent.iter().map(|u| (u.agent.clone(), u.used.replies)).collect::<Vec<_>>(),
        [(Some("boss".into()), 1)]
    );
    gate.open(1);
}
