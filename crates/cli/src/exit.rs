//! Exit codes: part of the interface, described in `docs/cli.md`.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It did not: the run failed, or something is wrong.
    Failed = 1,
    /// It was not understood.
    Usage = 2,
    /// The run waits for a human; nothing is lost.
    Waiting = 3,
    /// The run was cancelled.
    Cancelled = 4,
    /// No server answers.
    NoServer = 5,
    /// Interrupted (Ctrl-C); nothing is lost.
    Interrupted = 130,
}

/// Every code with its meaning, for the reference.
pub(crate) const ALL: &[(Exit, &str)] = &[
    (Exit::Ok, "It did what was asked; a run completed."),
    (Exit::Failed, "It did not: the run failed, or something is wrong. stderr says what, with a code."),
    (Exit::Usage, "The command line was not understood."),
    (Exit::Waiting, "The run waits for a human, or is paused. Nothing is lost; stderr has the command that goes on."),
    (Exit::Cancelled, "The run was cancelled."),
    (Exit::NoServer, "No server answers."),
    (Exit::Interrupted, "Interrupted by Ctrl-C. Nothing is lost; `stead run --resume` goes on."),
];

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
