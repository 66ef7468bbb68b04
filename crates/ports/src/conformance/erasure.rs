//! Cases: what is erased, and what must stay.

use std::sync::Arc;

use futures_util::join;
use stead_core::{
    id::{BlobId, LeafHash, Name, RunId, TreeId},
    time::Timestamp,
};

use super::{
    Erasing,
    kit::{Owner, TENANT, assert_records, leaf, name, new_run, record, run, session_of},
};
use crate::{
    erasure::{Bare, BareRun, ERASED_TITLE, Erasure, Held, Hold, KeptTree, Naming, Placed},
    journal::{Append, Journal, NewBlob, NewRun, Snapshot, Status},
};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);
/// Tries of what happens at once.
const RACES: u64 = 32;

fn hold(id: u128, what: Held, which: &str) -> Hold {
    let (tenant, by) = (name(TENANT), name("grace"));
    Hold { id, tenant, what, name: name(which), by, at: NOW, reason: "case 7".into(), released: None }
}

fn erasure(s: &dyn Erasing, id: u128, runs: &[RunId]) -> Erasure {
    let (tenant, by) = (name(TENANT), name("op"));
    let subject = s.pseudonym(&tenant, &name("ada"));
    let (runs, confirmed_by, certificate) = (runs.to_vec(), None, None);
    Erasure { id, tenant, subject, by, at: NOW, runs, proposed: false, confirmed_by, certificate }
}

async fn begins(s: &dyn Erasing, erasure: &Erasure, known: &[u128]) -> bool {
    s.begin_erasure(erasure.clone(), Some(name("ada")), known.to_vec()).await.expect("answers")
}

async fn placed(s: &dyn Erasing, hold: &Hold, known: &[u128]) -> Placed {
    s.place_hold(hold.clone(), known.to_vec()).await.expect("answers")
}

/// Runs of `ada`, each in a session of its own.
async fn work(o: &Owner<'_>, runs: &[RunId]) {
    for run in runs {
        let new = NewRun { user: Some(name("ada")), ..new_run(session_of(*run)) };
        o.put(o.first_of(*run, new, Status::Completed)).await;
    }
}

/// Those of a person apart from everybody else's, in pages, and each person once.
pub async fn runs_are_found_by_the_person_on_whose_behalf_they_work(s: &dyn Erasing) {
    let (o, t, ada) = (Owner::new(s as &dyn Journal).await, name(TENANT), name("ada"));
    work(&o, &[run(1), run(2), run(4)]).await;
    let new = NewRun { user: Some(name("bob")), ..new_run(session_of(run(3))) };
    o.put(o.first_of(run(3), new, Status::Completed)).await;
    // A child is its parent's person's, and the same name elsewhere is somebody else.
    let child = NewRun { parent: Some(run(1)), user: Some(name("bob")), ..new_run(session_of(run(5))) };
    o.put(o.first_of(run(5), child, Status::Completed)).await;
    let other = NewRun { tenant: name("globex"), user: Some(ada.clone()), ..new_run(session_of(run(6))) };
    o.put(o.first_of(run(6), other, Status::Completed)).await;
    let page = async |after, limit| {
        let found = s.runs_of(&t, &ada, after, limit).await.expect("lists");
        found.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, [run(1), run(2), run(4), run(5)]);
    assert_eq!(page(None, 2).await, [run(1), run(2)]);
    assert_eq!(page(Some(run(2)), 10).await, [run(4), run(5)]);
    assert_eq!(s.subject(run(5)).await.expect("tells"), Some(ada.clone()));
    assert_eq!(s.subject(run(9)).await.expect("tells"), None);
    let all = [(t.clone(), ada.clone()), (t, name("bob")), (name("globex"), ada)];
    assert_eq!(s.subjects(None, 10).await.expect("lists"), all);
    assert_eq!(s.subjects(Some(all[0].clone()), 1).await.expect("lists"), all[1..2]);
}

/// Of another tenant's it is no business.
pub async fn a_hold_is_in_force_until_it_is_released_once(s: &dyn Erasing) {
    let (t, other) = (name(TENANT), name("globex"));
    let (first, second) = (hold(1, Held::Subject, "ada"), hold(2, Held::Tenant, TENANT));
    assert_eq!(placed(s, &first, &[]).await, Placed::InForce);
    assert_eq!(placed(s, &second, &[]).await, Placed::InForce);
    assert_eq!(s.holds(Some(&t), false).await.expect("lists"), [second.clone(), first.clone()]);
    assert_eq!(s.holds(Some(&other), true).await.expect("lists"), []);
    assert!(!s.release_hold(&other, 1, &name("eve"), LATER).await.expect("answers"));
    assert!(s.release_hold(&t, 1, &name("grace"), LATER).await.expect("answers"));
    assert!(!s.release_hold(&t, 1, &name("grace"), LATER).await.expect("answers"));
    assert_eq!(s.holds(None, false).await.expect("lists"), std::slice::from_ref(&second));
    let released = Hold { released: Some((name("grace"), LATER)), ..first };
    assert_eq!(s.holds(None, true).await.expect("lists"), [second, released]);
}

/// A proposal changes nothing and is confirmed once; what has begun is kept until it is done, and then with its certificate.
pub async fn an_erasure_is_proposed_begun_once_and_done(s: &dyn Erasing) {
    let t = name(TENANT);
    assert_eq!(placed(s, &hold(1, Held::Subject, "ada"), &[]).await, Placed::InForce);
    assert!(s.release_hold(&t, 1, &name("grace"), NOW).await.expect("answers"));
    let begun = Erasure { at: LATER, confirmed_by: Some(name("second")), ..erasure(s, 7, &[run(1), run(2)]) };
    let proposed = Erasure { proposed: true, ..erasure(s, 7, &[]) };
    assert!(begins(s, &proposed, &[]).await);
    assert_eq!(s.erasures().await.expect("lists"), std::slice::from_ref(&proposed));
    assert_eq!(s.holds(Some(&t), true).await.expect("lists")[0].name, name("ada"), "a proposal changes nothing");
    assert!(begins(s, &begun, &[]).await);
    assert!(!begins(s, &begun, &[]).await, "once");
    let kept = s.erasures().await.expect("lists");
    assert_eq!(kept, std::slice::from_ref(&begun));
    assert!(kept[0].is_under_way() && !proposed.is_under_way());
    let renamed = &s.holds(Some(&t), true).await.expect("lists")[0].name;
    assert!(renamed.starts_with("erased:"), "who it was about stands nowhere: {renamed}");
    s.finish_erasure(7, "a note".into()).await.expect("keeps");
    let done = Erasure { certificate: Some("a note".into()), ..begun };
    assert!(!done.is_under_way());
    assert_eq!(s.erasures().await.expect("lists"), [done]);
    assert_ne!(s.pseudonym(&t, &name("ada")), s.pseudonym(&name("globex"), &name("ada")));
}

/// Whoever comes second hears of the first, unless it is one that they have looked at; a proposal, or what is done, stands against no hold.
pub async fn of_a_hold_and_an_erasure_the_second_is_refused(s: &dyn Erasing) {
    let t = name(TENANT);
    assert_eq!(placed(s, &hold(1, Held::Subject, "ada"), &[]).await, Placed::InForce);
    assert!(!begins(s, &erasure(s, 7, &[]), &[]).await, "a hold is in force that nobody looked at");
    assert!(begins(s, &erasure(s, 7, &[]), &[1]).await, "one that is about something else");
    let late = hold(2, Held::Run, "run");
    assert_eq!(placed(s, &late, &[]).await, Placed::Erasing);
    assert_eq!(s.holds(Some(&t), false).await.expect("lists").len(), 1, "a hold that was refused is not there");
    assert_eq!(placed(s, &late, &[7]).await, Placed::InForce);
    let elsewhere = Hold { tenant: name("globex"), ..hold(3, Held::Tenant, "globex") };
    assert_eq!(placed(s, &elsewhere, &[]).await, Placed::InForce);
    s.finish_erasure(7, "a note".into()).await.expect("keeps");
    assert!(begins(s, &Erasure { proposed: true, ..erasure(s, 8, &[]) }, &[1, 2]).await);
    assert_eq!(placed(s, &hold(4, Held::Subject, "ada"), &[]).await, Placed::InForce);
    assert!(!begins(s, &erasure(s, 8, &[]), &[1, 2]).await, "nor does a proposal begin over one");
}

/// Both at once, neither having seen the other: never both.
pub async fn of_a_hold_and_an_erasure_at_once_one_is_refused(s: &dyn Erasing) {
    let t = name(TENANT);
    for n in 0..RACES {
        let id = u128::from(n) + 1;
        let (hold, erasure) = (hold(id, Held::Subject, "ada"), erasure(s, id, &[]));
        // Whose call comes first takes turns too.
        let (placed, begun) = match n % 2 {
            0 => join!(placed(s, &hold, &[]), begins(s, &erasure, &[])),
            _ => {
                let (begun, placed) = join!(begins(s, &erasure, &[]), placed(s, &hold, &[]));
                (placed, begun)
            }
        };
        assert_ne!(placed == Placed::InForce, begun, "{n}: {placed:?}, begun: {begun}");
        if begun {
            s.finish_erasure(id, "a note".into()).await.expect("keeps");
        } else {
            assert!(s.release_hold(&t, id, &name("grace"), NOW).await.expect("answers"));
        }
    }
}

fn bare(run: RunId, seqs: &[u64], blobs: &[BlobId]) -> BareRun {
    let bare = |seq: &u64| Bare { seq: *seq, leaf: leaf(run, *seq), bytes: format!("bare {seq}").into_bytes().into() };
    BareRun { tenant: name(TENANT), run, records: seqs.iter().map(bare).collect(), blobs: blobs.to_vec() }
}

/// All or nothing; what else is kept of the run goes too, and others' stay as they are.
pub async fn a_run_loses_its_texts_and_keeps_its_hashes(s: &dyn Erasing) {
    let (o, t) = (Owner::new(s as &dyn Journal).await, name(TENANT));
    let key = (name("request-1"), [3; 32]);
    let new = NewRun { user: Some(name("ada")), idempotency: Some(key), ..new_run(session_of(run(1))) };
    o.put(o.first_of(run(1), new, Status::Completed)).await;
    for seq in 1..4 {
        o.put(o.append(run(1), seq)).await;
    }
    work(&o, &[run(2)]).await;
    for of in [run(1), run(2)] {
        let snapshot = Snapshot { seq: 1, leaf: leaf(of, 0), version: 1, body: b"folded".to_vec().into() };
        s.put_snapshot(of, snapshot).await.expect("keeps");
    }
    assert!(begins(s, &erasure(s, 7, &[run(1)]), &[]).await);

    let mut other = bare(run(1), &[0, 2], &[]);
    other.records[1].leaf = LeafHash([0xee; 32]);
    assert!(!s.erase_run(7, other).await.expect("answers"), "a record that is another one");
    assert_records(&s.read(run(1), 0, 10).await.expect("reads"), run(1), 0, 4);
    // Done again it changes nothing more.
    for _ in 0..2 {
        assert!(s.erase_run(7, bare(run(1), &[0, 2], &[])).await.expect("erases"));
        let kept = s.read(run(1), 0, 10).await.expect("reads");
        let bytes: Vec<&[u8]> = kept.iter().map(|r| &*r.bytes).collect();
        assert_eq!(bytes, [b"bare 0", &*record(run(1), 1), b"bare 2", &*record(run(1), 3)]);
        assert!(kept.iter().zip(0..).all(|(r, seq)| r.leaf == leaf(run(1), seq)), "hashes stay");
        assert_eq!(s.run(run(1)).await.expect("reads").expect("is there").title, ERASED_TITLE);
        assert_eq!(s.by_key(&t, &name("request-1")).await.expect("reads"), None);
        assert!(s.snapshot(run(1)).await.expect("reads").is_none());
    }
    assert_records(&s.read(run(2), 0, 10).await.expect("reads"), run(2), 0, 1);
    assert!(s.snapshot(run(2)).await.expect("reads").is_some());
    assert_ne!(s.run(run(2)).await.expect("reads").expect("is there").title, ERASED_TITLE);
    // What is left in the files of the database can be written anew, and all is as before.
    s.purge().await.expect("writes anew");
    assert_records(&s.read(run(2), 0, 10).await.expect("reads"), run(2), 0, 1);
}

/// Only those that the erasure has kept, and of these only what no record names.
pub async fn long_texts_go_when_no_record_names_them(s: &dyn Erasing) {
    let (o, t) = (Owner::new(s as &dyn Journal).await, name(TENANT));
    work(&o, &[run(1), run(2)]).await;
    let blob =
        |content: &'static [u8]| NewBlob { id: s.blob_id(&t, content), tenant: t.clone(), content: content.into() };
    let (theirs, shared, others) = (blob(b"theirs"), blob(b"shared"), blob(b"others"));
    o.put(Append { blobs: vec![theirs.clone(), shared.clone()], ..o.append(run(1), 1) }).await;
    o.put(Append { blobs: vec![shared.clone(), others.clone()], ..o.append(run(2), 1) }).await;
    assert!(begins(s, &erasure(s, 7, &[run(1)]), &[]).await);
    assert!(s.erase_run(7, bare(run(1), &[1], &[theirs.id, shared.id])).await.expect("erases"));

    let unread: Naming = Arc::new(|_| None);
    let refused = s.remove_blobs(7, &t, unread).await.expect_err("a record may name any of them");
    assert_eq!(refused.code, stead_core::code::ERASURE_UNFINISHED);
    let (second, names) = (record(run(2), 1), [shared.id, others.id]);
    let naming: Naming = Arc::new(move |bytes| Some(if bytes == second { names.to_vec() } else { Vec::new() }));
    assert_eq!(s.remove_blobs(7, &t, naming.clone()).await.expect("removes"), 1);
    assert_eq!(s.remove_blobs(7, &t, naming).await.expect("removes"), 0, "again");
    for (blob, there) in [(theirs, false), (shared, true), (others, true)] {
        assert_eq!(s.blob(&t, blob.id).await.expect("reads").is_some(), there, "{:?}", blob.content);
    }
}

/// No longer than they are held, and those of a person who is held stay; each person's apart.
pub async fn trees_that_a_person_keeps_are_found_and_forgotten(s: &dyn Erasing) {
    let t = name(TENANT);
    let tree =
        |n: u8, owner: &str, until| KeptTree { tenant: t.clone(), tree: TreeId([n; 32]), owner: name(owner), until };
    let keep = async |tree: &KeptTree, now| s.keep_tree(tree.clone(), now).await.expect("keeps");
    let kept = async |owner: Option<&Name>| {
        let mut all = s.kept_trees(&t, owner).await.expect("lists");
        all.sort_by_key(|tree| tree.tree);
        all
    };
    let (adas, bobs) = (tree(1, "ada", NOW), tree(2, "bob", NOW));
    keep(&adas, NOW).await;
    keep(&bobs, NOW).await;
    assert_eq!(kept(Some(&name("ada"))).await, std::slice::from_ref(&adas));
    assert_eq!(placed(s, &hold(1, Held::Subject, "ada"), &[]).await, Placed::InForce);
    let later = tree(3, "bob", Timestamp(3_000_000));
    keep(&later, LATER).await;
    assert_eq!(kept(None).await, [adas, later.clone()], "what is over is forgotten, unless a hold is on its person");
    s.forget_trees(&t, &name("ada")).await.expect("forgets");
    assert_eq!(kept(None).await, [later]);
}
