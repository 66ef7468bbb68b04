//! Leaves of the journal's own vectors, which have every kind of fact: a leaf says of each record what the record says.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read files")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use stead_audit::leaf::{Approval, Decision, Leaf};
use stead_core::{fact::Fact, id::LeafHash, record::Record};

/// The records, by the names of their files, with the hash before each.
fn records() -> BTreeMap<String, (LeafHash, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/v1");
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let prev = unhex(lines.next().unwrap().strip_prefix("prev ").unwrap());
        let bytes = unhex(&lines.skip(1).collect::<String>());
        (path.file_stem().unwrap().to_string_lossy().into_owned(), (LeafHash(prev.try_into().unwrap()), bytes))
    };
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "hex")).map(read).collect()
}

#[test]
fn a_leaf_says_of_a_record_what_the_record_says() {
    let records = records();
    assert!(records.len() >= 17, "the journal's vectors are not where they were");
    let (mut decisions, mut approvals, mut ends) = (0, 0, 0);
    for (name, (prev, bytes)) in records {
        let (record, hash) = Record::decode(&bytes, prev).unwrap();
        let leaf = Leaf::of("stead.example/audit/acme", &bytes, hash, prev).unwrap();
        let header = &record.header;
        assert_eq!((leaf.run, leaf.seq, leaf.at), (header.run, header.seq, header.at), "{name}");
        assert_eq!((leaf.record, leaf.prev), (hash, prev), "{name}");
        let mut decided = Vec::new();
        let mut approved = Vec::new();
        for fact in &record.facts {
            match fact {
                Fact::EffectDecided(decision) => decided.push(Decision {
                    effect: decision.effect,
                    verdict: decision.verdict as u8,
                    epoch: decision.ruled.as_ref().map(|ruled| ruled.epoch),
                }),
                Fact::ApprovalGiven(approval) => {
                    approved.push(Approval { effect: approval.effect, approved: approval.approved });
                }
                _ => {}
            }
        }
        let end = |fact: &Fact| matches!(fact, Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled);
        assert_eq!(leaf.kinds.end_run(), record.facts.iter().any(end), "{name}");
        decisions += decided.len();
        approvals += approved.len();
        ends += usize::from(leaf.kinds.end_run());
        assert_eq!((&leaf.decisions, &leaf.approvals), (&decided, &approved), "{name}");
        assert_eq!(Leaf::decode(&leaf.encode()).unwrap(), leaf, "{name}");
    }
    assert!(decisions > 2 && approvals > 1 && ends > 0, "the vectors have none: {decisions}, {approvals}, {ends}");
}

#[test]
fn no_changed_byte_of_a_record_panics_or_makes_a_leaf_without_a_fact() {
    for (_, (prev, bytes)) in records() {
        for at in 0..bytes.len() {
            // The hash is believed here, so it may be read as another record.
            let read = |bytes: &[u8]| match Leaf::of("log", bytes, LeafHash([1; 32]), prev) {
                Ok(leaf) => assert!(leaf.kinds.iter().next().is_some()),
                Err(bad) => assert!(bad.at <= bytes.len()),
            };
            read(&bytes[..at]);
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] ^= change;
                read(&other);
            }
        }
    }
}
