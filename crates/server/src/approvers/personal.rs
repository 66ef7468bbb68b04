//! The root of one person who works alone, for `stead dev`: one key in the data folder is root and approver. It keeps nobody out who
//! can read the folder; it makes approvals as they are elsewhere, signed and verified.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use stead_core::{id::Name, time::Timestamp};
use stead_engine::human;
use stead_trust::{
    directory::{Enrolment, Entry, Envelope, Root, RootKey, Signed, What},
    signer::Signer,
};
use zeroize::Zeroizing;

use super::{AddError, Directories};

/// The key's file in the data folder.
pub const KEY_FILE: &str = "keys/approver.key";

/// The place of the key in a data folder.
pub fn key_path(data_dir: &Path) -> PathBuf {
    data_dir.join(KEY_FILE)
}

/// Makes the root of one person and enrols their key, when the tenant has no directory. Says whether it did.
///
/// # Errors
/// The key cannot be made, or the entries cannot be kept.
pub(crate) async fn own_root(
    directories: &Directories,
    data_dir: &Path,
    tenant: &Name,
    person: &Name,
    now: Timestamp,
) -> Result<bool, AddError> {
    if directories.of(tenant).await?.is_some() {
        return Ok(false);
    }
    let signer = own_key(data_dir).map_err(|e| AddError::Refused(format!("{}: {e}", key_path(data_dir).display())))?;
    let at = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
    let key = signer.public().clone();
    let root =
        Root { threshold: 1, keys: vec![RootKey { holder: person.to_string(), key: key.clone() }], personal: true };
    let first = Entry { tenant: tenant.to_string(), seq: 0, previous: None, at, what: What::Root(root) };
    let directory = directories.add(tenant, &signed(&first, &signer), person, now).await?;
    let what = What::Enrol(Enrolment { key, human: human(person), roles: Vec::new(), passkey: None });
    let second = Entry { tenant: tenant.to_string(), seq: 1, previous: Some(directory.head()), at, what };
    directories.add(tenant, &signed(&second, &signer), person, now).await?;
    Ok(true)
}

fn signed(entry: &Entry, signer: &Signer) -> String {
    let entry = entry.to_text();
    let signature = signer.sign_text(&entry);
    Envelope { signatures: vec![Signed { key: signer.public().clone(), signature }], entry }.to_text()
}

/// The key in the data folder; made when there is none.
fn own_key(data_dir: &Path) -> io::Result<Signer> {
    let path = key_path(data_dir);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it holds no key of an approver");
    match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => return text.parse().map_err(|_| bad()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut seed = Zeroizing::new([0; 32]);
    crate::clock::fill(&mut seed[..]);
    let signer = Signer::from_seed(seed).map_err(|_| bad())?;
    if let Some(folder) = path.parent()
        && !folder.is_dir()
    {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(signer.secret_text().as_bytes())?;
    file.sync_all()?;
    Ok(signer)
}
