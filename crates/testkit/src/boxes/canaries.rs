//! What of the host must be the same after a case as before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::{Place, text};

/// Steps in which the disk is looked at: less is a case's own.
const DISK: u64 = 64 << 20;

/// The host as it is at a moment: processes, mounts, control groups, files in memory, what is on the disk, a file, what was heard.
#[derive(Debug, PartialEq, Eq)]
pub struct Canaries {
    /// Descendants of this process, dead ones that nobody reaped too, and whoever's command line names the lab's folder.
    processes: BTreeMap<u32, String>,
    mounts: String,
    groups: BTreeSet<PathBuf>,
    /// Files in memory that this process holds for boxes.
    in_memory: usize,
    /// What the lab's folder takes of the disk, and files that its processes hold and that no folder names; in steps. (The free room of the
    /// whole filesystem is everybody's, and says nothing of the lab.)
    disk: u64,
    file: Vec<u8>,
    heard: Vec<&'static str>,
}

impl Canaries {
    /// Looks; `ours` knows the names of control groups that the lab's boxes have.
    ///
    /// # Panics
    /// If `/proc` or the canary cannot be read.
    pub fn look(place: &Place, ours: impl Fn(&str) -> bool) -> Self {
        let mut groups = BTreeSet::new();
        walk(Path::new("/sys/fs/cgroup"), 5, &ours, &mut groups);
        let processes = processes(place.path());
        let held = processes.keys().copied().chain([std::process::id()]).map(unnamed).sum::<u64>();
        Self {
            disk: (taken(place.path()) + held) / DISK,
            processes,
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            groups,
            in_memory: in_memory(),
            file: Sha256::digest(fs::read(place.path().join("canary")).unwrap()).to_vec(),
            heard: place.heard(),
        }
    }

    /// Waits until the host is as it was: groups and namespaces that die go a little later than their processes.
    ///
    /// # Panics
    /// If it does not become so.
    pub async fn return_to_this(&self, look: impl Fn() -> Self) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let now = look();
            if now == *self {
                break;
            }
            assert!(now.heard.is_empty(), "a canary heard something: {:?}", now.heard);
            assert!(Instant::now() < until, "the host has changed: {self:?} is now {now:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn processes(folder: &Path) -> BTreeMap<u32, String> {
    let (own, folder) = (std::process::id(), folder.display().to_string());
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        let words = text(&fs::read(entry.path().join("cmdline")).unwrap_or_default()).replace('\0', " ");
        all.insert(pid, (parent.unwrap_or(0), words));
    }
    let mut of: BTreeSet<u32> =
        all.iter().filter(|(_, (_, words))| words.contains(&folder)).map(|(pid, _)| *pid).chain([own]).collect();
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, (parent, _))| of.contains(parent) && !of.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        of.extend(more);
    }
    of.remove(&own);
    all.into_iter().filter(|(pid, _)| of.contains(pid)).map(|(pid, (_, words))| (pid, words)).collect()
}

fn walk(folder: &Path, depth: usize, ours: &dyn Fn(&str) -> bool, out: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        if ours(&entry.file_name().to_string_lossy()) {
            out.insert(entry.path());
        } else if depth > 0 {
            walk(&entry.path(), depth - 1, ours, out);
        }
    }
}

fn in_memory() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("memfd:stead")).count()
}

/// Bytes on the disk of all below a folder.
fn taken(folder: &Path) -> u64 {
    let below = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => taken(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(below).sum()
}

/// Bytes of files that a process holds and no folder names any more. Those in memory are counted by themselves.
fn unnamed(pid: u32) -> u64 {
    let held = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let size = |fd: fs::DirEntry| {
        let name = fs::read_link(fd.path()).ok()?;
        let name = name.to_string_lossy().into_owned();
        let gone = name.starts_with('/') && name.ends_with(" (deleted)") && !name.starts_with("/memfd:");
        fs::metadata(fd.path()).ok().filter(|found| gone && found.is_file()).map(|found| found.blocks() * 512)
    };
    held.filter_map(size).sum()
}

/// KiB of memory that this process has: it is the server of its boxes, and must not grow by what they do.
///
/// # Panics
/// If `/proc` does not tell.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
