//! Whether a note is signed by whom it must be. Lines of keys that are not asked for count for nothing.

use super::{Note, Signature};
use crate::{
    MAX_SIZE,
    key::{Role, VerifierKey},
};

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

impl Signature {
    pub(super) fn is_of(&self, key: &VerifierKey) -> bool {
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

/// What a witness signs.
pub(super) fn cosigned(text: &str, at: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {at}\n{text}").into_bytes()
}
