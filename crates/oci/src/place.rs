//! Where bundles are: below one folder of root's a folder for each server, which names the process and when it started, and
//! in it one for each box.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// The folder of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    folder: PathBuf,
    id: String,
}

impl Bundle {
    /// `id`: the container's name.
    pub(crate) fn new(folder: PathBuf, id: String) -> Self {
        Self { folder, id }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the shim makes the root.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// Where the shim makes the private folders.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// What the runtime remembers.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The name of the program that made the container.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.folder.join("runtime")
    }

    /// Makes the folder. The container's root must be able to pass.
    pub(crate) fn make(&self, runtime: &Path, config: &[u8]) -> std::io::Result<()> {
        for folder in [self.folder.clone(), self.rootfs(), self.scratch()] {
            fs::DirBuilder::new().mode(0o711).create(folder)?;
        }
        fs::DirBuilder::new().mode(0o700).create(self.state())?;
        fs::write(self.runtime(), runtime.as_os_str().as_encoded_bytes())?;
        fs::write(self.folder.join("config.json"), config)
    }

    /// Removes it. What is mounted on exists only in the shim's mount namespace; if there were something here, nothing of it
    /// would be removed, for these two are not emptied.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        for empty in [self.rootfs(), self.scratch()] {
            match fs::remove_dir(empty) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        fs::remove_dir_all(&self.folder)
    }
}

const PREFIX: &str = "stead-oci-";

/// `stead-oci-PID-START`: a name that no other process of this boot has.
pub(crate) fn name_of_this_process() -> String {
    let pid = std::process::id();
    format!("{PREFIX}{pid}-{}", started(pid).unwrap_or_default())
}

/// When a process started, in ticks since boot: field 22 of `/proc/PID/stat`.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets, and may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Whether the server that made a folder is dead. A folder that is not one of ours is not.
pub(crate) fn dead(folder: &str, started: impl Fn(u32) -> Option<u64>) -> bool {
    let parsed = folder.strip_prefix(PREFIX).and_then(|rest| {
        let (pid, start) = rest.split_once('-')?;
        Some((pid.parse().ok()?, start.parse::<u64>().ok()?))
    });
    parsed.is_some_and(|(pid, start)| started(pid) != Some(start))
}

/// Makes a folder of ours, or sees to it that it is ours: nobody else may write there.
pub(crate) fn own(path: &Path) -> Result<(), String> {
    let told = |e: std::io::Error| format!("the folder of containers {}: {e}", path.display());
    match fs::DirBuilder::new().mode(0o711).recursive(true).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(told(e)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(told)?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
        return Err(format!("{} must be a folder that user {own} alone may write", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_folders_of_dead_servers_are_swept() {
        let started = |pid: u32| (pid == 7).then_some(100);
        assert!(dead("stead-oci-7-99", started), "the number was given out again");
        assert!(dead("stead-oci-8-100", started));
        for alive in ["stead-oci-7-100", "stead-server", "stead-oci-", "stead-oci-x-1"] {
            assert!(!dead(alive, started), "{alive}");
        }
        assert!(!dead(&name_of_this_process(), super::started));
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a/b");
        own(&place).unwrap();
        own(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(own(&place).is_err());
        std::os::unix::fs::symlink("/tmp", folder.path().join("link")).unwrap();
        assert!(own(&folder.path().join("link")).is_err());
    }

    #[test]
    fn what_is_mounted_on_is_never_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Bundle::new(folder.path().join("1"), "x".into());
        bundle.make(Path::new("/bin/runc"), b"{}").unwrap();
        fs::write(bundle.rootfs().join("precious"), "x").unwrap();
        assert!(bundle.remove().is_err());
        assert!(bundle.rootfs().join("precious").exists());
        fs::remove_file(bundle.rootfs().join("precious")).unwrap();
        bundle.remove().unwrap();
        assert!(!bundle.folder().exists());
    }
}
