//! Signed notes (C2SP signed-note): a text, and under it a line for each signature. What a text means is not here.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{
    MAX_SIZE,
    key::{self, SignerKey, VerifierKey},
};

mod verify;

pub use verify::{Cosigned, Trust, Unverified};

/// Bytes of a note.
pub const MAX_LEN: usize = 131_072;
/// Signatures of a note.
pub const MAX_SIGNATURES: usize = 64;

const DASH: &str = "\u{2014} ";

/// A text that is signed. That its signatures are right is seen by [`Note::verify`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A line below a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// Text that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// Too long, or too many signatures.
    #[error("a note has at most 131,072 bytes and 64 signatures")]
    TooLong,
    /// A character that notes do not have.
    #[error("it has a control character")]
    Control,
    /// No text that ends in a newline, with an empty line behind it.
    #[error("it is not a text, an empty line, and signatures")]
    Form,
    /// A line that is no signature.
    #[error("line {0} below the text is no signature")]
    Line(usize),
}

impl Note {
    /// A text without signatures yet. It must end in a newline and not be empty.
    ///
    /// # Errors
    /// [`BadNote`] when no note has that text.
    pub fn new(text: String) -> Result<Self, BadNote> {
        if text.len() > MAX_LEN {
            return Err(BadNote::TooLong);
        }
        if text.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(BadNote::Control);
        }
        if text.ends_with('\n') { Ok(Self { text, signatures: Vec::new() }) } else { Err(BadNote::Form) }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`BadNote`] when it is none.
    pub fn parse(note: &str) -> Result<Self, BadNote> {
        if note.len() > MAX_LEN {
            return Err(BadNote::TooLong);
        }
        let at = note.rfind("\n\n").ok_or(BadNote::Form)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        // Over the whole, so that a signature's line has none either.
        let mut read = Self::new(note.to_owned())?;
        read.text.truncate(text.len());
        let lines = lines.strip_suffix('\n').ok_or(BadNote::Form)?;
        for (n, line) in lines.split('\n').enumerate() {
            if n == MAX_SIGNATURES {
                return Err(BadNote::TooLong);
            }
            read.signatures.push(Signature::parse(line).ok_or(BadNote::Line(n + 1))?);
        }
        Ok(read)
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines below it, verified or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signs it as a log does. A line that the key had is replaced.
    pub fn sign(&mut self, key: &SignerKey) {
        let bytes = key.sign(self.text.as_bytes()).to_vec();
        self.put(key.verifier(), bytes);
    }

    /// Signs it as a witness does at that time, in seconds since 1970. A line that the key had is replaced.
    pub fn cosign(&mut self, key: &SignerKey, at: u64) {
        let at = at.min(MAX_SIZE);
        let mut bytes = at.to_be_bytes().to_vec();
        bytes.extend_from_slice(&key.sign(&verify::cosigned(&self.text, at)));
        self.put(key.verifier(), bytes);
    }

    /// Puts a line below it that came from elsewhere: a witness's answer.
    ///
    /// # Errors
    /// [`BadNote`] when it is no signature, or there is no room for it.
    pub fn add(&mut self, line: &str) -> Result<(), BadNote> {
        let line = Signature::parse(line.trim_end_matches('\n')).ok_or(BadNote::Line(1))?;
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(BadNote::TooLong);
        }
        self.signatures.push(line);
        Ok(())
    }

    fn put(&mut self, key: &VerifierKey, bytes: Vec<u8>) {
        self.signatures.retain(|line| !line.is_of(key));
        self.signatures.push(Signature { name: key.name().to_owned(), id: key.id(), bytes });
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix(DASH)?.split_once(' ')?;
        let blob = BASE64_STANDARD.decode(blob).ok()?;
        let (id, bytes) = blob.split_first_chunk().filter(|(_, bytes)| !bytes.is_empty())?;
        key::is_name(name).then(|| Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// Whose it claims to be.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DASH}{} {}", self.name, BASE64_STANDARD.encode([&self.id, &self.bytes[..]].concat()))
    }
}
