//! `cargo xtask mutants`: a promise whose guarantee can be broken without its test noticing has no test.
//!
//! Each `mutants/NAME.toml` breaks one guarantee by replacing one text in one file. For each, in a copy of the tree:
//! the named test must pass as the code is, and must fail once the text is replaced. The copy and its target folder
//! are kept, so that a later run only rebuilds what changed. Nothing is ever written to the working tree.

mod copy;
mod judge;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{Fail, repo::Repo};

/// Where the mutants stand.
const FOLDER: &str = "mutants";

/// One guarantee, broken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// The promise of `docs/promises.md` that it breaks.
    pub(crate) promise: u8,
    /// The package of the test.
    pub(crate) package: String,
    /// The name of the test function, without its modules.
    pub(crate) test: String,
    /// The file it changes, from the root.
    pub(crate) file: String,
    /// The text it replaces; stands in the file exactly once.
    pub(crate) find: String,
    /// What it puts there.
    pub(crate) replace: String,
}

impl Mutant {
    /// The file's text with the guarantee broken.
    pub(crate) fn apply(&self, text: &str) -> Result<String, Fail> {
        if self.find.is_empty() || self.find == self.replace {
            return Err("it changes nothing".to_owned());
        }
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            n => Err(format!("its text stands in {} {n} times instead of once", self.file)),
        }
    }
}

/// All mutants by name.
pub(crate) fn load(repo: &Repo) -> Result<BTreeMap<String, Mutant>, Fail> {
    let mut out = BTreeMap::new();
    for file in repo.files()? {
        let name = file.strip_prefix(FOLDER).and_then(|f| f.strip_prefix('/')).and_then(|f| f.strip_suffix(".toml"));
        if let Some(name) = name {
            let mutant = toml::from_str(&repo.read(&file)?).map_err(|e| format!("{file}: {e}"))?;
            out.insert(name.to_owned(), mutant);
        }
    }
    Ok(out)
}

/// Runs the mutants of those names, or all.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> Result<(), Fail> {
    let mut mutants = load(repo)?;
    let (flags, names): (Vec<_>, Vec<_>) = args.iter().partition(|a| a.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|f| **f != "--list") {
        return Err(format!("unknown option {unknown}"));
    }
    if let Some(unknown) = names.iter().find(|n| !mutants.contains_key(**n)) {
        return Err(format!("no mutants/{unknown}.toml"));
    }
    mutants.retain(|name, _| names.is_empty() || names.contains(&name.as_str()));
    if !flags.is_empty() {
        for (name, m) in &mutants {
            println!("{name}: promise {}, {}::{}", m.promise, m.package, m.test);
        }
        return Ok(());
    }
    if mutants.is_empty() {
        return Err("there are no mutants".to_owned());
    }
    judge::all(repo, &cache()?, &mutants)
}

/// Where the copy of the tree and its target folder are kept between runs.
fn cache() -> Result<PathBuf, Fail> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Ok(base.ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("stead/mutants"))
}
