//! Keys of logs and of witnesses: Ed25519 keys with a name, in the text form of C2SP signed notes. Keys are made outside: what
//! comes in here is a seed of 32 random bytes.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key's name.
const MAX_NAME: usize = 255;
/// What a key to sign with begins with, so that nobody takes it for the other.
const PRIVATE: &str = "PRIVATE+KEY+";

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Checkpoints of its log: type 1, Ed25519 over the text.
    Log,
    /// Checkpoints of others, with the time: type 4, `cosignature/v1`.
    Witness,
}

impl Role {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// Text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The name of a log, a witness, or both is not one.
    #[error("the name has 1 to 255 bytes without white space, `+` and control characters, as `example.com/audit/acme`")]
    Name,
    /// It does not have the form of a key.
    #[error("a key is `NAME+ID+KEY`: 8 hexadecimal digits, then base64")]
    Form,
    /// The key is one with which nothing is signed here.
    #[error("the key is neither that of a log (type 1) nor that of a witness (type 4), Ed25519 both")]
    Type,
    /// Name, id and key do not belong together.
    #[error("the id is not that of this name and key: something was changed or mistyped")]
    Id,
    /// A key to sign with, where one to verify with belongs.
    #[error("this is the key with which one signs; give the one to verify with, and keep this one secret")]
    Private,
}

/// Whether that is a name of a key, and so the origin of a log.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A key to verify with.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    role: Role,
    public: [u8; 32],
    id: [u8; 4],
}

impl VerifierKey {
    /// The key of that name.
    ///
    /// # Errors
    /// [`BadKey::Name`].
    pub fn new(name: &str, role: Role, public: [u8; 32]) -> Result<Self, BadKey> {
        if !is_name(name) {
            return Err(BadKey::Name);
        }
        let mut hash = Sha256::new().chain_update(name).chain_update([b'\n', role.byte()]);
        hash.update(public);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        Ok(Self { name: name.to_owned(), role, public, id: [a, b, c, d] })
    }

    /// The name: of a log it is the origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The id that stands before its signatures.
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The 32 bytes of the public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.name, self.id, self.role, &self.public)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.starts_with(PRIVATE) {
            return Err(BadKey::Private);
        }
        let (name, id, role, public) = read(text)?;
        let key = Self::new(name, role, public)?;
        if key.id == id { Ok(key) } else { Err(BadKey::Id) }
    }
}

/// A key to sign with. It does not print itself, but for [`SignerKey::secret_text`].
pub struct SignerKey {
    public: VerifierKey,
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl SignerKey {
    /// The key of that name out of 32 random bytes.
    ///
    /// # Errors
    /// [`BadKey::Name`].
    pub fn from_seed(name: &str, role: Role, seed: Zeroizing<[u8; 32]>) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).expect("any 32 bytes are a seed");
        let public = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
        Ok(Self { public: VerifierKey::new(name, role, public)?, seed, pair })
    }

    /// The same key under another name: for a server that signs several logs with what it keeps once. What is signed begins with the log's
    /// name, so no signature of one log is one of another.
    ///
    /// # Errors
    /// [`BadKey::Name`].
    pub fn named(&self, name: &str) -> Result<Self, BadKey> {
        Self::from_seed(name, self.public.role, self.seed.clone())
    }

    /// The key by which others verify.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("a signature has 64 bytes")
    }

    /// The key as text, to be kept secret.
    pub fn secret_text(&self) -> Zeroizing<String> {
        struct Secret<'a>(&'a SignerKey);
        impl fmt::Display for Secret<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PRIVATE)?;
                write(f, &self.0.public.name, self.0.public.id, self.0.public.role, &self.0.seed)
            }
        }
        Zeroizing::new(Secret(self).to_string())
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl FromStr for SignerKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (name, id, role, seed) = read(text.strip_prefix(PRIVATE).ok_or(BadKey::Form)?)?;
        let key = Self::from_seed(name, role, Zeroizing::new(seed))?;
        if key.public.id == id { Ok(key) } else { Err(BadKey::Id) }
    }
}

fn write(f: &mut fmt::Formatter<'_>, name: &str, id: [u8; 4], role: Role, key: &[u8; 32]) -> fmt::Result {
    let mut typed = Zeroizing::new([role.byte(); 33]);
    typed[1..].copy_from_slice(key);
    let text = Zeroizing::new(BASE64_STANDARD.encode(&typed[..]));
    write!(f, "{name}+{:08x}+{}", u32::from_be_bytes(id), *text)
}

/// A key's text: name, id, role, and the 32 bytes.
type Parts<'a> = (&'a str, [u8; 4], Role, [u8; 32]);

fn read(text: &str) -> Result<Parts<'_>, BadKey> {
    // The key itself may have a `+`; the name and the id have none.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadKey::Form);
    };
    if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) || key.len() != 44 {
        return Err(BadKey::Form);
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| BadKey::Form)?.to_be_bytes();
    let key = Zeroizing::new(BASE64_STANDARD.decode(key).map_err(|_| BadKey::Form)?);
    let (role, key) = match key.split_first() {
        Some((1, key)) => (Role::Log, key),
        Some((4, key)) => (Role::Witness, key),
        _ => return Err(BadKey::Type),
    };
    Ok((name, id, role, key.try_into().map_err(|_| BadKey::Form)?))
}
