//! Values that a notice's configuration only names.

use stead_manifest::manifest::{SecretPlace, SecretRef};
use stead_ports::secret::{Secret, Secrets};

use super::Unsent;
use crate::agents::{Environment, found, values};

/// What a text stands for: itself, unless it names a secret.
pub(super) async fn value(secrets: &dyn Secrets, text: &str) -> Result<Secret, Unsent> {
    let Some(reference) = SecretRef::read(text) else { return Ok(Secret::new(text)) };
    let names = match reference.place() {
        SecretPlace::Secret(name) => vec![name.to_owned()],
        SecretPlace::Env(_) => Vec::new(),
    };
    let known = values(secrets, &names).await.map_err(|e| Unsent::Secret(e.detail))?;
    // The operator wrote it: what manifests may name is no matter here.
    found(&Environment::Open, &reference, &known).map_err(|e| Unsent::Secret(e.detail))
}
