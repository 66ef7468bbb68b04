//! Where a runtime's program is: only in folders of the system's own, for it is started as root.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const FOLDERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/run/current-system/sw/bin"];

/// The program of a name, or of an absolute path; or why there is none.
pub(crate) fn program(name: &Path) -> Result<PathBuf, String> {
    let can = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if name.is_absolute() {
        return if can(name) { Ok(name.to_owned()) } else { Err("there is no such program".to_owned()) };
    }
    if name.components().count() != 1 {
        return Err("it is neither a name nor an absolute path".to_owned());
    }
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| can(path));
    found.ok_or_else(|| "not installed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_in_the_systems_folders_only() {
        assert!(program(Path::new("sh")).is_ok_and(|path| path.is_absolute()));
        assert_eq!(program(Path::new("no-such-runtime")), Err("not installed".to_owned()));
        assert!(program(Path::new("./sh")).is_err() && program(Path::new("/etc/passwd")).is_err());
    }
}
