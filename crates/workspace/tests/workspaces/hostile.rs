//! Directories that somebody hostile has written: abuse cases 28, 29 and 45, and what is too much.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, XattrFlags, lsetxattr, mknodat, renameat_with};
use stead_core::{
    code::{self, Code},
    id::TreeId,
};
use stead_ports::workspace::Marks;
use stead_workspace::{Committed, LeftOut, WorkspaceError};

use crate::{
    kit::{Ended, Is, Kit},
    overlay::{Who, act},
};

const SECRET: &[u8] = b"root:the secret of the host";

async fn commit(kit: &Kit, base: TreeId, ended: &Ended) -> Result<Committed, WorkspaceError> {
    kit.work.writer(&kit.tenant, &"ses".into()).await.commit(base, ended).await
}

fn mark(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Case 28: while a directory is read, somebody swaps it, and a file, for links to the outside.
#[test]
fn a_swap_of_directories_and_links_never_leads_outside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), SECRET).unwrap();
    let inside = tempfile::tempdir().unwrap();
    let at = |name: &str| inside.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/f"), "mine").unwrap();
    symlink(outside.path(), at("e")).unwrap();
    fs::write(at("file"), "mine").unwrap();
    symlink(outside.path().join("f"), at("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swappers: Vec<_> = [(at("d"), at("e")), (at("file"), at("link"))]
        .into_iter()
        .map(|(a, b)| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut swaps = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                    swaps += 1;
                }
                swaps
            })
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut done, mut refused) = (0, 0);
    runtime.block_on(async {
        let kit = Kit::new();
        let base = kit.empty().await;
        // As long as it takes to have seen both outcomes often.
        while done < 50 || refused < 50 {
            match commit(&kit, base, &Ended::whole(inside.path())).await {
                Ok(committed) => {
                    done += 1;
                    for (path, is) in kit.all(committed.made.tree).await {
                        assert!(!matches!(&is, Is::File(bytes, _) if bytes != b"mine"), "{path} came from outside");
                    }
                }
                Err(e) => {
                    assert_eq!(e.code(), code::WORKSPACE_MOVED, "{e}");
                    refused += 1;
                }
            }
        }
        let kept = kit.objects.kept.lock().unwrap();
        assert!(!kept.values().any(|(bytes, _)| &bytes[..] == SECRET), "what is outside was read");
    });
    stop.store(true, Ordering::Relaxed);
    assert!(swappers.into_iter().all(|s| s.join().unwrap() > 100));
}

/// Case 28, the other way: what is written goes where the tree says, and the links in it lead nowhere while it is made.
#[tokio::test]
async fn a_directory_is_made_without_going_through_the_links_in_it() {
    let outside = tempfile::tempdir().unwrap();
    let from = tempfile::tempdir().unwrap();
    symlink(outside.path(), from.path().join("a")).unwrap();
    fs::create_dir(from.path().join("b")).unwrap();
    fs::write(from.path().join("b/f"), "mine").unwrap();
    let kit = Kit::new();
    let tree = commit(&kit, kit.empty().await, &Ended::whole(from.path())).await.unwrap().made.tree;
    let base = kit.work.materialise(&kit.tenant, tree).await.unwrap();
    assert_eq!(fs::read_link(base.path().join("a")).unwrap(), outside.path());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// Case 29.
#[tokio::test]
async fn links_to_files_of_the_host_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("shadow");
    fs::write(&secret, SECRET).unwrap();
    let kit = Kit::new();
    let base = kit.empty().await;
    let dir = tempfile::tempdir().unwrap();
    symlink(&secret, dir.path().join("soft")).unwrap();
    let made = commit(&kit, base, &Ended::whole(dir.path())).await.unwrap().made;
    assert_eq!(kit.all(made.tree).await["soft"], Is::Link(secret.as_os_str().as_encoded_bytes().to_vec()));
    for ended in [Ended::whole(dir.path()), Ended::upper(dir.path(), Marks::Trusted)] {
        fs::hard_link(&secret, dir.path().join("hard")).unwrap();
        let e = commit(&kit, base, &ended).await.unwrap_err();
        assert_eq!((e.code(), e.to_string().contains("hard link")), (code::WORKSPACE_FORGED, true), "{e}");
        fs::remove_file(dir.path().join("hard")).unwrap();
    }
    // Two names of one file, both inside, are two files.
    fs::write(dir.path().join("one"), "1").unwrap();
    fs::hard_link(dir.path().join("one"), dir.path().join("two")).unwrap();
    let made = commit(&kit, base, &Ended::whole(dir.path())).await.unwrap().made;
    assert_eq!(kit.all(made.tree).await["two"], Is::File(b"1".to_vec(), false));
}

/// Case 45: marks that the mount in question does not make.
#[tokio::test]
async fn forged_marks_of_overlayfs_are_refused() {
    let kit = Kit::new();
    let base = kit.tree(&[("d/f", b"base")]).await;
    for (marks, ours, other) in [(Marks::Trusted, "trusted", "user"), (Marks::User, "user", "trusted")] {
        for (name, value) in [
            (format!("{other}.overlay.opaque"), "y"),
            (format!("{other}.overlay.whiteout"), "y"),
            (format!("{other}.overlay.origin"), ""),
            (format!("{ours}.overlay.redirect"), "/etc"),
            (format!("{ours}.overlay.metacopy"), ""),
            (format!("{ours}.overlay.overlay.opaque"), "y"),
            (format!("{ours}.overlay.opaque"), "z"),
            (format!("{ours}.overlay.something"), "y"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("d")).unwrap();
            mark(&dir.path().join("d"), &name, value.as_bytes());
            let e = commit(&kit, base, &Ended::upper(dir.path(), marks)).await.unwrap_err();
            assert_eq!(e.code(), code::WORKSPACE_FORGED, "{name}: {e}");
        }
        // A whiteout by attribute counts only where its directory says that there are some, and only on an empty file.
        for (says, content, is) in [(false, "", None), (true, "x", None), (true, "", Some(vec!["d"]))] {
            let dir = tempfile::tempdir().unwrap();
            let (d, f) = (dir.path().join("d"), dir.path().join("d/f"));
            fs::create_dir(&d).unwrap();
            fs::write(&f, content).unwrap();
            mark(&f, &format!("{ours}.overlay.whiteout"), b"y");
            if says {
                mark(&d, &format!("{ours}.overlay.opaque"), b"x");
            }
            let made = commit(&kit, base, &Ended::upper(dir.path(), marks)).await;
            match is {
                Some(names) => {
                    let all = kit.all(made.unwrap().made.tree).await;
                    assert_eq!(all.keys().map(String::as_str).collect::<Vec<_>>(), names);
                }
                None => assert_eq!(made.unwrap_err().code(), code::WORKSPACE_FORGED),
            }
        }
    }
}

/// Case 45, through a real mount: the kernel lets marks of the other namespace pass and escapes its own; neither is believed.
#[tokio::test]
async fn marks_that_were_set_through_a_mount_are_refused() {
    let kit = Kit::new();
    let base = kit.tree(&[("d/f", b"base")]).await;
    for (who, name) in [
        (Who::Root, "user.overlay.opaque"),
        (Who::Root, "user.overlay.whiteout"),
        (Who::Root, "trusted.overlay.opaque"),
        (Who::Nobody, "user.overlay.opaque"),
    ] {
        let set = format!("python3 -c 'import os; os.setxattr(\"d\", \"{name}\", b\"y\")' && printf set > done");
        let (over, committed) = act(&kit, base, who, &set).await;
        // A kernel that refuses to set it is as good.
        match over.seen().contains_key("done") {
            true => assert_eq!(committed.unwrap_err().code(), code::WORKSPACE_FORGED, "{who:?} {name}"),
            false => assert_eq!(kit.all(committed.unwrap().made.tree).await.len(), 2, "{who:?} {name}"),
        }
    }
}

/// Cases 21 and 45: a device is a device, and a whiteout is one only in an upper directory.
#[tokio::test]
async fn devices_are_refused_and_whiteouts_are_none_in_a_whole_directory() {
    let kit = Kit::new();
    let base = kit.tree(&[("f", b"base")]).await;
    let made = async |kind, dev, upper| -> Result<usize, Code> {
        let dir = tempfile::tempdir().unwrap();
        mknodat(CWD, dir.path().join("f"), kind, Mode::from_raw_mode(0o666), dev).unwrap();
        let ended = if upper { Ended::upper(dir.path(), Marks::User) } else { Ended::whole(dir.path()) };
        let committed = commit(&kit, base, &ended).await.map_err(|e| e.code())?;
        Ok(kit.all(committed.made.tree).await.len())
    };
    assert_eq!(made(FileType::CharacterDevice, 0, true).await, Ok(0));
    let forged = Err(code::WORKSPACE_FORGED);
    assert_eq!(made(FileType::CharacterDevice, 0, false).await, forged);
    assert_eq!(made(FileType::BlockDevice, 0, true).await, forged);
    for upper in [true, false] {
        assert_eq!(made(FileType::CharacterDevice, rustix::fs::makedev(1, 3), upper).await, forged);
        assert_eq!(made(FileType::BlockDevice, rustix::fs::makedev(7, 0), upper).await, forged);
    }
}

/// Another file system in the way is not entered. This test runs itself once more where one is mounted.
#[tokio::test]
async fn what_is_mounted_below_is_not_entered() {
    const DIR: &str = "STEAD_TEST_MOUNTED";
    if let Some(dir) = std::env::var_os(DIR) {
        let kit = Kit::new();
        let e = commit(&kit, kit.empty().await, &Ended::whole(Path::new(&dir))).await.unwrap_err();
        assert_eq!((e.code(), e.to_string().contains("another file system")), (code::WORKSPACE_FORGED, true), "{e}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("m")).unwrap();
    let script = format!(
        "mount -t tmpfs none {}/m && exec \"$0\" --exact hostile::what_is_mounted_below_is_not_entered",
        dir.path().display()
    );
    let mut again = std::process::Command::new("unshare");
    again.args(["--mount", "sh", "-c", &script]).arg(std::env::current_exe().unwrap()).env(DIR, dir.path());
    let out = again.output().expect("unshare is there: apt-get install util-linux");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
}

/// A size counts before a byte is read: a hole of a terabyte takes no time.
#[tokio::test]
async fn too_much_is_refused_at_the_limit() {
    let refused = async |set: fn(&mut stead_workspace::Limits), make: fn(&Path)| {
        let kit = Kit::limited(set);
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let base = kit.empty().await;
        for ended in [Ended::whole(dir.path()), Ended::upper(dir.path(), Marks::Trusted)] {
            let e = commit(&kit, base, &ended).await.unwrap_err();
            assert_eq!(e.code(), code::WORKSPACE_LIMIT, "{e}");
        }
    };
    let sparse = |d: &Path| fs::File::create(d.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    refused(|_| {}, sparse).await;
    refused(|l| l.file = u64::MAX, sparse).await;
    refused(|l| l.bytes = 10, |d| (0..3).for_each(|n| fs::write(d.join(format!("{n}")), "12345").unwrap())).await;
    refused(|l| l.entries = 10, |d| (0..11).for_each(|n| fs::write(d.join(format!("{n}")), "").unwrap())).await;
    refused(|l| l.directory = 10, |d| (0..11).for_each(|n| fs::write(d.join(format!("{n}")), "").unwrap())).await;
    refused(|l| l.depth = 5, |d| fs::create_dir_all(d.join("1/2/3/4/5/6")).unwrap()).await;
    refused(
        |l| l.depth = usize::MAX,
        |d| {
            // Deeper than a path can say in one go.
            let mut at = d.to_owned();
            for _ in 0..140 {
                at.push("d");
                fs::create_dir(&at).unwrap();
            }
        },
    )
    .await;
}

/// Marks of `trusted.overlay.` are hidden from everybody but root: then they are not taken for none. This test runs itself once more
/// as a user without rights.
#[tokio::test]
async fn marks_that_cannot_be_seen_are_not_taken_for_none() {
    const DIR: &str = "STEAD_TEST_HIDDEN";
    if let Some(dir) = std::env::var_os(DIR) {
        let kit = Kit::new();
        let base = kit.tree(&[("d/f", b"base")]).await;
        let e = commit(&kit, base, &Ended::upper(Path::new(&dir), Marks::Trusted)).await.unwrap_err();
        assert_eq!(e.code(), code::WORKSPACE_DISK, "{e}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    mark(&dir.path().join("d"), "trusted.overlay.opaque", b"y");
    // The program stands below a folder that others may not enter.
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut again = std::process::Command::new("setpriv");
    again.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
    again.args(["--exact", "hostile::marks_that_cannot_be_seen_are_not_taken_for_none"]);
    let out = again.env(DIR, dir.path()).env("TMPDIR", "/tmp").current_dir("/").output();
    let out = out.expect("setpriv is there: apt-get install util-linux");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&out.stderr));
}

/// A box may take away the right to read what it wrote; the server owns it and reads it all the same.
#[test]
fn files_that_may_not_be_read_are_read_by_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let closed = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/f"), "closed").unwrap();
    closed(&dir.path().join("d/f"));
    closed(&dir.path().join("d"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let kit = Kit::new();
        let made = commit(&kit, kit.empty().await, &Ended::whole(dir.path())).await.unwrap().made;
        assert_eq!(kit.all(made.tree).await["d/f"], Is::File(b"closed".to_vec(), false));
    });
}

/// `.stead` at the top would be Stead's own where somebody unpacks the workspace: it stays out, and that is told.
#[tokio::test]
async fn steads_own_directory_stays_out_of_what_is_committed() {
    let kit = Kit::new();
    let base = kit.empty().await;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".stead/keys")).unwrap();
    fs::write(dir.path().join(".stead/keys/k"), "planted").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/.stead"), "mine").unwrap();
    for ended in [Ended::whole(dir.path()), Ended::upper(dir.path(), Marks::Trusted)] {
        let committed = commit(&kit, base, &ended).await.unwrap();
        assert_eq!(kit.all(committed.made.tree).await.into_keys().collect::<Vec<_>>(), ["d", "d/.stead"]);
        let [(path, LeftOut::Reserved)] = &committed.left_out[..] else { panic!("{:?}", committed.left_out) };
        assert_eq!(path.to_string(), ".stead");
    }
}

/// Case 20: a set-user-id file of a box is a plain file in every tree, and in every directory made of one.
#[tokio::test]
async fn a_set_user_id_file_comes_out_without_the_bit() {
    use std::os::unix::fs::PermissionsExt as _;
    let kit = Kit::new();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("su"), "#!").unwrap();
    fs::set_permissions(dir.path().join("su"), fs::Permissions::from_mode(0o6755)).unwrap();
    let committed = commit(&kit, kit.empty().await, &Ended::whole(dir.path())).await.unwrap();
    assert_eq!(committed.stripped.setuid, 1);
    let base = kit.work.materialise(&kit.tenant, committed.made.tree).await.unwrap();
    let mode = fs::metadata(base.path().join("su")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// Case 44: what one tenant wrote is nothing to another, by whatever operation he asks for it, and he is told the same as for what
/// never was.
#[tokio::test]
async fn nothing_tells_a_tenant_what_another_has() {
    let kit = Kit::new();
    let theirs = kit.tree(&[("d/secret", b"theirs")]).await;
    let _base = kit.work.materialise(&kit.tenant, theirs).await.unwrap();
    let (other, never) = ("globex".into(), TreeId([7; 32]));
    let path = crate::kit::path_of("d/secret");
    let own = kit.work.empty(&other).await.unwrap().tree;
    let told = async |tree: TreeId| {
        let mut said = Vec::new();
        let mut note = |e: WorkspaceError| said.push((e.code(), e.to_string().replace(&hex(tree), "ID")));
        note(kit.work.materialise(&other, tree).await.unwrap_err());
        note(kit.work.lowers(&other, tree, None).await.unwrap_err());
        note(kit.work.stat(&other, tree, &path).await.unwrap_err());
        note(kit.work.read(&other, tree, &path, 0, 9).await.unwrap_err());
        note(kit.work.list(&other, tree, &path, None, 9).await.unwrap_err());
        note(kit.work.write(&other, tree, &path, "x".into(), None).await.unwrap_err());
        note(kit.work.diff(&other, own, tree).await.unwrap_err());
        note(kit.work.export_tar(&other, tree, std::io::sink()).await.unwrap_err());
        said
    };
    assert_eq!(told(theirs).await, told(never).await);
}

fn hex(tree: TreeId) -> String {
    tree.0.iter().map(|b| format!("{b:02x}")).collect()
}
