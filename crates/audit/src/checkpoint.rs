//! Checkpoints (C2SP tlog-checkpoint): the size and the root of a log, in the text of a signed note.

use std::{fmt, str::FromStr};

use crate::{
    MAX_SIZE,
    hash::TreeHash,
    key::{self, SignerKey},
    note::{Cosigned, Note, Trust},
};

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: TreeHash,
    /// Lines that mean nothing here; Stead writes none.
    pub extensions: Vec<String>,
}

/// Text that is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// The first line.
    #[error("the first line is no origin: a name without white space and `+`")]
    Origin,
    /// The second line.
    #[error("the second line is no size: a number without leading zeros, at most 2^63 - 1")]
    Size,
    /// The third line.
    #[error("the third line is no root: base64 of 32 bytes")]
    Root,
    /// Another line.
    #[error("a line is empty, or the last has no end")]
    Line,
}

/// A checkpoint that does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It is no note.
    #[error("the checkpoint is no signed note: {0}")]
    Note(#[from] crate::note::BadNote),
    /// Its text is none of a checkpoint.
    #[error("the note is no checkpoint: {0}")]
    Text(#[from] BadCheckpoint),
    /// It is one of another log.
    #[error("the checkpoint is of the log {found}, and the key of {expected}")]
    Origin {
        /// The log in the checkpoint.
        found: String,
        /// The log of the key.
        expected: String,
    },
    /// Its signatures are not what is asked.
    #[error("the checkpoint does not count: {0}")]
    Signatures(#[from] crate::note::Unverified),
}

impl Checkpoint {
    /// The checkpoint as a note, signed by the log. Sign only one that contains all that were signed before.
    ///
    /// # Errors
    /// [`BadCheckpoint`] when the key's name is not the origin, or a field cannot be written.
    pub fn sign(&self, key: &SignerKey) -> Result<Note, BadCheckpoint> {
        let text = self.to_string();
        if key.verifier().name() != self.origin || text.parse().as_ref() != Ok(self) {
            return Err(BadCheckpoint::Origin);
        }
        let mut note = Note::new(text).map_err(|_| BadCheckpoint::Line)?;
        note.sign(key);
        Ok(note)
    }

    /// Reads a note and verifies it; with it come the witnesses that have signed.
    ///
    /// # Errors
    /// [`Untrusted`] when it does not count.
    pub fn verify(note: &str, trust: &Trust) -> Result<(Self, Vec<Cosigned>), Untrusted> {
        let note = Note::parse(note)?;
        let checkpoint: Self = note.text().parse()?;
        if checkpoint.origin != trust.log.name() {
            return Err(Untrusted::Origin { found: checkpoint.origin, expected: trust.log.name().to_owned() });
        }
        let cosigned = note.verify(trust)?;
        Ok((checkpoint, cosigned))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = BadCheckpoint;
    fn from_str(text: &str) -> Result<Self, BadCheckpoint> {
        let mut lines = text.strip_suffix('\n').ok_or(BadCheckpoint::Line)?.split('\n');
        let origin = lines.next().filter(|origin| key::is_name(origin)).ok_or(BadCheckpoint::Origin)?;
        let size = lines.next().and_then(number).ok_or(BadCheckpoint::Size)?;
        let root = lines.next().and_then(|root| root.parse().ok()).ok_or(BadCheckpoint::Root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(BadCheckpoint::Line);
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }
}

fn number(text: &str) -> Option<u64> {
    let number = text.parse().ok().filter(|n: &u64| *n <= MAX_SIZE)?;
    // `+7` and `007` are read as numbers too.
    (number.to_string() == text).then_some(number)
}
