//! The key with which a server signs its logs: `keys/audit.key`, made at the first start. Whoever has it can sign another log, but none that
//! contains a checkpoint that somebody kept.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use stead_audit::key::{Role, SignerKey};
use stead_core::code;
use stead_engine::LogKey;
use stead_ports::journal::StoreError;
use zeroize::Zeroizing;

/// Bytes of the file that are read.
const MAX_FILE: u64 = 1_024;

/// Where it is.
fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("audit.key")
}

/// Reads the key, or makes it. `name` is what the logs are called from the first start on; without it a name is drawn with the key.
///
/// # Errors
/// ST0142 when it cannot be read or made, ST0144 when it is damaged, ST0110 when the logs are called otherwise.
pub(crate) fn open_key(data_dir: &Path, name: Option<&str>, epoch: u32) -> Result<LogKey, StoreError> {
    let path = path(data_dir);
    let failed = |e: io::Error| StoreError {
        code: code::DATA_READONLY,
        detail: format!("{}: {e}; it is the key of the audit log", path.display()),
    };
    let text = match read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make(&path, name).map_err(failed)?;
            read(&path).map_err(failed)?
        }
        other => other.map_err(failed)?,
    };
    let key: SignerKey = text.trim().parse().map_err(|e| StoreError {
        code: code::DATA_DAMAGED,
        detail: format!("{} holds no key of the audit log ({e}): put it back as it was", path.display()),
    })?;
    let own = key.verifier().name();
    if let Some(name) = name.filter(|name| *name != own) {
        let detail = format!(
            "`audit.name` is `{name}`, and the logs are called `{own}` since the first start; the name is in {}",
            path.display()
        );
        return Err(StoreError { code: code::CONFIG, detail });
    }
    LogKey::new(key, epoch)
        .map_err(|e| StoreError { code: code::DATA_DAMAGED, detail: format!("{}: {e}", path.display()) })
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// Written whole and synced under another name first, and never over a key that is there.
fn make(path: &Path, name: Option<&str>) -> io::Result<()> {
    let mut seed = Zeroizing::new([0; 32]);
    crate::clock::fill(&mut *seed);
    let mut random = [0; 6];
    crate::clock::fill(&mut random);
    let own = random.iter().fold("stead-".to_owned(), |name, b| format!("{name}{b:02x}"));
    let key = SignerKey::from_seed(name.unwrap_or(&own), Role::Log, seed);
    let key = key.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = dir.join(format!(".audit.key.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = file
        .write_all(key.secret_text().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        // A link fails where a rename would replace: two processes agree on one key.
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.and_then(|()| File::open(dir)?.sync_all()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_key_is_made_once_readable_by_its_owner_alone_and_called_as_the_operator_says() {
        let dir = tempfile::tempdir().unwrap();
        let first = open_key(dir.path(), None, 1).unwrap();
        let public = |key: &LogKey| key.signer(&"acme".into()).verifier().clone();
        assert_eq!(public(&open_key(dir.path(), None, 1).unwrap()), public(&first));
        let mode = fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(open_key(dir.path(), Some("log.example"), 1).unwrap_err().code, code::CONFIG, "it has another name");
        let other = tempfile::tempdir().unwrap();
        let named = public(&open_key(other.path(), Some("log.example"), 2).unwrap());
        assert_eq!(named.name(), "log.example/tenant/acme/epoch/2");
        assert_eq!(open_key(other.path(), None, 1).unwrap().signer(&"acme".into()).verifier().public(), named.public());
        fs::write(path(dir.path()), "x").unwrap();
        assert_eq!(open_key(dir.path(), None, 1).unwrap_err().code, code::DATA_DAMAGED);
    }
}
