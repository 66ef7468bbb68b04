//! The marks that overlayfs keeps in extended attributes of an upper directory (Linux, `Documentation/filesystems/overlayfs.rst`):
//! which of them mean something, which mean nothing here, and which only somebody else can have made.
//!
//! Through the overlay nobody can set a mark of the namespace that the mount uses: the kernel escapes or refuses it. A mark of the
//! other namespace goes through, though, so only those of the mount's own are believed, and another is a forgery.

use std::os::fd::AsFd;

use rustix::{
    fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr},
    io::Errno,
};
use stead_ports::workspace::Marks;

/// Bytes of the longest list of names (`XATTR_LIST_MAX`).
const LIST: usize = 64 << 10;

/// Marks without meaning for what is in the workspace.
const IDLE: &[&[u8]] = &[b"origin", b"impure", b"nlink", b"uuid", b"upper", b"protattr"];

/// Attributes that a host puts on every file.
const OF_THE_HOST: &[&[u8]] = &[b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor"];

/// What the attributes of one file or directory say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A directory: nothing of what the base has there stays.
    pub(crate) opaque: bool,
    /// A directory: empty files with the mark below are whiteouts.
    pub(crate) holds_whiteouts: bool,
    /// An empty file: a whiteout, if its directory says so.
    pub(crate) whiteout: bool,
    /// Attributes of users, which are not kept.
    pub(crate) others: u64,
}

/// Why it was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Forged(&'static str),
    Disk(Errno),
}

/// Reads lists of attributes; one buffer for all.
pub(crate) struct Reader {
    marks: Option<Marks>,
    list: Box<[u8]>,
}

impl Reader {
    /// Believes the marks of that namespace, or none.
    pub(crate) fn new(marks: Option<Marks>) -> Self {
        Self { marks, list: vec![0; LIST].into() }
    }

    pub(crate) fn read(&mut self, file: impl AsFd) -> Result<Seen, Bad> {
        let len = match flistxattr(&file, &mut self.list[..]) {
            Ok(len) => len,
            // A file system without attributes has no marks.
            Err(Errno::NOTSUP) => 0,
            Err(e) => return Err(Bad::Disk(e)),
        };
        let mut seen = Seen::default();
        for name in self.list[..len].split(|b| *b == 0).filter(|n| !n.is_empty()) {
            judge(&mut seen, self.marks, name, || value(&file, name))?;
        }
        Ok(seen)
    }
}

/// Proves that this process sees marks of that namespace at all. Those of `trusted.` are hidden from everybody but root of the host,
/// and a hidden mark would look like none: what a box has removed would come back.
pub(crate) fn visible(marks: Marks, dir: impl AsFd) -> Result<(), Errno> {
    const PROBE: &str = "trusted.stead.probe";
    if marks == Marks::Trusted {
        // Who may not see them may not set them either; asking does not tell the two apart.
        fsetxattr(&dir, PROBE, b"", XattrFlags::empty())?;
        fremovexattr(&dir, PROBE)?;
    }
    Ok(())
}

/// One letter, or none for a longer value.
fn value(file: impl AsFd, name: &[u8]) -> Result<Option<u8>, Bad> {
    let mut one = [0; 1];
    match fgetxattr(file, name, &mut one[..]) {
        Ok(1) => Ok(Some(one[0])),
        Ok(_) | Err(Errno::RANGE) => Ok(None),
        Err(e) => Err(Bad::Disk(e)),
    }
}

fn judge(
    seen: &mut Seen,
    ours: Option<Marks>,
    name: &[u8],
    value: impl FnOnce() -> Result<Option<u8>, Bad>,
) -> Result<(), Bad> {
    let (marks, rest) = match (name.strip_prefix(b"trusted.overlay."), name.strip_prefix(b"user.overlay.")) {
        (Some(rest), _) => (Marks::Trusted, rest),
        (_, Some(rest)) => (Marks::User, rest),
        _ => {
            seen.others += u64::from(!OF_THE_HOST.contains(&name));
            return Ok(());
        }
    };
    if ours != Some(marks) {
        return Err(Bad::Forged("a mark of overlayfs that its mount did not make"));
    }
    match rest {
        b"opaque" => match value()? {
            Some(b'y') => seen.opaque = true,
            Some(b'x') => seen.holds_whiteouts = true,
            _ => return Err(Bad::Forged("an opaque mark that overlayfs does not make")),
        },
        b"whiteout" => seen.whiteout = true,
        b"redirect" => return Err(Bad::Forged("a directory redirected to another (mount with redirect_dir=nofollow)")),
        b"metacopy" => return Err(Bad::Forged("a file without its content (mount with metacopy=off)")),
        rest if IDLE.contains(&rest) => {}
        _ => return Err(Bad::Forged("a mark that overlayfs does not make")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn seen(ours: Option<Marks>, name: &str, value: u8) -> Result<Seen, Bad> {
        let mut seen = Seen::default();
        judge(&mut seen, ours, name.as_bytes(), || Ok(Some(value))).map(|()| seen)
    }

    #[test]
    fn only_marks_of_the_mounts_own_namespace_are_believed() {
        use Marks::{Trusted, User};
        for (ours, prefix, other) in [(Trusted, "trusted", "user"), (User, "user", "trusted")] {
            assert!(seen(Some(ours), &format!("{prefix}.overlay.opaque"), b'y').unwrap().opaque);
            assert!(seen(Some(ours), &format!("{prefix}.overlay.opaque"), b'x').unwrap().holds_whiteouts);
            assert_eq!(seen(Some(ours), &format!("{prefix}.overlay.origin"), 0), Ok(Seen::default()));
            for mark in ["opaque", "whiteout", "origin", "redirect"] {
                seen(Some(ours), &format!("{other}.overlay.{mark}"), b'y').unwrap_err();
                seen(None, &format!("{prefix}.overlay.{mark}"), b'y').unwrap_err();
            }
            for forged in ["redirect", "metacopy", "overlay.opaque", "", "new"] {
                seen(Some(ours), &format!("{prefix}.overlay.{forged}"), b'y').unwrap_err();
            }
            seen(Some(ours), &format!("{prefix}.overlay.opaque"), b'z').unwrap_err();
        }
    }

    #[test]
    fn attributes_of_users_are_counted_and_those_of_the_host_are_not() {
        assert_eq!(seen(None, "user.note", 0).unwrap().others, 1);
        assert_eq!(seen(None, "security.capability", 0).unwrap().others, 1);
        assert_eq!(seen(None, "security.selinux", 0).unwrap().others, 0);
    }
}
