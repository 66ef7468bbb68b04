//! Whether a receipt is a person's answer to a question, by the directory of now; and as whom it counts.

use super::{Directory, Enrolled};
use crate::{
    fields::BadForm,
    question::Question,
    receipt::{Channel, Receipt},
    statement::{Human, Mismatch, Statement},
    verify::{BadSignature, verify},
};

/// When an answer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// When it is given: everything that was signed is compared, what was shown too.
    Giving,
    /// When it lets an action go: what is done is compared; what was shown was compared before.
    Releasing,
    /// When the texts are erased that the question was made of: only where it was asked is compared.
    Erased,
}

/// Why a receipt does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It cannot be read.
    #[error("what was signed cannot be read: {0}")]
    Form(#[from] BadForm),
    /// The signature does not count.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// It answers another question, or too late.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Nobody's key.
    #[error("the key is nobody's in this tenant's directory; enrol it (`stead approvals keys enrol`)")]
    Unknown,
    /// The key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The key is another person's, or another key's name stands in the statement.
    #[error("the statement names another person or key than the one that signed")]
    Person,
    /// Who began what is asked about does not approve it.
    #[error("who began this, or changed the agent last, does not approve it")]
    Initiator,
}

/// A receipt that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was signed.
    pub statement: Statement,
    /// The roles that the directory gives the person; `None` when it has no say.
    pub roles: Option<Vec<String>>,
    /// Whether their authenticator has verified the person.
    pub verified: bool,
    /// Over which way it came.
    pub channel: Channel,
}

impl Directory {
    /// Looks at a receipt. A denial counts for an initiator, too: who began something may end it.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn accept(
        &self,
        receipt: &Receipt,
        question: &Question,
        initiators: &[Human],
        now: u64,
        at: At,
    ) -> Result<Accepted, Rejected> {
        let statement = Statement::from_text(&receipt.text)?;
        let known = self.signer(receipt, &statement)?;
        if known.revoked.is_some() {
            return Err(Rejected::Revoked);
        }
        let verified = verify(&receipt.text, &known.of.key, known.of.passkey.as_ref(), &receipt.signature)?;
        match at {
            At::Giving => statement.answers(question)?,
            At::Releasing => statement.answers_action(question)?,
            At::Erased => statement.answers_request(question)?,
        }
        statement.is_alive(now)?;
        if statement.approved && self.excludes(&statement.human, initiators) {
            return Err(Rejected::Initiator);
        }
        let roles = (!known.of.roles.is_empty()).then(|| known.of.roles.clone());
        Ok(Accepted { statement, roles, verified: verified.person, channel: receipt.signature.channel() })
    }

    /// The key that a receipt was made with, when the statement names it and its person.
    fn signer(&self, receipt: &Receipt, statement: &Statement) -> Result<&Enrolled, Rejected> {
        let id = receipt.key.id();
        let known = self.key(&id).ok_or(Rejected::Unknown)?;
        if statement.key != id || statement.human != known.of.human || statement.tenant != self.tenant() {
            return Err(Rejected::Person);
        }
        Ok(known)
    }

    /// Whether somebody may not approve because they began it. Who works alone may.
    fn excludes(&self, human: &Human, initiators: &[Human]) -> bool {
        !self.root().personal && initiators.contains(human)
    }

    /// The roles that others let somebody approve in, for a tool: those that these have in the directory themselves. Who began the
    /// action or has answered already lends nothing.
    pub fn lent(&self, to: &Human, tool: &str, without: &[Human], now: u64) -> Vec<String> {
        let mut roles = Vec::new();
        for d in self.delegations(now).filter(|d| d.to == *to && !without.contains(&d.from)) {
            let scoped = d.tools.is_empty() || d.tools.iter().any(|t| t == tool);
            let has = |role: &&String| {
                self.keys().iter().any(|k| k.revoked.is_none() && k.of.human == d.from && k.of.roles.contains(role))
            };
            if scoped {
                roles.extend(d.roles.iter().filter(has).cloned());
            }
        }
        roles
    }
}
