//! A signature as it is kept: with the text, the key and everything else that is needed to verify it again, by anybody, years later.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    fields::{BadForm, Fields},
    json::{Value, parse},
    key::PublicKey,
    statement::MAX_STATEMENT,
};

const KIND: &str = "receipt/v1";
/// Longest receipt, in bytes.
pub const MAX_RECEIPT: usize = 32 << 10;

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A JWS (RFC 7515) whose payload is the text: the protected header as it was encoded, and the signature.
    Jws {
        /// Base64url of the protected header.
        protected: String,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A signature of `ssh-keygen -Y sign`, armored.
    Ssh {
        /// The armored text.
        armored: String,
    },
    /// An assertion of WebAuthn over the text's challenge.
    Webauthn {
        /// `authenticatorData`.
        authenticator: Vec<u8>,
        /// `clientDataJSON`.
        client: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
}

/// A text with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The text that was signed.
    pub text: String,
    /// The key that signed it.
    pub key: PublicKey,
    /// The signature.
    pub signature: Signature,
}

impl Signature {
    /// How it reached the server: a page of the server, or something else.
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Webauthn { .. } => Channel::Page,
            Self::Jws { .. } | Self::Ssh { .. } => Channel::Tool,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        let bytes = |b: &[u8]| Value::text(BASE64_URL_SAFE_NO_PAD.encode(b));
        match self {
            Self::Jws { protected, signature } => Value::object([
                ("kind", Value::text("jws")),
                ("protected", Value::text(protected)),
                ("signature", bytes(signature)),
            ]),
            Self::Ssh { armored } => Value::object([("kind", Value::text("ssh")), ("armored", Value::text(armored))]),
            Self::Webauthn { authenticator, client, signature } => Value::object([
                ("kind", Value::text("webauthn")),
                ("authenticator_data", bytes(authenticator)),
                ("client_data", bytes(client)),
                ("signature", bytes(signature)),
            ]),
        }
    }

    pub(crate) fn from_fields(mut f: Fields) -> Result<Self, BadForm> {
        let bytes =
            |f: &mut Fields, name| BASE64_URL_SAFE_NO_PAD.decode(f.text(name)?).map_err(|_| BadForm::Member(name));
        let signature = match &*f.text("kind")? {
            "jws" => Self::Jws { protected: f.text("protected")?, signature: bytes(&mut f, "signature")? },
            "ssh" => Self::Ssh { armored: f.text("armored")? },
            "webauthn" => Self::Webauthn {
                authenticator: bytes(&mut f, "authenticator_data")?,
                client: bytes(&mut f, "client_data")?,
                signature: bytes(&mut f, "signature")?,
            },
            _ => return Err(BadForm::Member("kind")),
        };
        f.done()?;
        Ok(signature)
    }
}

/// Over which way a signature came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A page of the server: who signs there trusts the server that shows it.
    Page,
    /// A program of the signer's own.
    Tool,
}

impl Receipt {
    /// The receipt as canonical text.
    pub fn to_text(&self) -> String {
        Value::object([
            ("stead", Value::text(KIND)),
            ("statement", Value::text(&self.text)),
            ("key", Value::text(self.key.to_string())),
            ("signature", self.signature.to_value()),
        ])
        .to_string()
    }

    /// Reads a receipt. It need not be canonical: what is signed is the text inside.
    ///
    /// # Errors
    /// It is too long, no JSON, or something is missing, of another kind, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        if text.len() > MAX_RECEIPT {
            return Err(BadForm::Member("receipt"));
        }
        let mut f = Fields::of(parse(text.as_bytes())?, "receipt")?;
        if f.text("stead")? != KIND {
            return Err(BadForm::Member("stead"));
        }
        let receipt = Self {
            text: f.text("statement")?,
            key: f.text("key")?.parse().map_err(|_| BadForm::Member("key"))?,
            signature: Signature::from_fields(f.object("signature")?)?,
        };
        f.done()?;
        if receipt.text.len() > MAX_STATEMENT { Err(BadForm::Member("statement")) } else { Ok(receipt) }
    }
}
