//! Trees without directories: write, read, list, remove, diff, and what each of them costs.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use stead_core::code;
use stead_workspace::{Kind, TreePath, chunk::CHUNK};

use crate::kit::{Is, Kit, path_of};

#[tokio::test]
async fn what_was_written_is_read_and_the_tree_before_stands() {
    let k = Kit::new();
    let a = k.tree(&[("a/b/c.txt", b"one"), ("a/d", b"")]).await;
    let b = k.work.write(&k.tenant, a, &path_of("a/b/c.txt"), Bytes::from_static(b"two!"), Some(true)).await.unwrap();
    let read = |tree, path| {
        let (k, path) = (&k, path_of(path));
        async move { k.work.read(&k.tenant, tree, &path, 0, 100).await.map(|b| b.to_vec()) }
    };
    assert_eq!(read(a, "a/b/c.txt").await.unwrap(), b"one");
    assert_eq!(read(b.tree, "a/b/c.txt").await.unwrap(), b"two!");
    assert_eq!(k.all(b.tree).await["a/b/c.txt"], Is::File(b"two!".to_vec(), true));
    assert_eq!((b.entries, b.bytes), (4, 4));
    // Writing over an executable leaves it one.
    let c = k.work.write(&k.tenant, b.tree, &path_of("a/b/c.txt"), Bytes::new(), None).await.unwrap();
    assert_eq!(k.all(c.tree).await["a/b/c.txt"], Is::File(vec![], true));
}

#[tokio::test]
async fn the_same_content_has_the_same_id_whatever_the_way_to_it() {
    let k = Kit::new();
    let a = k.tree(&[("x", b"1"), ("d/y", b"2"), ("gone", b"3")]).await;
    let a = k.work.remove(&k.tenant, a, &path_of("gone")).await.unwrap().tree;
    let b = k.tree(&[("d/y", b"2"), ("x", b"1")]).await;
    assert_eq!(a, b);
    // Another tenant's has another id, and neither finds the other's.
    let other = "globex".into();
    assert_ne!(k.work.empty(&other).await.unwrap().tree, k.empty().await);
    let e = k.work.stat(&other, a, &TreePath::TOP).await.unwrap_err();
    assert_eq!(e.code(), code::WORKSPACE_DAMAGED);
}

#[tokio::test]
async fn a_long_file_is_cut_read_in_pieces_and_shared_but_for_what_changed() {
    let k = Kit::new();
    let mut content: Vec<u8> = (0..5 * CHUNK + 17).map(|n| (n / 7) as u8 ^ (n >> 16) as u8).collect();
    let a = k.tree(&[("big", &content)]).await;
    for (from, most) in [(0, u64::MAX), (CHUNK as u64 - 3, 6), (4 * CHUNK as u64, 3 << 20), (u64::MAX, 5), (7, 0)] {
        let is = k.work.read(&k.tenant, a, &path_of("big"), from, most).await.unwrap();
        let start = content.len().min(usize::try_from(from).unwrap_or(usize::MAX));
        let end = content.len().min(start.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)));
        assert!(is == content[start..end], "{from} {most}");
    }
    for exact in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        let tree = k.tree(&[("f", &content[..exact])]).await;
        assert!(k.work.read(&k.tenant, tree, &path_of("f"), 0, u64::MAX).await.unwrap() == content[..exact]);
    }
    content[3 * CHUNK] ^= 1;
    let before = k.objects.put_bytes.load(Ordering::Relaxed);
    let b = k.work.write(&k.tenant, a, &path_of("big"), content.clone().into(), None).await.unwrap();
    assert_eq!(k.work.diff(&k.tenant, a, b.tree).await.unwrap().changed, 1);
    let sent = k.objects.put_bytes.load(Ordering::Relaxed) - before;
    assert!(sent < 2 * CHUNK as u64, "{sent} bytes were sent for a chunk");
}

#[tokio::test]
async fn a_path_that_does_not_do_is_refused_with_what_is_wrong() {
    let k = Kit::new();
    let t = k.tree(&[("a/file", b"1")]).await;
    let linked = {
        let tar = tar_with_link("way", "/etc");
        k.work.import_tar(&k.tenant, Some(t), std::io::Cursor::new(tar)).await.unwrap().tree
    };
    let code_of = |e: stead_workspace::WorkspaceError| e.code();
    let w = &k.work;
    for path in ["a/file/x", "way/passwd"] {
        let e = w.read(&k.tenant, linked, &path_of(path), 0, 9).await.unwrap_err();
        assert_eq!(code_of(e), code::WORKSPACE_PATH, "{path}");
        let e = w.write(&k.tenant, linked, &path_of(path), Bytes::new(), None).await.unwrap_err();
        assert_eq!(code_of(e), code::WORKSPACE_PATH, "{path}");
    }
    for path in ["a", "", "nothing", "way"] {
        let e = w.read(&k.tenant, linked, &path_of(path), 0, 9).await.unwrap_err();
        assert_eq!(code_of(e), code::WORKSPACE_PATH, "{path}");
    }
    assert_eq!(
        code_of(w.write(&k.tenant, t, &path_of("a"), Bytes::new(), None).await.unwrap_err()),
        code::WORKSPACE_PATH
    );
    assert_eq!(
        code_of(w.write(&k.tenant, t, &TreePath::TOP, Bytes::new(), None).await.unwrap_err()),
        code::WORKSPACE_PATH
    );
    assert_eq!(code_of(w.remove(&k.tenant, t, &TreePath::TOP).await.unwrap_err()), code::WORKSPACE_PATH);
    assert_eq!(code_of(w.remove(&k.tenant, t, &path_of("a/none")).await.unwrap_err()), code::WORKSPACE_PATH);
    assert_eq!(code_of(w.list(&k.tenant, t, &path_of("a/file"), None, 9).await.unwrap_err()), code::WORKSPACE_PATH);
    // A file takes a link's place, and never goes where that leads.
    let over = w.write(&k.tenant, linked, &path_of("way"), Bytes::from_static(b"mine"), None).await.unwrap();
    assert_eq!(k.all(over.tree).await["way"], Is::File(b"mine".to_vec(), false));
}

fn tar_with_link(name: &str, target: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    tar.append_link(&mut header, name, target).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_diff_tells_what_came_went_and_changed_and_counts_what_it_does_not_list() {
    let k = Kit::limited(|l| l.listed = 4);
    let a = k.tree(&[("keep", b"k"), ("change", b"1"), ("mode", b"m"), ("old/a", b"a"), ("old/b", b"b")]).await;
    let w = &k.work;
    let b = w.write(&k.tenant, a, &path_of("change"), Bytes::from_static(b"2"), None).await.unwrap().tree;
    let b = w.write(&k.tenant, b, &path_of("mode"), Bytes::from_static(b"m"), Some(true)).await.unwrap().tree;
    let b = w.remove(&k.tenant, b, &path_of("old")).await.unwrap().tree;
    let b = w.write(&k.tenant, b, &path_of("new/dir/file"), Bytes::from_static(b"n"), None).await.unwrap().tree;
    let diff = w.diff(&k.tenant, a, b).await.unwrap();
    assert_eq!((diff.added, diff.removed, diff.changed, diff.mode, diff.more), (3, 3, 1, 1, true));
    let listed: Vec<_> = diff.changes.iter().map(|c| (c.path.to_string(), c.kind())).collect();
    let is = |path: &str, kind| (path.to_owned(), kind);
    assert_eq!(
        listed,
        [is("change", Kind::Changed), is("mode", Kind::Mode), is("new", Kind::Added), is("new/dir", Kind::Added)]
    );
    assert_eq!(w.diff(&k.tenant, b, b).await.unwrap(), stead_workspace::Diff::default());
}

#[tokio::test]
async fn a_change_of_one_file_reads_and_writes_only_the_directories_on_its_way() {
    let k = Kit::new();
    let files: Vec<(String, Vec<u8>)> =
        (0..400).map(|n| (format!("d{}/e{}/f{n}", n % 4, n % 20), format!("{n}").into_bytes())).collect();
    let tree = k.tree(&files.iter().map(|(p, c)| (p.as_str(), &c[..])).collect::<Vec<_>>()).await;
    let before = k.objects.gets.load(Ordering::Relaxed);
    k.work.write(&k.tenant, tree, &path_of("d1/e1/f1"), Bytes::from_static(b"x"), None).await.unwrap();
    // Once to see what is there, once to lay the change over it.
    assert_eq!(k.objects.gets.load(Ordering::Relaxed) - before, 6);
}

#[tokio::test]
async fn each_limit_is_held_at_a_write() {
    let refused = async |set: fn(&mut stead_workspace::Limits), path: &str, content: &[u8]| {
        let k = Kit::limited(set);
        let tree = k.tree(&[("a", b"12345")]).await;
        let made = k.work.write(&k.tenant, tree, &path_of(path), Bytes::copy_from_slice(content), None).await;
        assert_eq!(made.unwrap_err().code(), code::WORKSPACE_LIMIT, "{path}");
    };
    refused(|l| l.entries = 1, "b", b"").await;
    refused(|l| l.directory = 1, "b", b"").await;
    refused(|l| l.bytes = 9, "b", b"12345").await;
    refused(|l| l.file = 5, "b", b"123456").await;
    refused(|l| l.depth = 2, "b/c/d/e", b"").await;
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let k = Kit::new();
    let tree = k.tree(&[("c", b""), ("a", b""), ("b", b""), ("d/x", b"")]).await;
    let page = |after: Option<stead_workspace::EntryName>| {
        let k = &k;
        async move { k.work.list(&k.tenant, tree, &TreePath::TOP, after.as_ref(), 2).await.unwrap() }
    };
    let first = page(None).await;
    let rest = page(first.last().map(|(n, _)| n.clone())).await;
    let names: Vec<_> = first.iter().chain(&rest).map(|(n, _)| n.to_string()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}
