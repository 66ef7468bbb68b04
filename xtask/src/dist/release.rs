//! What goes into the packages of one target: the binary, what it says about itself, and the files of the repository.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{sbom, target::Target};
use crate::{
    Fail, programs,
    repo::{Repo, output},
};

/// Shells with completions: the name that `stead completions` takes, and the file's place in a system.
pub(super) const SHELLS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/stead"),
    ("zsh", "usr/share/zsh/vendor-completions/_stead"),
    ("fish", "usr/share/fish/vendor_completions.d/stead.fish"),
];

/// The material of the packages.
pub(super) struct Release {
    /// The version of the workspace.
    pub(super) version: String,
    /// Seconds since 1970 that stand for every file's time.
    pub(super) epoch: u64,
    /// The machine.
    pub(super) target: &'static Target,
    /// The program.
    pub(super) binary: Vec<u8>,
    /// Manual pages by file name (`stead.1`).
    pub(super) pages: Vec<(String, Vec<u8>)>,
    /// The completions of each of [`SHELLS`], in their order.
    pub(super) completions: Vec<Vec<u8>>,
    /// What is linked, as CycloneDX.
    pub(super) sbom: String,
    /// The repository's own files.
    pub(super) texts: Texts,
}

/// Files of the repository that are packed.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) readme: String,
    pub(super) changelog: String,
    pub(super) apache: String,
    pub(super) mit: String,
    pub(super) unit: String,
    pub(super) config: String,
    pub(super) image_config: String,
    pub(super) copyright: String,
    pub(super) postinst: String,
    pub(super) prerm: String,
    pub(super) postrm: String,
}

impl Texts {
    pub(super) fn read(repo: &Repo) -> Result<Self, Fail> {
        Ok(Self {
            readme: repo.read("README.md")?,
            changelog: repo.read("CHANGELOG.md")?,
            apache: repo.read("LICENSE-APACHE")?,
            mit: repo.read("LICENSE-MIT")?,
            unit: repo.read("deploy/systemd/stead.service")?,
            config: repo.read("deploy/stead.toml")?,
            image_config: repo.read("deploy/oci/stead.toml")?,
            copyright: repo.read("deploy/debian/copyright")?,
            postinst: repo.read("deploy/debian/postinst")?,
            prerm: repo.read("deploy/debian/prerm")?,
            postrm: repo.read("deploy/debian/postrm")?,
        })
    }
}

impl Release {
    /// Reads all of it. What the binary says of itself is asked of this one, or where it is of another machine of one
    /// that is built for ours.
    pub(super) fn gather(repo: &Repo, target: &'static Target, binary: &Path) -> Result<Self, Fail> {
        let runs = Command::new(binary).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let speaker = match runs {
            Ok(status) if status.success() => binary.to_owned(),
            _ => programs::stead(repo)?,
        };
        let completions = SHELLS
            .iter()
            .map(|(shell, _)| output(Command::new(&speaker).args(["completions", shell])).map(String::into_bytes))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            version: version(repo)?,
            epoch: epoch(repo)?,
            target,
            binary: fs::read(binary).map_err(|e| format!("{}: {e}", binary.display()))?,
            pages: pages(repo, &speaker)?,
            completions,
            sbom: sbom::make(repo, target)?,
            texts: Texts::read(repo)?,
        })
    }
}

fn version(repo: &Repo) -> Result<String, Fail> {
    let metadata = repo.metadata()?;
    let package = metadata.packages.iter().find(|p| p.name == "stead").ok_or("there is no package `stead`")?;
    Ok(package.version.to_string())
}

/// `SOURCE_DATE_EPOCH`, else the time of the last commit (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub(super) fn epoch(repo: &Repo) -> Result<u64, Fail> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(repo.root()))?,
    };
    text.trim().parse().map_err(|e| format!("SOURCE_DATE_EPOCH: {text:?}: {e}"))
}

fn pages(repo: &Repo, speaker: &Path) -> Result<Vec<(String, Vec<u8>)>, Fail> {
    let dir = repo.metadata()?.target_directory.into_std_path_buf().join("man-pages");
    // Pages of commands that are no more would be packed.
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    output(Command::new(speaker).arg("man-pages").arg(&dir))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))? {
        let path = entry.map_err(|e| format!("{}: {e}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pages.push((name, fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?));
    }
    pages.sort();
    Ok(pages)
}
