//! Operations on signed answers and on the directory of approvers.

use stead_api::{
    approval::{Answer, SignedQuestion},
    approver::{AddEntry, Approvers, Entries, PasskeyRequests},
    login::{Link, MakeLink},
    run::Run,
};
use stead_core::id::EffectId;

use crate::{client::Client, error::ClientError};

impl Client {
    /// A question as it is signed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn question(&self, approval: EffectId) -> Result<SignedQuestion, ClientError> {
        self.call(self.get(&["v1", "approvals", &approval.to_string(), "question"], &[(); 0])?).await
    }

    /// Answers with a signed statement.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn answer_signed(
        &self,
        approval: EffectId,
        approved: bool,
        note: Option<String>,
        receipt: String,
    ) -> Result<Run, ClientError> {
        let verb = if approved { "approve" } else { "deny" };
        let answer = Answer { note, receipt: Some(receipt) };
        self.call(self.post(&["v1", "approvals", &approval.to_string(), verb], &answer)?).await
    }

    /// The directory of approvers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approvers(&self) -> Result<Approvers, ClientError> {
        self.call(self.get(&["v1", "approvers"], &[(); 0])?).await
    }

    /// Entries of the directory, from a number on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approver_entries(&self, from: u64) -> Result<Entries, ClientError> {
        self.call(self.get(&["v1", "approvers", "entries"], &[("from", from)])?).await
    }

    /// Passkeys that wait to be enrolled.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn passkey_requests(&self) -> Result<PasskeyRequests, ClientError> {
        self.call(self.get(&["v1", "approvers", "requests"], &[(); 0])?).await
    }

    /// A link with which a browser signs in as this client, once, and where it leads.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn login_link(&self, approval: Option<EffectId>) -> Result<Link, ClientError> {
        self.call(self.post(&["v1", "login", "links"], &MakeLink { approval })?).await
    }

    /// Adds a signed entry to the directory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_approver_entry(&self, entry: String) -> Result<Approvers, ClientError> {
        self.call(self.post(&["v1", "approvers", "entries"], &AddEntry { entry })?).await
    }
}
