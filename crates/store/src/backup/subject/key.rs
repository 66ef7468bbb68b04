//! A key of a person: random, of one tenant, and known by the person's digest and not by their name.

use std::{fmt, sync::Arc};

use minicbor::{Decode, Encode};
use stead_core::code;
use stead_ports::journal::StoreError;
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyId;
use crate::seal::{
    WrappingKey,
    key::{LEN, Sealing, WrapperId, random, sealing},
    refused,
};

/// Whose what is nobody's is: the digest of no person.
pub(crate) const NOBODY: [u8; 32] = [0; 32];

/// A key in use.
#[derive(Clone)]
pub(crate) struct SubjectKey {
    pub(crate) id: KeyId,
    pub(crate) tenant: String,
    /// The person's digest, as erasures name them; [`NOBODY`] for what is nobody's.
    pub(crate) subject: [u8; 32],
    /// When it was made, in microseconds since 1970.
    pub(crate) made: i64,
    /// It is for runs that began until then: the time of the erasure that is to destroy it. None for the one in use.
    pub(crate) until: Option<i64>,
    bytes: Zeroizing<[u8; LEN]>,
    pub(super) key: Arc<Sealing>,
}

/// A key as a store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeptKey {
    pub(crate) id: KeyId,
    pub(crate) tenant: String,
    pub(crate) subject: [u8; 32],
    pub(crate) made: i64,
    pub(crate) until: Option<i64>,
    /// The key that wraps it; none in a store that is not encrypted.
    pub(crate) wrapper: Option<WrapperId>,
    /// The key, wrapped where there is a wrapper.
    pub(crate) body: Vec<u8>,
}

/// A key as the file of keys has it.
#[derive(Clone, Encode, Decode)]
pub(super) struct Written {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(super) id: KeyId,
    #[n(1)]
    tenant: String,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    subject: [u8; 32],
    #[n(3)]
    made: i64,
    #[n(4)]
    until: Option<i64>,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    key: [u8; LEN],
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectKey").field("tenant", &self.tenant).field("until", &self.until).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptKey").field("tenant", &self.tenant).field("until", &self.until).finish_non_exhaustive()
    }
}

impl SubjectKey {
    fn new(id: KeyId, (tenant, subject): (String, [u8; 32]), made: i64, until: Option<i64>, bytes: &[u8; LEN]) -> Self {
        Self { id, tenant, subject, made, until, bytes: Zeroizing::new(*bytes), key: Arc::new(sealing(bytes)) }
    }

    /// A fresh key.
    pub(crate) fn fresh(tenant: &str, subject: [u8; 32], made: i64, until: Option<i64>) -> Result<Self, StoreError> {
        let (mut id, mut bytes) = (KeyId::default(), Zeroizing::new([0; LEN]));
        random(&mut id)?;
        random(&mut *bytes)?;
        Ok(Self::new(id, (tenant.to_owned(), subject), made, until, &bytes))
    }

    /// As a store keeps it that is encrypted under this key, or not.
    pub(crate) fn kept(&self, wrapping: Option<&WrappingKey>) -> Result<KeptKey, StoreError> {
        let body = match wrapping {
            Some(wrapping) => wrapping.wrap_bound(&bound(&self.id, &self.tenant, &self.subject), &self.bytes)?,
            None => self.bytes.to_vec(),
        };
        let Self { id, tenant, subject, made, until, .. } = self.clone();
        Ok(KeptKey { id, tenant, subject, made, until, wrapper: wrapping.map(WrappingKey::id), body })
    }

    pub(super) fn written(&self) -> Written {
        let Self { id, tenant, subject, made, until, .. } = self.clone();
        Written { id, tenant, subject, made, until, key: *self.bytes }
    }
}

impl Written {
    pub(super) fn key(&self) -> SubjectKey {
        SubjectKey::new(self.id, (self.tenant.clone(), self.subject), self.made, self.until, &self.key)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl KeptKey {
    /// The key itself.
    ///
    /// # Errors
    /// ST0157 when it is wrapped with another key than this one, ST0144 when it is damaged.
    pub(crate) fn open(
        &self,
        place: impl fmt::Display,
        wrapping: Option<&WrappingKey>,
    ) -> Result<SubjectKey, StoreError> {
        let bytes = match (self.wrapper, wrapping) {
            (None, _) => <[u8; LEN]>::try_from(&self.body[..]).ok().map(Zeroizing::new),
            (Some(id), Some(wrapping)) if id == wrapping.id() => {
                wrapping.unwrap_bound(&bound(&self.id, &self.tenant, &self.subject), &self.body)
            }
            _ => {
                let why = "its keys of persons are wrapped with another key than the one that `encrypt` or STEAD_ENCRYPT names";
                return Err(refused(place, why));
            }
        };
        let bytes = bytes.ok_or_else(|| StoreError {
            code: code::DATA_DAMAGED,
            detail: format!("{place}: a key of a person is damaged; restore a backup with a kept file of keys"),
        })?;
        Ok(SubjectKey::new(self.id, (self.tenant.clone(), self.subject), self.made, self.until, &bytes))
    }
}

/// What a wrapped key is bound to.
fn bound(id: &KeyId, tenant: &str, subject: &[u8; 32]) -> Vec<u8> {
    [b"stead/subject-key/v1", &id[..], subject, tenant.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_kept_key_opens_with_its_own_wrapping_key_for_its_own_person_alone() {
        let (own, other) = (WrappingKey::from_bytes(&[1; 32]), WrappingKey::from_bytes(&[2; 32]));
        let key = SubjectKey::fresh("acme", [3; 32], 1, None).unwrap();
        let kept = key.kept(Some(&own)).unwrap();
        assert!(!kept.body.windows(8).any(|w| w == &key.bytes[..8]), "it is not kept as it is");
        assert_eq!(*kept.open("here", Some(&own)).unwrap().bytes, *key.bytes);
        assert_eq!(kept.open("here", Some(&other)).unwrap_err().code, code::DATA_KEY);
        assert_eq!(kept.open("here", None).unwrap_err().code, code::DATA_KEY);
        let moved = KeptKey { subject: [4; 32], ..kept };
        assert_eq!(moved.open("here", Some(&own)).unwrap_err().code, code::DATA_DAMAGED);
        // What was kept before encryption was turned on is read as it is.
        let plain = key.kept(None).unwrap();
        assert_eq!(*plain.open("here", Some(&own)).unwrap().bytes, *key.bytes);
    }
}
