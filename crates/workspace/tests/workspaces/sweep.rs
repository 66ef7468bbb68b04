//! The sweep: what nothing leads to goes, and only that.

use std::{collections::HashSet, sync::atomic::Ordering};

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, TreeId},
};
use stead_workspace::chunk::CHUNK;

use crate::kit::{Kit, path_of};

const HOUR: i64 = 3_600_000_000;

fn ids(kit: &Kit) -> HashSet<BlobId> {
    kit.objects.kept.lock().unwrap().keys().map(|(_, id)| *id).collect()
}

#[tokio::test]
async fn what_a_root_leads_to_stays_and_the_rest_goes_when_nobody_holds_it() {
    let kit = Kit::new();
    let long = vec![b'x'; CHUNK + 1];
    let old = kit.tree(&[("gone", b"1"), ("long-gone", &vec![b'y'; CHUNK + 1]), ("d/e/f", b"2")]).await;
    let new = kit.tree(&[("long", &long), ("d/e/f", b"2"), ("d/g", b"3")]).await;
    let before = ids(&kit);
    let swept = kit.work.sweep(&kit.tenant, || async { Ok(vec![new]) }).await.unwrap();
    assert_eq!((swept.removed, ids(&kit)), (0, before.clone()), "all of it is still held");
    kit.clock.0.fetch_add(2 * HOUR, Ordering::Relaxed);
    let swept = kit.work.sweep(&kit.tenant, || async { Ok(vec![new]) }).await.unwrap();
    // And the workspace with nothing in it, at which an action may have begun.
    assert_eq!(swept.reachable + 1, ids(&kit).len() as u64);
    assert!(swept.removed >= 5, "{swept:?}");
    assert_eq!(kit.all(new).await.len(), 5);
    assert_eq!(kit.work.stat(&kit.tenant, old, &path_of("gone")).await.unwrap_err().code(), code::WORKSPACE_DAMAGED);
    // Twice changes nothing.
    assert_eq!(kit.work.sweep(&kit.tenant, || async { Ok(vec![new]) }).await.unwrap().removed, 0);
}

#[tokio::test]
async fn what_is_made_while_the_roots_are_read_stays() {
    let kit = Kit::new();
    let old = kit.tree(&[("shared", b"1"), ("old", b"2")]).await;
    kit.clock.0.fetch_add(2 * HOUR, Ordering::Relaxed);
    // Somebody makes a tree of content that nothing led to when the sweep began, and it is no root yet.
    let made = std::sync::Mutex::new(None);
    let roots = || async {
        *made.lock().unwrap() = Some(kit.tree(&[("shared", b"1")]).await);
        Ok(Vec::new())
    };
    kit.work.sweep(&kit.tenant, roots).await.unwrap();
    let made: TreeId = made.lock().unwrap().unwrap();
    assert_eq!(kit.all(made).await.len(), 1);
    assert_eq!(kit.work.stat(&kit.tenant, old, &path_of("old")).await.unwrap_err().code(), code::WORKSPACE_DAMAGED);
}

#[tokio::test]
async fn nothing_goes_when_a_root_cannot_be_followed() {
    let kit = Kit::new();
    let (a, b) = (kit.tree(&[("d/x", b"1")]).await, kit.tree(&[("y", b"2")]).await);
    kit.clock.0.fetch_add(2 * HOUR, Ordering::Relaxed);
    let before = ids(&kit);
    let damaged = kit.work.sweep(&kit.tenant, || async { Ok(vec![b, TreeId([1; 32])]) }).await;
    assert_eq!(damaged.unwrap_err().code(), code::WORKSPACE_DAMAGED);
    assert_eq!(ids(&kit), before);
    let other = kit.work.sweep(&"globex".into(), || async { Ok(Vec::new()) }).await.unwrap();
    assert_eq!((other.removed, ids(&kit)), (0, before), "another tenant's sweep");
    kit.work.sweep(&kit.tenant, || async { Ok(vec![a]) }).await.unwrap();
    assert_eq!(kit.all(a).await.len(), 2);
}

/// The bytes of a directory are also a file's content: what they lead to as one does not count for the other.
#[tokio::test]
async fn a_directory_and_a_file_of_the_same_bytes_are_told_apart() {
    let kit = Kit::new();
    let inner = kit.tree(&[("x", b"inner")]).await;
    let bytes: Bytes = kit.objects.kept.lock().unwrap()[&(kit.tenant.clone(), BlobId(inner.0))].0.clone();
    let tree = kit.tree(&[("copy", &bytes)]).await;
    kit.clock.0.fetch_add(2 * HOUR, Ordering::Relaxed);
    kit.work.sweep(&kit.tenant, || async { Ok(vec![tree, inner]) }).await.unwrap();
    assert_eq!((kit.all(tree).await.len(), kit.all(inner).await.len()), (1, 1));
    kit.work.sweep(&kit.tenant, || async { Ok(vec![tree]) }).await.unwrap();
    assert_eq!(kit.all(tree).await.len(), 1);
}
