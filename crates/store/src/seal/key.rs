//! The two kinds of keys. A *wrapping key* is the operator's: it stands outside of the store and opens nothing but data keys. A
//! *data key* is random, belongs to one tenant, and is kept in the store, wrapped.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use minicbor::{Decode, Encode};
use stead_core::{code, id::Name};
use stead_ports::journal::StoreError;
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const LEN: usize = 32;
/// Bytes of a nonce.
pub(crate) const NONCE: usize = NONCE_LEN;
/// Bytes that sealing adds at the end.
pub(crate) const TAG: usize = MAX_TAG_LEN;

/// By which a wrapping key is recognised; says nothing about it.
pub(crate) type WrapperId = [u8; 8];

/// The operator's key, which wraps the keys of tenants.
#[derive(Clone)]
pub struct WrappingKey(Arc<Inner>);

struct Inner {
    id: WrapperId,
    key: LessSafeKey,
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(..)")
    }
}

impl WrappingKey {
    /// A key from its 32 bytes, which must be random and secret.
    pub fn from_bytes(bytes: &[u8; LEN]) -> Self {
        let mut labelled = Zeroizing::new(b"stead/wrapping-key/id/v1".to_vec());
        labelled.extend_from_slice(bytes);
        let mut id = WrapperId::default();
        id.copy_from_slice(&digest(&SHA256, &labelled).as_ref()[..8]);
        Self(Arc::new(Inner { id, key: sealing(bytes) }))
    }

    pub(crate) fn id(&self) -> WrapperId {
        self.0.id
    }

    /// A fresh data key of that tenant, as it is kept.
    pub(crate) fn fresh(&self, tenant: &Name) -> Result<WrappedKey, StoreError> {
        let (mut key, mut id) = (Zeroizing::new([0; LEN]), [0; 8]);
        random(&mut *key)?;
        random(&mut id)?;
        // A database's numbers are signed.
        let id = i64::from_be_bytes(id) & i64::MAX;
        self.wrap(id, tenant.as_str(), true, &key)
    }

    /// The same data key under this wrapping key.
    pub(crate) fn wrap(&self, id: i64, tenant: &str, current: bool, key: &[u8; LEN]) -> Result<WrappedKey, StoreError> {
        let wrapped = seal(&self.0.key, &bound(id, tenant), &[], key)?;
        Ok(WrappedKey { id, tenant: tenant.to_owned(), wrapper: self.0.id, wrapped, current })
    }

    /// The data key itself; `None` when it was wrapped for another tenant or id, or is damaged.
    pub(crate) fn unwrap(&self, row: &WrappedKey) -> Option<Zeroizing<[u8; LEN]>> {
        let plain = Zeroizing::new(open(&self.0.key, &bound(row.id, &row.tenant), &row.wrapped)?);
        <[u8; LEN]>::try_from(plain.as_slice()).ok().map(Zeroizing::new)
    }
}

impl WrappingKey {
    /// A key of any kind under this one, bound to what it is: `nonce || sealed`.
    pub(crate) fn wrap_bound(&self, aad: &[u8], key: &[u8; LEN]) -> Result<Vec<u8>, StoreError> {
        seal(&self.0.key, aad, &[], key)
    }

    /// The key that was wrapped so; `None` when it was bound to something else, or is damaged.
    pub(crate) fn unwrap_bound(&self, aad: &[u8], wrapped: &[u8]) -> Option<Zeroizing<[u8; LEN]>> {
        let plain = Zeroizing::new(open(&self.0.key, aad, wrapped)?);
        <[u8; LEN]>::try_from(plain.as_slice()).ok().map(Zeroizing::new)
    }
}

fn bound(id: i64, tenant: &str) -> Vec<u8> {
    [b"stead/data-key/v1", &id.to_be_bytes()[..], tenant.as_bytes()].concat()
}

/// A data key as the store keeps it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct WrappedKey {
    /// Its id, which stands in everything that it has sealed.
    #[n(0)]
    pub(crate) id: i64,
    /// Whose it is.
    #[n(1)]
    pub(crate) tenant: String,
    /// The key that wraps it.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) wrapper: WrapperId,
    /// The key, wrapped.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) wrapped: Vec<u8>,
    /// Whether it seals what is written now; at most one of a tenant does.
    #[n(4)]
    pub(crate) current: bool,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey").field("id", &self.id).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A data key in use.
pub(crate) struct DataKey {
    pub(crate) id: i64,
    pub(crate) tenant: Name,
    key: LessSafeKey,
}

impl DataKey {
    pub(crate) fn new(row: &WrappedKey, bytes: &[u8; LEN]) -> Self {
        Self { id: row.id, tenant: Name::from(row.tenant.as_str()), key: sealing(bytes) }
    }

    /// Seals under a fresh nonce, after `head`. Should two nonces ever meet, only that two equal texts at one place are equal shows (RFC 8452).
    pub(crate) fn seal(&self, aad: &[u8], head: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&self.key, aad, head, plain)
    }

    /// Opens a nonce and what follows it.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.key, aad, sealed)
    }
}

/// A key that seals and opens.
pub(crate) type Sealing = LessSafeKey;

/// The key of these bytes.
pub(crate) fn sealing(bytes: &[u8; LEN]) -> Sealing {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, bytes).expect("32 bytes are a key of AES-256"))
}

/// Seals under a fresh nonce, after `head`.
pub(crate) fn seal(key: &Sealing, aad: &[u8], head: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0; NONCE];
    random(&mut nonce)?;
    let begin = head.len() + NONCE;
    let mut out = Vec::with_capacity(begin + plain.len() + TAG);
    out.extend_from_slice(head);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[begin..]).map_err(|_| StoreError {
        code: code::INTERNAL,
        detail: format!("{} bytes are too many to be sealed", plain.len()),
    })?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens a nonce and what follows it.
pub(crate) fn open(key: &Sealing, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let mut bytes = rest.to_vec();
    let len = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(len);
    Some(bytes)
}

/// Fills with random bytes of the system.
pub(crate) fn random(out: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(out)
        .map_err(|e| StoreError { code: code::INTERNAL, detail: format!("the system has no random bytes: {e}") })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_data_key_is_unwrapped_by_its_own_key_for_its_own_tenant_alone() {
        let (own, other) = (WrappingKey::from_bytes(&[1; 32]), WrappingKey::from_bytes(&[2; 32]));
        let row = own.fresh(&"acme".into()).unwrap();
        let key = own.unwrap(&row).unwrap();
        assert_ne!(*key, [0; 32]);
        assert!(!row.wrapped.windows(8).any(|w| w == &key[..8]), "it is not kept as it is");
        assert!(other.unwrap(&row).is_none());
        assert!(own.unwrap(&WrappedKey { tenant: "other".into(), ..row.clone() }).is_none());
        assert!(own.unwrap(&WrappedKey { id: row.id ^ 1, ..row.clone() }).is_none());
        let again = other.wrap(row.id, &row.tenant, false, &key).unwrap();
        assert_eq!(*other.unwrap(&again).unwrap(), *key);
        assert_ne!(own.fresh(&"acme".into()).unwrap().id, row.id);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let wrapping = WrappingKey::from_bytes(&[1; 32]);
        let row = wrapping.fresh(&"acme".into()).unwrap();
        let key = DataKey::new(&row, &wrapping.unwrap(&row).unwrap());
        let sealed = key.seal(b"here", b"", b"a text").unwrap();
        assert_eq!(key.open(b"here", &sealed).unwrap(), b"a text");
        assert!(key.open(b"there", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(b"here", &changed).is_none(), "{at}");
            assert!(key.open(b"here", &sealed[..at]).is_none(), "cut at {at}");
        }
    }
}
