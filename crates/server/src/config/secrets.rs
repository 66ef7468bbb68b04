//! `[secrets]` of `stead.toml`: where secrets may be.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{read::names_variable, units::Time};

/// Where secrets may be. The first source that has a name counts: the encrypted file, `dir`, the variables, the vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Secrets")]
pub struct Secrets {
    /// The encrypted file that `stead secrets` writes, relative to this one; `secrets.sealed` in `data_dir` when silent.
    pub file: Option<PathBuf>,
    /// File of its key, relative to this one; `keys/secrets.key` in `data_dir` when silent. The variable `STEAD_SECRETS_KEY`
    /// counts before it.
    pub key_file: Option<PathBuf>,
    /// Folder with a file for each secret, such as `/run/secrets`, relative to this file.
    pub dir: Option<PathBuf>,
    /// Names of variables of the environment that are secrets of the same name.
    #[schemars(inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")))]
    pub env: BTreeSet<String>,
    /// Variables of the environment that begin so are secrets, by what follows in their names.
    pub env_prefix: Option<String>,
    /// A HashiCorp Vault or an OpenBao.
    pub vault: Option<Vault>,
}

/// A HashiCorp Vault or an OpenBao, with a key-value engine of version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Vault")]
pub struct Vault {
    /// Its address: `https://HOST:PORT`; `http` only on this machine.
    pub address: String,
    /// Its namespace, when it has such.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Where the key-value engine is mounted.
    #[serde(default = "Vault::mount")]
    pub mount: String,
    /// What stands before the name of a secret in its path.
    #[serde(default)]
    pub path: Option<String>,
    /// File of a token, relative to this one; it is read again when it has changed.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Variable of the environment that holds a token.
    #[serde(default)]
    pub token_env: Option<String>,
    /// Id of a role of the AppRole method, together with `secret_id_file`.
    #[serde(default)]
    pub role_id: Option<String>,
    /// File of the role's secret id, relative to this one.
    #[serde(default)]
    pub secret_id_file: Option<PathBuf>,
    /// Where the AppRole method is mounted.
    #[serde(default = "Vault::login_mount")]
    pub login_mount: String,
    /// PEM file of the authorities that sign its certificate, relative to this one; those of the system when silent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    #[serde(default = "Vault::timeout")]
    pub timeout: Time,
    /// How long a value is used before it is asked for again.
    #[serde(default = "Vault::cache")]
    pub cache: Time,
}

impl Vault {
    fn mount() -> String {
        "secret".into()
    }
    fn login_mount() -> String {
        "approle".into()
    }
    fn timeout() -> Time {
        Time(Duration::from_secs(5))
    }
    fn cache() -> Time {
        Time(Duration::from_secs(30))
    }
}

impl Secrets {
    /// Relative paths start there.
    pub(super) fn based(&mut self, base: &Path) {
        let own = self.file.iter_mut().chain(&mut self.key_file).chain(&mut self.dir);
        let vault = self
            .vault
            .iter_mut()
            .flat_map(|vault| vault.token_file.iter_mut().chain(&mut vault.secret_id_file).chain(&mut vault.ca_file));
        own.chain(vault).for_each(|path| *path = base.join(&*path));
    }

    /// What is wrong, and what to do.
    pub(super) fn wrong(&self) -> Option<(String, String)> {
        let told = |what: &str, hint: &str| Some((what.to_owned(), hint.to_owned()));
        if let Some(name) = self.env.iter().find(|name| !names_variable(name)) {
            return told(&format!("`secrets.env`: {name:?} names no variable"), "letters, digits and `_`");
        }
        if self.env_prefix.as_ref().is_some_and(|prefix| !names_variable(prefix)) {
            return told("`secrets.env_prefix` begins no variable's name", "write such as `STEAD_SECRET_`");
        }
        let vault = self.vault.as_ref()?;
        let ways = [
            vault.token_file.is_some(),
            vault.token_env.is_some(),
            vault.role_id.is_some() || vault.secret_id_file.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            return told(
                "`secrets.vault` needs one way to log in",
                "set `token_file`, or `token_env`, or `role_id` and `secret_id_file`",
            );
        }
        if vault.role_id.is_some() != vault.secret_id_file.is_some() {
            return told("`secrets.vault`: a role needs both its ids", "set `role_id` and `secret_id_file`");
        }
        if vault.token_env.as_ref().is_some_and(|name| !names_variable(name)) {
            return told("`secrets.vault.token_env` names no variable", "letters, digits and `_`");
        }
        if vault.timeout.0.is_zero() || vault.timeout.0 > Duration::from_secs(60) {
            return told("`secrets.vault.timeout` must be more than 0 and at most 60s", "5s is usual");
        }
        if vault.cache.0 > Duration::from_secs(3_600) {
            return told("`secrets.vault.cache` can be at most 1h", "30s is usual");
        }
        None
    }
}
