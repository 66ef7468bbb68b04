//! Folders that go in, and what comes back.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use stead_ports::sandbox::{Content, End, Mount, Outcome, Root};

use crate::lab::{Lab, Tried as _, text, told};

fn mount(at: &str, content: Content) -> Mount {
    Mount { at: at.into(), content }
}

fn upper(outcome: &Outcome, number: usize) -> PathBuf {
    Path::new("/proc/self/fd").join(outcome.layers[number].upper.as_raw_fd().to_string())
}

fn whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// 20, 29, 45: with what a hostile command leaves in a layer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_read_only_or_layered_and_layers_come_back_as_what_was_written() {
    let lab = Lab::new();
    let (fixed, base, second) = (lab.folder("fixed"), lab.folder("base"), lab.folder("second"));
    for folder in [&fixed, &base, &second] {
        fs::write(folder.join("file"), "old").unwrap();
    }
    for name in ["sub", "again", "again/inner"] {
        fs::create_dir(base.join(name)).unwrap();
        fs::write(base.join(name).join("gone"), "x").unwrap();
    }
    fs::write(base.join("run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(base.join("run"), fs::Permissions::from_mode(0o6755)).unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(base.join("large"), &large).unwrap();
    let script = "
cat /tmp/in/file; echo new > /tmp/in/file 2>/dev/null || echo fixed; echo new > /usr/x 2>/dev/null || echo closed
cd /workspace; ./run; cksum < large; echo new > file; rm sub/gone; rm -r again; mkdir again; echo y > again/new; mkdir dir; echo deep > dir/deep
ln -s /etc/shadow link; ln file hard; mkfifo pipe; chmod 4755 run 2>/dev/null || echo no gain; truncate -s 5000000 sparse; cp large dir/copy; chmod +x dir/copy
mknod dev c 1 3 2>/dev/null || echo no device; ls /opt/second; rm /opt/second/file; echo two > /opt/second/two; ls";
    let mut spec = Lab::bare(&["sh", "-c", script]);
    spec.mounts = vec![
        mount("/tmp/in", Content::ReadOnly(fixed.clone())),
        mount("/workspace", Content::Layered(base.clone())),
        mount("/opt", Content::ReadOnly(lab.folder("empty-with-second"))),
        mount("/opt/second", Content::Layered(second.clone())),
    ];
    fs::create_dir(lab.folder("empty-with-second").join("second")).unwrap();
    let outcome = lab.run_spec(spec).await.unwrap();
    let said = told(&outcome);
    assert!(said.starts_with("Exited(0): oldfixed\nclosed\nran\n"), "{said}");
    assert!(said.contains("no gain\n") && said.contains("no device\n"), "{said}");

    // The base is as it was.
    assert_eq!((read(base.join("file")), read(base.join("sub/gone"))), ("old".into(), "x".into()));
    assert!(!base.join("dir").exists() && base.join("again/inner/gone").exists());
    // The layer is what was written, and only that.
    let made = upper(&outcome, 0);
    let mut names: Vec<_> =
        fs::read_dir(&made).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["again", "dir", "file", "hard", "link", "pipe", "sparse", "sub"]);
    assert_eq!(
        (read(made.join("file")), read(made.join("hard")), read(made.join("dir/deep"))),
        ("new\n".into(), "new\n".into(), "deep\n".into())
    );
    assert_eq!(fs::read(made.join("dir/copy")).unwrap(), large);
    assert_eq!(fs::metadata(made.join("dir/copy")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(made.join("link")).unwrap(), Path::new("/etc/shadow"));
    assert!(fs::symlink_metadata(made.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(made.join("sparse")).unwrap().len(), 5_000_000);
    assert_eq!(fs::metadata(made.join("hard")).unwrap().nlink(), 1, "a name of its own");
    assert!(whiteout(&made.join("sub/gone")));
    // A folder that was removed and made again hides what was in it, by name.
    assert!(whiteout(&made.join("again/gone")) && whiteout(&made.join("again/inner")));
    assert_eq!(read(made.join("again/new")), "y\n");
    let made = upper(&outcome, 1);
    assert!(whiteout(&made.join("file")));
    assert_eq!(read(made.join("two")), "two\n");
    drop(outcome);
    lab.close().await;
}

/// A layer comes back after the deadline too, and what is in it ends at the quota.
async fn a_layer_of_a_killed_box(lab: &Lab) {
    let script = "cd /workspace; echo kept > kept; head -c 9000000 /dev/zero > big || echo full; sleep 1000";
    let mut spec = Lab::bare(&["sh", "-c", script]);
    spec.limits.wall = Duration::from_secs(5);
    spec.limits.disk = 4 << 20;
    spec.mounts = vec![mount("/workspace", Content::Layered(lab.folder("base")))];
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Deadline, "full\n".to_owned()), "{}", told(&outcome));
    assert_eq!(read(upper(&outcome, 0).join("kept")), "kept\n");
}

/// A root of one's own, with the folders of a box in it; and nothing is mounted through a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_can_be_the_root_no_link_leads_anywhere_and_a_killed_box_hands_its_layer_over() {
    let lab = Lab::new();
    let root = lab.folder("root");
    for folder in ["proc", "dev", "tmp", "home/box", "bin", "workspace"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/sh")).unwrap();
    symlink("/proc", root.join("trap")).unwrap();
    let mut spec = Lab::bare(&[
        "/bin/sh",
        "-c",
        "echo *; echo x > /bin/x || echo closed; echo y > /tmp/y && read y < /tmp/y && echo $y",
    ]);
    spec.root = Root::Folder(root.clone());
    spec.command.dir = "/".into();
    let (outcome, ()) = tokio::join!(lab.run_spec(spec.clone()), a_layer_of_a_killed_box(&lab));
    let outcome = outcome.unwrap();
    assert!(
        text(&outcome.stdout.bytes).starts_with("bin dev home proc tmp trap workspace\nclosed\ny\n"),
        "{}",
        told(&outcome)
    );
    spec.mounts = vec![mount("/trap", Content::ReadOnly(lab.folder("other")))];
    let error = lab.run_spec(spec).await.unwrap_err();
    assert_eq!(error.code().to_string(), "ST0222", "{error}");
    lab.close().await;
}
