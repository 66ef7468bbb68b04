//! What the logs of a server are called, and the one key they are all signed with.

use std::sync::Arc;

use stead_audit::{
    key::{BadKey, SignerKey},
    origin,
};
use stead_core::id::Name;
use stead_ports::audit::OPERATORS;

/// The key of a server's logs, and their epoch.
#[derive(Clone, Debug)]
pub struct LogKey {
    base: Arc<SignerKey>,
    epoch: u32,
}

impl LogKey {
    /// A key whose name is what the server is called; `epoch` is how often its journal has been restored, from 1.
    ///
    /// # Errors
    /// [`BadKey::Name`] when the name is too long for one.
    pub fn new(base: SignerKey, epoch: u32) -> Result<Self, BadKey> {
        // A tenant's part is escaped and bounded, so that what holds for one holds for all.
        origin::of(base.verifier().name(), Some(&"x".repeat(300)), epoch)?;
        Ok(Self { base: Arc::new(base), epoch })
    }

    /// The key of a log.
    pub fn signer(&self, tenant: &Name) -> SignerKey {
        let tenant = Some(tenant.as_str()).filter(|tenant| *tenant != OPERATORS);
        let origin = origin::of(self.base.verifier().name(), tenant, self.epoch);
        let key = origin.and_then(|origin| self.base.named(&origin));
        key.expect("the name was tried when this was made")
    }

    /// How often the journal has been restored, from 1.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }
}
