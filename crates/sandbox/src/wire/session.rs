//! What is said about commands of a box that stays. The server speaks with processes inside the box here, which are as hostile as
//! what runs beside them: it believes nothing but how a command of that box is doing.

use minicbor::{Decode, Encode};

use super::Failure;

/// What a foreman is asked. Beside it: one end of the conversation about the command, then standard input, output and error; no
/// streams for a terminal.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Ask {
    #[n(0)]
    Exec {
        #[n(0)]
        words: Vec<String>,
        #[n(1)]
        env: Vec<(String, String)>,
        #[n(2)]
        dir: String,
        /// Rows and columns.
        #[n(3)]
        terminal: Option<(u16, u16)>,
    },
}

/// What the keeper of a command tells, in this order: that it started or not, then how it ended.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Told {
    /// Beside it: our end of the terminal, if there is one.
    #[n(0)]
    Started,
    #[n(1)]
    Failed(#[n(0)] Failure),
    #[n(2)]
    Exited {
        #[n(0)]
        code: i32,
        #[n(1)]
        cpu_us: u64,
    },
    #[n(3)]
    Signal {
        #[n(0)]
        signal: i32,
        #[n(1)]
        cpu_us: u64,
    },
}

/// What a keeper is told. The end of the conversation means [`Tell::Kill`].
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Tell {
    /// For the command's process group.
    #[n(0)]
    Signal(#[n(0)] i32),
    /// For all that it started.
    #[n(1)]
    Kill,
}
