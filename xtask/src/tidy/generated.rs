//! Generated files say what their generator says now.

use crate::{Fail, generate, repo::Repo, tidy::Findings};

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let mut found = Findings::new();
    for file in generate::ALL {
        if repo.read(file.path).ok() != Some(file.text(repo)?) {
            found.push(format!("{}: stale; run `cargo xtask gen`", file.path));
        }
    }
    Ok(found)
}
