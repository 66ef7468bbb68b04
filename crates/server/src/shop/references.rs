//! Secrets as manifests name them (`secret://NAME#FIELD`, `env://NAME`), for the proxies of boxes: read when one is put in.

use stead_core::code;
use stead_manifest::manifest::{SecretPlace, SecretRef};
use stead_ports::{
    BoxFuture,
    secret::{Secret, SecretError, Secrets},
};

use crate::agents::{Keys, found, values};

/// Resolves references.
pub(super) struct References(Keys);

impl References {
    pub(super) fn new(keys: Keys) -> Self {
        Self(keys)
    }
}

impl Secrets for References {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        Box::pin(async move {
            let Some(reference) = SecretRef::read(name) else { return Ok(None) };
            let names = match reference.place() {
                SecretPlace::Secret(name) => vec![name.to_owned()],
                SecretPlace::Env(_) => Vec::new(),
            };
            let known = values(&*self.0.secrets, &names).await.map_err(|e| SecretError::new(e.code, e.detail))?;
            match found(&self.0.environment, &reference, &known) {
                Ok(value) => Ok(Some(value)),
                Err(e) if e.code == code::SECRET_MISSING => Ok(None),
                Err(e) => Err(SecretError::new(e.code, e.detail)),
            }
        })
    }
}
