//! Answers that people sign: the directory of their keys, and what the door takes.

use serde_json::json;
use stead_api::{right::Right, run::Run};
use stead_client::Client;
use stead_core::id::EffectId;
use stead_server::config::{SignedAnswers, TokenEntry};
use stead_trust::{
    directory::{Enrolment, Entry, Envelope, Root, RootKey, Signed, What},
    evidence::Evidence,
    hex,
    question::Question,
    receipt::Receipt,
    signer::Signer,
    statement::{Human, Statement},
};
use zeroize::Zeroizing;

use crate::lab::{Lab, problem};

fn signer(n: u8) -> Signer {
    Signer::from_seed(Zeroizing::new([n; 32])).unwrap()
}

fn human(name: &str) -> Human {
    Human { issuer: "stead".into(), subject: name.into() }
}

fn envelope(entry: &Entry, by: &[u8]) -> String {
    let entry = entry.to_text();
    let under = |n: &u8| Signed { key: signer(*n).public().clone(), signature: signer(*n).sign_text(&entry) };
    Envelope { signatures: by.iter().map(under).collect(), entry }.to_text()
}

fn root() -> Entry {
    let key = |(n, holder): (u8, &str)| RootKey { holder: holder.into(), key: signer(n).public().clone() };
    let root = Root { threshold: 2, keys: [(1, "xenia"), (2, "yves")].map(key).into(), personal: false };
    Entry { tenant: "default".into(), seq: 0, previous: None, at: 1, what: What::Root(root) }
}

async fn enrolment(client: &Client, name: &str, key: u8) -> Entry {
    let directory = client.approvers().await.unwrap();
    let previous = directory.head.as_deref().and_then(hex::decode);
    let key = signer(key).public().clone();
    let what = What::Enrol(Enrolment { key, human: human(name), roles: Vec::new(), passkey: None });
    Entry { tenant: "default".into(), seq: directory.next, previous, at: 1, what }
}

fn token(subject: &str) -> TokenEntry {
    let sha256 = stead_server::config::hash_token(subject).iter().map(|b| format!("{b:02x}")).collect();
    let rights = vec![Right::Read, Right::Run, Right::Approve];
    TokenEntry {
        sha256,
        subject: subject.into(),
        tenant: "default".into(),
        rights,
        roles: vec![],
        mends: false,
        agent: None,
        session: None,
    }
}

/// A server on which every yes takes a signature, and the clients of two people.
async fn lab() -> (Lab, Client, Client) {
    let lab = Box::pin(Lab::with(|config| {
        config.auth.tokens = vec![token("ann"), token("bob")];
        config.approvals.signed = SignedAnswers::Always;
    }));
    let lab = lab.await;
    let client = |name| Client::new(&lab.url, name).unwrap();
    let (ann, bob) = (client("ann"), client("bob"));
    (lab, ann, bob)
}

/// What ann would send.
async fn receipt(
    client: &Client,
    effect: EffectId,
    name: &str,
    key: u8,
    change: impl FnOnce(&mut Statement),
) -> String {
    let asked = client.question(effect).await.unwrap();
    assert!(asked.open && asked.signed);
    let question = Question::from_text(&asked.question).unwrap();
    let id = signer(key).public().id();
    let mut statement = Statement::about(&question, true, human(name), id, [key; 16], asked.now + 60);
    change(&mut statement);
    let text = statement.to_text();
    Receipt { key: signer(key).public().clone(), signature: signer(key).sign_text(&text), text }.to_text()
}

async fn code(answer: Result<Run, stead_client::ClientError>) -> String {
    answer.map_or_else(|e| e.code.to_string(), |run| format!("{:?}", run.summary.status))
}

#[tokio::test]
async fn a_yes_is_taken_with_the_signature_of_who_brings_it_once_and_can_be_proven_afterwards() {
    let (lab, ann, bob) = lab().await;
    // A root is for who has the server in hand, and it is the first entry once.
    assert_eq!(ann.add_approver_entry(envelope(&root(), &[1, 2])).await.unwrap_err().code.to_string(), "ST0209");
    let refused = async |entry| lab.client.add_approver_entry(entry).await.unwrap_err().code.to_string();
    assert_eq!(refused(envelope(&root(), &[1])).await, "ST0372");
    lab.client.add_approver_entry(envelope(&root(), &[1, 2])).await.unwrap();
    assert_eq!(refused(envelope(&root(), &[1, 2])).await, "ST0372");
    for (name, key) in [("ann", 10), ("bob", 11)] {
        let entry = enrolment(&ann, name, key).await;
        assert_eq!(refused(envelope(&entry, &[key])).await, "ST0372", "nobody enrols themselves");
        ann.add_approver_entry(envelope(&entry, &[1, 2])).await.unwrap();
    }
    let waiting = lab.waiting().await;
    let effect = waiting.approvals[0].id;
    assert_eq!(code(ann.approve(effect, None).await).await, "ST0370");
    let wrong = [
        receipt(&ann, effect, "bob", 11, |_| {}).await,
        receipt(&ann, effect, "ann", 12, |_| {}).await,
        receipt(&ann, effect, "ann", 10, |s| s.approved = false).await,
        receipt(&ann, effect, "ann", 10, |s| s.expires = 1).await,
        receipt(&ann, effect, "ann", 10, |s| s.shown = [0; 32]).await,
        receipt(&ann, effect, "ann", 10, |s| s.action = [0; 32]).await,
        receipt(&ann, effect, "ann", 10, |s| s.step = 9).await,
        receipt(&ann, effect, "ann", 10, |_| {}).await.replace("\"approve", "\"approve "),
        "{}".to_owned(),
    ];
    for wrong in wrong {
        assert_eq!(code(ann.answer_signed(effect, true, None, wrong.clone()).await).await, "ST0371", "{wrong}");
    }
    let right = receipt(&ann, effect, "ann", 10, |_| {}).await;
    assert_eq!(code(bob.answer_signed(effect, true, None, right.clone()).await).await, "ST0371", "it is ann's");
    ann.answer_signed(effect, true, None, right.clone()).await.unwrap();
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was added."));
    assert_eq!(code(ann.answer_signed(effect, true, None, right).await).await, "ST0371", "it was used");
    // Anybody can verify it, with the root's hash and nothing of the server's.
    let asked = lab.client.question(effect).await.unwrap();
    let entries = ann.approver_entries(0).await.unwrap().items.into_iter().map(|row| row.entry).collect();
    let evidence = Evidence { question: asked.question, receipts: asked.receipts, entries };
    let shown = evidence.verify(
        stead_trust::directory::Directory::begin(&Envelope::from_text(&envelope(&root(), &[1, 2])).unwrap())
            .ok()
            .map(|d| d.anchor()),
    );
    let shown = shown.unwrap();
    assert_eq!((shown.answers.len(), shown.answers[0].statement.human.subject.as_str()), (1, "ann"));
    assert_eq!(shown.question.action.arguments, r#"{"text":"milk"}"#);
    assert!(evidence.verify(Some([0; 32])).is_err());
}

#[tokio::test]
async fn a_no_takes_no_signature_and_who_applied_the_agent_approves_nothing_of_it() {
    let (lab, ann, _) = lab().await;
    lab.client.add_approver_entry(envelope(&root(), &[1, 2])).await.unwrap();
    for (name, key) in [("ann", 10), ("owner", 13)] {
        let entry = enrolment(&ann, name, key).await;
        ann.add_approver_entry(envelope(&entry, &[1, 2])).await.unwrap();
    }
    let waiting = lab.waiting().await;
    let effect = waiting.approvals[0].id;
    let own = receipt(&lab.client, effect, "owner", 13, |_| {}).await;
    assert_eq!(code(lab.client.answer_signed(effect, true, None, own).await).await, "ST0371");
    ann.deny(effect, None).await.unwrap();
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was not added."));
}

#[tokio::test]
async fn a_directory_that_begins_with_another_root_than_the_operator_names_counts_for_nobody() {
    let lab = Box::pin(Lab::with(|config| {
        config.approvals.roots = [("default".to_owned(), "ab".repeat(32))].into();
    }));
    let lab = lab.await;
    problem(lab.post("/v1/approvers/entries", &json!({ "entry": envelope(&root(), &[1, 2]) })).await, 422, "ST0372")
        .await;
    assert_eq!(lab.client.approvers().await.unwrap().anchor, None);
    problem(lab.post("/v1/approvers/entries", &json!({ "entry": "{}" })).await, 422, "ST0372").await;
}

#[tokio::test]
async fn a_row_of_the_database_that_signed_answers_rest_on_is_not_another_one_unseen() {
    let (lab, ann, bob) = lab().await;
    lab.client.add_approver_entry(envelope(&root(), &[1, 2])).await.unwrap();
    for (name, key) in [("ann", 10), ("bob", 11)] {
        let entry = enrolment(&ann, name, key).await;
        ann.add_approver_entry(envelope(&entry, &[1, 2])).await.unwrap();
    }
    let waiting = lab.waiting().await;
    let effect = waiting.approvals[0].id;
    let right = receipt(&ann, effect, "ann", 10, |_| {}).await;
    ann.answer_signed(effect, true, None, right).await.unwrap();
    let run = waiting.summary.id;
    lab.ended(run).await;
    let found = lab.client.verify_run(run).await.unwrap();
    assert_eq!((found.holds, found.approvals, found.signed), (true, 1, 1), "{found:?}");

    let conn = rusqlite::Connection::open(lab.dir.path().join("data/stead.db")).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    let text =
        |column: &str, was: &str, is: &str| format!("CAST(replace(CAST({column} AS TEXT), '{was}', '{is}') AS BLOB)");
    let bytes = |was: &str, is: &str| text("body", was, is);
    // Each is one field of one row, as somebody with the file could write it.
    let attacks = [
        ("directories", "body", "seq = 1".to_owned(), bytes("ann", "bob")),
        ("directories", "body", "seq = 1".to_owned(), bytes("ssh-ed25519 AAAA", "ssh-ed25519 AAAB")),
        ("directories", "body", "seq = 0".to_owned(), bytes("xenia", "zenia")),
        ("directories", "body", "seq = 2".to_owned(), bytes("subject", "subjekt")),
        ("directories", "body", "seq = 2".to_owned(), "x'00'".to_owned()),
        ("directories", "at", "seq = 1".to_owned(), "at + 86400000000".to_owned()),
        ("directories", "at", "seq = 0".to_owned(), "at + 86400000000".to_owned()),
        ("directories", "seq", "seq = 2".to_owned(), "7".to_owned()),
        ("alias_moves", "moved_by", "rowid = (SELECT min(rowid) FROM alias_moves)".to_owned(), "'ann'".to_owned()),
        ("records", "body", "instr(body, CAST('milk' AS BLOB)) > 0".to_owned(), bytes("milk", "silk")),
        ("records", "leaf", "rowid = (SELECT max(rowid) FROM records)".to_owned(), "zeroblob(32)".to_owned()),
    ];
    let mut unseen = Vec::new();
    for (table, column, of, value) in attacks {
        let rowid: i64 = conn.query_row(&format!("SELECT rowid FROM {table} WHERE {of}"), [], |r| r.get(0)).unwrap();
        let read = format!("SELECT {column} FROM {table} WHERE rowid = {rowid}");
        let before: rusqlite::types::Value = conn.query_row(&read, [], |r| r.get(0)).unwrap();
        conn.execute(&format!("UPDATE {table} SET {column} = {value} WHERE rowid = {rowid}"), []).unwrap();
        let after: rusqlite::types::Value = conn.query_row(&read, [], |r| r.get(0)).unwrap();
        let found = lab.client.verify_run(run).await;
        if before == after || found.as_ref().is_ok_and(|found| found.holds) {
            unseen.push(format!("{table}.{column} {of}: {found:?}"));
        }
        conn.execute(&format!("UPDATE {table} SET {column} = ? WHERE rowid = {rowid}"), [before]).unwrap();
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    let found = lab.client.verify_run(run).await.unwrap();
    assert!(found.holds, "all is as it was: {found:?}");
    drop(bob);
}
