//! What a person signs: a decision about one question, once, until a time.

use sha2::{Digest as _, Sha256};

use crate::{
    action::Hash,
    fields::{BadForm, Fields},
    hex,
    json::Value,
    key::KeyId,
    question::{Gate, Question, gates_of, gates_value},
};

const KIND: &str = "approval/v1";
/// Longest statement, in bytes.
pub const MAX_STATEMENT: usize = 16 << 10;
/// Longest time that a statement may count for, in seconds: 31 days, a day more than a gate may wait.
pub const MAX_LIFE: u64 = 31 * 24 * 3_600;

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Human {
    /// Who vouches for them: an OpenID provider, or `stead` for the server's own tokens.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
}

/// A decision about one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Yes or no.
    pub approved: bool,
    /// The tenant.
    pub tenant: String,
    /// The run.
    pub run: String,
    /// The step.
    pub step: u32,
    /// Hash of the fact with which it was asked.
    pub request: Hash,
    /// Salted hash of the action.
    pub action: Hash,
    /// The epoch of the policies that asked.
    pub epoch: Option<u64>,
    /// What gates asked for.
    pub gates: Vec<Gate>,
    /// How many different people were asked for.
    pub quorum: u32,
    /// Hash of what was shown.
    pub shown: Hash,
    /// Used once: 16 random bytes.
    pub nonce: [u8; 16],
    /// Until when it counts, in seconds since 1970.
    pub expires: u64,
    /// Who signs.
    pub human: Human,
    /// With which key.
    pub key: KeyId,
}

/// Why a statement does not answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is about something else.
    #[error("the statement was signed for another {0} than the one that is asked about")]
    Other(&'static str),
    /// It does not count any more.
    #[error("the statement has expired")]
    Expired,
    /// It would count for too long.
    #[error("the statement would count for longer than 31 days")]
    TooLong,
}

impl Statement {
    /// The statement about a question.
    pub fn about(question: &Question, approved: bool, human: Human, key: KeyId, nonce: [u8; 16], expires: u64) -> Self {
        Self {
            approved,
            tenant: question.action.tenant.clone(),
            run: question.run.clone(),
            step: question.step,
            request: question.request,
            action: question.action_hash(),
            epoch: question.epoch,
            gates: question.gates.clone(),
            quorum: question.quorum,
            shown: question.shown_hash(),
            nonce,
            expires,
            human,
            key,
        }
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let decision = if self.approved { "approve" } else { "deny" };
        Value::object([
            ("stead", Value::text(KIND)),
            ("decision", Value::text(decision)),
            ("tenant", Value::text(&self.tenant)),
            ("run", Value::text(&self.run)),
            ("step", Value::int(self.step.into())),
            ("request", Value::text(hex::encode(&self.request))),
            ("action", Value::text(hex::encode(&self.action))),
            ("policy_epoch", self.epoch.map_or(Value::Null, Value::int)),
            ("gates", gates_value(&self.gates)),
            ("quorum", Value::int(self.quorum.into())),
            ("shown", Value::text(hex::encode(&self.shown))),
            ("nonce", Value::text(hex::encode(&self.nonce))),
            ("expires", Value::int(self.expires)),
            ("issuer", Value::text(&self.human.issuer)),
            ("subject", Value::text(&self.human.subject)),
            ("key", Value::text(self.key.to_string())),
        ])
        .to_string()
    }

    /// Reads the text that was signed.
    ///
    /// # Errors
    /// It is not canonical, or something is missing, of another kind, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        if text.len() > MAX_STATEMENT {
            return Err(BadForm::Member("statement"));
        }
        let mut f = Fields::of_text(text, KIND)?;
        let statement = Self {
            approved: match &*f.text("decision")? {
                "approve" => true,
                "deny" => false,
                _ => return Err(BadForm::Member("decision")),
            },
            tenant: f.text("tenant")?,
            run: f.text("run")?,
            step: f.small("step")?,
            request: f.bytes("request")?,
            action: f.bytes("action")?,
            epoch: f.maybe_int("policy_epoch")?,
            gates: gates_of(f.list("gates")?)?,
            quorum: f.small("quorum")?,
            shown: f.bytes("shown")?,
            nonce: f.bytes("nonce")?,
            expires: f.int("expires")?,
            human: Human { issuer: f.text("issuer")?, subject: f.text("subject")? },
            key: f.text("key")?.parse().map_err(|_| BadForm::Member("key"))?,
        };
        f.done()?;
        Ok(statement)
    }

    /// Whether it answers this question, member by member.
    ///
    /// # Errors
    /// What was signed is not what is asked.
    pub fn answers(&self, question: &Question) -> Result<(), Mismatch> {
        self.answers_action(question)?;
        let same = [
            (self.gates == question.gates, "gate"),
            (self.quorum == question.quorum, "number of people"),
            (self.shown == question.shown_hash(), "text"),
        ];
        same.iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(Mismatch::Other(what)))
    }

    /// The same but for what was shown, which is put together where people are asked: for those who let an action go.
    ///
    /// # Errors
    /// What was signed is not what is asked.
    pub fn answers_action(&self, question: &Question) -> Result<(), Mismatch> {
        self.answers_request(question)?;
        if self.action == question.action_hash() { Ok(()) } else { Err(Mismatch::Other("action")) }
    }

    /// Whether it answers what was asked at that place, whatever that was: all that can be told once the texts are erased that the
    /// question was made of.
    ///
    /// # Errors
    /// What was signed was asked elsewhere.
    pub fn answers_request(&self, question: &Question) -> Result<(), Mismatch> {
        let same = [
            (self.tenant == question.action.tenant, "tenant"),
            (self.run == question.run, "run"),
            (self.step == question.step, "step"),
            (self.request == question.request, "request"),
            (self.epoch == question.epoch, "epoch of policies"),
        ];
        same.iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(Mismatch::Other(what)))
    }

    /// Whether it counts at a time, in seconds since 1970.
    ///
    /// # Errors
    /// It has expired, or would count for too long.
    pub fn is_alive(&self, now: u64) -> Result<(), Mismatch> {
        match self.expires.checked_sub(now) {
            None | Some(0) => Err(Mismatch::Expired),
            Some(left) if left > MAX_LIFE => Err(Mismatch::TooLong),
            Some(_) => Ok(()),
        }
    }

    /// What a passkey signs instead of the text: it takes 32 bytes.
    pub fn challenge(text: &str) -> Hash {
        Sha256::new().chain_update(b"stead-approval-v1\0").chain_update(text).finalize().into()
    }
}
