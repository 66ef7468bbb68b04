//! Files that only their owner can read, written whole or not at all, by one writer at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{Gid, Uid, chown, fchown},
    process::geteuid,
};
use stead_core::code;
use stead_ports::secret::SecretError;

/// Looks at a lock before giving up, and the pause between two.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Writes a file: whole and synced under another name first, so that a crash leaves the old or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    written(path, bytes).map_err(|e| failed(path, &e))
}

fn written(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = folder(path)?;
    // The lock is held, so the draft of another is one that was left behind.
    let draft = path.with_extension("new");
    if let Err(e) = fs::remove_file(&draft)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    give(&file, dir)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(dir)?.sync_all()
}

/// The lock of a file's writers, held as long as the returned file lives.
pub(crate) fn lock(path: &Path) -> Result<File, SecretError> {
    let lock = path.with_extension("lock");
    let told = |e: io::Error| failed(&lock, &e);
    let dir = folder(path).map_err(told)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock).map_err(told)?;
    give(&file, dir).map_err(told)?;
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(e)) => return Err(told(e)),
        }
    }
    Err(SecretError::new(
        code::SECRETS_FILE,
        format!("another process is writing {} and does not end; look who holds {}", path.display(), lock.display()),
    ))
}

/// The folder of a file; made, for its owner alone, when it does not exist.
fn folder(path: &Path) -> io::Result<&Path> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        if let (true, Some(above)) = (geteuid().is_root(), dir.parent().filter(|p| !p.as_os_str().is_empty())) {
            let (user, group) = owner(above)?;
            chown(dir, Some(user), Some(group))?;
        }
    }
    Ok(dir)
}

/// What root makes in the folder of another user, such as a server's, is that user's: otherwise the server could not read
/// what its operator sets.
fn give(file: &File, dir: &Path) -> io::Result<()> {
    if geteuid().is_root() {
        let (user, group) = owner(dir)?;
        fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

fn owner(dir: &Path) -> io::Result<(Uid, Gid)> {
    let meta = fs::metadata(dir)?;
    Ok((Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid())))
}

pub(crate) fn failed(path: &Path, e: &io::Error) -> SecretError {
    SecretError::new(code::SECRETS_FILE, format!("{}: {e}", path.display()))
}
