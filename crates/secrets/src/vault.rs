//! Secrets in a HashiCorp Vault or an OpenBao: the key-value engine, version 2, over its HTTP API. A secret of the engine is a JSON
//! object. One that has the single field `value` is that text; of any other, manifests take a field: `secret://NAME#FIELD`.
//!
//! * `api` has the requests and what their answers mean, `token` the credential: where it comes from and how it stays alive.
//!
//! What was read is kept for a while, so that not each call of a tool asks again; a value older than that is not used when the
//! vault does not answer. Not here: which names may be asked for.

mod api;
mod token;

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stead_core::code;
use stead_ports::secret::{Secret, SecretError};

use crate::rules::{self, is_name};
use api::{Api, Refused};
use token::Tokens;

/// Secrets that are kept.
const MAX_KEPT: usize = rules::MAX_COUNT;

/// Where a vault is, and how it is asked.
#[derive(Clone, Debug)]
pub struct VaultOptions {
    /// Its address, such as `https://vault.example.com:8200`.
    pub address: String,
    /// The namespace, when it has such.
    pub namespace: Option<String>,
    /// Where the key-value engine is mounted: `secret`.
    pub mount: String,
    /// What stands before a secret's name in its path, such as `stead/production`; may be empty.
    pub path: String,
    /// How to log in.
    pub login: Login,
    /// PEM file of the authorities that sign its certificate; those of the system without it.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// How long a value is used before it is asked for again.
    pub cache: Duration,
}

/// How to log in.
#[derive(Clone)]
pub enum Login {
    /// The token in this file, which another program may put there anew.
    TokenFile(PathBuf),
    /// This token.
    Token(Secret),
    /// A role and the file of its secret id.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The file of the secret id.
        secret_id_file: PathBuf,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenFile(path) => f.debug_tuple("TokenFile").field(path).finish(),
            Self::Token(_) => f.write_str("Token(..)"),
            Self::AppRole { mount, .. } => f.debug_struct("AppRole").field("mount", mount).finish_non_exhaustive(),
        }
    }
}

/// See the module.
pub struct Vault {
    api: Arc<Api>,
    tokens: Arc<Tokens>,
    cache: Duration,
    kept: Mutex<HashMap<String, (Instant, Option<Secret>)>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault; nothing is asked yet.
    ///
    /// # Errors
    /// `ST0196` for an address that is none or not protected, and certificates that cannot be read.
    pub fn new(options: VaultOptions) -> Result<Self, SecretError> {
        let (login, cache) = (options.login.clone(), options.cache);
        let api = Arc::new(Api::new(options)?);
        let tokens = Arc::new(Tokens::new(api.clone(), login));
        Ok(Self { api, tokens, cache, kept: Mutex::default() })
    }

    /// Which it is, for messages.
    pub fn place(&self) -> String {
        self.api.place()
    }

    /// The value of that name; `None` when there is none, or its newest version was deleted.
    ///
    /// # Errors
    /// `ST0196` when the vault does not answer in time, refuses, or says what makes no sense.
    pub async fn value(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        if !is_name(name) {
            return Ok(None);
        }
        if let Some((at, value)) = self.kept.lock().get(name)
            && at.elapsed() < self.cache
        {
            return Ok(value.clone());
        }
        let token = self.tokens.current().await?;
        let mut found = self.api.read(&token, name).await;
        if let Err(Refused::Denied) = found {
            found = self.api.read(&self.another(&token).await?, name).await;
        }
        let found = found.map_err(|refused| self.told(refused))?;
        if let Some(value) = &found {
            rules::check_value(value)
                .map_err(|e| wrong(format!("{}: the secret `{name}` cannot be used: {}", self.place(), e.detail)))?;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_KEPT && !kept.contains_key(name) {
            kept.clear();
        }
        kept.insert(name.to_owned(), (Instant::now(), found.clone()));
        Ok(found)
    }

    /// The names below the path, in order.
    ///
    /// # Errors
    /// As [`Vault::value`].
    pub async fn names(&self) -> Result<Vec<String>, SecretError> {
        let token = self.tokens.current().await?;
        let mut names = self.api.list(&token).await;
        if let Err(Refused::Denied) = names {
            names = self.api.list(&self.another(&token).await?).await;
        }
        let mut names = names.map_err(|refused| self.told(refused))?;
        // A name that ends with a slash is a folder.
        names.retain(|name| is_name(name));
        names.sort();
        names.truncate(MAX_KEPT);
        Ok(names)
    }

    /// Another token than one that was refused.
    async fn another(&self, refused: &Secret) -> Result<Secret, SecretError> {
        self.tokens.fresh(refused).await?.ok_or_else(|| self.told(Refused::Denied))
    }

    fn told(&self, refused: Refused) -> SecretError {
        match refused {
            Refused::Denied => {
                let why = "the token is refused, or its policy does not let it read there";
                wrong(format!("{}: {why}", self.place()))
            }
            Refused::Other(e) => e,
        }
    }
}

fn wrong(why: impl Into<String>) -> SecretError {
    SecretError::new(code::SECRETS_VAULT, why)
}
