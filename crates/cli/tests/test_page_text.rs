//! What the approval page makes of a question, in JavaScript, is what the crate `stead-trust` makes of it: the text that is shown, and the
//! statement that is signed, byte for byte.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use stead_trust::{
    action::{Action, Behalf},
    hex,
    key::PublicKey,
    question::{Gate, Preview, Question},
    statement::{Human, Statement},
};

use crate::common::root;

const NOW: u64 = 1_900_000_000;

/// Texts that readers, fonts and parsers stumble over.
const HOSTILE: &[&str] = &[
    "",
    "plain",
    "{\"to\":\"ann@example.org\",\"cents\":4990}",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "p\u{430}ypal and \u{3c1}aypal",
    "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{ad}f",
    "tab\there\r\nline\u{b}\u{c}\u{85}\u{2028}\u{2029}",
    "\u{0}\u{1b}[2J\u{7f}\u{9f}",
    "spaces \u{a0}\u{1680}\u{2003}\u{3000} end",
    "\u{1f469}\u{200d}\u{1f4bb} \u{e0041}\u{e007f} \u{10ffff} \u{d7ff} \u{e000}",
    "\u{1d173}\u{115f}\u{3164}\u{2800}\u{17b4}\u{180e}\u{fff9}\u{fe0f}",
    "e\u{301} \u{212b} \u{c5} \u{a8} \"quoted\\\" \u{2044}",
    "BEWARE            nothing",
    "x\ncost              nothing",
    "__proto__",
    "constructor",
];

fn text(n: usize) -> String {
    HOSTILE[n % HOSTILE.len()].to_owned()
}

fn question(n: usize) -> Question {
    let some = |n: usize, text: String| (!n.is_multiple_of(3)).then_some(text);
    let gate = |i: usize| Gate {
        policy: text(n + i),
        approvers: vec![text(n + i + 1), text(i)],
        quorum: (n % 4) as u32,
        verified: n.is_multiple_of(2),
        channels: i.is_multiple_of(2),
        escalate: (0..(n + i) % 3).map(|step| (NOW + step as u64, text(n + step))).collect(),
    };
    Question {
        run: text(n + 1),
        step: n as u32,
        request: [n as u8; 32],
        salt: [(n + 1) as u8; 16],
        action: Action {
            tenant: text(n + 2),
            agent: text(n + 3),
            version: "sha256:00".into(),
            tool: text(n),
            schema: "00".into(),
            class: ["pure", "contained", "keyed", "reconcilable", "irreversible", "constructor"][n % 6].into(),
            key: some(n, text(n + 5)),
            arguments: text(n),
            target: (0..n % 3).map(|i| text(n + i)).collect(),
            behalf: Behalf { user: some(n + 1, text(n + 7)), callers: (0..n % 4).map(|i| text(i + n)).collect() },
            cost: some(n + 2, text(n + 9)),
            workspace: some(n, text(n + 10)),
            environment: some(n + 1, text(n + 11)),
            secrets: (0..n % 3).map(text).collect(),
            precondition: some(n + 1, text(n + 13)),
        },
        reason: text(n + 4),
        why: (0..n % 3).map(|i| text(n + i)).collect(),
        labels: (0..n % 3).map(|i| (text(n + i), text(n))).collect(),
        epoch: n.is_multiple_of(2).then_some(n as u64),
        gates: (0..n % 3).map(gate).collect(),
        quorum: (n % 5) as u32,
        asked: NOW - n as u64 * 86_399,
        expires: n.is_multiple_of(3).then_some(NOW + n as u64 * 100_000),
        denial: text(n + 12),
        preview: (n % 4 == 1).then(|| Preview { text: text(n), precondition: some(n, text(n + 1)) }),
    }
}

/// What the scripts make of some questions, each with the text that a server shows.
fn told(asked: &[(Question, String)]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("statement.mjs");
    std::fs::copy(root().join("crates/server/assets/approvals/statement.js"), &script).unwrap();
    let fixture = root().join("crates/cli/tests/fixtures/page_text.mjs");
    let mut node = Command::new("node").arg(fixture).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let node = node.as_mut().expect("`./test` installs node");
    let mut to = node.stdin.take().unwrap();
    let key = PublicKey::ed25519([7; 32]).id().to_string();
    let lines: String = asked
        .iter()
        .map(|(question, shown)| {
            let nonce = hex::encode(&[9; 16]);
            let line = json!({ "question": question.to_text(), "shown": shown, "nonce": nonce, "now": NOW, "key": key, "approved": true });
            format!("{line}\n")
        })
        .collect();
    let writing = std::thread::spawn(move || to.write_all(lines.as_bytes()).unwrap());
    let mut out = String::new();
    std::io::Read::read_to_string(&mut node.stdout.take().unwrap(), &mut out).unwrap();
    writing.join().unwrap();
    assert!(node.wait().unwrap().success());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_page_makes_the_very_text_and_statement_that_the_command_line_makes() {
    let questions: Vec<_> = (0..240).map(question).map(|q| (q.shown(), q)).map(|(shown, q)| (q, shown)).collect();
    let told = told(&questions);
    assert_eq!(told.len(), questions.len());
    for ((question, shown), told) in questions.iter().zip(told) {
        assert_eq!(told["all"].as_str(), Some(shown.as_str()), "{told}");
        assert!(shown.starts_with(told["own"].as_str().unwrap()));
        let expires = question.expires.unwrap_or(NOW + 24 * 3_600).min(NOW + 31 * 24 * 3_600 - 60);
        let human = Human { issuer: "stead".into(), subject: "ann".into() };
        let key = PublicKey::ed25519([7; 32]).id();
        let statement = Statement::about(question, true, human, key, [9; 16], expires).to_text();
        assert_eq!(told["text"].as_str(), Some(statement.as_str()));
        assert_eq!(told["challenge"].as_str().unwrap(), hex::encode(&Statement::challenge(&statement)));
    }
}

#[test]
fn the_page_signs_nothing_when_the_server_shows_another_text_than_the_question_has() {
    let question = question(2);
    let right = question.shown();
    let lines: Vec<&str> = right.split_inclusive('\n').collect();
    let mut others: Vec<String> = Vec::new();
    for i in 0..lines.len() {
        if lines[i].starts_with("BEWARE") {
            continue;
        }
        others.push(lines.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, line)| *line).collect());
        others.push(lines.iter().enumerate().map(|(j, line)| if j == i { "x\n" } else { line }).collect());
    }
    others.push(right.trim_end().to_owned());
    others.push(format!("{right}cost              nothing\n"));
    others.push(format!("{right}BEWARE            \u{202e}\n"));
    others.push(String::new());
    let others: Vec<_> = others.into_iter().map(|shown| (question.clone(), shown)).collect();
    for (told, (_, shown)) in told(&others).iter().zip(&others) {
        assert!(told["refused"].as_str().is_some_and(|why| why.contains("Nothing is signed")), "{shown}: {told}");
    }
}
