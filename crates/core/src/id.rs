//! Names of things. Every id is made outside (or derived), travels as text with a prefix that says what it is,
//! and is kept in the journal as bytes.

use std::{fmt, str::FromStr, sync::Arc};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// Text that is not the id it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} (expected {expected})")]
pub struct BadId {
    text: String,
    what: &'static str,
    expected: &'static str,
}

/// Gives a newtype its text form in serde, from `Display` and `FromStr`.
macro_rules! text_serde {
    ($t:ty) => {
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// Gives a newtype over `[u8; N]`-convertible data its CBOR form: one byte string.
macro_rules! byte_cbor {
    ($t:ty, $n:literal, $to:expr, $from:expr) => {
        impl<C> Encode<C> for $t {
            fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                let to: fn(&$t) -> [u8; $n] = $to;
                e.bytes(&to(self))?.ok()
            }
        }
        impl<'b, C> Decode<'b, C> for $t {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                let raw: [u8; $n] =
                    d.bytes()?.try_into().map_err(|_| decode::Error::message("wrong id length").at(at))?;
                let from: fn([u8; $n]) -> $t = $from;
                Ok(from(raw))
            }
        }
    };
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), ulid::Ulid(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: s.chars().take(80).collect(), what: $what,
                    expected: concat!($prefix, "_ and 26 characters") };
                let ulid = s.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                ulid::Ulid::from_string(ulid).map(|u| Self(u.0)).map_err(|_| bad())
            }
        }
        text_serde!($name);
        byte_cbor!($name, 16, |v| v.0.to_be_bytes(), |b| $name(u128::from_be_bytes(b)));
    };
}

ulid_id!(
    /// One run of an agent: the unit of journaling. Sorts by creation time.
    RunId, "run", "run id"
);
ulid_id!(
    /// A session: the conversation and budget that runs share, and the partition key.
    SessionId, "ses", "session id"
);
ulid_id!(
    /// A session sandbox: a box that stays. Sorts by creation time.
    SandboxId, "sbx", "sandbox id"
);

/// A 32-byte digest named by what it addresses.
macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: s.chars().take(80).collect(), what: $what,
                    expected: concat!($prefix, " and 64 hexadecimal digits") };
                let hex = s.strip_prefix($prefix).filter(|h| h.len() == 64 && h.is_ascii()).ok_or_else(bad)?;
                let mut out = [0; 32];
                for (i, byte) in out.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
                }
                Ok(Self(out))
            }
        }
        text_serde!($name);
        byte_cbor!($name, 32, |v| v.0, |b| $name(b));
    };
}

digest_id!(
    /// An immutable agent version: SHA-256 of its manifest and of every file that names.
    VersionId, "sha256:", "agent version"
);
digest_id!(
    /// A blob's address: HMAC-SHA-256 of its content under its tenant's key, so that equal content of two
    /// tenants has two addresses (no cross-tenant existence oracle).
    BlobId, "blob:", "blob id"
);
digest_id!(
    /// A record's leaf hash; each record's hash commits to the one before it (see [`crate::record`]).
    LeafHash, "leaf:", "leaf hash"
);

digest_id!(
    /// The content of a workspace: the address of its top directory, an HMAC-SHA-256 of that directory's encoding under
    /// its tenant's key (docs/workspaces.md). Equal content has equal ids within a tenant.
    TreeId, "tree:", "tree id"
);

/// A fresh number for each load of a run into an engine: an intent may be dispatched only by the load that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct ActivationId(#[n(0)] pub u64);

/// A stable name of one effect: the run that intends it and its ordinal in that run. It is the default
/// idempotency key, and child run ids derive from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The run that owns the effect.
    pub run: RunId,
    /// Its ordinal within the run, from 1.
    pub n: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.e{}", self.run, self.n)
    }
}
impl fmt::Debug for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for EffectId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        let bad =
            || BadId { text: s.chars().take(80).collect(), what: "effect id", expected: "a run id, `.e` and a number" };
        let (run, n) = s.rsplit_once(".e").ok_or_else(bad)?;
        Ok(Self { run: run.parse()?, n: n.parse().map_err(|_| bad())? })
    }
}
text_serde!(EffectId);

impl EffectId {
    /// The id of the child run (and, from the same digest, of its own session) that this effect starts.
    /// Derived, so that starting it again after a crash finds the same run.
    pub fn child(self) -> (RunId, SessionId) {
        let digest = Sha256::new()
            .chain_update(b"stead/child/v1")
            .chain_update(self.run.0.to_be_bytes())
            .chain_update(self.n.to_be_bytes())
            .finalize();
        // Keep the parent's 48-bit time prefix, so that children sort next to their parent.
        let time = self.run.0 & !((1 << 80) - 1);
        let mut low = [0; 16];
        low[6..].copy_from_slice(&digest[..10]);
        let mut low2 = [0; 16];
        low2[6..].copy_from_slice(&digest[10..20]);
        (RunId(time | u128::from_be_bytes(low)), SessionId(time | u128::from_be_bytes(low2)))
    }
}

/// A short shared name: a tool, a tenant, a model. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Arc<str>);

impl Name {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl Default for Name {
    fn default() -> Self {
        Self("".into())
    }
}
impl From<&str> for Name {
    fn from(s: &str) -> Self {
        Self(s.into())
    }
}
impl From<String> for Name {
    fn from(s: String) -> Self {
        Self(s.into())
    }
}
impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Into::into)
    }
}
impl<C> Encode<C> for Name {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}
impl<'b, C> Decode<'b, C> for Name {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.str().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text_and_refuse_another_kind() {
        let run = RunId(42);
        assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
        assert!(run.to_string().parse::<SessionId>().is_err());
        let effect = EffectId { run, n: 7 };
        assert_eq!(effect.to_string().parse::<EffectId>(), Ok(effect));
        let blob = BlobId([7; 32]);
        assert_eq!(blob.to_string().parse::<BlobId>(), Ok(blob));
        assert!("blob:zz".parse::<BlobId>().is_err());
    }

    #[test]
    fn a_child_id_is_stable_and_differs_from_its_siblings() {
        let run = RunId(1 << 90);
        let a = EffectId { run, n: 1 }.child();
        assert_eq!(a, EffectId { run, n: 1 }.child());
        assert_ne!(a, EffectId { run, n: 2 }.child());
        assert_eq!(a.0.0 >> 80, run.0 >> 80);
    }
}
