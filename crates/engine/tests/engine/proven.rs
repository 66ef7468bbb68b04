//! Promise 6, afterwards: of a run whose signed answers, or what they let go, were changed, it is said where that was.

use bytes::Bytes;
use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    fact::{Fact, Precondition},
    id::RunId,
    record::{Body, Payload, Record},
    ruling::{Behalf, Nonce, Person},
    run::GENESIS,
    time::Timestamp,
};
use stead_engine::{SignedReport, StartRun, clock::SystemClock, human};
use stead_ports::{agent::Binds, clock::Clock as _, tool::Output, trust::DirectoryRow};
use stead_trust::directory::{Directory, Enrolment, Entry, Root, RootKey, What};

use crate::{
    common::{Lab, Node, agent, ask, lab, once, tool},
    signed::{envelope, now, person, question, signed, signer, signing, statement},
};

const GATE: &str = r#"
    @id("large") @require("approval") @approvers("finance") @quorum("2") @ttl("15m")
    forbid (principal, action == Action::"pay", resource);
"#;

/// A run in which ann and bob have signed a payment, which was made; and the entries of the directory.
struct Paid {
    _lab: Lab,
    node: Node,
    run: RunId,
    records: Vec<Record>,
    rows: Vec<DirectoryRow>,
}

fn entries(people: &[(&str, u8)]) -> (Directory, Vec<DirectoryRow>) {
    let key = |(n, holder): (u8, &str)| RootKey { holder: holder.into(), key: signer(n).public().clone() };
    let root = Root { threshold: 2, keys: [(1, "xenia"), (2, "yves")].map(key).into(), personal: false };
    let first = Entry { tenant: "acme".into(), seq: 0, previous: None, at: 1, what: What::Root(root) };
    let mut texts = vec![envelope(&first, &[1, 2])];
    let mut directory = Directory::begin(&texts[0]).unwrap();
    for (name, n) in people {
        let (key, human) = (signer(*n).public().clone(), human(&(*name).into()));
        let what = What::Enrol(Enrolment { key, human, roles: vec!["finance".into()], passkey: None });
        let entry =
            Entry { tenant: "acme".into(), seq: directory.next(), previous: Some(directory.head()), at: 2, what };
        let under = envelope(&entry, &[1, 2]);
        directory.add(&under).unwrap();
        texts.push(under);
    }
    let row = |(seq, under): (u64, &stead_trust::directory::Envelope)| DirectoryRow {
        seq,
        body: Bytes::from(under.to_text()),
        by: "olga".into(),
        at: Timestamp(3_000_000),
    };
    let rows = (0..).zip(&texts).map(row).collect();
    (directory, rows)
}

/// Adds that a key is revoked, now.
fn revoke(directory: &mut Directory, key: u8) -> DirectoryRow {
    let what = What::Revoke { key: signer(key).public().id(), reason: "lost".into() };
    let (seq, previous) = (directory.next(), Some(directory.head()));
    let under = envelope(&Entry { tenant: "acme".into(), seq, previous, at: now(), what }, &[1, 2]);
    directory.add(&under).unwrap();
    DirectoryRow { seq, body: Bytes::from(under.to_text()), by: "olga".into(), at: SystemClock.now() }
}

fn paid() -> Paid {
    paid_by(&[("ann", 10, 10), ("bob", 11, 11)], None)
}

/// The same with these answers: who gives each, with which key and which nonce. After the first one a key may be lost.
fn paid_by(answers: &[(&str, u8, u8)], lost: Option<u8>) -> Paid {
    let lab = lab();
    lab.policies.apply(GATE);
    let (mut directory, mut rows) = entries(&[("ann", 10), ("bob", 11), ("zoe", 12)]);
    lab.directories.set(signing(directory.clone()));
    let look = tool("look", EffectClass::Pure).does(|_| async { Outcome::Returned(Output::ok("7")) });
    let pay = tool("pay", EffectClass::Irreversible).seen_by(&look, Some(Binds::Rows));
    let v = lab.add(agent("desk").tool(&pay).tool(&look).model(once("pay", json!({ "amount": 101 }))));
    let node = lab.open();
    let behalf = Behalf { user: Some(Person { name: "cem".into(), roles: Vec::new() }), ..Behalf::default() };
    let run = node.go(node.engine().start(StartRun { behalf, ..ask(v, "x") })).unwrap().run;
    let effect = node.asked(run);
    for (n, &(name, key, nonce)) in answers.iter().enumerate() {
        if let Some(lost) = lost.filter(|_| n == 1) {
            rows.push(revoke(&mut directory, lost));
            lab.directories.set(signing(directory.clone()));
        }
        let statement = statement(&question(&node, effect), name, key, nonce);
        let signed = Some(signed(&statement, key));
        node.go(node.engine().approve(effect, true, person(name), None, signed)).unwrap();
    }
    node.completes(run);
    let stored = node.go(node.engine().journal().read(run, 0, 1_000)).unwrap();
    let mut prev = GENESIS;
    let records = stored.iter().map(|stored| {
        let (record, leaf) = Record::decode(&stored.bytes, prev).unwrap();
        prev = leaf;
        record
    });
    let records = records.collect();
    Paid { _lab: lab, node, run, records, rows }
}

impl Paid {
    fn verified(&self, records: &[Record], rows: &[DirectoryRow]) -> SignedReport {
        self.node.go(self.node.engine().prove_signed(self.run, records, rows)).unwrap()
    }

    /// What is said when somebody who can write the journal, and makes all its hashes anew, has changed the facts of a kind.
    fn with(&self, what: &str, mut change: impl FnMut(&mut Fact, &mut Record)) {
        let mut records = self.records.clone();
        for record in &mut records {
            let before = record.facts.clone();
            for (n, fact) in before.iter().enumerate() {
                let mut fact = fact.clone();
                change(&mut fact, record);
                // One that takes facts out changes nothing else.
                if record.facts.len() == before.len() {
                    record.facts[n] = fact;
                }
            }
        }
        assert!(records != self.records, "{what}: nothing was changed");
        let report = self.verified(&records, &self.rows);
        assert!(!report.breaks.is_empty(), "{what}: not found");
    }
}

#[test]
fn what_was_signed_and_done_is_told_as_it_was() {
    let paid = paid();
    let report = paid.verified(&paid.records, &paid.rows);
    assert_eq!((report.answers, report.released, report.breaks, report.notes), (2, 1, vec![], vec![]));
}

#[test]
fn who_signs_again_is_counted_by_the_last_answer() {
    let paid = paid_by(&[("ann", 10, 10), ("ann", 10, 20), ("bob", 11, 11)], None);
    let report = paid.verified(&paid.records, &paid.rows);
    assert_eq!((report.answers, report.released, report.breaks, report.notes), (3, 1, vec![], vec![]));
}

#[test]
fn an_answer_whose_key_was_lost_meanwhile_is_left_out_and_the_others_are_enough() {
    let paid = paid_by(&[("ann", 10, 10), ("bob", 11, 11), ("zoe", 12, 12)], Some(10));
    let report = paid.verified(&paid.records, &paid.rows);
    assert_eq!((report.answers, report.released, report.breaks, report.notes), (3, 1, vec![], vec![]));
}

#[test]
fn without_its_texts_a_run_holds_and_it_is_told_what_cannot_be_compared() {
    let mut paid = paid();
    for record in &mut paid.records {
        record.erase_texts();
    }
    let report = paid.verified(&paid.records, &paid.rows);
    assert_eq!((report.answers, report.released, report.breaks), (2, 1, vec![]));
    assert_eq!(report.notes, ["the texts are erased: what was signed cannot be compared"]);
    // Who signed, and where it was asked, is looked at as before.
    paid.with("who gave it", |fact, _| {
        if let Fact::ApprovalGiven(f) = fact {
            f.by = "cem".into();
        }
    });
    paid.with("another question", |fact, _| {
        if let Fact::ApprovalRequested(f) = fact {
            f.asked.as_mut().unwrap().quorum = 1;
        }
    });
}

#[test]
fn every_change_of_what_was_signed_or_what_it_let_go_is_found_where_it_is() {
    let paid = paid();
    paid.with("who gave it", |fact, _| {
        if let Fact::ApprovalGiven(f) = fact {
            f.by = "cem".into();
        }
    });
    paid.with("a signature less", |fact, _| {
        if let Fact::ApprovalGiven(f) = fact {
            f.signed = None;
        }
    });
    paid.with("another nonce", |fact, _| {
        if let Fact::ApprovalGiven(f) = fact {
            f.signed.as_mut().unwrap().nonce = Nonce([1; 16]);
        }
    });
    let mut first = None;
    paid.with("one answer in the place of both", |fact, _| {
        if let Fact::ApprovalGiven(f) = fact {
            *f = first.get_or_insert_with(|| f.clone()).clone();
        }
    });
    paid.with("nothing was used up", |fact, record| {
        if let Fact::ApprovalsUsed(_) = fact {
            record.facts.retain(|fact| !matches!(fact, Fact::ApprovalsUsed(_)));
        }
    });
    paid.with("one was used twice", |fact, _| {
        if let Fact::ApprovalsUsed(f) = fact {
            f.nonces = vec![f.nonces[0]; 2];
        }
    });
    paid.with("fewer people", |fact, _| {
        if let Fact::ApprovalRequested(f) = fact {
            f.asked.as_mut().unwrap().quorum = 1;
        }
    });
    paid.with("on behalf of who has signed", |fact, _| {
        if let Fact::RunStarted(f) = fact {
            f.behalf.as_mut().unwrap().user.as_mut().unwrap().name = "ann".into();
        }
    });
    paid.with("other arguments", |fact, record| {
        if let Fact::ModelReplied(f) = fact
            && let Some(Payload { body: Body::Inline(text), .. }) = record.payloads.get_mut(usize::from(f.payload))
        {
            *text = String::from_utf8(text.to_vec()).unwrap().replace("101", "901").into();
            f.usage.output += 1;
        }
    });
    paid.with("what had to hold", |fact, _| {
        if let Fact::Previewed(f) = fact {
            f.precondition = Some(Precondition::Rows(8));
        }
    });
    paid.with("nothing had to hold", |fact, _| {
        if let Fact::Previewed(f) = fact {
            f.precondition = None;
        }
    });
    paid.with("what people were shown", |fact, record| {
        if let Fact::Previewed(f) = fact
            && let Some(Payload { body: Body::Inline(text), .. }) = record.payloads.get_mut(usize::from(f.payload))
        {
            *text = "1 row".into();
            f.failed = true;
        }
    });
    paid.with("another tool", |fact, _| {
        if let Fact::ModelReplied(f) = fact {
            for call in &mut f.calls {
                call.tool = "look".into();
            }
        }
    });
    let soon = i64::try_from(now() + 700).unwrap() * 1_000_000;
    paid.with("too late", |fact, record| {
        if let Fact::ApprovalGiven(_) = fact {
            record.header.at = Timestamp(soon);
        }
    });
}

/// Every value of a fact, one after the other, as another one.
fn changes(value: &Value, at: &mut Vec<String>, out: &mut Vec<(String, Value)>, whole: &Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                at.push(name.clone());
                changes(member, at, out, whole);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                at.push(n.to_string());
                changes(item, at, out, whole);
                at.pop();
            }
        }
        leaf => {
            let other = match leaf {
                Value::String(text) => json!(format!("{text}x")),
                Value::Number(n) => json!(n.as_u64().map_or(0, |n| if n == 255 { 0 } else { n + 1 })),
                Value::Bool(b) => json!(!b),
                _ => return,
            };
            let pointer = at.iter().fold(String::new(), |path, part| path + "/" + part);
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).unwrap() = other;
            out.push((pointer, changed));
        }
    }
}

#[test]
fn no_value_of_a_question_an_answer_or_its_use_can_be_another_one() {
    let paid = paid();
    let mut tried = 0;
    for (r, record) in paid.records.iter().enumerate() {
        for (n, fact) in record.facts.iter().enumerate() {
            if !matches!(fact, Fact::ApprovalRequested(_) | Fact::ApprovalGiven(_) | Fact::ApprovalsUsed(_)) {
                continue;
            }
            let whole = serde_json::to_value(fact).unwrap();
            let mut all = Vec::new();
            changes(&whole, &mut Vec::new(), &mut all, &whole);
            for (pointer, changed) in all {
                let Ok(other) = serde_json::from_value::<Fact>(changed) else { continue };
                let mut records = paid.records.clone();
                records[r].facts[n] = other.clone();
                tried += 1;
                let found = paid.verified(&records, &paid.rows);
                assert!(!found.breaks.is_empty(), "record {r}, {pointer}: {other:?}");
            }
        }
    }
    assert!(tried > 60, "{tried}");
}

#[test]
fn a_directory_that_is_another_one_is_found() {
    let paid = paid();
    let find = |what: &str, rows: Vec<DirectoryRow>| {
        assert!(!paid.verified(&paid.records, &rows).breaks.is_empty(), "{what}: not found");
    };
    find("none", Vec::new());
    find("a key less", paid.rows[..2].to_vec());
    let mut later = paid.rows.clone();
    later[2].at = Timestamp(i64::try_from(now() + 3_600).unwrap() * 1_000_000);
    find("a key that came later", later);
    let mut moved = paid.rows.clone();
    moved.swap(1, 2);
    find("in another order", moved);
    let mut other = paid.rows.clone();
    other[1].body = String::from_utf8(other[1].body.to_vec()).unwrap().replace("finance", "support").into();
    find("another role", other);
    // Another root, which says the same of the same keys.
    let mut forged = paid.rows.clone();
    forged[0].body = String::from_utf8(forged[0].body.to_vec()).unwrap().replace("xenia", "zenia").into();
    find("another root", forged);
}
