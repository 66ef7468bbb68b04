//! `cargo xtask dist`: what a release consists of, made from this tree: a static binary in an archive, a .deb, a wheel and
//! an OCI image for each target, the list of all that is linked, and `SHA256SUMS`.
//!
//! The same tree, compiler and `SOURCE_DATE_EPOCH` give the same bytes. Nothing is signed or published here.

mod archive;
mod build;
pub(crate) mod check;
mod deb;
mod files;
mod oci;
mod release;
mod sbom;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod wheel;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{Fail, repo::Repo};
use release::Release;
use target::Target;

const USAGE: &str = "\
usage: cargo xtask dist [--target TRIPLE]… [--binary FILE] [--out DIR]

  --target TRIPLE  x86_64-unknown-linux-musl (when none is named) or aarch64-unknown-linux-musl
  --binary FILE    pack this binary instead of building one; for a single target
  --out DIR        where the packages go; `packages` in cargo's target folder when silent
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    targets: Vec<&'static Target>,
    binary: Option<PathBuf>,
    out: Option<PathBuf>,
}

/// Makes the packages.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> Result<(), Fail> {
    let asked = Asked::parse(args)?;
    let out = match asked.out {
        Some(dir) => dir,
        None => repo.metadata()?.target_directory.into_std_path_buf().join("packages"),
    };
    fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    for target in asked.targets {
        let binary = match &asked.binary {
            Some(file) => file.clone(),
            None => build::binary(repo, target)?,
        };
        let release = Release::gather(repo, target, &binary)?;
        for (name, bytes) in packages(&release)? {
            write(&out, &name, &bytes)?;
        }
        oci::write_layout(&release, &out)?;
    }
    write(&out, "SHA256SUMS", sums(&out)?.as_bytes())
}

/// Every file of a release for one target, by name.
fn packages(release: &Release) -> Result<Vec<(String, Vec<u8>)>, Fail> {
    let (version, target) = (&release.version, release.target);
    Ok(vec![
        (format!("stead-{version}-{}.tar.gz", target.triple), archive::make(release)?),
        (format!("stead_{version}_{}.deb", target.debian), deb::make(release)?),
        (wheel::file_name(release), wheel::make(release)?),
        (format!("stead-{version}-{}.oci.tar", target.oci), oci::make(release)?),
        (format!("stead-{version}-{}.cdx.json", target.triple), release.sbom.clone().into_bytes()),
    ])
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<(), Fail> {
    let path = out.join(name);
    fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("wrote {} ({} KiB)", path.display(), bytes.len() / 1024);
    Ok(())
}

/// The lines of `sha256sum` for all files of the folder but the list itself.
fn sums(out: &Path) -> Result<String, Fail> {
    let mut names = Vec::new();
    for entry in fs::read_dir(out).map_err(|e| format!("{}: {e}", out.display()))? {
        let entry = entry.map_err(|e| format!("{}: {e}", out.display()))?;
        if entry.path().is_file() && entry.file_name() != "SHA256SUMS" {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut lines = String::new();
    for name in names {
        let bytes = fs::read(out.join(&name)).map_err(|e| format!("{name}: {e}"))?;
        writeln!(lines, "{}  {name}", hex(&Sha256::digest(&bytes))).map_err(|e| e.to_string())?;
    }
    Ok(lines)
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl Asked {
    fn parse(args: &[&str]) -> Result<Self, Fail> {
        let mut asked = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = args.next().ok_or(USAGE)?;
            match *arg {
                "--target" => asked.targets.push(Target::named(value)?),
                "--binary" => asked.binary = Some(value.into()),
                "--out" => asked.out = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        if asked.targets.is_empty() {
            asked.targets.push(&target::ALL[0]);
        }
        if asked.binary.is_some() && asked.targets.len() > 1 {
            return Err("--binary is a binary of one target".into());
        }
        Ok(asked)
    }
}
