//! Where the file of secrets is, and where its key comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use stead_ports::secret::Secret;

/// The environment variable that may hold the key instead of a file.
pub const KEY_VARIABLE: &str = "STEAD_SECRETS_KEY";

/// Where the key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// This file, which the first secret makes.
    File(PathBuf),
    /// The value of [`KEY_VARIABLE`].
    Variable(Secret),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

/// In words, without the key.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(_) => f.write_str(KEY_VARIABLE),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Its key.
    pub key: KeySource,
}

impl Place {
    /// The usual place below a data folder: `secrets.sealed`, opened by `keys/secrets.key`.
    pub fn in_data(data: &Path) -> Self {
        Self { file: data.join("secrets.sealed"), key: KeySource::File(data.join("keys").join("secrets.key")) }
    }

    /// The same place with what the operator says of it. A key in the environment counts before one in a file.
    #[must_use]
    pub fn with(self, file: Option<PathBuf>, key_file: Option<PathBuf>, variable: Option<Secret>) -> Self {
        let key = key_file.map_or(self.key, KeySource::File);
        Self { file: file.unwrap_or(self.file), key: variable.map_or(key, KeySource::Variable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_says_counts_and_the_key_is_not_shown() {
        let usual = Place::in_data(Path::new("/data"));
        assert_eq!(usual.key.to_string(), "/data/keys/secrets.key");
        let filed = usual.clone().with(None, Some("/run/key".into()), None);
        assert_eq!(
            (filed.file.as_path(), filed.key.to_string().as_str()),
            (Path::new("/data/secrets.sealed"), "/run/key")
        );
        let told = usual.with(Some("/etc/s".into()), Some("/run/key".into()), Some(Secret::new("c2VjcmV0")));
        assert_eq!(told.key.to_string(), KEY_VARIABLE);
        assert!(!format!("{told:?}").contains("c2VjcmV0"));
    }
}
