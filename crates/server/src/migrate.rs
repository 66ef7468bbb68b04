//! Bringing data of a release before to this release's format, when asked. What is done without being asked is done by
//! whoever opens the data.

use std::path::{Path, PathBuf};

use stead_core::code;
use stead_ports::journal::{Backup, StoreError};
use stead_store::{BlobKey, PgOptions, PgStore, SqliteOptions, SqliteStore, look, steps};
pub use stead_store::{FORMAT, Step};

use crate::{
    backup::{ask, key_path},
    config::DatabaseUrl,
    encryption,
};

/// The data that is meant.
#[derive(Clone, Debug)]
pub struct Data {
    /// The data directory: of the journal, or with a database of its keys.
    pub data_dir: PathBuf,
    /// A PostgreSQL database instead of the SQLite file in `data_dir`.
    pub database: Option<DatabaseUrl>,
}

/// What would be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The format that the data has.
    pub found: u32,
    /// The steps to this release's.
    pub steps: &'static [Step],
}

impl Data {
    /// Looks at the data and changes nothing.
    ///
    /// # Errors
    /// ST0202 when there is none, ST0141 when a newer release wrote it.
    pub async fn plan(&self) -> Result<Plan, StoreError> {
        let found = match &self.database {
            None => look(&self.data_dir)?.map(|s| s.format),
            Some(url) => PgStore::look(url.expose(), &self.options()?).await?,
        };
        let found = found.ok_or_else(|| self.none())?;
        if found > FORMAT {
            let hint = "use the release that wrote it, or a later one";
            let detail = format!("the data has format {found} and this release knows {FORMAT}\n  hint: {hint}");
            return Err(StoreError { code: code::DATA_NEWER, detail });
        }
        Ok(Plan { found, steps: steps(found) })
    }

    /// A backup of the data as it is, in its old format. It is not sealed under keys of persons: the release before, which is the way back, knows
    /// none, and would not restore it.
    ///
    /// # Errors
    /// ST0140 when a server works on it, and those of the store.
    pub fn backup(&self) -> Result<Backup, StoreError> {
        match &self.database {
            None => SqliteStore::backup_of(&self.data_dir, ask(&self.data_dir, true, false)),
            Some(url) => PgStore::backup_of(url.expose(), &self.options()?, ask(&self.data_dir, true, false)),
        }
    }

    /// Brings the data forward.
    ///
    /// # Errors
    /// ST0140 when a server works on it, and those of the store.
    pub async fn go(&self) -> Result<(), StoreError> {
        match &self.database {
            None => {
                let dir = self.data_dir.clone();
                let encrypt = encryption::key(None)?;
                let options = SqliteOptions { migrate: true, encrypt, ..SqliteOptions::default() };
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&dir, options).map(drop));
                opened.await.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })?
            }
            Some(url) => {
                let options = PgOptions { migrate: true, encrypt: encryption::key(None)?, ..self.options()? };
                PgStore::connect(url.expose(), options).await.map(drop)
            }
        }
    }

    fn options(&self) -> Result<PgOptions, StoreError> {
        let path = key_path(&self.data_dir);
        if !path.exists() {
            let detail = format!(
                "{} does not exist, and the database is opened with the key of its store; name the data folder that has it \
                 with --data",
                path.display()
            );
            return Err(StoreError { code: code::BACKUP_KEY, detail });
        }
        Ok(PgOptions::new(BlobKey::read(&path)?))
    }

    fn none(&self) -> StoreError {
        let place = match &self.database {
            None => absolute(&self.data_dir),
            Some(_) => "the database".into(),
        };
        StoreError { code: code::NOT_FOUND, detail: format!("{place} has no data of Stead") }
    }
}

fn absolute(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string()
}
