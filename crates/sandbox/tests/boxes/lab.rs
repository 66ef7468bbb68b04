//! A place to try boxes in: a launcher of root's or of a user's, and the host's canaries, looked at when it closes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use stead_ports::sandbox::{
    BoxError, Boxes as _, Command, Content, Limits, Mount, Outcome, Property, Spec, Stdio, WhenFull,
};
use stead_sandbox::{Namespaces, Settings};

/// Whose launcher it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    /// One without any right, as whom the launcher is started if the tests are root's.
    User,
}

/// Everyone that a box must hold for, in this run of the tests.
pub(crate) fn everyone() -> Vec<Who> {
    if is_root() { vec![Who::Root, Who::User] } else { vec![Who::User] }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A number that belongs to nobody.
const USER: u32 = 54_321;

pub(crate) struct Lab {
    pub(crate) boxes: Namespaces,
    folder: tempfile::TempDir,
    before: Canaries,
    /// Every launcher that there was.
    launchers: std::sync::Mutex<BTreeSet<u32>>,
}

impl Lab {
    pub(crate) fn new(who: Who) -> Self {
        Self::with(who, |_| {})
    }

    pub(crate) fn with(who: Who, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::Builder::new().prefix("stead-boxes").tempdir_in("/tmp").unwrap();
        open(folder.path());
        fs::write(folder.path().join("canary"), "untouched").unwrap();
        let tools = folder.path().join("tools");
        fs::create_dir(&tools).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_stead-box-probe"), tools.join("probe")).unwrap();
        let before = Canaries::look(folder.path(), &BTreeSet::new());
        let mut settings = Settings { launcher: launcher(who), ahead: 1, ..Settings::default() };
        change(&mut settings);
        Self { boxes: Namespaces::new(settings), folder, before, launchers: std::sync::Mutex::default() }
    }

    /// A folder of the host that anyone can reach.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        open(&path);
        path
    }

    /// The launcher that runs.
    pub(crate) async fn launcher(&self) -> u32 {
        let pid = self.boxes.launcher().await.unwrap();
        self.note(pid);
        pid
    }

    /// Remembers a launcher, to look for what it leaves.
    pub(crate) fn note(&self, pid: u32) {
        self.launchers.lock().unwrap().insert(pid);
    }

    /// A command with the probe at hand as `/data/probe`.
    pub(crate) fn spec(&self, words: &[&str]) -> Spec {
        let command = Command {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            dir: "/tmp".into(),
            ..Command::default()
        };
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

    /// Whether this host's groups hold a limit for this launcher.
    pub(crate) async fn holds(&self, property: Property) -> bool {
        self.boxes.offer().await.unwrap().holds(property).is_ok()
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        if let Some(pid) = self.boxes.launcher().await {
            self.note(pid);
        }
        self.boxes.close().await;
        let launchers = self.launchers.lock().unwrap().clone();
        // Groups and namespaces that die go a little later than their processes.
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let now = Canaries::look(self.folder.path(), &launchers);
            if now == self.before {
                break;
            }
            assert!(Instant::now() < until, "the host has changed: {:?} is now {now:?}", self.before);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// How a launcher is started. Another user reaches the program by a descriptor, for it may lie in root's own folders.
pub(crate) fn launcher(who: Who) -> Vec<std::ffi::OsString> {
    let program = env!("CARGO_BIN_EXE_stead-box-launcher");
    if who == Who::User && is_root() {
        assert!(Path::new("/usr/bin/setpriv").exists(), "setpriv is missing; install it: apt-get install util-linux");
        let script = format!(
            "exec 9<'{program}'; exec setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all \
             /proc/self/fd/9 \"$@\""
        );
        return ["/bin/sh", "-c", &script, "launcher"].map(Into::into).to_vec();
    }
    vec![program.into()]
}

/// How a launcher is started from a program that belongs to whoever starts it.
pub(crate) fn own_program(who: Who, program: &Path) -> Vec<std::ffi::OsString> {
    if who == Who::User && is_root() {
        std::os::unix::fs::chown(program, Some(USER), Some(USER)).unwrap();
        let words = [format!("--reuid={USER}"), format!("--regid={USER}")];
        let mut all: Vec<std::ffi::OsString> = vec!["setpriv".into()];
        all.extend(words.map(Into::into));
        all.extend(["--clear-groups", "--inh-caps=-all"].map(Into::into));
        all.push(program.into());
        return all;
    }
    vec![program.into()]
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

/// What must be the same before and after: processes of boxes, mounts, groups, descriptors, a file.
#[derive(Debug, PartialEq, Eq)]
struct Canaries {
    processes: BTreeSet<u32>,
    mounts: String,
    groups: BTreeSet<PathBuf>,
    file: Vec<u8>,
}

impl Canaries {
    fn look(folder: &Path, launchers: &BTreeSet<u32>) -> Self {
        Self {
            processes: children(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            groups: groups(launchers),
            file: Sha256::digest(fs::read(folder.join("canary")).unwrap()).to_vec(),
        }
    }
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

/// Groups that these launchers made.
fn groups(launchers: &BTreeSet<u32>) -> BTreeSet<PathBuf> {
    fn walk(folder: &Path, depth: usize, launchers: &BTreeSet<u32>, out: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(rest) = name.strip_prefix("stead-boxes-") {
                if rest.split('-').next().and_then(|pid| pid.parse().ok()).is_some_and(|pid| launchers.contains(&pid)) {
                    out.insert(entry.path());
                }
            } else if depth > 0 {
                walk(&entry.path(), depth - 1, launchers, out);
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(Path::new("/sys/fs/cgroup"), 4, launchers, &mut out);
    out
}
