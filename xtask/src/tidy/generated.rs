//! Generated files say what their generator says now. Builds the product for it, as the tests will.

use crate::{Fail, generate, repo::Repo, tidy::Findings};

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let stale = generate::check(repo)?;
    Ok(stale.into_iter().map(|path| format!("{path}: stale; run `cargo xtask gen`")).collect())
}
