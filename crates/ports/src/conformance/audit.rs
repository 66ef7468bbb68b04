//! Cases: what is in no log yet, and logs. The store is that of a journal too, for what is appended is what is integrated.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use super::kit::{Owner, TENANT, leaf, name, record, run};
use crate::{
    audit::{Act, AuditStore, ENTRIES, Integration, LogChange, LogRow, OPERATORS, Span, Unsequenced},
    journal::{Journal, Status},
};

/// A store that is both.
pub trait Audited: AuditStore + Journal {}
impl<T: AuditStore + Journal> Audited for T {}

fn act(n: u128) -> Act {
    Act {
        id: n,
        at: Timestamp(1_000 + n as i64),
        topic: "apply_policy".into(),
        salt: [n as u8; 16],
        body: Bytes::from(format!("{{\"n\":{n}}}")),
    }
}

fn row(tenant: &str, size: u64, unread: u64) -> LogRow {
    let (root, at) = ([size as u8; 32], Timestamp(size as i64));
    LogRow { tenant: name(tenant), size, root, note: format!("note of {size}"), at, unread, cosigned: None }
}

fn change(tenant: &str, was: u64, now: u64) -> LogChange {
    LogChange {
        was: (was > 0).then_some((was, [was as u8; 32])),
        now: row(tenant, now, 0),
        tiles: vec![],
        spans: vec![],
    }
}

async fn all(s: &dyn Audited) -> Vec<Unsequenced> {
    s.unsequenced(1_000).await.expect("looks")
}

fn places(all: &[Unsequenced]) -> Integration {
    let mut out = Integration::default();
    for one in all {
        match one {
            Unsequenced::Record { place, .. } => out.records.push(*place),
            Unsequenced::Act { place, .. } => out.acts.push(*place),
        }
    }
    out
}

/// With its place in its run, the hash before it, its own and its bytes, until it is integrated.
pub async fn what_is_appended_is_unsequenced_until_it_is_integrated(s: &dyn Audited) {
    let o = Owner::new(s).await;
    assert_eq!(all(s).await, []);
    let (a, b) = (run(1), run(2));
    for id in [a, b] {
        o.start(id, Status::Running).await;
    }
    for (id, seq) in [(a, 1), (a, 2), (b, 1)] {
        o.put(o.append(id, seq)).await;
    }
    let found = all(s).await;
    let mut next: BTreeMap<RunId, (u64, LeafHash)> = BTreeMap::new();
    for one in &found {
        let Unsequenced::Record { tenant, run: id, seq, prev, leaf: own, bytes, .. } = one else {
            panic!("there is no act")
        };
        let expected = next.entry(*id).or_insert((0, LeafHash([0; 32])));
        assert_eq!((*seq, *prev, tenant.as_str()), (expected.0, expected.1, TENANT));
        assert_eq!((bytes, *own), (&record(*id, *seq), leaf(*id, *seq)));
        *expected = (seq + 1, *own);
    }
    assert_eq!(next.values().map(|(n, _)| *n).collect::<Vec<_>>(), [3, 2]);
    // A part of it, in order.
    let first = s.unsequenced(2).await.expect("looks");
    assert_eq!(first, found[..2]);
    assert!(s.integrate(o.lease, places(&first)).await.expect("integrates"));
    assert_eq!(all(s).await, found[2..]);
    assert!(s.integrate(o.lease, places(&found[2..])).await.expect("integrates"));
    assert_eq!(all(s).await, []);
    o.put(o.append(a, 3)).await;
    assert_eq!(all(s).await.len(), 1);
}

/// Nothing of a refused append is there.
pub async fn a_refused_append_is_not_unsequenced(s: &dyn Audited) {
    let o = Owner::new(s).await;
    o.start(run(1), Status::Running).await;
    s.append(o.append(run(1), 5)).await.expect_err("it is no position");
    assert_eq!(all(s).await.len(), 1);
}

/// Two that take the same, or begin at the same log: one of them does.
pub async fn what_is_taken_is_taken_once_and_a_log_never_forks(s: &dyn Audited) {
    let o = Owner::new(s).await;
    o.start(run(1), Status::Running).await;
    let taken = places(&all(s).await);
    let once = Integration { logs: vec![change("acme", 0, 1)], ..taken.clone() };
    assert!(s.integrate(o.lease, once.clone()).await.expect("integrates"));
    assert!(!s.integrate(o.lease, once).await.expect("is asked"), "it is taken already");
    for logs in
        [vec![change("acme", 0, 2)], vec![change("acme", 3, 4)], vec![change("other", 0, 1), change("acme", 2, 3)]]
    {
        assert!(!s.integrate(o.lease, Integration { logs, ..Integration::default() }).await.expect("is asked"));
    }
    assert_eq!(s.logs().await.expect("lists"), [row("acme", 1, 0)], "nothing of what was refused is there");
    let on = Integration { logs: vec![change("acme", 1, 2)], ..Integration::default() };
    assert!(s.integrate(o.lease, on).await.expect("integrates"));
    assert_eq!(s.log(&name("acme")).await.expect("looks"), Some(row("acme", 2, 0)));
    s.cosign(&name("acme"), "signed by others too").await.expect("keeps");
    let on = Integration { logs: vec![change("acme", 2, 3)], ..Integration::default() };
    assert!(s.integrate(o.lease, on).await.expect("integrates"));
    let cosigned = Some("signed by others too".to_owned());
    assert_eq!(s.log(&name("acme")).await.expect("looks"), Some(LogRow { cosigned, ..row("acme", 3, 0) }));
}

/// Of an older epoch nothing is written.
pub async fn an_integrator_that_lost_its_lease_writes_nothing(s: &dyn Audited) {
    let o = Owner::new(s).await;
    o.start(run(1), Status::Running).await;
    let taken = Integration { logs: vec![change("acme", 0, 1)], ..places(&all(s).await) };
    s.release(o.lease).await.expect("releases");
    assert!(s.integrate(o.lease, taken).await.is_err());
    assert_eq!((s.logs().await.expect("lists"), all(s).await.len()), (vec![], 1));
}

/// Tiles as wide as they were put last, and spans of a run in their order.
pub async fn tiles_and_spans_are_found_again(s: &dyn Audited) {
    let o = Owner::new(s).await;
    let (one, two) = (run(1), run(2));
    let body = |n: u8, len: usize| Bytes::from(vec![n; len]);
    let mut first = change("acme", 0, 3);
    first.tiles = vec![(0, 0, body(1, 96)), (ENTRIES, 0, body(2, 500))];
    first.spans = vec![Span { run: one, seq: 0, indexes: vec![0, 2] }, Span { run: two, seq: 4, indexes: vec![1] }];
    let mut second = change("acme", 3, 300);
    second.tiles =
        vec![(0, 0, body(3, 8_192)), (0, 1, body(4, 1_408)), (1, 0, body(5, 32)), (ENTRIES, 0, body(6, 900_000))];
    second.spans = vec![Span { run: one, seq: 2, indexes: vec![3, 200, 299] }];
    let mut other = change("globex", 0, 1);
    other.tiles = vec![(0, 0, body(9, 32))];
    for logs in [vec![first, other], vec![second]] {
        assert!(s.integrate(o.lease, Integration { logs, ..Integration::default() }).await.expect("integrates"));
    }
    let (acme, globex) = (name("acme"), name("globex"));
    assert_eq!(s.tile(&acme, 0, 0).await.expect("reads"), Some(body(3, 8_192)));
    assert_eq!(s.tile(&acme, ENTRIES, 0).await.expect("reads"), Some(body(6, 900_000)));
    assert_eq!(s.tile(&acme, 1, 0).await.expect("reads"), Some(body(5, 32)));
    assert_eq!((s.tile(&acme, 2, 0).await.expect("reads"), s.tile(&acme, 0, 2).await.expect("reads")), (None, None));
    assert_eq!(s.tile(&globex, 0, 0).await.expect("reads"), Some(body(9, 32)));
    assert_eq!(s.tile(&name("nobody"), 0, 0).await.expect("reads"), None);
    let (a, b) =
        (Span { run: one, seq: 0, indexes: vec![0, 2] }, Span { run: one, seq: 2, indexes: vec![3, 200, 299] });
    assert_eq!(s.spans(one, 0, 10).await.expect("reads"), [a.clone(), b.clone()]);
    assert_eq!(s.spans(one, 0, 1).await.expect("reads"), std::slice::from_ref(&a));
    assert_eq!(s.spans(one, 1, 10).await.expect("reads"), [a, b.clone()], "one that begins before");
    assert_eq!(s.spans(one, 3, 10).await.expect("reads"), [b]);
    assert_eq!(s.spans(run(3), 0, 10).await.expect("reads"), []);
    assert_eq!(s.logs().await.expect("lists").len(), 2);
}

/// Whole, in their order, and once.
pub async fn acts_are_kept_and_unsequenced_like_records(s: &dyn Audited) {
    let o = Owner::new(s).await;
    for n in 1..=3 {
        s.act(act(n)).await.expect("keeps");
    }
    let found = all(s).await;
    let acts: Vec<Act> = found
        .iter()
        .map(|one| match one {
            Unsequenced::Act { act, .. } => act.clone(),
            Unsequenced::Record { .. } => panic!("there is no record"),
        })
        .collect();
    assert_eq!(acts, [act(1), act(2), act(3)]);
    assert_eq!(s.find_act(2).await.expect("looks"), Some(act(2)));
    assert_eq!(s.find_act(9).await.expect("looks"), None);
    let taken = Integration { logs: vec![change(OPERATORS, 0, 3)], ..places(&found) };
    assert!(s.integrate(o.lease, taken.clone()).await.expect("integrates"));
    assert!(!s.integrate(o.lease, Integration { logs: vec![], ..taken }).await.expect("is asked"));
    assert_eq!(all(s).await, []);
    s.act(act(4)).await.expect("keeps");
    assert_eq!(all(s).await.len(), 1);
    assert_eq!(s.find_act(1).await.expect("looks"), Some(act(1)), "what is in a log is kept");
}

/// So that nobody need look again and again.
pub async fn the_bell_rings_after_an_append_and_after_an_act(s: &dyn Audited) {
    let o = Owner::new(s).await;
    let bell = s.bell();
    let rings = async || tokio::time::timeout(Duration::from_secs(30), bell.notified()).await.expect("it rings");
    o.start(run(1), Status::Running).await;
    rings().await;
    s.act(act(1)).await.expect("keeps");
    rings().await;
}

/// Each reader has a place of its own in each log, and only whoever has the lease moves it.
pub async fn a_reader_of_logs_goes_on_where_it_was(s: &dyn Audited) {
    let o = Owner::new(s).await;
    assert_eq!(s.read_upto("spans").await.expect("looks"), []);
    let at = |n| [(name(OPERATORS), n), (name("acme"), n + 1), (name("a%me/x"), n + 2)];
    s.note_upto(o.lease, "spans", &at(0)).await.expect("notes");
    s.note_upto(o.lease, "spans", &at(7)[1..]).await.expect("notes");
    s.note_upto(o.lease, "span", &at(3)[..1]).await.expect("notes");
    let mut found = s.read_upto("spans").await.expect("looks");
    found.sort();
    assert_eq!(found, [(name(OPERATORS), 0), (name("a%me/x"), 9), (name("acme"), 8)]);
    s.release(o.lease).await.expect("releases");
    assert!(s.note_upto(o.lease, "spans", &at(20)).await.is_err());
    assert_eq!(s.read_upto("spans").await.expect("looks").len(), 3);
    assert!(!s.read_upto("spans").await.expect("looks").iter().any(|(_, n)| *n >= 20));
}
