//! Signed notes (C2SP signed-note): a text, and under it a line for each signature. What a text means is not here.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{
    MAX_SIZE,
    key::{self, Role, SignerKey, VerifierKey},
};

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

/// A note whose signatures are not what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The log has not signed it.
    #[error("{0} has not signed it")]
    Unsigned(String),
    /// A known key's line does not verify.
    #[error("the signature of {0} is wrong")]
    Wrong(String),
    /// A known key has two lines.
    #[error("{0} stands below it twice")]
    Twice(String),
    /// Too few witnesses.
    #[error("{have} of the {need} witnesses that are asked for have signed it")]
    TooFew {
        /// Witnesses that have signed.
        have: usize,
        /// Witnesses that must.
        need: usize,
    },
}

/// Whose signatures are asked for.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The log's key.
    pub log: VerifierKey,
    /// Keys of witnesses.
    pub witnesses: Vec<VerifierKey>,
    /// How many of them must have signed.
    pub quorum: usize,
}

impl Trust {
    /// Trust in a log's key alone.
    pub const fn in_log(log: VerifierKey) -> Self {
        Self { log, witnesses: Vec::new(), quorum: 0 }
    }
}

/// A witness that has signed, and when it says that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness.
    pub name: String,
    /// Seconds since 1970.
    pub at: u64,
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
        bytes.extend_from_slice(&key.sign(&cosigned(&self.text, at)));
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

    /// Whether those have signed who are asked for; which witnesses did, in the order of their lines. Lines of other keys
    /// count for nothing.
    ///
    /// # Errors
    /// [`Unverified`] when not, or when a known key's line is wrong.
    pub fn verify(&self, trust: &Trust) -> Result<Vec<Cosigned>, Unverified> {
        let (mut cosigned, mut publics, mut signed) = (Vec::new(), Vec::new(), false);
        for (n, line) in self.signatures.iter().enumerate() {
            let mut known = std::iter::once(&trust.log).chain(&trust.witnesses);
            let Some(key) = known.find(|key| line.is_of(key)) else { continue };
            if self.signatures[..n].iter().any(|before| before.is_of(key)) {
                return Err(Unverified::Twice(line.name.clone()));
            }
            let at = line.check(key, &self.text).ok_or_else(|| Unverified::Wrong(line.name.clone()))?;
            if line.is_of(&trust.log) {
                // A witness's key in the place of the log's would say less than is asked.
                signed = key.role() == Role::Log;
            } else if let Some(at) = at {
                // What a witness signs does not have its name: one key under two names is one witness.
                if !publics.contains(&key.public()) {
                    publics.push(key.public());
                    cosigned.push(Cosigned { name: line.name.clone(), at });
                }
            }
        }
        if !signed {
            return Err(Unverified::Unsigned(trust.log.name().to_owned()));
        }
        if cosigned.len() < trust.quorum {
            return Err(Unverified::TooFew { have: cosigned.len(), need: trust.quorum });
        }
        Ok(cosigned)
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

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }

    /// `None` when the key has not signed that; else the time that stands in the signature, if it has one.
    fn check(&self, key: &VerifierKey, text: &str) -> Option<Option<u64>> {
        match key.role() {
            Role::Log => key.verifies(text.as_bytes(), &self.bytes).then_some(None),
            Role::Witness => {
                let (at, signature) = self.bytes.split_first_chunk()?;
                let at = u64::from_be_bytes(*at);
                (at <= MAX_SIZE && key.verifies(&cosigned(text, at), signature)).then_some(Some(at))
            }
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DASH}{} {}", self.name, BASE64_STANDARD.encode([&self.id, &self.bytes[..]].concat()))
    }
}

/// What a witness signs.
fn cosigned(text: &str, at: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {at}\n{text}").into_bytes()
}
