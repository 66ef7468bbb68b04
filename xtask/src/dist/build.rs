//! The static binary of a target, by `cargo zigbuild`: zig is the C compiler and the linker, and brings musl and the unwinder
//! for every target, so that no cross compiler need be installed. `check` uses the same tools.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{release, target::Target};
use crate::{
    Fail,
    repo::{Repo, output},
};

/// What is installed from the Python registry, with pip into a folder of ours: it carries both as binaries.
const TOOLS: &[&str] = &["cargo-zigbuild==0.24.1", "ziglang==0.17.1"];

/// Builds the binary and gives its path.
pub(super) fn binary(repo: &Repo, target: &Target) -> Result<PathBuf, Fail> {
    let out = repo.metadata()?.target_directory.into_std_path_buf();
    let path = path(&out)?;
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let std = Std::of(&rustc, target.triple)?;
    let mut command = Command::new("cargo");
    command.args(["zigbuild", "--locked", "--profile", "dist", "--package", "stead", "--target", target.triple]);
    if let Std::Source(_) = &std {
        // Where a toolchain has the library's source alone (as Debian's has for this target), it is compiled with the
        // rest. The option is unstable in cargo, which this variable lets a stable toolchain use.
        command.arg("-Zbuild-std=std,panic_unwind").env("RUSTC_BOOTSTRAP", "1");
    }
    let (flags, c_flags) = flags(repo, &std)?;
    let status = command
        .current_dir(repo.root())
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env(format!("CFLAGS_{}", target.triple.replace('-', "_")), c_flags.join(" "))
        .env("SOURCE_DATE_EPOCH", release::epoch(repo)?.to_string())
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if !status.success() {
        return Err(format!("stead does not build for {}", target.triple));
    }
    Ok(out.join(target.triple).join("dist").join("stead"))
}

/// Where the standard library of the target comes from.
pub(super) enum Std {
    /// It is installed.
    Installed,
    /// Its source is.
    Source(PathBuf),
}

impl Std {
    pub(super) fn of(rustc: &str, target: &str) -> Result<Self, Fail> {
        let ask = |args: &[&str]| output(Command::new(rustc).args(args)).map(|text| PathBuf::from(text.trim()));
        let libraries = ask(&["--print", "target-libdir", "--target", target])?;
        let installed = fs::read_dir(libraries).is_ok_and(|mut files| {
            files.any(|f| f.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("libstd-")))
        });
        if installed {
            return Ok(Self::Installed);
        }
        let source = ask(&["--print", "sysroot"])?.join("lib/rustlib/src/rust");
        if source.join("library/std").is_dir() {
            return Ok(Self::Source(source));
        }
        Err(format!(
            "{rustc} has neither the standard library of {target} nor its source; install one of them:\n  \
             rustup target add {target}\n  rustup component add rust-src"
        ))
    }
}

/// Flags of the compilers of Rust and of C: no path of this machine may get into the binary.
fn flags(repo: &Repo, std: &Std) -> Result<(Vec<String>, Vec<String>), Fail> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(&std::env::var_os("HOME").ok_or("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    let target = repo.metadata()?.target_directory.into_std_path_buf();
    let mut names = vec![(home, "/cargo"), (target, "/target"), (repo.root().to_owned(), "/stead")];
    let mut flags = Vec::new();
    if let Std::Source(source) = std {
        names.push((source.clone(), "/rustc"));
        // The start files are zig's: a library that was built here has none beside it.
        flags.push("-Clink-self-contained=no".to_owned());
    }
    // Of several that fit the compiler takes the last, so the more special one comes later.
    names.sort_by_key(|(path, _)| path.as_os_str().len());
    let c_flags = names.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();
    flags.extend(names.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    Ok((flags, c_flags))
}

/// `PATH` with the programs of [`TOOLS`] before all others.
pub(super) fn path(out: &Path) -> Result<OsString, Fail> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools(out)?).chain(std::env::split_paths(&path)));
    path.map_err(|e| e.to_string())
}

/// The folder with the programs of [`TOOLS`], installed when they are not there yet.
fn tools(out: &Path) -> Result<PathBuf, Fail> {
    let venv = out.join("dist-tools");
    let done = venv.join("installed");
    let wanted = TOOLS.join("\n");
    if fs::read_to_string(&done).ok().as_deref() != Some(&wanted) {
        println!("installing {} into {}", TOOLS.join(" and "), venv.display());
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        output(Command::new(venv.join("bin/python3")).args(["-m", "pip", "install", "--quiet"]).args(TOOLS))?;
        fs::write(&done, wanted).map_err(|e| format!("{}: {e}", done.display()))?;
    }
    Ok(venv.join("bin"))
}
