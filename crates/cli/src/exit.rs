//! Exit codes: part of the interface, described in `docs/cli.md`.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok,
    /// It did not: the run failed, or something is wrong.
    Failed,
    /// It was not understood.
    Usage,
    /// The run waits for a human; nothing is lost.
    Waiting,
    /// The run was cancelled.
    Cancelled,
    /// No server answers.
    NoServer,
    /// Interrupted (Ctrl-C); nothing is lost.
    Interrupted,
    /// As the command in a sandbox did, which this one ran.
    As(u8),
}

impl Exit {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Waiting => 3,
            Self::Cancelled => 4,
            Self::NoServer => 5,
            Self::Interrupted => 130,
            Self::As(code) => code,
        }
    }
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
        Self::from(exit.number())
    }
}
