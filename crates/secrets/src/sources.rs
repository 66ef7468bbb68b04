//! Where secrets may be, in one order: the encrypted file, a folder with a file for each, variables of the environment, a vault. The
//! first that has a name is the one that counts.
//!
//! What is on this machine comes before what must be asked for over the network: a vault that does not answer keeps nobody from a
//! secret that is here. A source that cannot be read refuses, and is not passed over: another one's value might be an old one.

use std::{collections::BTreeMap, fmt};

use stead_core::time::Timestamp;
use stead_ports::{
    BoxFuture,
    secret::{Secret, SecretError, Secrets},
};

use crate::{Folder, SecretsFile, Variables, Vault};

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The encrypted file.
    File,
    /// A folder with a file for each secret.
    Folder,
    /// Variables of the environment.
    Environment,
    /// A vault.
    Vault,
}

impl Source {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "dir",
            Self::Environment => "env",
            Self::Vault => "vault",
        }
    }
}

/// A name, and where it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name.
    pub name: String,
    /// The source that counts.
    pub source: Source,
    /// When it was set, where that is known.
    pub set_at: Option<Timestamp>,
    /// Sources after it that have the name too.
    pub hidden: Vec<Source>,
}

/// See the module.
#[derive(Debug)]
pub struct Sources {
    /// The encrypted file.
    pub file: SecretsFile,
    /// The folder, when there is one.
    pub folder: Option<Folder>,
    /// Variables.
    pub variables: Variables,
    /// The vault, when there is one.
    pub vault: Option<Vault>,
}

/// How a source is.
pub struct State {
    /// The source.
    pub source: Source,
    /// Where it is.
    pub place: String,
    /// How many secrets it has, or why it cannot be read. A vault counts none it was not asked for.
    pub found: Result<usize, SecretError>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("source", &self.source).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sources {
    /// The encrypted file alone.
    pub fn only(file: SecretsFile) -> Self {
        Self { file, folder: None, variables: Variables::default(), vault: None }
    }

    /// All names, with the source of each; a vault is asked for its own.
    ///
    /// # Errors
    /// Those of the first source that cannot be read.
    pub async fn list(&self) -> Result<Vec<Found>, SecretError> {
        let mut all: Vec<(String, Source, Option<Timestamp>)> = Vec::new();
        all.extend(self.file.list()?.into_iter().map(|l| (l.name, Source::File, Some(l.set_at))));
        if let Some(folder) = &self.folder {
            all.extend(folder.names()?.into_iter().map(|name| (name, Source::Folder, None)));
        }
        all.extend(self.variables.names().map(|name| (name, Source::Environment, None)));
        if let Some(vault) = &self.vault {
            all.extend(vault.names().await?.into_iter().map(|name| (name, Source::Vault, None)));
        }
        let mut found = BTreeMap::<String, Found>::new();
        for (name, source, set_at) in all {
            match found.get_mut(&name) {
                Some(first) => first.hidden.push(source),
                None => drop(found.insert(name.clone(), Found { name, source, set_at, hidden: Vec::new() })),
            }
        }
        Ok(found.into_values().collect())
    }

    /// How each source is; a vault is asked whether it takes the credential.
    pub async fn states(&self) -> Vec<State> {
        let file = self.file.place().file.display().to_string();
        let mut out =
            vec![State { source: Source::File, place: file, found: self.file.list().map(|listed| listed.len()) }];
        if let Some(folder) = &self.folder {
            let found = folder.names().map(|names| names.len());
            out.push(State { source: Source::Folder, place: folder.path().display().to_string(), found });
        }
        if !self.variables.is_empty() {
            let found = Ok(self.variables.names().count());
            out.push(State { source: Source::Environment, place: "the environment".into(), found });
        }
        if let Some(vault) = &self.vault {
            let found = vault.names().await.map(|names| names.len());
            out.push(State { source: Source::Vault, place: vault.place(), found });
        }
        out
    }
}

impl Secrets for Sources {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        Box::pin(async move {
            if let Some(value) = self.file.value(name)? {
                return Ok(Some(value));
            }
            if let Some(value) = self.folder.as_ref().map(|folder| folder.value(name)).transpose()?.flatten() {
                return Ok(Some(value));
            }
            if let Some(value) = self.variables.value(name) {
                return Ok(Some(value));
            }
            match &self.vault {
                Some(vault) => vault.value(name).await,
                None => Ok(None),
            }
        })
    }
}
