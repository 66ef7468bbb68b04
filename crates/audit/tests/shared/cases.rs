//! The vectors, made out of a seed: proofs, leaves, notes and bundles, good ones and for each code bad ones. They are frozen as files;
//! what is made here must be what stands there.

use serde_json::{Value, json};
use stead_audit::{
    bundle::{Bundle, Shown, make},
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    key::{Role, SignerKey},
    leaf::{Act, Leaf},
    prove,
    tree::Tree,
};

use stead_core::time::Timestamp;

use super::{
    certificates::certificates,
    history::{Log, NEW_YEAR_S, ORIGIN, Seeded, key, tree, withhold},
};

/// Each file of vectors.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("tree.json", trees()),
        ("leaves.json", leaves()),
        ("notes.json", notes()),
        ("bundles.json", bundles()),
        ("acts.json", acts()),
        ("certificates.json", certificates()),
    ]
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(|hash| hex(&hash.0)).collect()
}

fn trees() -> Value {
    let sizes = [1_u64, 2, 3, 5, 7, 8, 13, 70];
    let leaf = |n: u64| hash::leaf(&n.to_be_bytes());
    let mut all = Tree::default();
    all.extend((0..70).map(leaf));
    let Ok(roots) = (0..=70).map(|size| prove::root(&mut all, size)).collect::<Result<Vec<_>, _>>();
    let (mut inclusion, mut consistency) = (vec![], vec![]);
    for size in sizes {
        for index in [0, size / 3, size / 2, size - 1] {
            let Ok(proof) = prove::inclusion(&mut all, index, size);
            let mut add = |index: u64, proof: &[TreeHash], ok: bool| {
                let (leaf, root) = (hex(&leaf(index.min(size - 1)).0), hex(&roots[size as usize].0));
                inclusion.push(
                    json!({"index": index, "size": size, "leaf": leaf, "path": path(proof), "root": root, "ok": ok}),
                );
            };
            add(index, &proof, true);
            add(index + size, &proof, false);
            add(index, &[&proof[..], &[leaf(0)]].concat(), false);
            if size > 1 {
                add(index, &proof[1..], false);
            }
        }
    }
    for (old, new) in sizes.into_iter().flat_map(|new| sizes.map(|old| (old, new))).chain([(0, 7), (0, 0), (6, 8)]) {
        let mut add = |proof: &[TreeHash], new_root: TreeHash, ok: bool| {
            let (old_root, new_root) = (hex(&roots[old as usize].0), hex(&new_root.0));
            consistency.push(json!({"old": old, "old_root": old_root, "new": new, "new_root": new_root,
                "path": path(proof), "ok": ok}));
        };
        let root = roots[new as usize];
        if old > new {
            add(&[], root, false);
            continue;
        }
        let Ok(proof) = prove::consistency(&mut all, old, new);
        add(&proof, root, true);
        add(&[&proof[..], &[leaf(9)]].concat(), root, false);
        if !proof.is_empty() {
            add(&proof, roots[69], false);
            add(&proof[1..], root, false);
        }
    }
    json!({"inclusion": inclusion, "consistency": consistency})
}

fn leaves() -> Value {
    let log = Log::new(12, 3, &mut Seeded(1));
    let mut out: Vec<Value> = log
        .shown
        .iter()
        .map(|shown| {
            let record = hex(shown.record.as_deref().unwrap_or_default());
            let name = format!("record {}", shown.index);
            json!({"name": name, "ok": true, "leaf": hex(&shown.leaf), "record": record, "hash": hex(&hash::leaf(&shown.leaf).0)})
        })
        .collect();
    // A field of a leaf as bytes, and what stands there instead.
    let good = hex(&log.shown[0].leaf);
    let at = hex(&Leaf::decode(&log.shown[0].leaf).expect("a leaf").at.0.to_be_bytes());
    let (seq, time) = (format!("001b{at}"), format!("1b{at}"));
    let swaps: [(&str, &str, String); 8] = [
        ("another version", "0100781873", "0200781873".into()),
        ("another thing than a record", "0100781873", "0101781873".into()),
        ("a length in a longer form", "0100781873", "010079001873".into()),
        ("an indefinite length", "0100781873", "01007f781873".into()),
        ("seq 1 without a record before", &seq, format!("011b{at}")),
        ("seq as text", &seq, format!("601b{at}")),
        ("a time that no i64 has", &time, "1bffffffffffffffff".into()),
        ("bytes for a text", "781873", "581873".into()),
    ];
    for (name, find, put) in swaps {
        assert!(good.contains(find), "{name}: {find} is not in {good}");
        out.push(json!({"name": name, "ok": false, "leaf": good.replacen(find, &put, 1)}));
    }
    for (name, leaf) in [
        ("something behind it", format!("{good}00")),
        ("cut off", good[..good.len() - 2].to_owned()),
        ("nothing", String::new()),
        ("no kind", no_kinds(&log.shown[0].leaf)),
        ("kinds twice", edit(&log.shown[0].leaf, &[0x82, 23, 23])),
        ("kinds descending", edit(&log.shown[0].leaf, &[0x82, 23, 20])),
        ("a kind above 255", edit(&log.shown[0].leaf, &[0x81, 0x19, 1, 0])),
    ] {
        out.push(json!({"name": name, "ok": false, "leaf": leaf}));
    }
    for (name, tail, ok) in [
        ("an empty list of decisions", &[0x80][..], false),
        ("no decisions, written", &[0xf6], false),
        ("a decision", &[0x81, 0x82, 1, 0], true),
        ("a decision with an epoch", &[0x81, 0x83, 1, 2, 0x18, 0x63], true),
        ("a decision with null for an epoch", &[0x81, 0x83, 1, 2, 0xf6], false),
        ("no such verdict", &[0x81, 0x82, 1, 3], false),
        ("a decision without a verdict", &[0x81, 0x81, 1], false),
        ("an effect above 2^32", &[0x81, 0x82, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 0], false),
        ("a map", &[0xa0], false),
    ] {
        out.push(json!({"name": name, "ok": ok, "leaf": tailed(&log.shown[0].leaf, 10, tail)}));
    }
    for (name, tail, ok) in [
        ("an approval", &[0xf6, 0x81, 0x82, 1, 0xf5][..], true),
        ("an approval that is a number", &[0xf6, 0x81, 0x82, 1, 1], false),
        ("an approval with more", &[0xf6, 0x81, 0x83, 1, 0xf5, 0], false),
        ("an empty list of approvals", &[0xf6, 0x80], false),
        ("no approvals, written", &[0x81, 0x82, 1, 0, 0xf6], false),
        ("decisions and approvals", &[0x81, 0x82, 1, 0, 0x81, 0x82, 1, 0xf4], true),
    ] {
        out.push(json!({"name": name, "ok": ok, "leaf": tailed(&log.shown[0].leaf, 11, tail)}));
    }
    Value::Array(out)
}

/// The leaf up to its kinds, and those bytes instead of them.
fn edit(leaf: &[u8], kinds: &[u8]) -> String {
    let mut plain = Leaf::decode(leaf).expect("a leaf");
    plain.decisions.clear();
    plain.approvals.clear();
    let mut bytes = plain.encode();
    let tail = plain.kinds.iter().map(|kind| if kind < 24 { 1 } else { 2 }).sum::<usize>() + 1;
    bytes.truncate(bytes.len() - tail);
    bytes.extend_from_slice(kinds);
    hex(&bytes)
}

fn no_kinds(leaf: &[u8]) -> String {
    edit(leaf, &[0x80])
}

/// The leaf with that number of fields, and those bytes for what is behind its kinds.
fn tailed(leaf: &[u8], fields: u8, tail: &[u8]) -> String {
    let plain = edit(leaf, &[0x81, 20]);
    format!("{:02x}{}{}", 0x80 | fields, &plain[2..], hex(tail))
}

/// The order of the group of Ed25519, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A signature whose `S` is greater by the order of the group: the same equation holds, and it is none.
fn malleable(line: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let (start, blob) = line.rsplit_once(' ').expect("a signature's line");
    let mut blob = BASE64_STANDARD.decode(blob.trim_end()).expect("base64");
    let (at, mut carry) = (blob.len() - 32, 0_u16);
    for (byte, order) in blob[at..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    format!("{start} {}\n", BASE64_STANDARD.encode(blob))
}

fn notes() -> Value {
    let mut seeded = Seeded(2);
    let log = Log::new(7, 2, &mut seeded);
    let stranger = key("stranger.example", Role::Log, &mut seeded);
    let namesake = key(ORIGIN, Role::Log, &mut seeded);
    let second = key("witness.example/w2", Role::Witness, &mut seeded);
    let whole = tree(&log.shown);
    let plain = log.checkpoint(&whole).to_string();
    let full = {
        let mut note = log.cosigned(&whole);
        note.cosign(&second, NEW_YEAR_S + 7);
        note.sign(&stranger);
        note.sign(&namesake);
        note.to_string()
    };
    let line = |note: &str, n: usize| note.lines().nth(n).map(|line| format!("{line}\n")).expect("a line");
    let with = |from: &str, to: &str| plain.replacen(from, to, 1);
    let (own, root) = (line(&plain, 4), whole.root().to_string());
    let text = plain[..plain.find("\n\n").expect("a note") + 1].to_owned();
    let stale = line(&log.cosigned(&tree(&log.shown[..6])).to_string(), 5);
    let extended = signed(&log.log, &root, &["an extension"]);
    let cases = [
        ("the log alone", plain.clone(), 0, "ok"),
        ("two witnesses and two strangers", full.clone(), 2, "ok"),
        ("one witness where two are asked for", log.cosigned(&whole).to_string(), 2, "witnesses"),
        ("no witness", plain.clone(), 1, "witnesses"),
        ("an extension line", extended, 0, "ok"),
        ("signed by a namesake of the log alone", by(&log, &namesake, &whole), 0, "signature"),
        ("the log's signature twice", format!("{plain}{own}"), 0, "signature"),
        ("a witness under another name", full.replace("witness.example/w1", "witness.example/w9"), 2, "witnesses"),
        ("a witness's signature of another checkpoint", format!("{plain}{stale}"), 0, "signature"),
        ("another size", with("\n7\n", "\n8\n"), 0, "signature"),
        ("a size with a zero before it", with("\n7\n", "\n07\n"), 0, "checkpoint"),
        ("a size with a sign", with("\n7\n", "\n+7\n"), 0, "checkpoint"),
        ("a size above 2^63", with("\n7\n", "\n9223372036854775808\n"), 0, "checkpoint"),
        ("another log", with(ORIGIN, "stead.example/audit/acne"), 0, "checkpoint"),
        ("a root that is too short", with(&root, "AAAA"), 0, "checkpoint"),
        ("a root with unused bits", with(&root, &unused_bits(&root)), 0, "checkpoint"),
        ("an empty line in it", with("\n7\n", "\n\n7\n"), 0, "checkpoint"),
        ("no signature", format!("{text}\n"), 0, "note"),
        ("no empty line", plain.replacen("\n\n", "\n", 1), 0, "note"),
        ("no newline at the end", plain.trim_end().to_owned(), 0, "note"),
        ("a carriage return", with("\n7\n", "\r\n7\n"), 0, "note"),
        ("a minus for the dash", plain.replace('\u{2014}', "-"), 0, "note"),
        ("base64 without padding", plain.replace('=', ""), 0, "note"),
        ("a name with a plus", format!("{plain}{}", own.replace("audit", "au+dit")), 0, "note"),
        ("sixty-five signatures", format!("{plain}{}", line(&full, 6).repeat(64)), 0, "note"),
        ("a signature with a greater S", plain.replace(&own, &malleable(&own)), 0, "signature"),
        ("a signature cut off", plain.replace(&own, &cut(&own)), 0, "signature"),
    ];
    let witnesses = [log.witness.verifier().to_string(), second.verifier().to_string()];
    let of = |(name, note, quorum, code): (&str, String, usize, &str)| {
        json!({"name": name, "note": note, "log": log.log.verifier().to_string(), "witnesses": witnesses, "quorum": quorum,
            "code": code})
    };
    cases.into_iter().map(of).collect()
}

fn signed(key: &SignerKey, root: &str, extensions: &[&str]) -> String {
    let extensions = extensions.iter().map(|line| (*line).to_owned()).collect();
    let root = root.parse().expect("a root");
    Checkpoint { origin: ORIGIN.to_owned(), size: 7, root, extensions }.sign(key).expect("its own").to_string()
}

/// The checkpoint, signed by another key of the log's name.
fn by(log: &Log, key: &SignerKey, tree: &Tree) -> String {
    let note = log.checkpoint(tree).to_string();
    let text = &note[..note.find("\n\n").expect("a note") + 1];
    let mut other = stead_audit::note::Note::new(text.to_owned()).expect("a text");
    other.sign(key);
    other.to_string()
}

/// The last digit before the padding with one of the bits set that stand for nothing.
fn unused_bits(root: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = root.as_bytes()[42];
    let at = DIGITS.find(char::from(last)).expect("a digit");
    format!("{}{}=", &root[..42], &DIGITS[at | 1..=at | 1])
}

/// A signature's line without its last three bytes.
fn cut(line: &str) -> String {
    format!("{}\n", &line.trim_end()[..line.trim_end().len() - 4])
}

/// Its name, the file, witnesses that are asked for, the checkpoint that was kept, and what is said of it.
type Case = (&'static str, Vec<u8>, usize, Option<String>, &'static str);

fn bundles() -> Value {
    let mut seeded = Seeded(3);
    let log = Log::new(12, 2, &mut seeded);
    let mut whole = tree(&log.shown);
    let note = log.cosigned(&whole);
    let held = |n: usize| log.checkpoint(&tree(&log.shown[..n])).to_string();
    let mut pack = |shown: &[Shown], links: &[u64]| {
        let Ok(file) = make(&mut whole, &note, 12, shown, links);
        file
    };
    let all = pack(&log.shown, &[4]);
    let some: Vec<Shown> = log.shown.iter().filter(|shown| shown.index % 3 == 1).map(partly).collect();
    let picked = pack(&some, &[1, 4, 9]);
    let bare: Vec<Shown> = some.iter().map(|shown| Shown { record: None, ..shown.clone() }).collect();
    let leaves_alone = pack(&bare, &[]);
    let nothing = pack(&[], &[4]);
    let changed = |file: &[u8], change: &dyn Fn(&mut Bundle<'_>)| {
        let mut bundle = Bundle::decode(file).expect("a bundle");
        change(&mut bundle);
        bundle.encode()
    };
    let other = Log::new(12, 2, &mut Seeded(99));
    let fork = {
        // The same log until leaf 6, and another history after it; the same keys.
        let shown = [&log.shown[..6], &other.shown[6..]].concat();
        resigned(&log, &shown)
    };
    let unordered = {
        let mut shown = log.shown.clone();
        let [first, second, _] = three(&shown);
        shown.swap(first, second);
        resigned(&log, &shown)
    };
    let gone = {
        let mut shown = log.shown.clone();
        let [_, second, _] = three(&shown);
        shown.remove(second);
        resigned(&log, &shown)
    };
    let cut_back = resigned(&log, &log.shown[..10]);
    let lying = {
        let mut shown = log.shown.clone();
        let mut leaf = Leaf::decode(&log.shown[11].leaf).expect("a leaf");
        leaf.kinds.insert(25);
        shown[11].leaf = leaf.encode();
        resigned(&log, &shown)
    };
    let foreign = {
        let mut shown = log.shown.clone();
        let leaf = Leaf::decode(&log.shown[5].leaf).expect("a leaf");
        shown[5].leaf = Leaf { log: "stead.example/audit/globex", ..leaf }.encode();
        resigned(&log, &shown)
    };
    let junk = {
        let mut shown = log.shown.clone();
        shown[5].leaf = vec![0; 80];
        resigned(&log, &shown)
    };
    let cases: Vec<Case> = vec![
        ("a whole log", all.clone(), 1, Some(held(4)), "ok"),
        ("a whole log, with its own checkpoint kept", all.clone(), 1, Some(held(12)), "ok"),
        ("some leaves, with texts withheld", picked.clone(), 1, Some(held(9)), "ok"),
        ("leaves alone", leaves_alone.clone(), 1, None, "ok"),
        ("no leaf", nothing, 1, Some(held(4)), "ok"),
        ("two witnesses where there is one", all.clone(), 2, None, "witnesses"),
        ("no link to the kept checkpoint", all.clone(), 1, Some(held(3)), "held"),
        (
            "a kept checkpoint of another log",
            all.clone(),
            1,
            Some(other.checkpoint(&tree(&other.shown)).to_string()),
            "held",
        ),
        ("a kept checkpoint that is none", all.clone(), 1, Some("13\n".to_owned()), "held"),
        ("a fork after leaf 6, kept before it", fork.clone(), 0, Some(held(6)), "ok"),
        ("a fork after leaf 6, kept after it", fork.clone(), 0, Some(held(9)), "held"),
        ("a log that was cut back", cut_back, 0, Some(held(12)), "held"),
        ("a fork, kept at its size", fork, 0, Some(held(12)), "held"),
        ("records of one run swapped", unordered, 0, None, "run"),
        ("a record left out", gone, 0, None, "run"),
        ("a leaf that says other than its record", lying, 0, None, "record"),
        ("a leaf of another log", foreign, 0, None, "leaf"),
        ("a leaf that is none", junk, 0, None, "leaf"),
        ("a leaf changed", changed(&all, &|bundle| bundle.items[3].leaf = bundle.items[4].leaf), 1, None, "root"),
        ("a leaf missing", changed(&all, &|bundle| bundle.items.retain(|item| item.index != 7)), 1, None, "root"),
        ("an index outside", changed(&all, &|bundle| bundle.items[11].index = 12), 1, None, "root"),
        ("a hash of the proof missing", changed(&picked, &|bundle| bundle.proof.truncate(1)), 1, None, "root"),
        ("a hash too many", changed(&picked, &|bundle| bundle.proof.push(hash::empty())), 1, None, "root"),
        ("a record of another leaf", changed(&picked, &swap_records), 1, None, "record"),
        (
            "a link that is wrong",
            changed(&all, &|bundle| bundle.links[0].path[0] = hash::empty()),
            1,
            Some(held(4)),
            "held",
        ),
        ("a note without signature", changed(&all, &|bundle| bundle.note = "x\n"), 1, None, "note"),
        (
            "a checkpoint without size",
            changed(&all, &|bundle| bundle.note = "x\n\n\u{2014} x AAAAAAA=\n"),
            1,
            None,
            "checkpoint",
        ),
        ("cut off", all[..all.len() - 1].to_vec(), 1, None, "bundle"),
        ("something behind it", [&all[..], &[0]].concat(), 1, None, "bundle"),
        ("a file that is no bundle", b"{}".to_vec(), 1, None, "bundle"),
        ("an index twice", changed(&all, &|bundle| bundle.items[4].index = 3), 1, None, "bundle"),
        ("a leaf too short for one", changed(&all, &|bundle| bundle.items[4].leaf = &[0; 63]), 1, None, "bundle"),
    ];
    let of = |(name, file, quorum, held, code): Case| {
        let mut case = json!({"name": name, "file": hex(&file), "log": log.log.verifier().to_string(),
            "witnesses": [log.witness.verifier().to_string()], "quorum": quorum, "code": code});
        if let Some(held) = &held {
            case["held"] = json!(held);
        }
        if let Ok(report) = stead_audit::bundle::verify(&file, &log.trust(quorum), held.as_deref()) {
            case["report"] = told(&report);
        }
        case
    };
    cases.into_iter().map(of).collect()
}

/// The first three leaves of a run that has as many.
fn three(shown: &[Shown]) -> [usize; 3] {
    let run = |shown: &Shown| Leaf::decode(&shown.leaf).expect("a leaf").run;
    let of = |first: usize| (first..shown.len()).filter(move |at| run(&shown[*at]) == run(&shown[first]));
    let found = (0..shown.len()).find(|first| of(*first).count() > 2).expect("a run with three records");
    let mut places = of(found);
    std::array::from_fn(|_| places.next().expect("three"))
}

/// A report in the words that vectors use.
pub fn told(report: &stead_audit::bundle::Report) -> Value {
    let cosigned: Vec<&str> = report.cosigned.iter().map(|witness| witness.name.as_str()).collect();
    let whole = report.runs.runs().filter(|(_, run)| run.is_whole()).count();
    let mut told = json!({"size": report.checkpoint.size, "leaves": report.leaves, "records": report.records, "texts": report.texts,
        "erased": report.erased, "whole": whole, "runs": report.runs.runs().len(), "cosigned": cosigned});
    if report.acts > 0 {
        told["acts"] = json!(report.acts);
    }
    told
}

/// Its first text withheld, of every other one.
fn partly(shown: &Shown) -> Shown {
    let prev = Leaf::decode(&shown.leaf).expect("a leaf").prev;
    let record = shown.record.as_deref().unwrap_or_default();
    let record = if shown.index.is_multiple_of(2) { withhold(record, prev, 0) } else { record.to_vec() };
    Shown { record: Some(record), ..shown.clone() }
}

fn swap_records(bundle: &mut Bundle<'_>) {
    let first = bundle.items[0].record;
    bundle.items[0].record = bundle.items[1].record;
    bundle.items[1].record = first;
}

/// A bundle of all of these, as the holder of the log's key can sign it, with a link to each smaller size that is told of.
fn resigned(log: &Log, shown: &[Shown]) -> Vec<u8> {
    signed_anew(log, shown, &[6, 9])
}

fn signed_anew(log: &Log, shown: &[Shown], links: &[u64]) -> Vec<u8> {
    let shown: Vec<Shown> =
        shown.iter().enumerate().map(|(at, shown)| Shown { index: at as u64, ..shown.clone() }).collect();
    let mut tree = tree(&shown);
    let (note, size) = (log.checkpoint(&tree), tree.size());
    let Ok(file) = make(&mut tree, &note, size, &shown, links);
    file
}

/// Bundles of acts, and of acts between records.
fn acts() -> Value {
    let mut seeded = Seeded(4);
    let records = Log::new(4, 1, &mut seeded);
    let shown: Vec<Shown> = (0..6_u64).map(|index| act(index, &mut seeded)).collect();
    let mixed: Vec<Shown> = [&shown[..2], &records.shown[..2], &shown[2..3], &records.shown[2..]].concat();
    let all = signed_anew(&records, &shown, &[]);
    let with = |at: usize, leaf: Vec<u8>| {
        let mut shown = shown.clone();
        shown[at].leaf = leaf;
        signed_anew(&records, &shown, &[])
    };
    let edited = |change: &dyn Fn(&mut Act<'_>)| {
        let mut act = Act::decode(&shown[3].leaf).expect("an act");
        change(&mut act);
        act.encode()
    };
    let other_body = {
        let mut shown = shown.clone();
        shown[2].record = Some(Act::shown(&[7; 16], b"{}"));
        signed_anew(&records, &shown, &[])
    };
    let no_act = {
        let mut shown = shown.clone();
        shown[2].record = Some(vec![0x80]);
        signed_anew(&records, &shown, &[])
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("acts", all, "ok"),
        ("acts between the records of a run", signed_anew(&records, &mixed, &[]), "ok"),
        ("an act that is withheld", without(&records, &shown), "ok"),
        ("an act with another body", other_body, "record"),
        ("an act that is none", no_act, "record"),
        ("an act at another time than its leaf", with(3, edited(&|act| act.at.0 += 1)), "record"),
        ("an act with another topic", with(3, edited(&|act| act.topic = "erase.b")), "record"),
        ("an act with another id", with(3, edited(&|act| act.id ^= 1)), "record"),
        ("an act of another log", with(3, edited(&|act| act.log = "stead.example/audit/globex")), "leaf"),
        ("a topic that is none", with(3, edited(&|act| act.topic = "Erase")), "leaf"),
        ("a topic that is empty", with(3, edited(&|act| act.topic = "")), "leaf"),
        ("an act with more", with(3, [&[0x88], &shown[3].leaf[1..], &[0]].concat()), "leaf"),
        ("an act with something behind it", with(3, [&shown[3].leaf[..], &[0]].concat()), "leaf"),
    ];
    let of = |(name, file, code): (&str, Vec<u8>, &str)| {
        let mut case = json!({"name": name, "file": hex(&file), "log": records.log.verifier().to_string(), "witnesses": [],
            "quorum": 0, "code": code});
        if let Ok(report) = stead_audit::bundle::verify(&file, &records.trust(0), None) {
            case["report"] = told(&report);
        }
        case
    };
    cases.into_iter().map(of).collect()
}

fn act(index: u64, seeded: &mut Seeded) -> Shown {
    let (id, at) = (u128::from(seeded.next()), Timestamp(NEW_YEAR_S as i64 * 1_000_000 + index as i64));
    let (topic, salt) = (["apply_policy", "erase", "hold.set"][index as usize % 3], seeded.bytes());
    let body = format!("{{\"who\":\"ada\",\"n\":{index}}}");
    let act = Act::hash(id, at, topic, &salt, body.as_bytes());
    let leaf = Act { log: ORIGIN, id, at, act, topic }.encode();
    Shown { index, leaf, record: Some(Act::shown(&salt, body.as_bytes())) }
}

/// A bundle of these, the record of every other one withheld.
fn without(log: &Log, shown: &[Shown]) -> Vec<u8> {
    let bare = |shown: &Shown| Shown {
        record: shown.record.clone().filter(|_| shown.index.is_multiple_of(2)),
        ..shown.clone()
    };
    signed_anew(log, &shown.iter().map(bare).collect::<Vec<_>>(), &[])
}
