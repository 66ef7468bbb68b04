//! The operator's secrets: where those of a data folder are, as `stead.toml` and the environment say.

use std::path::Path;

use stead_core::code;
pub use stead_ports::secret::{Secret, SecretError, Secrets};
use stead_secrets::{Folder, Login, Variables, Vault, VaultOptions};
pub use stead_secrets::{Found, KEY_VARIABLE, KeySource, Listed, Place, SecretsFile, Source, Sources, State, rules};
pub use stead_tools::secret::SHORTEST_SEARCHED;

use crate::config;

/// Where the encrypted file of a data folder is, and where its key comes from: the environment's, the one of `key_file`, or the
/// one in the data folder.
pub fn place(data_dir: &Path, told: &config::Secrets) -> Place {
    let variable = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty()).map(Secret::new);
    Place::in_data(data_dir).with(told.file.clone(), told.key_file.clone(), variable)
}

/// All sources of a data folder's secrets.
///
/// # Errors
/// `ST0196` for a vault that cannot be asked as it is told: nothing is asked yet.
pub fn sources(data_dir: &Path, told: &config::Secrets) -> Result<Sources, SecretError> {
    Ok(Sources {
        file: SecretsFile::at(place(data_dir, told)),
        folder: told.dir.clone().map(Folder::at),
        variables: Variables::new(told.env.clone(), told.env_prefix.clone()),
        vault: told.vault.as_ref().map(vault).transpose()?,
    })
}

fn vault(told: &config::Vault) -> Result<Vault, SecretError> {
    let login = match (&told.token_file, &told.token_env, &told.role_id, &told.secret_id_file) {
        (Some(file), ..) => Login::TokenFile(file.clone()),
        (_, Some(name), ..) => {
            let missing = |_| {
                SecretError::new(
                    code::SECRETS_VAULT,
                    format!("the variable {name} of `secrets.vault.token_env` is not set"),
                )
            };
            Login::Token(Secret::new(std::env::var(name).map_err(missing)?))
        }
        (_, _, Some(role_id), Some(secret_id_file)) => Login::AppRole {
            mount: told.login_mount.clone(),
            role_id: role_id.clone(),
            secret_id_file: secret_id_file.clone(),
        },
        _ => return Err(SecretError::new(code::SECRETS_VAULT, "`secrets.vault` names no way to log in")),
    };
    Vault::new(VaultOptions {
        address: told.address.clone(),
        namespace: told.namespace.clone(),
        mount: told.mount.clone(),
        path: told.path.clone().unwrap_or_default(),
        login,
        ca_file: told.ca_file.clone(),
        timeout: told.timeout.0,
        cache: told.cache.0,
    })
}
