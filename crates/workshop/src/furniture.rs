//! Files of the host that boxes see beside the workspace: the folder to mount on below `/opt`, and a list of certificate authorities
//! for each box that has a way out.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use stead_ports::sandbox::{Content, Mount, Tier};

use crate::fault::Fault;

/// Where the workshop mounts, inside.
const OPT: &str = "/opt";
/// The list's name in its folder.
pub(crate) const BUNDLE: &str = "certificates.pem";

/// A folder of the workshop's own.
#[derive(Debug)]
pub(crate) struct Furniture {
    root: PathBuf,
    /// Folders of the host.
    shown: Vec<PathBuf>,
    next: AtomicU64,
}

/// A folder with one list, removed when dropped.
#[derive(Debug)]
pub(crate) struct Bundle(PathBuf);

impl Furniture {
    /// Makes the folder anew: what an earlier process left there is of no use.
    pub(crate) fn open(root: &Path, shown: Vec<PathBuf>) -> Result<Self, Fault> {
        let fail = |error| Fault::Disk { place: root.display().to_string(), error };
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(fail)?;
        for dir in ["opt", "opt/agent", "opt/certificates", "boxes"] {
            readable_dir(&root.join(dir)).map_err(fail)?;
        }
        for path in shown.iter().filter(|path| path.starts_with(OPT)) {
            // A place to mount on, for each.
            let mut at = root.join("opt");
            for name in path.strip_prefix(OPT).unwrap_or(path) {
                at.push(name);
                if !at.is_dir() {
                    readable_dir(&at).map_err(fail)?;
                }
            }
        }
        Ok(Self { root: root.to_owned(), shown, next: AtomicU64::new(0) })
    }

    /// What is mounted at `/opt`: empty folders to mount on.
    pub(crate) fn opt(&self) -> PathBuf {
        self.root.join("opt")
    }

    /// Shows what the operator shows to a box, as far as its tier does not: all of it in a machine, whose root is not the host's; in others
    /// what is below `/opt` where the workshop mounts there itself. A component sees nothing of it: it would read with this process's rights.
    pub(crate) fn show(&self, tier: Tier, mounts: &mut Vec<Mount>) {
        let covered = mounts.iter().position(|mount| mount.at == Path::new(OPT));
        let by_us = |path: &&PathBuf| match tier {
            Tier::Wasm => false,
            Tier::Microvm => true,
            Tier::Namespace | Tier::Oci => covered.is_some() && path.starts_with(OPT),
        };
        let shown = self.shown.iter().filter(by_us);
        let shown = shown.map(|path| Mount { at: path.clone(), content: Content::ReadOnly(path.clone()) });
        // Above that, and below what stands in it.
        let at = covered.map_or(0, |at| at + 1);
        mounts.splice(at..at, shown);
    }

    /// A folder with a list of these authorities.
    pub(crate) fn bundle(&self, roots: &str, own: &str) -> Result<Bundle, Fault> {
        let dir = self.root.join("boxes").join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let bundle = Bundle(dir);
        let file = bundle.0.join(BUNDLE);
        readable_dir(&bundle.0)
            .and_then(|()| fs::write(&file, format!("{own}\n{roots}")))
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o644)))
            .map_err(|error| Fault::Disk { place: file.display().to_string(), error })?;
        Ok(bundle)
    }
}

impl Bundle {
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder that the box's user can read, whatever this process's mask is.
fn readable_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The authorities that this host trusts, and Mozilla's where it has none, as PEM; for what a box passes through the proxy unread.
pub(crate) fn host_authorities() -> String {
    let mut out = String::new();
    let mut found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        // As the proxy trusts then.
        found.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    for certificate in found {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(&certificate);
        for line in text.as_bytes().chunks(64) {
            out.extend(line.iter().map(|b| char::from(*b)));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_operator_shows_below_opt_is_shown_over_the_workshops_own_folder_there() {
        let dir = tempfile::tempdir().unwrap();
        let shown = ["/opt/node/bin", "/usr/lib/x", "/opt/venv"].map(PathBuf::from).to_vec();
        let furniture = Furniture::open(&dir.path().join("shop"), shown).unwrap();
        assert!(furniture.opt().join("node/bin").is_dir() && furniture.opt().join("venv").is_dir());
        let mount = |at: &str| Mount { at: at.into(), content: Content::ReadOnly(at.into()) };
        let mut without = vec![mount("/workspace")];
        furniture.show(Tier::Namespace, &mut without);
        assert_eq!(without, [mount("/workspace")], "then the tier's own are not covered");
        let with = |tier| {
            let mut with = vec![mount("/workspace"), mount("/opt"), mount("/opt/agent")];
            furniture.show(tier, &mut with);
            with.iter().map(|m| m.at.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        for tier in [Tier::Namespace, Tier::Oci] {
            assert_eq!(with(tier), "/workspace /opt /opt/node/bin /opt/venv /opt/agent");
        }
        assert_eq!(with(Tier::Microvm), "/workspace /opt /opt/node/bin /usr/lib/x /opt/venv /opt/agent");
        assert_eq!(with(Tier::Wasm), "/workspace /opt /opt/agent");
        furniture.show(Tier::Microvm, &mut without);
        assert_eq!(without.len(), 4, "a machine has them without that too");
    }
}
