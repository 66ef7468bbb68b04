//! What launchers that were killed left: empty groups, in folders that name the process and when it started. Their
//! processes are dead, for a box dies with its launcher; nothing is killed here.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::Duration,
};

use rustix::fs::Mode;

use super::{FOLDER, gone};

const PREFIX: &str = "stead-boxes-";

/// `stead-boxes-PID-START`.
pub(super) fn name_of_this_process() -> String {
    let pid = std::process::id();
    format!("{PREFIX}{pid}-{}", started(pid).unwrap_or_default())
}

/// When a process started, in ticks since boot: field 22 of `/proc/PID/stat`.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets, and may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Whether the launcher that made a folder is dead. A folder that is not one of ours is not.
fn dead(folder: &str, started: impl Fn(u32) -> Option<u64>) -> bool {
    let parsed = folder.strip_prefix(PREFIX).and_then(|rest| {
        let (pid, start) = rest.split_once('-')?;
        Some((pid.parse().ok()?, start.parse::<u64>().ok()?))
    });
    parsed.is_some_and(|(pid, start)| started(pid) != Some(start))
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).collect()
}

fn boxes(path: &Path, folder: &str) -> impl Iterator<Item = String> + use<> {
    names(&path.join(folder)).into_iter().filter(|n| n.starts_with("box-"))
}

/// Folders of dead launchers, each with the groups of boxes in it.
pub(super) fn left(path: &Path) -> Vec<(String, String)> {
    let folders = names(path).into_iter().filter(|name| dead(name, started));
    folders.flat_map(|folder| boxes(path, &folder).map(move |group| (folder.clone(), group))).collect()
}

/// Attempts at removing what is still in use, and the pause between two: boxes die with their launcher, but a moment after it.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// Removes the folders of dead launchers. What something is still in after half a second is for the next start.
pub(super) fn sweep(path: &Path, place: BorrowedFd<'_>) {
    for folder in names(path).into_iter().filter(|name| dead(name, started)) {
        let Ok(there) = rustix::fs::openat(place, &folder, FOLDER, Mode::empty()) else { continue };
        let mut left: Vec<String> = boxes(path, &folder).collect();
        for attempt in 0..ATTEMPTS {
            left.retain(|name| !gone(there.as_fd(), name));
            if left.is_empty() {
                break;
            }
            if attempt + 1 < ATTEMPTS {
                std::thread::sleep(PAUSE);
            }
        }
        drop(there);
        gone(place.as_fd(), &folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_launchers_are_swept() {
        let started = |pid: u32| (pid == 7).then_some(100);
        assert!(dead("stead-boxes-7-99", started), "the number was given out again");
        assert!(dead("stead-boxes-8-100", started));
        for alive in ["stead-boxes-7-100", "stead-server", "stead-boxes-", "stead-boxes-x-1", "user.slice"] {
            assert!(!dead(alive, started), "{alive}");
        }
    }
}
