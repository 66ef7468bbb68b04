//! A passkey that somebody asks to be enrolled: made and signed on a page of the server with the new key itself, carried to those who
//! may enrol it. The signature shows that whoever asks has the key, that it signs on that page, and that nobody put another person's name to
//! it on the way; whether the person is who they say is for those who enrol.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    directory::is_name,
    fields::{BadForm, Fields},
    json::Value,
    key::PublicKey,
    receipt::{Receipt, Signature},
    statement::Human,
    verify::{BadSignature, Passkey, verify},
};

const KIND: &str = "passkey/v1";
/// Longest id of a credential, in bytes: the bound of WebAuthn Level 2, section 5.1.3.
const MAX_CREDENTIAL: usize = 1_023;
/// Longest request, in bytes.
const MAX_REQUEST: usize = 8 << 10;

/// A request to enrol a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The tenant.
    pub tenant: String,
    /// Whose it is to be.
    pub human: Human,
    /// The key.
    pub key: PublicKey,
    /// Where it signs.
    pub passkey: Passkey,
    /// When it was made, in seconds since 1970.
    pub at: u64,
}

/// Why a request is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It cannot be read.
    #[error("the request cannot be read: {0}")]
    Form(#[from] BadForm),
    /// The key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It is signed with another key than it names.
    #[error("the request is signed with another key than it names")]
    Key,
    /// The authenticator did not verify the person, which it must be able to.
    #[error("the authenticator has not verified the person by a PIN or a finger")]
    Person,
}

impl Request {
    /// The text that the new key signs.
    pub fn to_text(&self) -> String {
        Value::object([
            ("stead", Value::text(KIND)),
            ("tenant", Value::text(&self.tenant)),
            ("issuer", Value::text(&self.human.issuer)),
            ("subject", Value::text(&self.human.subject)),
            ("key", Value::text(self.key.to_string())),
            ("passkey", place_value(&self.passkey)),
            ("at", Value::int(self.at)),
        ])
        .to_string()
    }

    /// Reads the text that was signed.
    ///
    /// # Errors
    /// It is not canonical, or something is missing, of another kind, too long, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        if text.len() > MAX_REQUEST {
            return Err(BadForm::Member("statement"));
        }
        let mut f = Fields::of_text(text, KIND)?;
        let named = |text: String, member| if is_name(&text) { Ok(text) } else { Err(BadForm::Member(member)) };
        let request = Self {
            tenant: named(f.text("tenant")?, "tenant")?,
            human: Human {
                issuer: named(f.text("issuer")?, "issuer")?,
                subject: named(f.text("subject")?, "subject")?,
            },
            key: f.text("key")?.parse().map_err(|_| BadForm::Member("key"))?,
            passkey: place_of(f.maybe("passkey")?.ok_or(BadForm::Member("passkey"))?)?,
            at: f.int("at")?,
        };
        f.done()?;
        // One way to write each key: no comment, no other form.
        if request.to_text() == text { Ok(request) } else { Err(BadForm::Member("key")) }
    }

    /// The request of a receipt that the new key itself has signed, by an authenticator that has verified the person.
    ///
    /// # Errors
    /// [`BadRequest`].
    pub fn of(receipt: &Receipt) -> Result<Self, BadRequest> {
        let request = Self::from_text(&receipt.text)?;
        if receipt.key != request.key {
            return Err(BadRequest::Key);
        }
        if !matches!(receipt.signature, Signature::Webauthn { .. }) {
            return Err(BadSignature::Kind.into());
        }
        let seen = verify(&receipt.text, &request.key, Some(&request.passkey), &receipt.signature)?;
        if seen.person { Ok(request) } else { Err(BadRequest::Person) }
    }
}

/// Where a passkey signs, as a document. What is not known is left out: entries of before have no credential.
pub(crate) fn place_value(place: &Passkey) -> Value {
    let credential = place.credential.as_ref().map(|id| ("credential", Value::text(id)));
    let place = [("rp_id", Value::text(&place.rp_id)), ("origin", Value::text(&place.origin))];
    Value::object(place.into_iter().chain(credential))
}

pub(crate) fn place_of(value: Value) -> Result<Passkey, BadForm> {
    let mut p = Fields::of(value, "passkey")?;
    let name = |p: &mut Fields, member| Some(p.text(member)?).filter(|n| is_name(n)).ok_or(BadForm::Member(member));
    let (rp_id, origin) = (name(&mut p, "rp_id")?, name(&mut p, "origin")?);
    let credential = p.text_if_there("credential")?;
    p.done()?;
    let is_id = |id: &String| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).unwrap_or_default();
        (1..=MAX_CREDENTIAL).contains(&bytes.len())
    };
    if credential.as_ref().is_some_and(|id| !is_id(id)) {
        return Err(BadForm::Member("credential"));
    }
    Ok(Passkey { rp_id, origin, credential })
}
