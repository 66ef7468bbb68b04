//! Secrets in a folder, a file for each, as container platforms and systemd hand them out (`/run/secrets`, `$CREDENTIALS_DIRECTORY`).
//! The name of a file is the secret's; one line end after the value is not part of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use stead_core::code;
use stead_ports::secret::{Secret, SecretError};

use crate::rules::{MAX_COUNT, MAX_VALUE, is_name};

/// Bits of a mode that let others than owner and group in, or let the group write.
const OPEN: u32 = 0o027;

/// See the module.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder; it need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, in order; files whose names can be no secret's are none.
    ///
    /// # Errors
    /// `ST0190` when it cannot be read.
    pub fn names(&self) -> Result<Vec<String>, SecretError> {
        let entries = fs::read_dir(&self.path).map_err(|e| failed(&self.path, &e.to_string()))?;
        let mut out = Vec::new();
        for entry in entries.take(MAX_COUNT * 4) {
            let entry = entry.map_err(|e| failed(&self.path, &e.to_string()))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Through a link within the folder, as Kubernetes mounts them.
            if is_name(&name) && entry.path().is_file() {
                out.push(name);
            }
        }
        out.sort();
        Ok(out)
    }

    /// The value of that name; `None` when there is no such file.
    ///
    /// # Errors
    /// `ST0190` when it cannot be read, leads out of the folder, is open to others, or is no secret.
    pub fn value(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.path.join(name);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&path, &e.to_string())),
        };
        let root = fs::canonicalize(&self.path).map_err(|e| failed(&self.path, &e.to_string()))?;
        if !real.starts_with(&root) {
            return Err(failed(&path, "it is a link that leads out of its folder"));
        }
        // The path is resolved: a link that is put there now is not followed.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&real);
        match file {
            Ok(file) => read(file, &path).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, &e.to_string())),
        }
    }
}

fn read(file: File, path: &Path) -> Result<Secret, SecretError> {
    let meta = file.metadata().map_err(|e| failed(path, &e.to_string()))?;
    if !meta.is_file() {
        return Err(failed(path, "it is no file"));
    }
    if meta.mode() & OPEN != 0 {
        let mode = meta.mode() & 0o777;
        return Err(failed(path, &format!("others can read it, or its group can write it (mode {mode:o}): chmod 640")));
    }
    let mut text = String::with_capacity(MAX_VALUE + 4);
    let read = file.take(MAX_VALUE as u64 + 3).read_to_string(&mut text);
    let end = text.strip_suffix('\n').map_or(text.len(), |t| t.strip_suffix('\r').unwrap_or(t).len());
    text.truncate(end);
    let secret = Secret::new(text);
    match read {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(failed(path, "it is not text in UTF-8")),
        Err(e) => Err(failed(path, &e.to_string())),
        Ok(_) => crate::rules::check_value(&secret).map(|()| secret).map_err(|e| failed(path, &e.detail)),
    }
}

/// What is in the file is not told.
fn failed(path: &Path, why: &str) -> SecretError {
    SecretError::new(code::SECRETS_FILE, format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn put(dir: &Path, name: &str, value: &[u8], mode: u32) {
        fs::write(dir.join(name), value).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_is_a_secret_and_what_is_open_or_leads_elsewhere_is_refused() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = Folder::at(dir.path().to_owned());
        put(dir.path(), "payments", b"pay-1\n", 0o600);
        put(dir.path(), "open", b"pay-2", 0o644);
        put(dir.path(), "empty", b" \n", 0o600);
        put(dir.path(), "binary", b"\xff", 0o600);
        put(dir.path(), "long", &[b'x'; MAX_VALUE + 1], 0o400);
        put(elsewhere.path(), "theirs", b"pay-3", 0o600);
        symlink(elsewhere.path().join("theirs"), dir.path().join("theirs")).unwrap();
        // As Kubernetes mounts them.
        fs::create_dir(dir.path().join("..2026")).unwrap();
        put(&dir.path().join("..2026"), "mounted", b"pay-4", 0o640);
        symlink("..2026", dir.path().join("..data")).unwrap();
        symlink("..data/mounted", dir.path().join("mounted")).unwrap();
        let value = |name: &str| folder.value(name).unwrap().map(|s| s.expose().to_owned());
        assert_eq!(value("payments").as_deref(), Some("pay-1"));
        assert_eq!(value("mounted").as_deref(), Some("pay-4"));
        assert_eq!((value("nobody"), value("../theirs"), value("..data")), (None, None, None));
        for (name, why) in
            [("open", "mode 644"), ("theirs", "leads out"), ("empty", "empty"), ("binary", "UTF-8"), ("long", "longer")]
        {
            let error = folder.value(name).unwrap_err();
            assert!(error.code == code::SECRETS_FILE && error.detail.contains(why), "{name}: {error}");
            assert!(!error.detail.contains("pay-"), "{error}");
        }
        let names = folder.names().unwrap();
        assert!(names.contains(&"payments".to_owned()) && names.contains(&"mounted".to_owned()), "{names:?}");
        put(dir.path(), "payments", b"pay-5", 0o600);
        assert_eq!(value("payments").as_deref(), Some("pay-5"), "a changed one counts at once");
        let gone = Folder::at(dir.path().join("gone"));
        assert!(gone.names().is_err() && gone.value("payments").unwrap().is_none());
    }
}
