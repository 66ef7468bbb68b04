//! Cases: blobs, snapshots, and numbers at the edge.

use bytes::Bytes;
use stead_core::{
    budget::Amounts,
    id::{BlobId, LeafHash},
    time::Timestamp,
};

use super::kit::{Owner, TENANT, assert_records, name, new_run, run, session_of, spend, state, told};
use crate::journal::{Append, Journal, NewBlob, NewRun, RunFilter, RunState, Snapshot, Status};

fn blob(j: &dyn Journal, tenant: &str, content: &[u8]) -> NewBlob {
    let tenant = name(tenant);
    NewBlob { id: j.blob_id(&tenant, content), tenant, content: Bytes::copy_from_slice(content) }
}

/// Durable with its append; putting it again changes nothing; empty content is content.
pub async fn a_blob_is_kept_once_and_found_by_its_content(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    for (seq, content) in (1..).zip([&b"short"[..], b"", b"short"]) {
        let b = blob(j, TENANT, content);
        assert_eq!(b.id, j.blob_id(&name(TENANT), content));
        o.put(Append { blobs: vec![b.clone(), b.clone()], ..o.append(run(1), seq) }).await;
        assert_eq!(j.blob(&name(TENANT), b.id).await.expect("reads").as_deref(), Some(content));
    }
    assert_eq!(j.blob(&name(TENANT), BlobId([1; 32])).await.expect("reads"), None);
    let refused = Append { blobs: vec![blob(j, TENANT, b"never")], ..o.append(run(1), 99) };
    let id = refused.blobs[0].id;
    assert!(j.append(refused).await.is_err());
    assert_eq!(j.blob(&name(TENANT), id).await.expect("reads"), None);
}

/// No tenant learns from an address what another has stored, nor reads it.
pub async fn blobs_of_two_tenants_have_two_addresses(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    let (a, b) = (blob(j, "acme", b"secret"), blob(j, "globex", b"secret"));
    assert_ne!(a.id, b.id);
    o.put(Append { blobs: vec![a.clone()], ..o.append(run(1), 1) }).await;
    assert_eq!(j.blob(&name("globex"), a.id).await.expect("reads"), None);
    assert_eq!(j.blob(&name("globex"), b.id).await.expect("reads"), None);
    o.put(Append { blobs: vec![b.clone()], ..o.append(run(1), 2) }).await;
    assert_eq!(j.blob(&name("globex"), b.id).await.expect("reads").as_deref(), Some(&b"secret"[..]));
}

/// Whether it can be compressed or not.
pub async fn a_large_blob_comes_back_whole(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    let mut x = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 56) as u8
    })
    .take(3 << 20)
    .collect();
    let prose = b"the same words again and again, ".repeat(100_000);
    let (a, b) = (blob(j, TENANT, &noise), blob(j, TENANT, &prose));
    o.put(Append { blobs: vec![a.clone(), b.clone()], ..o.append(run(1), 1) }).await;
    assert!(j.blob(&name(TENANT), a.id).await.expect("reads").is_some_and(|c| c == a.content));
    assert!(j.blob(&name(TENANT), b.id).await.expect("reads").is_some_and(|c| c == b.content));
}

/// One snapshot a run.
pub async fn the_latest_snapshot_replaces_the_one_before(j: &dyn Journal) {
    assert!(j.snapshot(run(1)).await.expect("reads").is_none());
    for seq in [10, 20] {
        let body = format!("state at {seq}").into();
        let s = Snapshot { seq, leaf: LeafHash([seq as u8; 32]), version: u16::MAX, body };
        j.put_snapshot(run(1), s.clone()).await.expect("writes");
        let kept = j.snapshot(run(1)).await.expect("reads").expect("exists");
        assert_eq!((kept.seq, kept.leaf, kept.version, kept.body), (s.seq, s.leaf, s.version, s.body));
    }
    assert!(j.snapshot(run(2)).await.expect("reads").is_none());
}

/// Row, snapshot and the records after it; without a snapshot, all records; of no run, nothing.
pub async fn a_run_is_opened_with_what_its_snapshot_does_not_include(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert!(j.open(run(1), 100).await.expect("reads").is_none());
    o.start(run(1), Status::Running).await;
    for seq in 1..20 {
        o.put(o.append(run(1), seq)).await;
    }
    let opened = async |limit| j.open(run(1), limit).await.expect("reads").expect("exists");
    let all = opened(100).await;
    assert_eq!((all.row.id, all.row.state, all.snapshot.is_none()), (run(1), state(Status::Running), true));
    assert_records(&all.records, run(1), 0, 20);
    assert_records(&opened(7).await.records, run(1), 0, 7);
    for (seq, rest) in [(15, 5), (20, 0)] {
        let s = Snapshot { seq, leaf: LeafHash([1; 32]), version: 3, body: "state".into() };
        j.put_snapshot(run(1), s).await.expect("writes");
        let opened = opened(100).await;
        assert_eq!(opened.snapshot.map(|s| (s.seq, s.version)), Some((seq, 3)));
        assert_records(&opened.records, run(1), seq, rest);
    }
}

/// The largest numbers are kept or held at the largest the store has; nothing panics or wraps.
pub async fn numbers_at_the_edge_do_not_break_anything(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    let huge = RunState {
        turns: u32::MAX,
        effects: u32::MAX,
        spent: spend(u64::MAX, Some(u64::MAX)),
        ..state(Status::Waiting)
    };
    o.put(o.changing(run(1), 1, told(huge.clone()))).await;
    let kept = j.run(run(1)).await.expect("reads").expect("exists").state;
    assert_eq!((kept.turns, kept.effects), (u32::MAX, u32::MAX));
    assert!(kept.spent.tokens >= i64::MAX as u64);
    for seq in [2, 3] {
        let mut index = told(huge.clone());
        index.session = Some(crate::journal::SessionChange::Release {
            head: false,
            spent: huge.spent,
            used: Amounts::from_array([u64::MAX; 8]),
        });
        o.put(o.changing(run(1), seq, index)).await;
    }
    let session = j.session(session_of(run(1))).await.expect("reads").expect("exists");
    assert!(session.spent.tokens >= i64::MAX as u64 && session.spent.usd.is_some());
    assert!(session.used.tool_calls > u64::from(u32::MAX) && session.used.disk > u64::from(u32::MAX));
    assert!(j.read(run(1), u64::MAX, u32::MAX).await.expect("reads").is_empty());
    assert_eq!(j.due(Timestamp(i64::MIN), u32::MAX).await.expect("reads"), []);
}

/// Quotes, control characters, what no database may take for more than text; also as a key, and as long as a caller
/// likes.
pub async fn hostile_text_breaks_nothing(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let texts = ["a\0b", "'; DROP TABLE runs; --", "\u{feff}\u{202e}\\x00", "%_\\%", &"\u{1f642}".repeat(20_000)];
    for (n, text) in (1..).zip(texts) {
        // Keys are bounded by whoever takes them from a caller; an index holds no more than some kilobytes.
        let key: String = text.chars().take(200).collect();
        let idempotency = Some((name(&key), [n as u8; 32]));
        let new = NewRun { title: text.into(), idempotency, ..new_run(session_of(run(n))) };
        o.put(o.first_of(run(n), new, Status::Running)).await;
        assert!(j.run(run(n)).await.expect("reads").is_some_and(|r| r.title.len() >= text.len()));
        let found = j.by_key(&name(TENANT), &name(&key)).await.expect("reads");
        assert_eq!(found, Some((run(n), [n as u8; 32])), "{key:?}");
        let filter = RunFilter { tenant: name(&key), agent: Some(name(&key)), limit: 10, ..RunFilter::default() };
        assert!(j.runs(&filter).await.expect("reads").is_empty());
        let opened =
            j.open_session(&name(TENANT), &name(&key), &name(&key), session_of(run(100 + n)), Timestamp(1)).await;
        assert_eq!(opened.expect("opens").id, session_of(run(100 + n)));
    }
}
