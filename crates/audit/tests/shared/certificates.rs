//! The vectors of certificates of erasures: good ones, and for each rule of the document one that breaks it.

use serde_json::{Value, json};
use stead_audit::{
    certificate::{Certificate, ErasedRun, indexes},
    key::{Role, SignerKey},
    note::Note,
};
use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use super::{
    cases::hex,
    history::{Seeded, key},
};

const OPERATORS: &str = "stead.example/audit/%25operators";

fn certificate(runs: u8) -> Certificate {
    let blank = Certificate {
        origin: OPERATORS.into(),
        id: 0x0193_2f3a_0b5c_7d2e_9f10_a4b6_c8d0_e2f4,
        tenant: Certificate::name("acme & sons"),
        subject: [0xab; 32],
        by: Certificate::name("grace"),
        asked: Timestamp(1_767_225_600_000_000),
        done: Timestamp(1_767_225_601_000_001),
        runs: 0,
        records: 0,
        texts: 5,
        // Those of before there were keys of persons do not say how many were destroyed.
        keys: (runs != 1).then_some(u64::from(runs)),
        list: [0; 32],
        before: "-".into(),
        after: "stead.example/audit/acme%20%26%20sons 12 yVVncScMRdoViSV5D4IxeQCCpue/LbpIAoeompEGY9Y=".into(),
        listed: Vec::new(),
    };
    let run = |n: u64| ErasedRun {
        run: RunId(u128::from(n) << 80 | 7),
        records: n + 1,
        last: LeafHash([n as u8; 32]),
        indexes: indexes(&[3, 4, 5, 9, n + 20]),
    };
    // More than are listed, for the largest.
    let runs = if runs == u8::MAX { 501 } else { u64::from(runs) };
    blank.about(&(0..runs).map(run).collect::<Vec<_>>())
}

/// What a certificate says, as it is written.
pub fn told(said: &Certificate) -> Value {
    let mut told = json!({
        "origin": said.origin, "id": format!("{:032x}", said.id), "tenant": said.tenant, "subject": hex(&said.subject),
        "by": said.by, "asked": said.asked.0.to_string(), "done": said.done.0.to_string(), "runs": said.runs.to_string(),
        "records": said.records.to_string(), "texts": said.texts.to_string(), "list": hex(&said.list),
        "before": said.before, "after": said.after,
    });
    if let Some(keys) = said.keys {
        told["keys"] = json!(keys.to_string());
    }
    told
}

fn signed(text: &str, key: &SignerKey) -> String {
    let mut note = Note::new(text.to_owned()).expect("a text");
    note.sign(key);
    note.to_string()
}

pub fn certificates() -> Value {
    let mut seeded = Seeded(6);
    let (log, namesake) = (key(OPERATORS, Role::Log, &mut seeded), key(OPERATORS, Role::Log, &mut seeded));
    let tenant = key("stead.example/audit/acme", Role::Log, &mut seeded);
    let good = |runs| certificate(runs).sign(&log).expect("a certificate");
    let three = good(3);
    let (text, signature) = three.split_at(three.find("\n\n").expect("a note") + 1);
    let line = |n: usize| text.split_inclusive('\n').nth(n).expect("a line");
    // The log has signed what it never would.
    let with = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        signed(&changed, &log)
    };
    let (id, digest) = ("01932f3a0b5c7d2e9f10a4b6c8d0e2f4", "ab".repeat(32));
    let cases = [
        ("three runs", three.clone(), "ok"),
        ("no run", good(0), "ok"),
        ("more runs than are listed", good(u8::MAX), "ok"),
        ("a time before 1970", with("\nasked 1767225600000000\n", "\nasked -5\n"), "ok"),
        (
            "another number of texts, and the signature of before",
            three.replacen("\ntexts 5\n", "\ntexts 6\n", 1),
            "signature",
        ),
        ("signed by a namesake of the log", signed(text, &namesake), "signature"),
        ("signed by another log", signed(text, &tenant), "signature"),
        ("of another log, and signed", with(OPERATORS, "stead.example/audit/acme"), "signature"),
        ("the signature twice", format!("{three}{}", signature.trim_start_matches('\n')), "signature"),
        ("no signature", format!("{text}\n"), "note"),
        ("a carriage return", three.replacen("\nby grace\n", "\nby grace\r\n", 1), "note"),
        ("another version", with("stead-erasure/v1", "stead-erasure/v2"), "certificate"),
        ("a run that is not counted", with("\nruns 3\n", "\nruns 2\n"), "certificate"),
        ("a run that is not listed", with(line(16), ""), "certificate"),
        ("a run with another hash", with("leaf:0101", "leaf:0102"), "certificate"),
        (
            "runs in another order",
            with(&format!("{}{}", line(14), line(15)), &format!("{}{}", line(15), line(14))),
            "certificate",
        ),
        ("something behind the runs", signed(&format!("{text}more\n"), &log), "certificate"),
        ("no line of whoever asked", with(line(5), ""), "certificate"),
        (
            "lines in another order",
            with(&format!("{}{}", line(6), line(7)), &format!("{}{}", line(7), line(6))),
            "certificate",
        ),
        ("an origin that is no name", with(OPERATORS, "stead.example/a+b"), "certificate"),
        ("a number with a zero before it", with("\ntexts 5\n", "\ntexts 05\n"), "certificate"),
        ("a number with a sign", with("\ntexts 5\n", "\ntexts +5\n"), "certificate"),
        ("a number of other digits", with("\ntexts 5\n", "\ntexts \u{665}\n"), "certificate"),
        ("a number above 2^64", with("\ntexts 5\n", "\ntexts 18446744073709551616\n"), "certificate"),
        ("a time with a zero before it", with("\nasked 1", "\nasked 01"), "certificate"),
        ("a time of minus zero", with("\nasked 1767225600000000\n", "\nasked -0\n"), "certificate"),
        ("a time that no i64 has", with("\nasked 1767225600000000\n", "\nasked 9223372036854775808\n"), "certificate"),
        ("an id in capitals", with(id, &id.to_uppercase()), "certificate"),
        ("an id that is too short", with(id, &id[1..]), "certificate"),
        ("a digest in capitals", with(&digest, &digest.to_uppercase()), "certificate"),
        ("a digest that is too short", with(&digest, &digest[2..]), "certificate"),
    ];
    let of = |(name, note, code): (&str, String, &str)| {
        let mut case = json!({"name": name, "note": note, "log": log.verifier().to_string(), "code": code});
        if code == "ok" {
            case["says"] = told(&Certificate::read(&note).expect("a certificate"));
        }
        case
    };
    cases.into_iter().map(of).collect()
}
