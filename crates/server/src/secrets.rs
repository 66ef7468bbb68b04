//! The operator's secrets: where those of a data folder are, as `stead.toml` and the environment say.

use std::path::Path;

pub use stead_ports::secret::{Secret, SecretError, Secrets};
pub use stead_secrets::{KEY_VARIABLE, KeySource, Listed, Place, SecretsFile, rules};

use crate::config;

/// Where the secrets of a data folder are, and where their key comes from: the environment's, the one of `key_file`, or the
/// one in the data folder.
pub fn place(data_dir: &Path, told: &config::Secrets) -> Place {
    let variable = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty()).map(Secret::new);
    Place::in_data(data_dir).with(told.file.clone(), told.key_file.clone(), variable)
}
