//! `cargo xtask check-target TRIPLE [PACKAGE…]`: whether what runs on another system compiles for it, without a machine of that
//! system: `cargo check`, with zig as the C compiler of build scripts.
//!
//! Nothing is linked and nothing runs, so this says nothing about tests, and of C only what has no header of that system's own.

use std::process::Command;

use super::build::{self, Std};
use crate::{Fail, repo::Repo};

/// The packages when none is named: the binary, and with it all that it is made of on that system.
const BINARY: &str = "stead";

/// Checks.
pub(crate) fn run(repo: &Repo, triple: &str, packages: &[&str]) -> Result<(), Fail> {
    let packages = if packages.is_empty() { &[BINARY][..] } else { packages };
    let out = repo.metadata()?.target_directory.into_std_path_buf();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut command = Command::new("cargo-zigbuild");
    command.args(["check", "--locked", "--target", triple]);
    if let Std::Source(_) = Std::of(&rustc, triple)? {
        // As for a release.
        command.arg("-Zbuild-std=std,panic_unwind").env("RUSTC_BOOTSTRAP", "1");
    }
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    let status = command.current_dir(repo.root()).env("PATH", build::path(&out)?).status();
    match status.map_err(|e| format!("cargo-zigbuild: {e}"))? {
        status if status.success() => Ok(()),
        _ => Err(format!("{} does not compile for {triple}", packages.join(" or "))),
    }
}
