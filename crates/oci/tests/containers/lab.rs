//! A place to try containers in, and the host's canaries, looked at when it closes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use stead_oci::{Containers, Settings, USER};
use stead_ports::sandbox::{BoxError, Boxes as _, Command, Content, Limits, Mount, Outcome, Spec, Stdio, WhenFull};

/// Whether containers can be made here; said aloud if not.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if root {
        assert!(
            ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"].iter().any(|path| Path::new(path).exists()),
            "runc is missing; install it: apt-get install runc"
        );
    } else {
        eprintln!("not as root: the tier cannot be given, which another test holds it to");
    }
    root
}

pub(crate) struct Lab {
    pub(crate) boxes: Containers,
    folder: tempfile::TempDir,
    before: Canaries,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::Builder::new().prefix("stead-oci").tempdir_in("/tmp").unwrap();
        open(folder.path());
        fs::write(folder.path().join("canary"), "untouched").unwrap();
        let tools = folder.path().join("tools");
        fs::create_dir(&tools).unwrap();
        fs::write(tools.join("tries"), include_str!("tries.py")).unwrap();
        open(&tools.join("tries"));
        let mut settings = settings(&folder.path().join("place"));
        change(&mut settings);
        let before = Canaries::look(folder.path());
        Self { boxes: Containers::new(settings), folder, before }
    }

    /// A folder of the host that anyone can reach.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        open(&path);
        path
    }

    /// The folder of bundles.
    pub(crate) fn place(&self) -> PathBuf {
        self.folder.path().join("place")
    }

    /// A command with the tries at hand as `/data/tries`.
    pub(crate) fn spec(&self, words: &[&str]) -> Spec {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let command = Command { words, dir: "/tmp".into(), ..Command::default() };
        let tools = Mount { at: "/data".into(), content: Content::ReadOnly(self.folder.path().join("tools")) };
        let limits = Limits { wall: Duration::from_secs(20), ..Limits::default() };
        Spec { command, mounts: vec![tools], limits, ..Spec::default() }
    }

    pub(crate) async fn run(&self, words: &[&str]) -> Outcome {
        self.run_spec(self.spec(words)).await.unwrap()
    }

    pub(crate) async fn sh(&self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script]).await
    }

    pub(crate) async fn python(&self, script: &str) -> Outcome {
        self.run(&["python3", "-c", script]).await
    }

    pub(crate) async fn run_spec(&self, spec: Spec) -> Result<Outcome, BoxError> {
        self.boxes.run(spec, capture(WhenFull::Drop)).await
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        self.boxes.close().await;
        let left = fs::read_dir(self.place()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a bundle is left");
        // Groups and namespaces that die go a little later than their processes.
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let now = Canaries::look(self.folder.path());
            if now == self.before {
                break;
            }
            assert!(Instant::now() < until, "the host has changed: {:?} is now {now:?}", self.before);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn settings(place: &Path) -> Settings {
    Settings {
        shim: vec![env!("CARGO_BIN_EXE_stead-oci-shim").into()],
        runtimes: vec!["runc".into()],
        place: place.to_owned(),
        ..Settings::default()
    }
}

/// Gives a folder and all in it to the boxes' user.
pub(crate) fn give(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            give(&entry.path());
        }
        std::os::unix::fs::lchown(entry.path(), Some(USER), Some(USER)).unwrap();
    }
    chown(folder, Some(USER), Some(USER)).unwrap();
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn capture(full: WhenFull) -> Stdio {
    Stdio::Capture { input: bytes::Bytes::new(), keep: 1 << 20, full, follower: None }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that an outcome tells, for a message.
pub(crate) fn told(outcome: &Outcome) -> String {
    format!("{:?}: {}{}", outcome.end, text(&outcome.stdout.bytes), text(&outcome.stderr.bytes))
}

/// What must be the same before and after: processes of boxes' users, mounts, groups, a file.
#[derive(Debug, PartialEq, Eq)]
struct Canaries {
    processes: BTreeSet<String>,
    mounts: String,
    groups: BTreeSet<PathBuf>,
    file: Vec<u8>,
}

impl Canaries {
    fn look(folder: &Path) -> Self {
        Self {
            processes: processes(folder),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            groups: groups(),
            file: Sha256::digest(fs::read(folder.join("canary")).unwrap()).to_vec(),
        }
    }
}

/// Shims and runtimes of this lab, by the place that their command line names; and children of this process.
fn processes(folder: &Path) -> BTreeSet<String> {
    let own = std::process::id();
    let folder = folder.display().to_string();
    let mut out = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if parent == Some(own) || text(&line).contains(&folder) {
            out.insert(format!("{} {}", entry.file_name().display(), text(&line)));
        }
    }
    out
}

/// Groups that this process's containers have.
fn groups() -> BTreeSet<PathBuf> {
    fn walk(folder: &Path, prefix: &str, depth: usize, out: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                out.insert(entry.path());
            } else if depth > 0 {
                walk(&entry.path(), prefix, depth - 1, out);
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("stead-oci-{}-", std::process::id()), 5, &mut out);
    out
}
