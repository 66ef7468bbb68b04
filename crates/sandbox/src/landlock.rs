//! Landlock: a second rule about files that does not rest on mounts, and walls around abstract sockets and signals.
//!
//! Everything may be read and run, and only the places below may be written. Where the kernel knows less, less is held:
//! what is known is told in the box's evidence.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope,
};
use stead_tier::root::HOME;

use crate::fault::Fault;

/// What a box may always write.
pub(crate) const WRITABLE: &[&str] = &["/tmp", HOME, "/dev"];

/// The newest that these rules are written for.
const NEWEST: ABI = ABI::V6;

/// The same rules for a program that makes the system calls itself: numbers as `landlock_create_ruleset(2)` takes them.
pub(crate) struct Numbers {
    /// What is forbidden where nothing allows it; zero without Landlock.
    pub(crate) files: u64,
    /// What is allowed everywhere.
    pub(crate) read: u64,
    pub(crate) scopes: u64,
}

/// As far as a version of Landlock knows them.
pub(crate) fn numbers(version: Option<i32>) -> Numbers {
    let known = ABI::from(version.unwrap_or(0)).min(NEWEST);
    let files = AccessFs::from_all(known).bits();
    Numbers { files, read: AccessFs::from_read(NEWEST).bits() & files, scopes: Scope::from_all(known).bits() }
}

/// Encloses this process and what it starts.
pub(crate) fn enclose(writable: &[&str]) -> Result<(), Fault> {
    let wrong = |e: &dyn std::fmt::Display| Fault(format!("setting Landlock's rules: {e}"));
    let folder = |path: &str| PathFd::new(path).map_err(|e| wrong(&e));
    let all = AccessFs::from_all(NEWEST);
    let handled = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all);
    let scoped = handled.and_then(|r| r.scope(Scope::AbstractUnixSocket | Scope::Signal));
    let mut rules = scoped.and_then(Ruleset::create).map_err(|e| wrong(&e))?;
    let read = PathBeneath::new(folder("/")?, AccessFs::from_read(NEWEST));
    rules = rules.add_rule(read).map_err(|e| wrong(&e))?;
    for path in WRITABLE.iter().chain(writable) {
        rules = rules.add_rule(PathBeneath::new(folder(path)?, all)).map_err(|e| wrong(&e))?;
    }
    rules.restrict_self().map_err(|e| wrong(&e))?;
    Ok(())
}
