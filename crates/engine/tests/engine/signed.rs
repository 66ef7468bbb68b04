//! Promise 6: an approval is used at most once, for exactly the action that was signed, before it expires; by whom it says, and by
//! nobody who began it.

use std::sync::Arc;

use serde_json::json;
use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    fact::Fact,
    id::{EffectId, RunId},
    ruling::{Behalf, Nonce, Person, Signed},
    time::Span,
};
use stead_engine::{Demand, EngineError, Restore, Signing, StartRun, clock::SystemClock, human, mark_restored};
use stead_ports::{
    clock::Clock as _,
    journal::{Journal, Status},
    tool::Output,
};
use stead_store::{SqliteOptions, SqliteStore};
use stead_trust::{
    directory::{Break, Delegation, Directory, Enrolment, Entry, Envelope, Root, RootKey, Signed as Under, What},
    question::Question,
    receipt::Receipt,
    signer::Signer,
    statement::Statement,
};
use zeroize::Zeroizing;

use crate::common::{Lab, Node, TestTool, agent, ask, lab, last_result, model, once, tool};

const GATE: &str = r#"
    @id("large") @require("approval") @approvers("finance") @quorum("1") @ttl("15m")
    forbid (principal, action == Action::"pay", resource);
"#;

pub(crate) fn signer(n: u8) -> Signer {
    Signer::from_seed(Zeroizing::new([n; 32])).unwrap()
}

/// The keys 1 and 2 are the root; these people have these keys, and the role `finance`.
fn directory(people: &[(&str, u8)]) -> Directory {
    let key = |(n, holder): (u8, &str)| RootKey { holder: holder.into(), key: signer(n).public().clone() };
    let root = Root { threshold: 2, keys: [(1, "xenia"), (2, "yves")].map(key).into(), personal: false };
    let entry = Entry { tenant: "acme".into(), seq: 0, previous: None, at: 1, what: What::Root(root) };
    let mut directory = Directory::begin(&by_root(&entry)).unwrap();
    for (name, n) in people {
        let (key, human) = (signer(*n).public().clone(), human(&(*name).into()));
        add(
            &mut directory,
            What::Enrol(Enrolment { key, human, roles: vec!["finance".into()], passkey: None }),
            &[1, 2],
        );
    }
    directory
}

fn by_root(entry: &Entry) -> Envelope {
    envelope(entry, &[1, 2])
}

pub(crate) fn envelope(entry: &Entry, by: &[u8]) -> Envelope {
    let entry = entry.to_text();
    let under = |n: &u8| Under { key: signer(*n).public().clone(), signature: signer(*n).sign_text(&entry) };
    Envelope { signatures: by.iter().map(under).collect(), entry }
}

fn add(directory: &mut Directory, what: What, by: &[u8]) {
    let (seq, previous) = (directory.next(), Some(directory.head()));
    let entry = Entry { tenant: "acme".into(), seq, previous, at: now(), what };
    directory.add(&envelope(&entry, by)).unwrap();
}

pub(crate) fn signing(directory: Directory) -> Signing {
    Signing { demand: Demand::Gates, directory: Some(Arc::new(directory)), unknown: false }
}

/// A lab where ann, bob and cem sign, and a run that waits for a payment to be approved.
struct Desk {
    lab: Lab,
    node: Node,
    run: RunId,
    pay: TestTool,
}

fn desk(policies: &str) -> Desk {
    desk_of(policies, EffectClass::Irreversible, |start| start)
}

fn desk_of(policies: &str, class: EffectClass, start: impl FnOnce(StartRun) -> StartRun) -> Desk {
    let lab = lab();
    lab.policies.apply(policies);
    lab.directories.set(signing(directory(&[("ann", 10), ("bob", 11), ("cem", 12)])));
    let pay = tool("pay", class).does(|_| async { Outcome::Returned(Output::ok("paid")) });
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({ "amount": 101 }))));
    let node = lab.open();
    let run = node.go(node.engine().start(start(ask(v, "x")))).unwrap().run;
    Desk { lab, node, run, pay }
}

pub(crate) fn question(node: &Node, effect: EffectId) -> Question {
    node.go(node.engine().question(effect)).unwrap().expect("it can be signed").question
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn statement(question: &Question, name: &str, key: u8, nonce: u8) -> Statement {
    let id = signer(key).public().id();
    Statement::about(question, true, human(&name.into()), id, [nonce; 16], now() + 600)
}

pub(crate) fn signed(statement: &Statement, key: u8) -> Box<Signed> {
    let (text, signer) = (statement.to_text(), signer(key));
    let receipt = Receipt { key: signer.public().clone(), signature: signer.sign_text(&text), text };
    Box::new(Signed { nonce: Nonce(statement.nonce), receipt: receipt.to_text().as_str().into(), page: None })
}

pub(crate) fn person(name: &str) -> Person {
    Person { name: name.into(), roles: vec!["finance".into()] }
}

/// Gives an answer past the server's own look at it: what counts is what the executor says.
fn give(node: &Node, effect: EffectId, name: &str, signed: Option<Box<Signed>>) -> Result<(), EngineError> {
    node.go(node.engine().approve(effect, true, person(name), None, signed))
}

/// A right answer of somebody.
fn approve(node: &Node, effect: EffectId, name: &str, key: u8) -> Result<(), EngineError> {
    let statement = statement(&question(node, effect), name, key, key);
    give(node, effect, name, Some(signed(&statement, key)))
}

/// Each nonce that was used, with the number of intents in the record that used it.
fn used(node: &Node, run: RunId) -> Vec<(Nonce, usize)> {
    let facts = node.facts(run);
    let intents = |seq| facts.iter().filter(|f| f.seq == seq && matches!(f.fact, Fact::EffectIntended(_))).count();
    let nonces = |event: &stead_engine::FactEvent| match &event.fact {
        Fact::ApprovalsUsed(f) => f.nonces.iter().map(|n| (*n, intents(event.seq))).collect(),
        _ => Vec::new(),
    };
    facts.iter().flat_map(nonces).collect()
}

#[test]
fn an_approval_is_used_once_in_the_record_that_lets_the_action_go() {
    let Desk { node, run, pay, .. } = desk(GATE);
    let effect = node.asked(run);
    assert_eq!(give(&node, effect, "ann", None).unwrap_err().code(), code::CONFLICT, "not without a signature");
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    approve(&node, effect, "ann", 10).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
    assert_eq!(used(&node, run), [(Nonce([10; 16]), 1)]);
    // What is kept can be verified by anybody.
    let asked = node.go(node.engine().question(effect)).unwrap().unwrap();
    assert!(!asked.open && asked.receipts.len() == 1);
    let statement = Statement::from_text(&Receipt::from_text(&asked.receipts[0]).unwrap().text).unwrap();
    assert_eq!(statement.answers(&asked.question), Ok(()));
}

#[test]
fn what_a_pure_tool_does_takes_its_approval_with_it() {
    let Desk { node, run, pay, .. } = desk_of(GATE, EffectClass::Pure, |start| start);
    let effect = node.asked(run);
    approve(&node, effect, "ann", 10).unwrap();
    node.completes(run);
    assert_eq!((pay.count(), used(&node, run)), (1, vec![(Nonce([10; 16]), 0)]));
}

#[test]
fn of_many_answers_with_one_statement_at_once_one_counts() {
    for _ in 0..20 {
        let Desk { node, run, pay, .. } = desk(&GATE.replace("@quorum(\"1\")", "@quorum(\"2\")"));
        let effect = node.asked(run);
        let one = signed(&statement(&question(&node, effect), "ann", 10, 1), 10);
        let engine = node.engine();
        let tries = (0..20).map(|n| {
            let name = if n % 2 == 0 { "ann" } else { "bob" };
            engine.approve(effect, true, person(name), None, Some(one.clone()))
        });
        let answers = node.go(futures_util::future::join_all(tries));
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
        node.empties();
        assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting), "one person is not two");
        approve(&node, effect, "cem", 12).unwrap();
        if answers[0].is_ok() {
            node.completes(run);
            assert_eq!(pay.count(), 1);
        }
    }
}

#[test]
fn a_signature_that_is_not_right_opens_nothing() {
    let Desk { lab, node, run, pay } = desk(GATE);
    let effect = node.asked(run);
    let asked = question(&node, effect);
    let right = statement(&asked, "ann", 10, 1);
    let other = Question { step: 7, ..asked.clone() };
    let cheaper = stead_trust::action::Action { arguments: "{\"amount\":1}".into(), ..asked.action.clone() };
    let wrong = [
        // Another key under her name, and her name under another's key.
        signed(&right, 11),
        signed(&Statement { human: human(&"bob".into()), ..right.clone() }, 10),
        signed(&statement(&asked, "ann", 11, 2), 11),
        // A key that nobody enrolled, and one of the root.
        signed(&statement(&asked, "ann", 99, 3), 99),
        signed(&statement(&asked, "ann", 1, 4), 1),
        // Too late, or for ever.
        signed(&Statement { expires: now() - 1, nonce: [5; 16], ..right.clone() }, 10),
        signed(&Statement { expires: now() + 40 * 86_400, nonce: [6; 16], ..right.clone() }, 10),
        // About another step, action, request, epoch, tenant or run.
        signed(&statement(&other, "ann", 10, 7), 10),
        signed(&statement(&Question { action: cheaper, ..asked.clone() }, "ann", 10, 8), 10),
        signed(&Statement { request: [0; 32], nonce: [9; 16], ..right.clone() }, 10),
        signed(&Statement { epoch: Some(99), nonce: [10; 16], ..right.clone() }, 10),
        signed(&Statement { tenant: "globex".into(), nonce: [11; 16], ..right.clone() }, 10),
        signed(&Statement { run: RunId(1).to_string(), nonce: [12; 16], ..right.clone() }, 10),
        // A denial as a yes, and no receipt at all.
        signed(&Statement { approved: false, nonce: [13; 16], ..right.clone() }, 10),
        Box::new(Signed { nonce: Nonce([14; 16]), receipt: "{}".into(), page: None }),
        Box::new(Signed { nonce: Nonce([15; 16]), receipt: signed(&right, 10).receipt, page: None }),
    ];
    for wrong in wrong {
        // It is recorded as somebody's word, and counts for nothing.
        drop(give(&node, effect, "ann", Some(wrong)));
        node.empties();
        assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    }
    // Her key is revoked after she has signed, and before it could count.
    let mut revoked = directory(&[("ann", 10), ("bob", 11)]);
    add(&mut revoked, What::Revoke { key: signer(10).public().id(), reason: "lost".into() }, &[1, 2]);
    lab.directories.set(signing(revoked));
    drop(give(&node, effect, "ann", Some(signed(&Statement { nonce: [16; 16], ..right }, 10))));
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    // Nobody knows whose keys count: then none does.
    lab.directories.set(Signing { demand: Demand::Gates, directory: None, unknown: true });
    drop(approve(&node, effect, "bob", 11));
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    lab.directories.set(signing(directory(&[("bob", 11)])));
    approve(&node, effect, "bob", 11)
        .unwrap_or_else(|_| give(&node, effect, "bob", Some(signed(&statement(&asked, "bob", 11, 77), 11))).unwrap());
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn while_a_run_is_paused_answers_are_recorded_and_used_only_when_it_goes_on() {
    let Desk { lab, node, run, pay } = desk(GATE);
    let effect = node.asked(run);
    node.go(node.engine().pause(run, crate::common::me())).unwrap();
    approve(&node, effect, "ann", 10).unwrap();
    assert_eq!((pay.count(), used(&node, run)), (0, vec![]));
    node.crash();
    let node = lab.open();
    assert_eq!(used(&node, run), []);
    // Paused for too long: what was signed has expired meanwhile, and the question stays.
    let mut revoked = directory(&[("ann", 10), ("bob", 11)]);
    add(&mut revoked, What::Revoke { key: signer(10).public().id(), reason: "lost".into() }, &[1, 2]);
    lab.directories.set(signing(revoked));
    node.go(node.engine().resume(run, crate::common::me())).unwrap();
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    lab.directories.set(signing(directory(&[("ann", 10), ("bob", 11)])));
    approve(&node, effect, "bob", 11).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn what_was_signed_for_a_question_answers_no_other_one() {
    let Desk { lab, node, run, pay } = desk(GATE);
    let effect = node.asked(run);
    let old = signed(&statement(&question(&node, effect), "ann", 10, 1), 10);
    // The same call is asked about anew, under other policies.
    lab.policies.apply(&GATE.replace("@quorum(\"1\")", "@quorum(\"2\")"));
    approve(&node, effect, "bob", 11).unwrap();
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting), "another gate is another question");
    drop(give(&node, effect, "ann", Some(old.clone())));
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    // Another run that asks the same.
    let twin = desk(GATE);
    let other = twin.node.asked(twin.run);
    drop(give(&twin.node, other, "ann", Some(old)));
    twin.node.empties();
    assert_eq!(twin.pay.count(), 0);
    approve(&node, effect, "bob", 11).unwrap();
    approve(&node, effect, "cem", 12).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn who_began_a_run_does_not_approve_what_it_does() {
    let behalf = |user: &str| {
        let user = Some(Person { name: user.into(), roles: Vec::new() });
        move |start: StartRun| StartRun { behalf: Behalf { user, ..Behalf::default() }, ..start }
    };
    let Desk { node, run, pay, .. } = desk_of(GATE, EffectClass::Irreversible, behalf("ann"));
    let effect = node.asked(run);
    approve(&node, effect, "ann", 10).unwrap();
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    approve(&node, effect, "bob", 11).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn a_quorum_takes_different_people_and_one_no_ends_it() {
    let two = GATE.replace("@quorum(\"1\")", "@quorum(\"2\")");
    let Desk { node, run, pay, .. } = desk(&two);
    let effect = node.asked(run);
    approve(&node, effect, "ann", 10).unwrap();
    approve(&node, effect, "ann", 10).unwrap_err();
    node.empties();
    assert_eq!(pay.count(), 0);
    approve(&node, effect, "bob", 11).unwrap();
    node.completes(run);
    assert_eq!((pay.count(), used(&node, run)), (1, vec![(Nonce([10; 16]), 1), (Nonce([11; 16]), 1)]));
    let Desk { node, run, pay, .. } = desk(&two);
    let effect = node.asked(run);
    approve(&node, effect, "ann", 10).unwrap();
    node.go(node.engine().approve(effect, false, person("bob"), None, None)).unwrap();
    assert_eq!(approve(&node, effect, "cem", 12).unwrap_err().code(), code::CONFLICT);
    node.completes(run);
    assert_eq!(pay.count(), 0);
}

#[test]
fn a_delegate_approves_in_the_roles_that_they_were_lent() {
    let Desk { lab, node, run, pay } = desk(GATE);
    let mut lent = directory(&[("ann", 10)]);
    let (key, dan) = (signer(13).public().clone(), human(&"dan".into()));
    add(
        &mut lent,
        What::Enrol(Enrolment { key, human: dan.clone(), roles: vec!["support".into()], passkey: None }),
        &[1, 2],
    );
    let before = lent.clone();
    let (roles, tools, until) = (vec!["finance".to_owned()], vec!["pay".to_owned()], now() + 60);
    add(&mut lent, What::Delegate(Delegation { from: human(&"ann".into()), to: dan, roles, tools, until }), &[10]);
    let effect = node.asked(run);
    lab.directories.set(signing(before));
    approve(&node, effect, "dan", 13).unwrap();
    node.empties();
    assert_eq!(pay.count(), 0, "not in a role of his own");
    lab.directories.set(signing(lent));
    let again = statement(&question(&node, effect), "dan", 13, 2);
    give(&node, effect, "dan", Some(signed(&again, 13))).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn a_broken_glass_stands_for_others_and_for_no_permission() {
    let three = GATE.replace("@quorum(\"1\")", "@quorum(\"3\")");
    let broken = |directory: &mut Directory| {
        let (human, roles, until) = (human(&"ann".into()), vec!["finance".to_owned()], now() + 60);
        let at = now();
        let what = What::BreakGlass(Break { human, roles, run: None, reason: "fire".into(), until });
        let (seq, previous) = (directory.next(), Some(directory.head()));
        let entry = Entry { tenant: "acme".into(), seq, previous, at, what };
        directory.add(&envelope(&entry, &[1, 2])).unwrap();
    };
    let Desk { lab, node, run, pay } = desk(&three);
    let effect = node.asked(run);
    let mut directory = directory(&[("ann", 10), ("bob", 11)]);
    broken(&mut directory);
    lab.directories.set(signing(directory));
    // What is forbidden stays forbidden.
    lab.policies.apply(r#"@id("closed") forbid (principal, action == Action::"pay", resource);"#);
    approve(&node, effect, "ann", 10).unwrap();
    node.completes(run);
    assert_eq!((pay.count(), node.denials(run)), (0, vec![code::POLICY]));
    let Desk { lab: second, node, run, pay } = desk(&three);
    second.directories.set(lab.directories.get());
    approve(&node, node.asked(run), "ann", 10).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn a_question_from_before_anybody_had_a_key_is_asked_anew() {
    let lab = lab();
    lab.policies.apply(GATE);
    let pay = tool("pay", EffectClass::Irreversible);
    let script = model(|call| match last_result(call) {
        None => crate::common::calls(&[("pay", json!({ "amount": 101 }))]),
        Some(_) => crate::common::say("done"),
    });
    let v = lab.add(agent("desk").tool(&pay).model(script));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    assert!(node.go(node.engine().question(effect)).unwrap().is_none());
    lab.directories.set(signing(directory(&[("ann", 10)])));
    give(&node, effect, "ann", None).unwrap();
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    approve(&node, effect, "ann", 10).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn a_run_out_of_a_backup_asks_anew_and_what_was_signed_before_does_not_answer() {
    let Desk { lab, node, run, pay } = desk(GATE);
    let effect = node.asked(run);
    let old = signed(&statement(&question(&node, effect), "ann", 10, 1), 10);
    node.go(node.engine().pause(run, crate::common::me())).unwrap();
    give(&node, effect, "ann", Some(old.clone())).unwrap();
    node.crash();
    let rt = tokio::runtime::Runtime::new().unwrap();
    rt.block_on(async {
        let store = loop {
            match SqliteStore::open(lab.path(), SqliteOptions::default()) {
                Ok(store) => break store,
                Err(e) if e.code == code::DATA_LOCKED => tokio::task::yield_now().await,
                Err(e) => panic!("{e}"),
            }
        };
        let journal: Arc<dyn Journal> = Arc::new(store);
        let lease = journal.acquire("restore", Span::from_secs(60)).await.unwrap();
        let restore = Restore { lease, generation: 2, taken: SystemClock.now() };
        mark_restored(&journal, &SystemClock, restore, &[run]).await.unwrap();
        journal.release(lease).await.unwrap();
    });
    drop(rt);
    let node = lab.open();
    node.go(node.engine().resume(run, crate::common::me())).unwrap();
    drop(give(&node, effect, "ann", Some(old)));
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    approve(&node, effect, "bob", 11).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}
