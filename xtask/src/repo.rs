//! The working tree: its root, its files, its packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::Fail;

/// A working tree.
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// The tree this command was built from.
    pub(crate) fn find() -> Result<Self, Fail> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().ok_or_else(|| format!("{} has no parent", here.display()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// A tree at `root`, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder of the workspace's manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The text of a file, named from the root.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<String, Fail> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Every file that is tracked or could be: not what `.gitignore` names. Paths from the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>, Fail> {
        let listed = output(
            Command::new("git")
                .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
                .current_dir(&self.root),
        )?;
        let mut files: Vec<String> = listed
            .split('\0')
            // A file that was deleted and not yet staged is still listed.
            .filter(|f| !f.is_empty() && self.root.join(f).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Cargo's view of the workspace, without its dependencies' own dependencies.
    pub(crate) fn metadata(&self) -> Result<Metadata, Fail> {
        MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .map_err(|e| format!("cargo metadata: {e}"))
    }
}

/// Runs a command to its end and gives what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, Fail> {
    let name = format!("{:?}", command.get_program());
    let out = command.output().map_err(|e| format!("{name}: {e}"))?;
    if !out.status.success() {
        return Err(format!("{name}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr)));
    }
    String::from_utf8(out.stdout).map_err(|e| format!("{name}: {e}"))
}
