//! What a history comes to: a summary, or the check that failed and the command that repeats it.

use std::fmt;

/// A broken promise, as a check found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// What it saw.
    pub detail: String,
}

/// The result of a check.
pub type Check = Result<(), Violation>;

/// Makes a violation of `check`.
pub fn violation<T>(check: &'static str, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { check, detail: detail.into() })
}

/// Which simulation a history belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The machine of `stead-core`, driven directly.
    Core,
    /// The real engine on simulated ports.
    Engine,
}

impl Profile {
    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Engine => "engine",
        }
    }
}

/// A failed history.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Its simulation.
    pub profile: Profile,
    /// What was broken.
    pub violation: Violation,
    /// What happened before, when it was traced.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {} broke `{}`: {}", self.seed, self.violation.check, self.violation.detail)?;
        write!(f, "repeat it: cargo xtask sim --profile {} --seed {} --trace", self.profile.as_str(), self.seed)
    }
}

impl std::error::Error for Failure {}

/// What a history did; the same seed gives the same summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs of the history.
    pub runs: u64,
    /// Records in their journals.
    pub records: u64,
    /// Events that were simulated.
    pub events: u64,
    /// Crashes and takeovers.
    pub crashes: u64,
    /// Stores lost and restored from a backup.
    pub restores: u64,
    /// Appends refused because their writer had been replaced.
    pub fenced: u64,
    /// Attempts at effects that reached their destination.
    pub requests: u64,
    /// Effects settled as unknown.
    pub unknown: u64,
    /// A digest over every journal.
    pub digest: u64,
}

impl Summary {
    /// Adds another history's counts; the sum of digests does not depend on order.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.records += other.records;
        self.events += other.events;
        self.crashes += other.crashes;
        self.restores += other.restores;
        self.fenced += other.fenced;
        self.requests += other.requests;
        self.unknown += other.unknown;
        // The order of histories on threads is not fixed, so their digests are summed.
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Folds bytes into a 64-bit digest (FNV-1a); what it is fed are SHA-256 leaf hashes.
pub fn digest(mut sum: u64, bytes: &[u8]) -> u64 {
    for b in bytes {
        sum = (sum ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    sum
}
