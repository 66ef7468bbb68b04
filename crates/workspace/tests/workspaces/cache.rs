//! The cache: what is made of a tree, shared, proved, and kept within its bounds.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::atomic::Ordering,
};

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, TreeId},
    time::Timestamp,
};
use stead_workspace::{
    EntryName, Options, Workspaces,
    chunk::CHUNK,
    tree::{DirEntry, Directory, Entry},
};

use crate::kit::{Kit, on_disk, path_of};

#[tokio::test]
async fn a_directory_has_what_the_tree_has_whatever_was_there_before() {
    let kit = Kit::new();
    let long = vec![b'l'; 2 * CHUNK + 5];
    let tree = kit.tree(&[("a/run", b"#!"), ("a/b/c", b""), ("long", &long), ("same", b""), ("deep/er/x", b"x")]).await;
    let tree = kit.work.write(&kit.tenant, tree, &path_of("a/run"), "#!".into(), Some(true)).await.unwrap().tree;
    let base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
    assert_eq!(on_disk(base.path()), kit.all(tree).await);
    let mode = |p: &str| fs::metadata(base.path().join(p)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("a"), mode("a/run"), mode("same")], [0o755, 0o755, 0o644]);
    // Another server of the fleet, with nothing in its cache.
    let dir = tempfile::tempdir().unwrap();
    let other = Workspaces::open(kit.objects.clone(), kit.clock.clone(), Options::new(dir.path())).unwrap();
    let there = other.materialise(&kit.tenant, tree).await.unwrap();
    assert_eq!(on_disk(there.path()), kit.all(tree).await);
}

#[tokio::test]
async fn files_are_given_to_the_user_of_the_boxes() {
    let kit = Kit::with(|o| o.owner = Some((1234, 5678)));
    let tree = kit.tree(&[("d/f", b"1")]).await;
    let base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
    for path in ["", "d", "d/f"] {
        let meta = fs::metadata(base.path().join(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 5678), "{path:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_start_at_a_tree_share_one_directory_and_equal_files_are_one_file() {
    let kit = Kit::new();
    let a = kit.tree(&[("x", b"1"), ("y", b"1"), ("z", b"2")]).await;
    let b = kit.work.write(&kit.tenant, a, &path_of("z"), "3".into(), None).await.unwrap().tree;
    let many = (0..16).map(|_| {
        let (work, tenant) = (kit.work.clone(), kit.tenant.clone());
        tokio::spawn(async move { work.materialise(&tenant, a).await.unwrap() })
    });
    let mut bases = Vec::new();
    for task in many.collect::<Vec<_>>() {
        bases.push(task.await.unwrap());
    }
    assert!(bases.iter().all(|base| base.path() == bases[0].path()));
    let next = kit.work.materialise(&kit.tenant, b).await.unwrap();
    let inode = |p: std::path::PathBuf| fs::metadata(p).unwrap().ino();
    let x = inode(bases[0].path().join("x"));
    assert_eq!([x, x], [inode(bases[0].path().join("y")), inode(next.path().join("x"))]);
    // What is being made is gone when it is made.
    assert_eq!(fs::read_dir(kit.dir.path().join("cache/new")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_tree_of_one_tenant_is_nothing_to_another_even_in_the_cache() {
    let kit = Kit::new();
    let tree = kit.tree(&[("secret", b"1")]).await;
    let _base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
    let e = kit.work.materialise(&"globex".into(), tree).await.unwrap_err();
    assert_eq!(e.code(), code::WORKSPACE_DAMAGED);
}

#[tokio::test]
async fn what_is_missing_or_was_changed_in_the_store_is_noticed() {
    let kit = Kit::new();
    let tree = kit.tree(&[("d/x", b"1"), ("y", b"2")]).await;
    let id = |content: &[u8]| stead_ports::objects::Objects::address(&*kit.objects, &kit.tenant, content);
    let set = |id: BlobId, content: &'static [u8]| {
        kit.objects.kept.lock().unwrap().insert((kit.tenant.clone(), id), (Bytes::from_static(content), Timestamp(0)));
    };
    let fresh = || {
        let dir = tempfile::tempdir().unwrap();
        let work = Workspaces::open(kit.objects.clone(), kit.clock.clone(), Options::new(dir.path())).unwrap();
        (dir, work)
    };
    let refused = async || {
        let (_dir, work) = fresh();
        assert_eq!(work.materialise(&kit.tenant, tree).await.unwrap_err().code(), code::WORKSPACE_DAMAGED);
    };
    set(id(b"1"), b"another length");
    refused().await;
    kit.objects.kept.lock().unwrap().remove(&(kit.tenant.clone(), id(b"1")));
    refused().await;
    set(id(b"1"), b"1");
    set(BlobId(tree.0), b"\x82\x01\x80 and more");
    refused().await;
    // A directory whose sums lie about what is below it.
    let mut lying = Directory::default();
    let below = kit.tree(&[("x", b"1")]).await;
    let entry = Entry::Directory(DirEntry { tree: below, entries: 1, bytes: 2 });
    lying.insert(EntryName::new(b"d").unwrap(), entry);
    stead_ports::objects::Objects::put(&*kit.objects, &kit.tenant, &[lying.encode().into()], Timestamp(0))
        .await
        .unwrap();
    let (_dir, work) = fresh();
    let e = work.materialise(&kit.tenant, TreeId(id(&lying.encode()).0)).await.unwrap_err();
    assert_eq!((e.code(), e.to_string().contains("sums")), (code::WORKSPACE_DAMAGED, true), "{e}");
}

#[tokio::test]
async fn directories_that_nobody_uses_make_room_and_those_in_use_stay() {
    let kit = Kit::with(|o| o.cache_bytes = 3 << 20);
    let mut kept = None;
    for n in 0..20u8 {
        let tree = kit.tree(&[("f", &vec![n; 900_000]), ("g", &[n])]).await;
        let base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
        if n == 0 {
            kept = Some(base);
        }
    }
    let kept = kept.unwrap();
    assert_eq!(fs::read(kept.path().join("f")).unwrap(), vec![0; 900_000]);
    let all = on_disk(&kit.dir.path().join("cache/files"));
    let bytes: usize = all.values().map(|is| if let crate::kit::Is::File(b, _) = is { b.len() } else { 0 }).sum();
    assert!(bytes < 4 << 20, "{bytes} bytes stayed");
    // What went comes back.
    let tree = kit.tree(&[("f", &vec![5; 900_000]), ("g", &[5])]).await;
    assert_eq!(on_disk(kit.work.materialise(&kit.tenant, tree).await.unwrap().path()).len(), 2);
    drop(kept);
}

#[tokio::test]
async fn files_are_found_again_after_a_restart_of_the_server_and_not_after_one_of_the_host() {
    let kit = Kit::new();
    let tree = kit.tree(&[("f", b"content"), ("d/g", b"more")]).await;
    kit.work.materialise(&kit.tenant, tree).await.unwrap();
    let cache = kit.dir.path().join("cache");
    let again = async || {
        let work = Workspaces::open(kit.objects.clone(), kit.clock.clone(), Options::new(&cache)).unwrap();
        let before = kit.objects.gets.load(Ordering::Relaxed);
        let base = work.materialise(&kit.tenant, tree).await.unwrap();
        let asked = kit.objects.gets.load(Ordering::Relaxed) - before;
        assert_eq!(on_disk(base.path()), kit.all(tree).await);
        asked
    };
    assert_eq!(again().await, 2, "two directories and no file");
    fs::write(cache.join("boot"), "another start").unwrap();
    assert_eq!(again().await, 4, "all of it");
}

/// While room is made all the time, whoever asks for a directory gets it, and it is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_that_was_just_made_is_not_taken_away_before_it_is_given_out() {
    let kit = Kit::with(|o| o.cache_bytes = 1);
    let trees = [kit.tree(&[("f", b"1"), ("d/e", b"2")]).await, kit.tree(&[("g", b"3")]).await];
    let many = (0..4).map(|_| {
        let (work, tenant) = (kit.work.clone(), kit.tenant.clone());
        tokio::spawn(async move {
            for n in 0..100 {
                let base = loop {
                    match work.materialise(&tenant, trees[n % 2]).await {
                        Ok(base) => break base,
                        // There is no room at all here, and it says so.
                        Err(e) => assert!(e.to_string().contains("give it more room"), "{e}"),
                    }
                };
                assert_eq!(on_disk(base.path()).len(), if n % 2 == 0 { 3 } else { 1 });
            }
        })
    });
    for task in many.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// A server that is killed while it makes directories leaves nothing that the next one takes for whole. This test runs itself once more to
/// be killed.
#[tokio::test]
async fn what_a_killed_server_left_half_made_is_never_given_out() {
    use std::io::BufRead as _;
    const DIR: &str = "STEAD_TEST_KILLED";
    let content = |n: u8| vec![n; 3 * CHUNK / 2];
    let tree = async |kit: &Kit, n: u8| {
        let content = content(n);
        kit.tree(&[("d/long", &content), ("short", &[n]), ("d/e/f", b"same")]).await
    };
    if let Some(dir) = std::env::var_os(DIR) {
        let kit = Kit::with(|o| o.cache = dir.into());
        for n in (0..=255).cycle() {
            let tree = tree(&kit, n).await;
            kit.work.materialise(&kit.tenant, tree).await.unwrap();
            println!("made {n}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for kill_at in [1, 2, 5, 9] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::what_a_killed_server_left_half_made_is_never_given_out", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.filter(|l| l.as_ref().unwrap().contains("made")).take(kill_at).count(), kill_at);
        child.kill().unwrap();
        child.wait().unwrap();
        let kit = Kit::with(|o| o.cache = dir.path().to_owned());
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 0);
        for n in 0..12 {
            let tree = tree(&kit, n).await;
            let base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
            assert_eq!(on_disk(base.path()), kit.all(tree).await, "{n}");
        }
    }
}
