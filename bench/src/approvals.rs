//! Signed approvals: whether one statement ever lets two actions go, whatever happens around it; whether a changed member ever counts; and
//! what verifying costs. The races are those of the engine over a real store, with processes of it that go away in the middle.

mod clone;
#[expect(unreachable_pub, reason = "shared with the tests of the crate")]
#[path = "../../crates/trust/tests/shared/kit.rs"]
mod kit;
#[expect(unreachable_pub, reason = "shared with the tests of the crate")]
#[path = "../../crates/trust/tests/shared/mutate.rs"]
mod mutate;
mod race;

use std::{hint::black_box, process::ExitCode, time::Instant};

use kit::{Authenticator, NOW, enrolled, enrolment, question, root, signed, signer, statement};
use serde_json::json;
use stead_trust::{
    directory::{At, Directory},
    json::parse,
    question::Question,
    receipt::{Receipt, Signature},
};

pub(crate) use race::child;

/// Rounds, of which the median counts.
const ROUNDS: usize = 9;

pub(crate) fn main(quick: bool, json: bool) -> ExitCode {
    let (tried, rejected) = mutations();
    let each = if quick { 300 } else { 3_000 };
    let (ed25519, p256) = (ed25519(each), p256(each));
    let races = race::run(if quick { 2_000 } else { 100_000 });
    let questions = if quick { 50 } else { 1_000 };
    let clones = clone::run(questions);
    let figures = json!({
        "races": races.tried + clones.tried, "double_uses": races.double + clones.double, "crashes": races.crashes,
        "clones": clones.tried, "mutations_tried": tried,
        "mutations_rejected": rejected, "ed25519_us": ed25519, "p256_us": p256, "races_s": races.seconds,
    });
    if json {
        println!("{figures}");
    } else {
        println!("{}", serde_json::to_string_pretty(&figures).expect("is JSON"));
    }
    let done = races.executed == races.expected && clones.executed == questions;
    let held = races.double + clones.double == 0 && done && tried == rejected;
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn directory(passkey: &Authenticator) -> Directory {
    let mut directory = root();
    enrolled(&mut directory, enrolment("ann", signer(10).public().clone(), None));
    enrolled(&mut directory, enrolment("pam", passkey.public(), Some(passkey.place.clone())));
    directory
}

fn accepts(directory: &Directory, receipt: &Receipt, question: &Question) -> bool {
    directory.accept(receipt, question, &[], NOW, At::Giving).is_ok()
}

/// Every change of one member of the statement, and of the action and its question.
fn mutations() -> (u64, u64) {
    let passkey = Authenticator::new();
    let (directory, question, ann) = (directory(&passkey), question(), signer(10));
    let receipt = signed(&statement(&question, "ann", ann.public()), &ann);
    assert!(accepts(&directory, &receipt, &question), "what was signed counts");
    let (mut tried, mut rejected) = (0, 0);
    let mut count = |counts: bool| {
        tried += 1;
        rejected += u64::from(!counts);
    };
    for changed in mutate::mutations(&parse(receipt.text.as_bytes()).expect("is JSON")) {
        count(accepts(&directory, &Receipt { text: changed.to_string(), ..receipt.clone() }, &question));
    }
    for changed in mutate::mutations(&question.to_value()) {
        let Ok(other) = Question::from_text(&changed.to_string()) else {
            count(false);
            continue;
        };
        if other != question {
            count(accepts(&directory, &receipt, &other));
        }
    }
    (tried, rejected)
}

/// Microseconds that looking at a whole receipt takes: read, signature, question, person.
fn ed25519(each: usize) -> f64 {
    let passkey = Authenticator::new();
    let (directory, question, ann) = (directory(&passkey), question(), signer(10));
    let receipt = signed(&statement(&question, "ann", ann.public()), &ann);
    median(each, || accepts(&directory, black_box(&receipt), &question))
}

fn p256(each: usize) -> f64 {
    let passkey = Authenticator::new();
    let (directory, question) = (directory(&passkey), question());
    let text = statement(&question, "pam", &passkey.public()).to_text();
    let signature: Signature = passkey.assert(&text);
    let receipt = Receipt { key: passkey.public(), signature, text };
    median(each, || accepts(&directory, black_box(&receipt), &question))
}

fn median(each: usize, mut one: impl FnMut() -> bool) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            assert!((0..each).all(|_| one()), "it counts");
            begun.elapsed().as_secs_f64() * 1e6 / each as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2] * 10.0).round() / 10.0
}
