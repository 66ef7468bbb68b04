//! What can be decided about a system call, in the words that each tier translates into its own filter.

/// What happens with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is made.
    Allow,
    /// The call returns this error; zero: it seems to have worked.
    Errno(i32),
    /// The process is killed.
    Kill,
}

/// What is looked at in an argument: its lower 32 bits, behind a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// One of these bits is set.
    Any {
        /// Counted from 0.
        argument: u32,
        /// The bits.
        bits: u32,
    },
    /// Behind the mask it is one of these.
    OneOf {
        /// Counted from 0.
        argument: u32,
        /// What is looked at.
        mask: u32,
        /// What it may be.
        values: &'static [u32],
    },
}

/// When a test holds, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub tests: &'static [Test],
    /// If all tests hold.
    pub then: Verdict,
}

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Whatever its arguments are.
    Always(Verdict),
    /// The first check that holds decides, else the verdict.
    Checked(&'static [Check], Verdict),
}
