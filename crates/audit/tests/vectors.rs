//! The vectors of `docs/audit-log.md`: the crate agrees with them, they are what their seed gives, and a verifier that was written
//! from the document alone agrees on every one, and on every byte of a bundle changed.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "tests read files and run a program; modules are shared"
)]

#[path = "shared/cases.rs"]
mod cases;
#[path = "shared/certificates.rs"]
mod certificates;
#[path = "shared/history.rs"]
mod history;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use history::{Log, Seeded, tree};
use serde_json::{Value, json};
use stead_audit::{
    bundle::{self, make},
    certificate::{BadCertificate, Certificate},
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    leaf::Leaf,
    note::Trust,
    proof,
};
use stead_core::record::Record;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn load(name: &str) -> Value {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let list = if name.is_empty() { value } else { &value[name] };
    list.as_array().unwrap().iter()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn digest(value: &Value) -> TreeHash {
    TreeHash(unhex(value).try_into().unwrap())
}

fn path(value: &Value) -> Vec<TreeHash> {
    list(value, "").map(digest).collect()
}

fn trust(case: &Value) -> Trust {
    let key = |key: &Value| key.as_str().unwrap().parse().unwrap();
    let witnesses = list(case, "witnesses").map(key).collect();
    Trust { log: key(&case["log"]), witnesses, quorum: case["quorum"].as_u64().unwrap() as usize }
}

fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap()
}

#[test]
fn the_vectors_are_what_their_seed_gives() {
    for (name, value) in cases::all() {
        assert!(load(name) == value, "{name} is another: vectors are added, never changed");
    }
}

#[test]
fn proofs_of_the_vectors_hold_or_do_not_as_they_say() {
    let vectors = load("tree.json");
    for case in list(&vectors, "inclusion") {
        let (index, size) = (number(case, "index"), number(case, "size"));
        let found = proof::inclusion(digest(&case["leaf"]), index, size, &path(&case["path"]), digest(&case["root"]));
        assert_eq!(found.is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }
    for case in list(&vectors, "consistency") {
        let (old, new) = (number(case, "old"), number(case, "new"));
        let (from, to) = ((old, digest(&case["old_root"])), (new, digest(&case["new_root"])));
        let found = proof::consistency(from, to, &path(&case["path"]));
        assert_eq!(found.is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn leaves_of_the_vectors_are_read_and_written_to_the_same_bytes_or_refused() {
    for case in list(&load("leaves.json"), "") {
        let bytes = unhex(&case["leaf"]);
        let read = Leaf::decode(&bytes);
        assert_eq!(read.is_ok(), case["ok"].as_bool().unwrap(), "{}: {read:?}", case["name"]);
        let Ok(leaf) = read else { continue };
        assert_eq!(leaf.encode(), bytes, "{}", case["name"]);
        if let Some(record) = case.get("record").map(unhex) {
            let (_, hash) = Record::decode(&record, leaf.prev).unwrap();
            assert_eq!(Leaf::of(leaf.log, &record, hash, leaf.prev).unwrap(), leaf, "{}", case["name"]);
            assert_eq!(hash::leaf(&bytes), digest(&case["hash"]), "{}", case["name"]);
        }
    }
}

#[test]
fn notes_of_the_vectors_count_or_do_not_as_they_say() {
    for case in list(&load("notes.json"), "") {
        let found = Checkpoint::verify(case["note"].as_str().unwrap(), &trust(case));
        let code = found.map_or_else(|bad| bundle::Broken::from(bad).code(), |_| "ok");
        assert_eq!(code, case["code"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn bundles_of_the_vectors_verify_or_break_where_they_say() {
    let (bundles, acts) = (load("bundles.json"), load("acts.json"));
    for case in list(&bundles, "").chain(list(&acts, "")) {
        let found = bundle::verify(&unhex(&case["file"]), &trust(case), case["held"].as_str());
        let code = found.as_ref().map_or_else(bundle::Broken::code, |_| "ok");
        assert_eq!(code, case["code"].as_str().unwrap(), "{}: {found:?}", case["name"]);
        if let Ok(report) = found {
            assert_eq!(cases::told(&report), case["report"], "{}", case["name"]);
        }
    }
}

#[test]
fn certificates_of_the_vectors_hold_or_do_not_as_they_say() {
    for case in list(&load("certificates.json"), "") {
        let trust = Trust::in_log(case["log"].as_str().unwrap().parse().unwrap());
        let found = Certificate::verify(case["note"].as_str().unwrap(), &trust);
        let code = match &found {
            Ok(_) => "ok",
            Err(BadCertificate::Note(_)) => "note",
            Err(BadCertificate::Form(_)) => "certificate",
            Err(BadCertificate::Signature(_)) => "signature",
        };
        assert_eq!(code, case["code"].as_str().unwrap(), "{}: {found:?}", case["name"]);
        if let Ok(said) = found {
            assert_eq!(certificates::told(&said), case["says"], "{}", case["name"]);
        }
    }
}

/// Runs the verifier in Python: what it printed.
fn python(args: &[&str], input: &[u8]) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("verifier/verify.py");
    let mut child = Command::new("python3")
        .args(["-I", "-B"])
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("python3 is needed: {e}; install the package python3"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Beside the reading, so that neither pipe fills up.
        scope.spawn(move || stdin.write_all(input).unwrap());
        let out = child.wait_with_output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    })
}

#[test]
fn a_verifier_written_from_the_document_alone_agrees_on_every_vector() {
    let out = python(&["vectors", folder().to_str().unwrap()], b"");
    let count = |name, part| list(&load(name), part).count();
    let all = count("tree.json", "inclusion")
        + count("tree.json", "consistency")
        + count("leaves.json", "")
        + count("notes.json", "")
        + count("bundles.json", "")
        + count("acts.json", "")
        + count("certificates.json", "");
    // Of what holds, what it says is compared too.
    let told = ["bundles.json", "acts.json", "certificates.json"].map(load);
    let good = told.iter().flat_map(|cases| list(cases, "")).filter(|case| case["code"] == "ok").count();
    assert_eq!(out, format!("{} checked, 0 wrong\n", all + good));
}

#[test]
fn both_verifiers_say_the_same_of_a_bundle_with_any_byte_changed() {
    let mut seeded = Seeded(5);
    let log = Log::new(6, 2, &mut seeded);
    let mut whole = tree(&log.shown);
    let held = log.checkpoint(&tree(&log.shown[..4])).to_string();
    let note = log.cosigned(&whole);
    let Ok(file) = make(&mut whole, &note, 6, &log.shown[1..4], &[4]);
    let (trust, mut input, mut expected) = (log.trust(1), Vec::new(), Vec::new());
    let witness = log.witness.verifier().to_string();
    for at in 0..file.len() {
        for change in [1 << seeded.below(8), seeded.next() as u8 | 1] {
            let mut file = file.clone();
            file[at] ^= change;
            let found = bundle::verify(&file, &trust, Some(&held));
            let code = found.as_ref().map_or_else(bundle::Broken::code, |_| "ok");
            assert_ne!(code, "ok", "byte {at} of the bundle changed by {change:#x}, and nobody notices");
            let case = json!({"file": cases::hex(&file), "log": trust.log.to_string(), "witnesses": [witness], "quorum": 1,
                "held": held});
            writeln!(input, "{case}").unwrap();
            expected.push(code.to_owned());
        }
    }
    let out = python(&["cases"], &input);
    let said: Vec<&str> = out.lines().collect();
    assert_eq!(said.len(), expected.len(), "the verifier in Python ended early");
    for (at, (said, expected)) in said.iter().zip(&expected).enumerate() {
        assert_eq!(said, expected, "byte {} of the bundle changed", at / 2);
    }
}
