//! The folders that a box is given.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, chown, symlink},
    path::Path,
};

use stead_ports::sandbox::{BoxError, Content, End, Mount, Property, Root};

use crate::lab::{Lab, Who, everyone, is_root, text, told};

async fn give(lab: &Lab, folder: &Path) {
    let user = lab.boxes.user().await.unwrap();
    if is_root() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                Box::pin(give(lab, &entry.path())).await;
            }
            std::os::unix::fs::lchown(entry.path(), Some(user), Some(user)).unwrap();
        }
        chown(folder, Some(user), Some(user)).unwrap();
    }
}

fn mount(at: &str, content: Content) -> Mount {
    Mount { at: at.into(), content }
}

#[tokio::test]
async fn folders_are_read_only_writable_or_layered_as_asked() {
    for who in everyone() {
        let lab = Lab::new(who);
        let (fixed, open, base) = (lab.folder("fixed"), lab.folder("open"), lab.folder("base"));
        for folder in [&fixed, &open, &base] {
            fs::write(folder.join("file"), "old").unwrap();
        }
        fs::create_dir(base.join("sub")).unwrap();
        fs::write(base.join("sub/gone"), "x").unwrap();
        give(&lab, &open).await;
        give(&lab, &base).await;
        let script = "
cat /tmp/in/file; echo new > /tmp/in/file 2>/dev/null || echo fixed
echo new > /home/box/work/file; cat /home/box/work/file
cd /workspace; echo new > file; echo made > made; rm sub/gone; mkdir dir; echo deep > dir/deep; cat file; ls; ls sub";
        let mut spec = lab.spec(&["sh", "-c", script]);
        spec.mounts.push(mount("/tmp/in", Content::ReadOnly(fixed.clone())));
        spec.mounts.push(mount("/home/box/work", Content::ReadWrite(open.clone())));
        spec.mounts.push(mount("/workspace", Content::Layered(base.clone())));
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(text(&outcome.stdout.bytes), "oldfixed\nnew\nnew\ndir\nfile\nmade\nsub\n", "{}", told(&outcome));
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&fixed.join("file")), read(&open.join("file"))), ("old".into(), "new\n".into()));
        // The base is as it was; what changed is in the layer, and only that.
        assert_eq!((read(&base.join("file")), read(&base.join("sub/gone"))), ("old".into(), "x".into()));
        assert!(!base.join("made").exists());
        let [layer] = outcome.layers.as_slice() else { panic!("{:?}", outcome.layers) };
        let upper = Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&layer.upper).to_string());
        assert_eq!((read(&upper.join("file")), read(&upper.join("dir/deep"))), ("new\n".into(), "deep\n".into()));
        assert!(fs::symlink_metadata(upper.join("sub/gone")).unwrap().file_type().is_char_device(), "no whiteout");
        assert_eq!(fs::read_dir(&upper).unwrap().count(), 4);
        drop(outcome);
        lab.close().await;
    }
}

/// 3: the layer counts against the quota of the private folders.
#[tokio::test]
async fn a_layer_ends_at_the_quota() {
    for who in everyone() {
        let lab = Lab::new(who);
        let base = lab.folder("base");
        give(&lab, &base).await;
        let mut spec = lab.spec(&[
            "sh",
            "-c",
            "ls -A /tmp; umount /tmp 2>/dev/null; ls -A /tmp; head -c 9000000 /dev/zero > /workspace/big",
        ]);
        spec.limits.disk = 8 << 20;
        spec.requires.insert(Property::DiskQuota);
        spec.mounts.push(mount("/workspace", Content::Layered(base)));
        let outcome = lab.run_spec(spec).await.unwrap();
        assert!(text(&outcome.stderr.bytes).contains("No space left"), "{}", told(&outcome));
        // What the init keeps of the layer lies below /tmp, out of sight.
        assert_eq!(text(&outcome.stdout.bytes), "", "{}", told(&outcome));
        lab.close().await;
    }
}

/// A folder below one that others may not enter, as a home directory is.
#[tokio::test]
async fn a_folder_in_a_closed_one_can_be_given() {
    use std::os::unix::fs::PermissionsExt as _;
    if is_root() {
        let lab = Lab::new(Who::Root);
        let closed = lab.folder("closed");
        let folder = closed.join("inner");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "seen").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let mut spec = lab.spec(&["cat", "/workspace/file"]);
        spec.mounts.push(mount("/workspace", Content::ReadOnly(folder)));
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(text(&outcome.stdout.bytes), "seen", "{}", told(&outcome));
        lab.close().await;
    }
}

/// A link that an earlier action left leads nowhere when something is mounted on it.
#[tokio::test]
async fn nothing_is_mounted_through_a_link() {
    for who in everyone() {
        let lab = Lab::new(who);
        let (trap, data) = (lab.folder("trap"), lab.folder("inner"));
        symlink("/usr", trap.join("inputs")).unwrap();
        let mut spec = lab.spec(&["ls", "/usr"]);
        spec.mounts.push(mount("/workspace", Content::ReadOnly(trap)));
        spec.mounts.push(mount("/workspace/inputs", Content::ReadOnly(data.clone())));
        let error = lab.run_spec(spec).await.unwrap_err();
        assert!(matches!(error, BoxError::Spec(_)), "{error}");
        for at in ["/no/such/place", "/etc/passwd", "/proc/self", "/dev", "/.box/x"] {
            let mut spec = lab.spec(&["true"]);
            spec.mounts.push(mount(at, Content::ReadOnly(data.clone())));
            let error = lab.run_spec(spec).await.unwrap_err();
            assert!(matches!(error, BoxError::Spec(_)), "{at}: {error}");
        }
        // And the next box is none the worse.
        assert_eq!(lab.sh("true").await.end, End::Exited(0));
        lab.close().await;
    }
}

/// A root of its own, with everything of the box still in it.
#[tokio::test]
async fn a_folder_can_be_the_root() {
    for who in everyone() {
        let lab = Lab::new(who);
        let root = lab.folder("root");
        for folder in ["proc", "dev", "tmp", "home/box", "bin", "workspace"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let work = lab.folder("work");
        fs::write(work.join("file"), "given").unwrap();
        fs::copy("/bin/busybox", root.join("bin/sh"))
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_stead-box-probe"), root.join("bin/sh")))
            .unwrap();
        let libraries = Content::ReadOnly("/usr".into());
        fs::create_dir(root.join("usr")).unwrap();
        for name in ["lib", "lib64"] {
            if let Ok(to) = fs::read_link(Path::new("/").join(name)) {
                symlink(to, root.join(name)).unwrap();
            }
        }
        let script = "ls /; cat /workspace/file; echo x > /bin/x 2>/dev/null || echo closed; echo y > /tmp/y && cat /tmp/y; ls /proc/self/fd | wc -l";
        let mut spec = lab.spec(&["/usr/bin/sh", "-c", script]);
        spec.root = Root::Folder(root.clone());
        spec.mounts = vec![mount("/usr", libraries), mount("/workspace", Content::Layered(work))];
        spec.command.dir = "/".into();
        let outcome = lab.run_spec(spec).await.unwrap();
        let shown = text(&outcome.stdout.bytes);
        assert!(shown.starts_with("bin\ndev\nhome\n"), "{}", told(&outcome));
        assert!(shown.contains("givenclosed\ny\n"), "{shown}");
        assert!(!shown.contains("etc"), "{shown}");

        // A root that leads out by a link is none.
        fs::remove_dir(root.join("tmp")).unwrap();
        symlink("/usr", root.join("tmp")).unwrap();
        let mut spec = lab.spec(&["/bin/sh"]);
        spec.mounts.clear();
        spec.root = Root::Folder(root);
        assert!(matches!(lab.run_spec(spec).await, Err(BoxError::Spec(_))));
        lab.close().await;
    }
}

#[tokio::test]
async fn folders_of_programs_can_be_shown() {
    for who in everyone() {
        let shown = tempfile::tempdir_in("/opt").or_else(|_| tempfile::tempdir_in("/tmp")).unwrap();
        fs::set_permissions(shown.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(shown.path().join("tool"), "a tool").unwrap();
        let path = shown.path().to_owned();
        let lab = Lab::with(who, |settings| settings.show.push(path.clone()));
        let outcome = lab.run_spec(lab.spec(&["cat", &path.join("tool").display().to_string()])).await;
        if path.starts_with("/tmp") {
            // What is private lies above it.
            assert_eq!(outcome.unwrap().end, End::Exited(1));
        } else {
            let outcome = outcome.unwrap();
            assert_eq!(text(&outcome.stdout.bytes), "a tool", "{}", told(&outcome));
        }
        lab.close().await;
    }
}
