//! Who may say whose key is whose.
#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "tests; modules are shared")]

#[path = "shared/kit.rs"]
mod kit;

use kit::{NOW, enrolled, enrolment, envelope, human, next, root, signer};
use stead_trust::{
    directory::{BadEntry, Break, Delegation, Directory, Enrolment, Entry, Envelope, MAX_BREAK, Root, RootKey, What},
    signer::Signer,
};

fn add(directory: &mut Directory, what: What, by: &[u8]) -> Result<(), BadEntry> {
    let signers: Vec<Signer> = by.iter().map(|n| signer(*n)).collect();
    let entry = next(directory, what);
    directory.add(&envelope(&entry, &signers.iter().collect::<Vec<_>>()))
}

fn enrol(name: &str, key: u8) -> What {
    enrolment(name, signer(key).public().clone(), None)
}

fn revoke(key: u8) -> What {
    What::Revoke { key: signer(key).public().id(), reason: "lost".into() }
}

fn refused(said: Result<(), BadEntry>) -> bool {
    matches!(said, Err(BadEntry::Authority(_)))
}

#[test]
fn a_key_is_enrolled_by_the_root_or_by_two_approvers_and_by_nobody_else() {
    let mut directory = root();
    assert!(refused(add(&mut directory, enrol("ann", 10), &[])));
    assert!(refused(add(&mut directory, enrol("ann", 10), &[1])));
    assert!(refused(add(&mut directory, enrol("ann", 10), &[1, 1])));
    assert!(refused(add(&mut directory, enrol("ann", 10), &[1, 9])));
    assert!(refused(add(&mut directory, enrol("ann", 10), &[10, 11])));
    assert_eq!(add(&mut directory, enrol("ann", 10), &[3, 1]), Ok(()));
    assert_eq!(add(&mut directory, enrol("bob", 11), &[1, 2]), Ok(()));
    // Two approvers; one of them twice, with two keys, are one person.
    assert_eq!(add(&mut directory, enrol("ann", 20), &[1, 2]), Ok(()));
    assert!(refused(add(&mut directory, enrol("cid", 12), &[10, 20])));
    assert_eq!(add(&mut directory, enrol("cid", 12), &[10, 11]), Ok(()));
    // Nobody counts for what is about themselves.
    assert!(refused(add(&mut directory, enrol("ann", 21), &[10, 11])));
    assert!(refused(add(&mut directory, revoke(10), &[10, 11])));
    assert_eq!(add(&mut directory, revoke(10), &[11, 12]), Ok(()));
    // A revoked key counts for nothing.
    assert!(refused(add(&mut directory, enrol("dan", 13), &[10, 11])));
    assert!(directory.key(&signer(10).public().id()).unwrap().revoked.is_some());
}

#[test]
fn one_key_is_one_persons_for_ever() {
    let mut directory = root();
    enrolled(&mut directory, enrol("ann", 10));
    let twice = |said| matches!(said, Err(BadEntry::Content(_)));
    assert!(twice(add(&mut directory, enrol("bob", 10), &[1, 2])));
    enrolled(&mut directory, revoke(10));
    assert!(twice(add(&mut directory, enrol("ann", 10), &[1, 2])));
    assert!(twice(add(&mut directory, enrol("xenia", 1), &[1, 2])));
    assert!(twice(add(&mut directory, revoke(10), &[1, 2])));
}

#[test]
fn who_has_lost_their_keys_gets_another_and_the_lost_ones_count_no_longer() {
    let mut directory = root();
    for (name, key) in [("ann", 10), ("ann", 11), ("bob", 12)] {
        enrolled(&mut directory, enrol(name, key));
    }
    let again = Enrolment { key: signer(20).public().clone(), human: human("ann"), roles: vec![], passkey: None };
    assert_eq!(add(&mut directory, What::Recover(again), &[2, 3]), Ok(()));
    let counts = |n: u8| directory.key(&signer(n).public().id()).unwrap().revoked.is_none();
    assert_eq!([10, 11, 12, 20].map(counts), [false, false, true, true]);
}

#[test]
fn an_entry_follows_the_one_before_and_no_other() {
    let mut directory = root();
    let first = next(&directory, enrol("ann", 10));
    let both = [signer(1), signer(2)];
    let sign = |entry: &Entry| envelope(entry, &[&both[0], &both[1]]);
    let order = |d: &mut Directory, entry: &Entry| matches!(d.add(&sign(entry)), Err(BadEntry::Order(_)));
    assert!(order(&mut directory, &Entry { seq: 2, ..first.clone() }));
    assert!(order(&mut directory, &Entry { previous: None, ..first.clone() }));
    assert!(order(&mut directory, &Entry { previous: Some([0; 32]), ..first.clone() }));
    assert!(order(&mut directory, &Entry { tenant: "globex".into(), ..first.clone() }));
    assert!(order(&mut directory, &Entry { at: NOW - 1, ..first.clone() }));
    directory.add(&sign(&first)).unwrap();
    assert!(order(&mut directory, &first));
}

#[test]
fn a_chain_that_is_cut_changed_or_reordered_is_refused() {
    let mut directory = root();
    let mut texts = Vec::new();
    let what = What::Root(directory.root().clone());
    let begin = Entry { tenant: "acme".into(), seq: 0, previous: None, at: NOW, what };
    texts.push(envelope(&begin, &[&signer(1), &signer(2)]).to_text());
    for n in 10..14 {
        let entry = next(&directory, enrol(&format!("person {n}"), n));
        let envelope = envelope(&entry, &[&signer(1), &signer(2)]);
        directory.add(&envelope).unwrap();
        texts.push(envelope.to_text());
    }
    let fold = |texts: &[String]| Directory::fold(texts.iter().map(String::as_str));
    assert_eq!(fold(&texts).unwrap(), directory);
    for i in 0..texts.len() {
        let mut cut = texts.clone();
        cut.remove(i);
        // Without its last entries a chain is a shorter one, which who kept its head knows.
        assert_eq!(fold(&cut).is_ok(), i == texts.len() - 1, "without {i}");
        let mut twice = texts.clone();
        twice.insert(i, texts[i].clone());
        assert!(fold(&twice).is_err());
        let mut changed = texts.clone();
        changed[i] = changed[i].replacen("acme", "acma", 1);
        assert!(fold(&changed).is_err());
        if i > 0 {
            let mut swapped = texts.clone();
            swapped.swap(i - 1, i);
            assert!(fold(&swapped).is_err());
        }
    }
    assert!(fold(&[]).is_err());
}

#[test]
fn a_root_is_signed_by_its_own_keys_and_replaced_by_the_old_one() {
    let key = |n: u8, holder: &str| RootKey { holder: holder.into(), key: signer(n).public().clone() };
    let of = |keys: Vec<RootKey>, threshold| Root { threshold, keys, personal: false };
    let begin = |root: Root, by: &[u8]| {
        let entry = Entry { tenant: "acme".into(), seq: 0, previous: None, at: NOW, what: What::Root(root) };
        let signers: Vec<Signer> = by.iter().map(|n| signer(*n)).collect();
        Directory::begin(&envelope(&entry, &signers.iter().collect::<Vec<_>>())).map(drop)
    };
    let two = || vec![key(1, "xenia"), key(2, "yves")];
    assert_eq!(begin(of(two(), 2), &[1, 2]), Ok(()));
    assert!(refused(begin(of(two(), 2), &[1])));
    assert!(matches!(begin(of(two(), 3), &[1, 2]), Err(BadEntry::Form(_))));
    assert!(matches!(begin(of(two(), 0), &[1, 2]), Err(BadEntry::Form(_))));
    assert!(matches!(begin(of(vec![key(1, "x"), key(1, "y")], 1), &[1]), Err(BadEntry::Form(_))));
    assert!(matches!(begin(Root { personal: true, ..of(two(), 1) }, &[1]), Err(BadEntry::Form(_))));
    let mut directory = root();
    let new = || What::Root(of(vec![key(7, "a"), key(8, "b")], 2));
    assert!(refused(add(&mut directory, new(), &[7, 8])));
    assert!(refused(add(&mut directory, new(), &[1, 2])));
    assert_eq!(add(&mut directory, new(), &[1, 2, 7, 8]), Ok(()));
    assert!(refused(add(&mut directory, enrol("ann", 10), &[1, 2])));
    assert_eq!(add(&mut directory, enrol("ann", 10), &[7, 8]), Ok(()));
}

#[test]
fn a_delegation_is_its_givers_in_their_roles_for_a_while() {
    let mut directory = root();
    for (name, key) in [("ann", 10), ("bob", 11)] {
        enrolled(&mut directory, enrol(name, key));
    }
    let delegation = |roles: &[&str], tools: &[&str], until| {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let (roles, tools) = (names(roles), names(tools));
        What::Delegate(Delegation { from: human("ann"), to: human("bob"), roles, tools, until })
    };
    let right = || delegation(&["finance", "security"], &["refund"], NOW + 60);
    assert!(refused(add(&mut directory, right(), &[11])));
    assert!(refused(add(&mut directory, right(), &[1, 2])));
    let content = |said| matches!(said, Err(BadEntry::Content(_)));
    assert!(content(add(&mut directory, delegation(&["finance"], &[], NOW), &[10])));
    assert!(content(add(&mut directory, delegation(&["finance"], &[], NOW + 91 * 86_400), &[10])));
    assert!(content(add(&mut directory, delegation(&[], &[], NOW + 60), &[10])));
    assert_eq!(add(&mut directory, right(), &[10]), Ok(()));
    let lent = |tool: &str, without: &[&str], now| {
        let without: Vec<_> = without.iter().map(|n| human(n)).collect();
        directory.lent(&human("bob"), tool, &without, now)
    };
    // Of the roles, those that the giver has.
    assert_eq!(lent("refund", &[], NOW), ["finance"]);
    assert!(lent("refund", &[], NOW + 60).is_empty());
    assert!(lent("other", &[], NOW).is_empty());
    assert!(lent("refund", &["ann"], NOW).is_empty());
    assert!(directory.lent(&human("cid"), "refund", &[], NOW).is_empty());
}

#[test]
fn a_break_glass_takes_two_keys_of_the_root_and_ends() {
    let mut directory = root();
    let broken = |until| {
        let (human, roles) = (human("ann"), vec!["finance".to_owned()]);
        What::BreakGlass(Break { human, roles, run: None, reason: "the desk burns".into(), until })
    };
    assert!(refused(add(&mut directory, broken(NOW + 600), &[1])));
    assert!(matches!(add(&mut directory, broken(NOW + MAX_BREAK + 1), &[1, 2]), Err(BadEntry::Content(_))));
    assert_eq!(add(&mut directory, broken(NOW + 600), &[1, 3]), Ok(()));
    assert_eq!(directory.breaks(NOW + 599).count(), 1);
    assert_eq!(directory.breaks(NOW + 600).count(), 0);
    // A person who works alone has no second key.
    let alone = Root {
        threshold: 1,
        keys: vec![RootKey { holder: "me".into(), key: signer(1).public().clone() }],
        personal: true,
    };
    let entry = Entry { tenant: "acme".into(), seq: 0, previous: None, at: NOW, what: What::Root(alone) };
    let mut directory = Directory::begin(&envelope(&entry, &[&signer(1)])).unwrap();
    assert!(refused(add(&mut directory, broken(NOW + 600), &[1])));
    // And their own key approves, too.
    assert_eq!(add(&mut directory, enrol("me", 1), &[1]), Ok(()));
}

#[test]
fn an_envelope_is_read_as_it_was_written_and_whatever_else_is_refused() {
    let directory = root();
    let envelope = envelope(&next(&directory, enrol("ann", 10)), &[&signer(1), &signer(2)]);
    let text = envelope.to_text();
    assert_eq!(Envelope::from_text(&text).unwrap(), envelope);
    for (was, is) in [
        ("directory-entry/v1", "directory-entry/v2"),
        ("\"signatures\":[", "\"signatures\":{"),
        ("\"stead\"", "\"steal\""),
    ] {
        assert!(Envelope::from_text(&text.replacen(was, is, 1)).is_err(), "{was}");
    }
}
