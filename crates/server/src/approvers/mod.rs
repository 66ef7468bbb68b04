//! The directories of approvers: kept in memory as they were folded, one for each tenant that has one, and looked up again before
//! an answer counts. What does not fold, or goes back behind what was seen, counts for nobody.

mod add;
mod personal;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use parking_lot::RwLock;
use stead_core::id::Name;
use stead_engine::{Demand, Signing};
use stead_ports::{
    BoxFuture,
    journal::StoreError,
    trust::{DirectoryRow, DirectoryStore},
};
use stead_trust::{
    action::Hash,
    directory::{Directory, Envelope},
};

pub use add::AddError;
pub(crate) use personal::own_root;
pub use personal::{KEY_FILE, key_path};

/// Entries read at once.
const PAGE: u32 = 1_000;

/// See the module.
pub struct Directories {
    store: Arc<dyn DirectoryStore>,
    demand: Demand,
    /// The first entry that each tenant must have, where the operator says so.
    roots: BTreeMap<Name, Hash>,
    kept: RwLock<HashMap<Name, Kept>>,
}

/// What is known of a tenant's directory.
#[derive(Clone, Default)]
struct Kept {
    directory: Option<Arc<Directory>>,
    /// What is stored is not what it should be.
    broken: bool,
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories").field("demand", &self.demand).finish_non_exhaustive()
    }
}

impl Directories {
    /// Those of a store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn open(
        store: Arc<dyn DirectoryStore>,
        demand: Demand,
        roots: BTreeMap<Name, Hash>,
    ) -> Result<Self, StoreError> {
        let directories = Self { store, demand, roots, kept: RwLock::default() };
        for (tenant, _) in directories.store.directories().await? {
            directories.look(&tenant).await?;
        }
        Ok(directories)
    }

    /// The directory of a tenant after a look at the store; `None` when it has none.
    ///
    /// # Errors
    /// When the store cannot be read, or what it has does not fold.
    pub(crate) async fn of(&self, tenant: &Name) -> Result<Option<Arc<Directory>>, StoreError> {
        let kept = self.look(tenant).await?;
        match kept.broken {
            true => Err(StoreError {
                code: stead_core::code::DATA_DAMAGED,
                detail: format!(
                    "the directory of approvers of the tenant {tenant} is not what it was; the log says why"
                ),
            }),
            false => Ok(kept.directory),
        }
    }

    /// Entries as they are kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn rows(&self, tenant: &Name, from: u64, limit: u32) -> Result<Vec<DirectoryRow>, StoreError> {
        self.store.entries(tenant, from, limit).await
    }

    /// Takes in what was added since, by whichever server.
    async fn look(&self, tenant: &Name) -> Result<Kept, StoreError> {
        let mut kept = self.kept.read().get(tenant).cloned().unwrap_or_default();
        loop {
            let known = kept.directory.as_deref();
            // The last entry is read again: what was seen must be there still.
            let from = known.map_or(0, |directory| directory.next() - 1);
            let rows = self.store.entries(tenant, from, PAGE).await?;
            let full = rows.len() == PAGE as usize;
            match self.taken(tenant, kept.directory.clone(), &rows) {
                Ok(directory) => kept = Kept { directory, broken: false },
                Err(why) => {
                    tracing::error!(%tenant, why, "the directory of approvers counts for nobody");
                    kept.broken = true;
                }
            }
            if !full || kept.broken {
                break;
            }
        }
        let mut all = self.kept.write();
        // Whoever looked at the same time may have seen more.
        let next = |kept: &Kept| kept.directory.as_ref().map_or(0, |d| d.next());
        if all.get(tenant).is_none_or(|known| kept.broken || next(known) <= next(&kept)) {
            all.insert(tenant.clone(), kept.clone());
        }
        Ok(kept)
    }

    /// The directory with these entries, the first of which it has already.
    fn taken(
        &self,
        tenant: &Name,
        known: Option<Arc<Directory>>,
        rows: &[DirectoryRow],
    ) -> Result<Option<Arc<Directory>>, String> {
        let text = |row: &DirectoryRow| {
            let text = std::str::from_utf8(&row.body).map_err(|e| e.to_string())?;
            Envelope::from_text(text).map_err(|e| format!("entry {}: {e}", row.seq))
        };
        let (mut directory, new) = match (known, rows) {
            (None, []) => return Ok(None),
            (Some(_), []) => return Err("entries that were there are gone".to_owned()),
            (None, [first, rest @ ..]) => {
                let directory = Directory::begin(&text(first)?).map_err(|e| e.to_string())?;
                self.fits(tenant, &directory)?;
                (directory, rest)
            }
            (Some(known), [last, rest @ ..]) => {
                if !known.is_head(&text(last)?) {
                    return Err(format!("entry {} is another one than before", last.seq));
                }
                if rest.is_empty() {
                    return Ok(Some(known));
                }
                ((*known).clone(), rest)
            }
        };
        for row in new {
            directory.add(&text(row)?).map_err(|e| format!("entry {}: {e}", row.seq))?;
        }
        Ok(Some(Arc::new(directory)))
    }

    /// Whether a directory is this tenant's, and begins as the operator says.
    fn fits(&self, tenant: &Name, directory: &Directory) -> Result<(), String> {
        if directory.tenant() != tenant.as_str() {
            return Err("it is another tenant's".to_owned());
        }
        match self.roots.get(tenant) {
            Some(root) if *root != directory.anchor() => {
                Err("it begins with another root than `approvals.roots` names".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl stead_engine::Directories for Directories {
    fn current(&self, tenant: &Name) -> Signing {
        let kept = self.kept.read().get(tenant).cloned().unwrap_or_default();
        Signing { demand: self.demand, directory: kept.directory, unknown: kept.broken }
    }

    fn fresh<'a>(&'a self, tenant: &'a Name) -> BoxFuture<'a, Signing> {
        Box::pin(async move {
            match self.look(tenant).await {
                Ok(Kept { directory, broken: false }) => Signing { demand: self.demand, directory, unknown: false },
                Ok(_) => Signing { demand: self.demand, directory: None, unknown: true },
                Err(error) => {
                    tracing::warn!(%tenant, %error, "whose signatures count is not known now");
                    Signing { demand: self.demand, directory: None, unknown: true }
                }
            }
        })
    }
}
