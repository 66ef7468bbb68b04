//! Turns of the writers of a session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::kit::{Kit, path_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_session_follow_each_other_and_no_write_is_lost() {
    let kit = Kit::new();
    let head = Arc::new(std::sync::Mutex::new(kit.empty().await));
    let at_once = Arc::new(AtomicU32::new(0));
    let tasks = (0..20).map(|n| {
        let (work, tenant, head, at_once) = (kit.work.clone(), kit.tenant.clone(), head.clone(), at_once.clone());
        tokio::spawn(async move {
            let turn = work.writer(&tenant, &"ses".into()).await;
            assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0, "two writers at once");
            let tree = *head.lock().unwrap();
            let made = work.write(&tenant, tree, &path_of(&format!("f{n}")), Bytes::new(), None).await.unwrap();
            *head.lock().unwrap() = made.tree;
            at_once.fetch_sub(1, Ordering::SeqCst);
            drop(turn);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let head = *head.lock().unwrap();
    assert_eq!(kit.all(head).await.len(), 20);
}

#[tokio::test]
async fn writers_of_two_sessions_or_tenants_do_not_wait_for_each_other() {
    let kit = Kit::new();
    let _one = kit.work.writer(&kit.tenant, &"one".into()).await;
    let _two = kit.work.writer(&kit.tenant, &"two".into()).await;
    let _other = kit.work.writer(&"globex".into(), &"one".into()).await;
    // Nor does one that was given up leave anything behind.
    let name = "one".into();
    let waiting = kit.work.writer(&kit.tenant, &name);
    assert!(tokio::time::timeout(Duration::ZERO, waiting).await.is_err());
    drop(_one);
    kit.work.writer(&kit.tenant, &"one".into()).await;
}
