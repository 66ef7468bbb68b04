//! The encoding of the journal, held against vectors that were written once and are never rewritten: a journal written
//! by any release opens in every later one. `docs/journal-format.md` is the text they illustrate.
//!
//! `STEAD_BLESS=1` writes the vectors that do not exist yet. A vector that exists is never touched: if one of these
//! tests fails, the code is wrong.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests read files and unwrap"
)]

#[path = "golden/cbor.rs"]
mod cbor;
#[path = "golden/records.rs"]
mod records;

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::PathBuf, process::Command};

use cbor::Item;
use stead_core::{
    fact::{Fact, kind_name},
    id::LeafHash,
    record::{BadRecord, Record},
};

/// The hash that the first record of a run chains to.
const ZERO: LeafHash = LeafHash([0; 32]);

/// A vector as committed.
struct Vector {
    prev: LeafHash,
    leaf: LeafHash,
    bytes: Vec<u8>,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(format!("{name}.hex"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// `prev HASH`, `leaf HASH`, then the record in lines of hexadecimal digits.
fn print(prev: LeafHash, leaf: LeafHash, bytes: &[u8]) -> String {
    let mut out = format!("prev {}\nleaf {}\n", hex(&prev.0), hex(&leaf.0));
    for line in bytes.chunks(40) {
        writeln!(out, "{}", hex(line)).unwrap();
    }
    out
}

fn load(name: &str) -> Vector {
    let path = path(name);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; STEAD_BLESS=1 writes vectors that do not exist", path.display()));
    let mut lines = text.lines();
    let mut hash = |word| LeafHash(unhex(lines.next().unwrap().strip_prefix(word).unwrap()).try_into().unwrap());
    let (prev, leaf) = (hash("prev "), hash("leaf "));
    Vector { prev, leaf, bytes: unhex(&lines.collect::<String>()) }
}

fn vectors() -> Vec<(&'static str, Record, Vector)> {
    records::all().into_iter().map(|(name, record)| (name, record, load(name))).collect()
}

/// The number of a fact's kind. Without a wildcard: a new kind does not compile here before it has a record in
/// `golden/records.rs`.
fn kind(fact: &Fact) -> u64 {
    match fact {
        Fact::RunStarted(_) => 0,
        Fact::RunAdmitted(_) => 1,
        Fact::ContextCompacted(_) => 3,
        Fact::ModelRequested(_) => 4,
        Fact::ModelReplied(_) => 5,
        Fact::ModelFailed(_) => 6,
        Fact::EffectDecided(_) => 7,
        Fact::ApprovalRequested(_) => 8,
        Fact::ApprovalGiven(_) => 9,
        Fact::ApprovalExpired(_) => 10,
        Fact::EffectIntended(_) => 11,
        Fact::EffectReturned(_) => 12,
        Fact::EffectRefused(_) => 13,
        Fact::EffectNotSent(_) => 14,
        Fact::EffectUnknown(_) => 15,
        Fact::EffectReconciled(_) => 16,
        Fact::EffectWithdrawn(_) => 17,
        Fact::ChildStarted(_) => 18,
        Fact::ChildFinished(_) => 19,
        Fact::Paused => 20,
        Fact::Resumed => 21,
        Fact::CancelRequested(_) => 22,
        Fact::RunCompleted(_) => 23,
        Fact::RunFailed(_) => 24,
        Fact::RunCancelled => 25,
        Fact::TimerFired(_) => 26,
        Fact::Restored(_) => 27,
        Fact::AnswerRejected(_) => 28,
        Fact::ModelDenied(_) => 29,
        Fact::SandboxLimited(_) => 30,
        Fact::BudgetMoved(_) => 31,
        Fact::PlanDrawn(_) => 32,
        Fact::PlanRejected(_) => 33,
        Fact::HistoryRead(_) => 34,
        Fact::ApprovalsUsed(_) => 43,
        Fact::PreviewDecided(_) => 47,
        Fact::Previewed(_) => 48,
        Fact::ApprovalReminded(_) => 45,
        Fact::ApprovalEscalated(_) => 46,
        Fact::DelegationRenewed(_) => 50,
    }
}
/// Kept for kinds that are not written yet.
const KEPT: [u64; 11] = [2, 35, 36, 37, 38, 39, 40, 41, 42, 44, 49];
const KINDS: u64 = 51;

#[test]
fn records_encode_to_the_bytes_that_were_written_once() {
    let mut prev = ZERO;
    for (name, record) in records::all() {
        let encoded = record.encode(prev);
        let text = print(prev, encoded.leaf, &encoded.bytes);
        if env::var_os("STEAD_BLESS").is_some() && !path(name).exists() {
            fs::write(path(name), &text).unwrap();
        }
        let vector = load(name);
        assert_eq!(text, print(vector.prev, vector.leaf, &vector.bytes), "{name}");
        prev = encoded.leaf;
    }
    let files =
        fs::read_dir(path("x").parent().unwrap()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let expected = records::all().into_iter().map(|(name, _)| format!("{name}.hex"));
    assert_eq!(files.collect::<BTreeSet<_>>(), expected.collect(), "a vector without a record proves nothing");
}

#[test]
fn a_journal_written_today_opens_in_every_later_release() {
    for (name, record, vector) in vectors() {
        let (decoded, leaf) = Record::decode(&vector.bytes, vector.prev).unwrap();
        assert_eq!(decoded, record, "{name}");
        assert_eq!(leaf, vector.leaf, "{name}");
    }
}

#[test]
fn every_kind_of_fact_has_a_vector_under_its_number() {
    let mut seen = BTreeSet::new();
    for (name, record, vector) in vectors() {
        let mut tree = Item::from_bytes(&vector.bytes);
        for (fact, item) in record.facts.iter().zip(tree.items()[1].items()) {
            assert_eq!(item.items()[0], Item::Uint(kind(fact)), "{name}: {fact:?}");
            seen.insert(kind(fact));
        }
    }
    assert_eq!(seen, (0..KINDS).filter(|n| !KEPT.contains(n)).collect());
}

#[test]
fn every_kind_of_fact_has_its_name() {
    for fact in records::all().iter().flat_map(|(_, record)| &record.facts) {
        let tag = serde_json::to_value(fact).unwrap()["kind"].clone();
        let name = kind_name(u8::try_from(kind(fact)).unwrap());
        assert_eq!(name, tag.as_str(), "a line in src/fact/names.rs");
    }
}

#[test]
fn unknown_trailing_fields_are_skipped() {
    for (name, record, vector) in vectors() {
        let mut tree = Item::from_bytes(&vector.bytes);
        let [header, facts, payloads] = tree.items().as_mut_slice() else { panic!("not a record") };
        header.grow();
        for fact in facts.items() {
            // [kind, [struct]]: the variant's own fields, and those of the struct it holds.
            let fields = &mut fact.items()[1];
            if let Some(inner) = fields.items().first_mut() {
                inner.grow();
            }
            fields.grow();
        }
        for payload in payloads.items() {
            // What is known may be left out at the end, and is absent when something follows.
            let known = match payload.items()[0] {
                Item::Uint(0) => 5,
                Item::Uint(1) => 7,
                _ => 3,
            };
            while payload.items().len() < known {
                payload.items().push(Item::Null);
            }
            payload.items().push(Item::Array(vec![Item::Uint(1)]));
        }
        let (decoded, leaf) = Record::decode(&tree.to_bytes(), vector.prev).unwrap();
        assert_eq!(decoded, record, "{name}");
        assert_ne!(
            leaf, vector.leaf,
            "{name}: what is skipped in header and facts is covered by the hash all the same"
        );
    }
}

#[test]
fn a_newer_envelope_is_told_from_a_damaged_one() {
    for (_, _, vector) in vectors() {
        let mut tree = Item::from_bytes(&vector.bytes);
        tree.items()[0].items()[0] = Item::Uint(2);
        // Whatever else it may have become.
        tree.items()[0].items()[1] = Item::Text("a run".into());
        let newer = Record::decode(&tree.to_bytes(), vector.prev);
        assert!(matches!(newer, Err(BadRecord::Newer { found: 2 })), "{newer:?}");
    }
}

#[test]
fn an_unknown_kind_of_fact_is_an_error_not_a_guess() {
    let (_, _, vector) = vectors().remove(0);
    let mut tree = Item::from_bytes(&vector.bytes);
    tree.items()[1].items().push(Item::Array(vec![Item::Uint(999), Item::Array(vec![])]));
    assert!(matches!(Record::decode(&tree.to_bytes(), vector.prev), Err(BadRecord::Damaged(_))));
}

#[test]
fn a_cut_or_lengthened_record_is_refused() {
    for (name, _, vector) in vectors() {
        for end in 0..vector.bytes.len() {
            assert!(Record::decode(&vector.bytes[..end], vector.prev).is_err(), "{name} cut at {end}");
        }
        let longer = [&vector.bytes[..], &[0]].concat();
        assert!(matches!(Record::decode(&longer, vector.prev), Err(BadRecord::Trailing)), "{name}");
    }
}

#[test]
fn every_changed_byte_is_refused_or_changes_the_leaf_hash_and_none_panics() {
    for (name, _, vector) in vectors() {
        // As computed here: a hash that forgets something differs from the vector's whatever is changed.
        let (_, whole) = Record::decode(&vector.bytes, vector.prev).unwrap();
        let mut bytes = vector.bytes.clone();
        for at in 0..bytes.len() {
            for flip in 1..=u8::MAX {
                bytes[at] ^= flip;
                if let Ok((_, leaf)) = Record::decode(&bytes, vector.prev) {
                    assert_ne!(leaf, whole, "{name}: byte {at} xor {flip:#x}");
                }
                bytes[at] ^= flip;
            }
        }
    }
}

#[test]
fn erasing_a_text_leaves_the_leaf_hash_as_it_was() {
    for (name, mut record, vector) in vectors() {
        let salt = record.header.salt;
        let blinds: Vec<_> = record.payloads.iter().filter_map(|p| p.blind).collect();
        for (i, payload) in record.payloads.iter_mut().enumerate() {
            payload.erase(&salt, i as u16);
        }
        let erased = record.encode(vector.prev);
        for blind in blinds {
            assert!(!erased.bytes.windows(16).any(|w| w == blind), "{name}: what blinded a text stays");
        }
        assert_eq!(record.encode(vector.prev).leaf, vector.leaf, "{name}");
    }
}

#[test]
fn a_reader_that_knows_only_the_document_finds_the_same_hashes() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/verify.py");
    let out = Command::new("python3")
        .arg(&script)
        .args(records::all().iter().map(|(name, _)| path(name)))
        .output()
        .expect("python3 is needed: apt-get install python3");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}
