//! The folders that a box is given.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
};

use stead_ports::sandbox::{BoxError, Content, End, Mount, Root};

use super::{Lab, text, told};

fn mount(at: &str, content: Content) -> Mount {
    Mount { at: at.into(), content }
}

/// Each kind does what it is called, and a layer holds what was written and only that.
pub async fn folders_are_read_only_writable_or_layered_as_asked(lab: &dyn Lab) {
    let (fixed, open, base) = (lab.folder("fixed"), lab.folder("open"), lab.folder("base"));
    for folder in [&fixed, &open, &base] {
        fs::write(folder.join("file"), "old").unwrap();
    }
    fs::create_dir(base.join("sub")).unwrap();
    fs::write(base.join("sub/gone"), "x").unwrap();
    lab.give(&open).await;
    lab.give(&base).await;
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
    let upper = Path::new("/proc/self/fd").join(layer.upper.as_raw_fd().to_string());
    assert_eq!((read(&upper.join("file")), read(&upper.join("dir/deep"))), ("new\n".into(), "deep\n".into()));
    assert!(fs::symlink_metadata(upper.join("sub/gone")).unwrap().file_type().is_char_device(), "no whiteout");
    assert_eq!(fs::read_dir(&upper).unwrap().count(), 4);
}

/// A folder below one that others may not enter, as a home directory is.
pub async fn a_folder_in_a_closed_one_can_be_given(lab: &dyn Lab) {
    let closed = lab.folder("closed");
    let folder = closed.join("inner");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "seen").unwrap();
    if let Some(maker) = lab.maker() {
        super::give(&closed, maker);
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = lab.spec(&["cat", "/workspace/file"]);
    spec.mounts.push(mount("/workspace", Content::ReadOnly(folder)));
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!(text(&outcome.stdout.bytes), "seen", "{}", told(&outcome));
}

/// 28, 29: a link that an earlier action left leads nowhere when something is mounted on it.
pub async fn nothing_is_mounted_through_a_link(lab: &dyn Lab) {
    let (trap, data) = (lab.folder("trap"), lab.folder("inner"));
    symlink("/usr", trap.join("inputs")).unwrap();
    let mut spec = lab.spec(&["ls", "/usr"]);
    spec.mounts.push(mount("/workspace", Content::ReadOnly(trap)));
    spec.mounts.push(mount("/workspace/inputs", Content::ReadOnly(data.clone())));
    let error = lab.run_spec(spec).await.unwrap_err();
    assert!(matches!(error, BoxError::Spec(_)), "{error}");
    for at in ["/no/such/place", "/etc/passwd", "/proc/self", "/dev", "/sys", "/.box/x"] {
        let mut spec = lab.spec(&["true"]);
        spec.mounts.push(mount(at, Content::ReadOnly(data.clone())));
        let error = lab.run_spec(spec).await.unwrap_err();
        assert!(matches!(error, BoxError::Spec(_)), "{at}: {error}");
    }
    // And the next box is none the worse.
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
}

/// A root of its own, with everything of the box still in it.
pub async fn a_folder_can_be_the_root(lab: &dyn Lab) {
    let root = lab.folder("root");
    for folder in ["proc", "dev", "tmp", "home/box", "bin", "workspace", "usr"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let work = lab.folder("work");
    fs::write(work.join("file"), "given").unwrap();
    fs::write(root.join("bin/sh"), "").unwrap();
    for name in ["lib", "lib64"] {
        if let Ok(to) = fs::read_link(Path::new("/").join(name)) {
            symlink(to, root.join(name)).unwrap();
        }
    }
    let script = "ls /; cat /workspace/file; echo x > /bin/x 2>/dev/null || echo closed; echo y > /tmp/y && cat /tmp/y; \
                  ls /proc/self/fd | wc -l";
    let mut spec = lab.spec(&["/usr/bin/sh", "-c", script]);
    spec.root = Root::Folder(root.clone());
    spec.mounts = vec![mount("/usr", Content::ReadOnly("/usr".into())), mount("/workspace", Content::Layered(work))];
    spec.command.dir = "/".into();
    let outcome = lab.run_spec(spec).await.unwrap();
    let shown = text(&outcome.stdout.bytes);
    assert!(shown.starts_with("bin\ndev\nhome\n"), "{}", told(&outcome));
    assert!(shown.contains("givenclosed\ny\n"), "{shown}");
    assert!(!shown.contains("etc"), "{shown}");

    // A root that leads out by a link is none.
    fs::remove_dir(root.join("tmp")).unwrap();
    symlink("/usr", root.join("tmp")).unwrap();
    let mut spec = lab.spec(&["/usr/bin/sh"]);
    spec.mounts.clear();
    spec.root = Root::Folder(root);
    assert!(matches!(lab.run_spec(spec).await, Err(BoxError::Spec(_))));
}
