//! What only this host knows about an agent: its folder, its place for data, and where its helper services answer.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use stead_core::id::{Name, VersionId};
use stead_manifest::Places;

/// URLs of helper services (`dev.services` of a manifest), by agent and service.
pub type Services = HashMap<Name, BTreeMap<String, String>>;

/// This host, as agents see it.
#[derive(Clone, Debug)]
pub struct Site {
    data_dir: PathBuf,
    services: Arc<RwLock<Services>>,
}

/// The folder that `${data}` stands for in the manifest of an agent.
pub fn data_folder(data_dir: &Path, tenant: &Name, agent: &Name) -> PathBuf {
    data_dir.join("agents").join(tenant.as_str()).join(flat(agent))
}

impl Site {
    /// The host whose server keeps its files in `data_dir`.
    pub fn new(data_dir: &Path, services: Services) -> Self {
        Self { data_dir: data_dir.to_owned(), services: Arc::new(RwLock::new(services)) }
    }

    pub(super) fn set_services(&self, agent: &Name, services: BTreeMap<String, String>) {
        self.services.write().insert(agent.clone(), services);
    }

    /// What the `${…}` of the agent's manifest stand for; its data folder is made.
    pub(super) fn places(&self, tenant: &Name, agent: &Name) -> io::Result<Places> {
        let data = data_folder(&self.data_dir, tenant, agent);
        make_private(&data)?;
        // Helper services are a manifest's own: agents of its folder see those of the outermost.
        let owner = Name::from(agent.split('/').next().unwrap_or_default());
        let services = self.services.read().get(&owner).cloned().unwrap_or_default();
        Ok(Places { data, services })
    }

    /// The manifest's folder, when it is on this host and was told.
    pub(super) fn dir(&self, tenant: &Name, agent: &Name) -> Option<PathBuf> {
        let text = fs::read_to_string(self.dir_file(tenant, agent)).ok()?;
        Some(PathBuf::from(text)).filter(|d| d.is_absolute())
    }

    /// Keeps the manifest's folder for later loads.
    pub(super) fn set_dir(&self, tenant: &Name, agent: &Name, dir: Option<&Path>) -> io::Result<()> {
        let file = self.dir_file(tenant, agent);
        let Some(dir) = dir else {
            return match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        };
        let text = dir.to_str().ok_or_else(|| io::Error::other("the folder's path is not UTF-8"))?;
        make_private(&self.folder(tenant))?;
        let draft = file.with_extension("dir.new");
        fs::write(&draft, text)?;
        fs::rename(&draft, &file)
    }

    /// Keeps the folder that comes with a version which waits for a second person: it counts once that has confirmed.
    pub(super) fn propose_dir(
        &self,
        tenant: &Name,
        agent: &Name,
        version: VersionId,
        dir: Option<&Path>,
    ) -> io::Result<()> {
        let text = dir.map_or(Some(""), Path::to_str);
        let text = text.ok_or_else(|| io::Error::other("the folder's path is not UTF-8"))?;
        make_private(&self.folder(tenant))?;
        fs::write(self.proposed_file(tenant, agent, version), text)
    }

    /// Lets the folder that came with a version count from now on. What was not proposed on this host leaves it as it is.
    pub(super) fn confirm_dir(&self, tenant: &Name, agent: &Name, version: VersionId) -> io::Result<()> {
        let file = self.proposed_file(tenant, agent, version);
        let text = match fs::read_to_string(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        self.set_dir(tenant, agent, Some(Path::new(&text)).filter(|_| !text.is_empty()))?;
        fs::remove_file(file)
    }

    fn proposed_file(&self, tenant: &Name, agent: &Name, version: VersionId) -> PathBuf {
        let digits = version.to_string().replace(':', "_");
        self.folder(tenant).join(format!("{}.{digits}.proposed", flat(agent)))
    }

    fn folder(&self, tenant: &Name) -> PathBuf {
        self.data_dir.join("agents").join(tenant.as_str())
    }

    fn dir_file(&self, tenant: &Name, agent: &Name) -> PathBuf {
        self.folder(tenant).join(format!("{}.dir", flat(agent)))
    }
}

/// Makes a folder, and those above it, that only their owner can enter.
fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The agent's name as one word of a path. Names hold letters, digits, `-` and `/` only, so no two names meet.
fn flat(agent: &Name) -> String {
    agent.replace('/', "_")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_folder_of_an_agent_is_remembered_and_forgotten_by_name() {
        let data = tempfile::tempdir().unwrap();
        let site = Site::new(data.path(), Services::new());
        let (tenant, agent) = (Name::from("default"), Name::from("refund-desk"));
        assert_eq!(site.dir(&tenant, &agent), None);
        site.set_dir(&tenant, &agent, Some(data.path())).unwrap();
        assert_eq!(site.dir(&tenant, &agent).as_deref(), Some(data.path()));
        assert_eq!(site.dir(&tenant, &"other".into()), None);
        site.set_dir(&tenant, &agent, None).unwrap();
        site.set_dir(&tenant, &agent, None).unwrap();
        assert_eq!(site.dir(&tenant, &agent), None);
        assert!(site.places(&tenant, &agent).unwrap().data.is_dir());
        // What is proposed counts once it is confirmed, and once.
        let version = VersionId([7; 32]);
        site.propose_dir(&tenant, &agent, version, Some(data.path())).unwrap();
        assert_eq!(site.dir(&tenant, &agent), None);
        site.confirm_dir(&tenant, &agent, version).unwrap();
        assert_eq!(site.dir(&tenant, &agent).as_deref(), Some(data.path()));
        site.set_dir(&tenant, &agent, None).unwrap();
        site.confirm_dir(&tenant, &agent, version).unwrap();
        assert_eq!(site.dir(&tenant, &agent), None);
    }
}
