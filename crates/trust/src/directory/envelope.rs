//! An entry with its signatures: the bytes that a store keeps, self-contained.

use crate::{
    fields::{BadForm, Fields},
    json::{Value, parse},
    key::PublicKey,
    receipt::Signature,
};

const KIND: &str = "directory-entry/v1";
/// Longest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 128 << 10;
/// Most signatures of one entry.
const MAX_SIGNATURES: usize = 16;

/// One signature under an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key.
    pub key: PublicKey,
    /// Its signature over the entry's text.
    pub signature: Signature,
}

/// An entry with its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The entry's text.
    pub entry: String,
    /// Who signed it.
    pub signatures: Vec<Signed>,
}

impl Envelope {
    /// The envelope as canonical text.
    pub fn to_text(&self) -> String {
        let signed = |s: &Signed| {
            Value::object([("key", Value::text(s.key.to_string())), ("signature", s.signature.to_value())])
        };
        Value::object([
            ("stead", Value::text(KIND)),
            ("entry", Value::text(&self.entry)),
            ("signatures", Value::List(self.signatures.iter().map(signed).collect())),
        ])
        .to_string()
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// It is too long, no JSON, or something is missing, of another kind, too much, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        if text.len() > MAX_ENVELOPE {
            return Err(BadForm::Member("entry"));
        }
        let mut f = Fields::of(parse(text.as_bytes())?, "envelope")?;
        if f.text("stead")? != KIND {
            return Err(BadForm::Member("stead"));
        }
        let entry = f.text("entry")?;
        let listed = f.list("signatures")?;
        if listed.len() > MAX_SIGNATURES {
            return Err(BadForm::Member("signatures"));
        }
        let signed = |value| {
            let mut s = Fields::of(value, "signatures")?;
            let key = s.text("key")?.parse().map_err(|_| BadForm::Member("key"))?;
            let signature = Signature::from_fields(s.object("signature")?)?;
            s.done()?;
            Ok(Signed { key, signature })
        };
        let signatures = listed.into_iter().map(signed).collect::<Result<_, BadForm>>()?;
        f.done()?;
        Ok(Self { entry, signatures })
    }
}
