//! A place to try machines in, and the host's canaries, looked at when it closes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use stead_microvm::{Machines, Settings, WORD};
use stead_ports::sandbox::{BoxError, Boxes as _, Command, Limits, Outcome, Spec, Stdio, WhenFull};

pub(crate) struct Lab {
    pub(crate) machines: Machines,
    folder: tempfile::TempDir,
    before: Canaries,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::Builder::new().prefix("stead-machines").tempdir_in("/tmp").unwrap();
        open(folder.path());
        fs::write(folder.path().join("canary"), "untouched").unwrap();
        let before = Canaries::look(folder.path());
        let mut settings = settings();
        change(&mut settings);
        Self { machines: Machines::new(settings), folder, before }
    }

    /// A folder of the host.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        open(&path);
        path
    }

    pub(crate) fn spec(words: &[&str]) -> Spec {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let command = Command { words, dir: "/tmp".into(), ..Command::default() };
        let limits = Limits { memory: Some(64 << 20), wall: Duration::from_secs(60), ..Limits::default() };
        Spec { command, limits, ..Spec::default() }
    }

    pub(crate) async fn sh(&self, script: &str) -> Outcome {
        self.run(Self::spec(&["sh", "-c", script])).await.unwrap()
    }

    pub(crate) async fn run(&self, spec: Spec) -> Result<Outcome, BoxError> {
        self.machines.run(spec, capture(WhenFull::Drop)).await
    }

    /// The probe, its loader and its libraries, in one folder: `loader --library-path HERE HERE/probe`.
    pub(crate) fn tools(&self) -> PathBuf {
        let (folder, probe) = (self.folder("tools"), env!("CARGO_BIN_EXE_stead-microvm-probe"));
        fs::copy(probe, folder.join("probe")).unwrap();
        let listed = std::process::Command::new("ldd").arg(probe).output().unwrap();
        let listed = text(&listed.stdout);
        for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            let name = Path::new(path).file_name().unwrap();
            fs::copy(path, folder.join(if text(path.as_bytes()).contains("ld-") { "loader".as_ref() } else { name }))
                .unwrap();
        }
        folder
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        drop(self.machines);
        // A process is reaped a little later than it is killed.
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

/// Machines with or without KVM, whose image has the small program of this crate's roles.
pub(crate) fn settings() -> Settings {
    Settings {
        role: vec![env!("CARGO_BIN_EXE_stead-microvm-role").into(), WORD.into()],
        translate: true,
        ..Settings::default()
    }
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

/// What must be the same before and after: processes, mounts, control groups, descriptors, a file.
#[derive(Debug, PartialEq, Eq)]
struct Canaries {
    processes: BTreeSet<u32>,
    mounts: String,
    groups: usize,
    descriptors: usize,
    file: Vec<u8>,
}

impl Canaries {
    fn look(folder: &Path) -> Self {
        Self {
            processes: children(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            groups: fs::read_dir("/sys/fs/cgroup").map_or(0, Iterator::count),
            descriptors: sockets(),
            file: Sha256::digest(fs::read(folder.join("canary")).unwrap()).to_vec(),
        }
    }
}

/// Sockets and files in memory that this process holds: the runtime of a test has others, but none of these.
fn sockets() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("memfd:stead")).count()
}

/// Descendants of this process.
fn children() -> BTreeSet<u32> {
    let own = std::process::id();
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Ok(pid) = name.parse::<u32>() else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut of = BTreeSet::from([own]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| of.contains(parent) && !of.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        of.extend(more);
    }
    of.remove(&own);
    of
}
