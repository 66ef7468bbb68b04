//! Who is calling: bearer tokens (RFC 6750, section 2.1), compared in constant time by their hashes.
//!
//! Besides the configured tokens there is always the data directory's own, in the file `token`, readable by its owner
//! alone: whoever can read that file could read the data as well. The local command line uses it.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use stead_api::right::Right;
use stead_core::{id::Name, ruling::Person};
use subtle::ConstantTimeEq as _;

use crate::config::{TokenEntry, hash_token};

/// Longest token that is looked at.
const MAX_TOKEN: usize = 512;

/// The tenant of the data directory's own token.
pub const DEFAULT_TENANT: &str = "default";

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who it is; the actor in the journal.
    pub subject: Name,
    /// Whose runs it sees.
    pub tenant: Name,
    /// What it may do.
    pub rights: Arc<[Right]>,
    /// Its roles, as policies know them.
    pub roles: Arc<[Name]>,
    /// Whether policies cannot keep it from policy sets: the data directory's own token, for who can read that can write the data as
    /// well, and those whose entry says so.
    pub mends: bool,
    /// The one agent and session that it is for; it may do nothing else then.
    pub bound: Option<Bound>,
}

/// What a token is for that is given to an agent whose loop runs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The gateway whose model it asks.
    pub agent: Name,
    /// The key of the session in which it does.
    pub session: Name,
}

impl Principal {
    /// Who that is to policies.
    pub fn person(&self) -> Person {
        Person { name: self.subject.clone(), roles: self.roles.to_vec() }
    }

    /// Whether it may do that.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// All tokens, by hash.
#[derive(Clone, Default)]
pub struct Tokens {
    entries: Vec<([u8; 32], Principal)>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("count", &self.entries.len()).finish()
    }
}

impl Tokens {
    /// The configured tokens.
    pub fn new(entries: &[TokenEntry]) -> Self {
        let principal = |e: &TokenEntry| {
            let (subject, tenant) = (e.subject.clone(), e.tenant.clone());
            // Each once, in the order that they are told in.
            let rights = Right::ALL.into_iter().filter(|r| e.rights.contains(r)).collect();
            Principal { subject, tenant, rights, roles: e.roles.clone().into(), mends: e.mends, bound: e.bound() }
        };
        Self { entries: entries.iter().map(|e| (e.digest(), principal(e))).collect() }
    }

    /// Adds a token.
    pub fn add(&mut self, token: &str, principal: Principal) {
        self.entries.push((hash_token(token), principal));
    }

    /// Whose token has that hash.
    pub(crate) fn of(&self, digest: &[u8; 32]) -> Option<&Principal> {
        let mut found = None;
        for (known, principal) in &self.entries {
            if bool::from(known.ct_eq(digest)) {
                found = Some(principal);
            }
        }
        found
    }

    /// Whose token that is. Takes as long for a wrong token as for a right one.
    pub fn find(&self, token: &str) -> Option<&Principal> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        self.of(&hash_token(token))
    }
}

/// The token in an `Authorization` header.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The data directory's own token file.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("token")
}

/// Reads the data directory's own token, or makes it: 32 random bytes as base64url, in a file that appears complete
/// and with mode 0600, or not at all.
///
/// # Errors
/// The file cannot be read or made, or holds no token.
pub fn own_token(data_dir: &Path) -> io::Result<String> {
    let path = token_path(data_dir);
    match read_token(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut random = [0; 32];
    crate::clock::fill(&mut random);
    let token = BASE64_URL_SAFE_NO_PAD.encode(random);
    let draft = data_dir.join(format!(".token.{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(token.as_bytes()).and_then(|()| file.sync_all()))
        // A link fails where a rename would replace: two processes agree on one token.
        .and_then(|()| fs::hard_link(&draft, &path));
    let tidied = fs::remove_file(&draft);
    match written {
        Ok(()) => tidied.map(|()| token),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => read_token(&path),
        Err(e) => Err(e),
    }
}

fn read_token(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let mut text = String::new();
    file.take(MAX_TOKEN as u64 + 1).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < 32 || token.len() > MAX_TOKEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no token", path.display())));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_own_token_is_made_once_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let token = own_token(dir.path()).unwrap();
        assert_eq!(token.len(), 43);
        assert_eq!(own_token(dir.path()).unwrap(), token);
        let path = token_path(dir.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        own_token(dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&path, "short").unwrap();
        assert_eq!(own_token(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn only_a_known_token_names_a_caller() {
        let ann = Principal {
            subject: "ann".into(),
            tenant: "default".into(),
            rights: Right::ALL.into(),
            roles: Arc::default(),
            mends: false,
            bound: None,
        };
        let mut tokens = Tokens::default();
        tokens.add("a-token", ann.clone());
        assert_eq!(tokens.find("a-token"), Some(&ann));
        assert_eq!(tokens.find("a-token "), None);
        assert_eq!(tokens.find(""), None);
        assert_eq!(tokens.find(&"x".repeat(10_000)), None);
        assert_eq!(bearer("Bearer a"), Some("a"));
        assert_eq!(bearer("bearer  a "), Some("a"));
        assert_eq!(bearer("Basic a"), None);
        assert_eq!(bearer("Bearer "), None);
    }
}
