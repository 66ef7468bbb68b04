//! Promise 1 against a power cut: a real ext4 on an image file is shut down while a real process appends to a store on
//! it. What the process had not forced to the disk is gone, as after a power cut; what was acknowledged must not be. The same
//! against a filesystem that makes itself read-only.
//!
//! Needs root, for it mounts: ignored unless asked for, and then it fails where it cannot run. `./test` asks for it as
//! root. The mounts are in a namespace of their own and end with the test. Not here: disks that lie about a sync.

mod writer;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stead_core::code;
use stead_store::{SqliteOptions, SqliteStore};
use writer::{Acked, Writer, assert_all_there, serve};

const TEST: &str = "no_acknowledged_append_is_lost_by_a_power_cut";

/// Where the disk stands; only the process inside of the namespace has it.
const INSIDE: &str = "STEAD_TEST_POWER_CUT_DIR";

/// Power cuts, one after the other on the same disk.
const CUTS: u64 = 6;

/// `ioctl(fd, EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH)`, of Linux' `fs/ext4/ext4.h`: from now on nothing reaches
/// the disk, the filesystem's own journal included. In Python, for a call by number is not safe Rust.
///
/// The process of the second argument is killed just before: a power cut ends it too. One that lives on can be told by
/// the kernel that an `fdatasync` succeeded which was under way during the shutdown, though its data is gone (seen on
/// Linux 6.18 with a growing file and nothing but `write` and `fdatasync`).
const SHUTDOWN: &str = "\
import fcntl, os, signal, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
for process in sys.argv[2:]:
    os.kill(int(process), signal.SIGKILL)
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))
";

#[test]
#[ignore = "needs root: it mounts a filesystem and shuts it down"]
fn no_acknowledged_append_is_lost_by_a_power_cut() {
    serve();
    inside(TEST, cuts);
}

#[test]
#[ignore = "needs root: it mounts a filesystem and makes it read-only"]
fn nothing_acknowledged_is_lost_when_the_disk_turns_read_only() {
    serve();
    inside("nothing_acknowledged_is_lost_when_the_disk_turns_read_only", turned);
}

/// Does it in a mount namespace of its own, with an empty directory.
fn inside(test: &str, what: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return what(Path::new(&dir));
    }
    assert!(rustix::process::geteuid().is_root(), "NOT RUN: needs root, for it mounts a filesystem");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let exe = std::env::current_exe().expect("this program has a path");
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private", "--"]).arg(exe);
    inside.args(["--exact", test, "--include-ignored", "--nocapture"]).env(INSIDE, dir.path());
    run(&mut inside, "util-linux");
}

/// An ext4 on an image file in `dir`, mounted.
fn disk(dir: &Path) -> (PathBuf, PathBuf) {
    let (image, disk) = (dir.join("disk.img"), dir.join("disk"));
    fs::create_dir(&disk).expect("a directory can be made");
    File::create_new(&image).and_then(|f| f.set_len(512 << 20)).expect("an image can be made");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image), "e2fsprogs");
    mount(&image, &disk);
    (image, disk)
}

/// A filesystem that meets an error of its disk makes itself read-only under the files that are open on it.
fn turned(dir: &Path) {
    let (image, disk) = disk(dir);
    let data = disk.join("data");
    let writer = Writer::spawn("nothing_acknowledged_is_lost_when_the_disk_turns_read_only", &data, 1, 0);
    let acked = acks(&writer, 1_000);
    run(Command::new("mount").args(["-o", "remount,abort"]).arg(&disk), "mount");
    // What is acknowledged in the very moment in which the filesystem gives itself up is not asserted: there Linux 6.18 lets a sync
    // succeed now and then that has written nothing, before it says that it is read-only (docs/promises.md).
    let (_, status) = writer.end();
    assert!(!status.success(), "the writer went on without a disk: {status}");
    assert!(File::create(disk.join("new")).is_err(), "the disk is read-only");

    // Nobody can begin on it, and what is said names the directory and the cure.
    let error = SqliteStore::open(&data, SqliteOptions::default()).expect_err("a read-only disk is refused");
    assert!([code::DATA_READONLY, code::DATA_UNREACHABLE].contains(&error.code), "{error}");
    assert!(error.detail.contains(&data.display().to_string()), "{error}");
    restart(&image, &disk);
    assert_all_there(&data, &acked);
    run(Command::new("umount").arg(disk), "mount");
}

/// Cuts the power of a disk in `dir` while a process appends, and looks what is there when it is back.
fn cuts(dir: &Path) {
    let (image, disk) = disk(dir);
    let data = disk.join("data");
    let mut acked = Vec::new();
    for cut in 1..=CUTS {
        let writer = Writer::spawn(TEST, &data, cut, 0);
        // Somewhere in the first commits, or some thousand appends later.
        let count = 1 + ((cut * 0x9e37_79b9) >> 8) as usize % 4_001;
        acked.extend(acks(&writer, count));
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&disk).arg(writer.child.id().to_string()), "python3");
        let (more, status) = writer.end();
        eprintln!("cut {cut}: {} appends were acknowledged, {status}", count + more.len());
        acked.extend(more);
        restart(&image, &disk);
        assert_all_there(&data, &acked);
    }

    // The disk alone goes: the store must notice and give up. What was acknowledged before that must be there.
    let writer = Writer::spawn(TEST, &data, CUTS + 1, 0);
    acked.extend(acks(&writer, 1_000));
    run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&disk), "python3");
    let (_, status) = writer.end();
    assert!(!status.success(), "the writer went on without a disk: {status}");
    restart(&image, &disk);
    assert_all_there(&data, &acked);
    run(Command::new("umount").arg(&disk), "mount");
}

/// The next `count` appends that the writer tells of.
fn acks(writer: &Writer, count: usize) -> Vec<Acked> {
    let acks = writer.acks(count);
    assert_eq!(acks.len(), count, "the writer ended before the power was cut");
    acks
}

/// The power is back: the filesystem replays its own journal.
fn restart(image: &Path, disk: &Path) {
    run(Command::new("umount").arg(disk), "mount");
    mount(image, disk);
}

fn mount(image: &Path, disk: &Path) {
    run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(image).arg(disk), "mount");
}

/// Runs a command of that Debian package and expects it to succeed.
fn run(command: &mut Command, package: &str) {
    let status = command.stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}; install it: apt-get install {package}"));
    assert!(status.success(), "{command:?}: {status}");
}
