//! Whether there is a program to start and a folder to start it in, looked at before the runtime is asked: what it would
//! say is each runtime's own, and some make a working folder that is missing.

use std::path::Path;

use rustix::{fs::FileType, io::Errno};
use stead_tier::program::candidates;

use super::{fault::Fault, root::Root};
use crate::wire::{Failure, Plan};

/// Filesystems that are not there yet.
const LATER: &[&str] = &["/proc", "/dev"];

/// Looks for both.
pub(super) fn check(plan: &Plan, root: &Root) -> Result<(), Fault> {
    let command = |why: String| Fault(Failure::Command(why));
    let said = |e: Errno| std::io::Error::from(e).to_string();
    let dir = Path::new(&plan.dir);
    let kind = |path: &Path| {
        root.find(path).and_then(rustix::fs::fstat).map(|s| (FileType::from_raw_mode(s.st_mode), s.st_mode))
    };
    if !later(dir) {
        let found = match kind(dir) {
            Ok((FileType::Directory, _)) => Ok(()),
            Ok(_) => Err(Errno::NOTDIR),
            Err(e) => Err(e),
        };
        found.map_err(|e| command(format!("its working folder {}: {}", plan.dir, said(e))))?;
    }
    let mut why = Errno::NOENT;
    for candidate in candidates(plan.words.first().map_or("", String::as_str), &plan.path) {
        let candidate = dir.join(candidate);
        if later(&candidate) {
            return Ok(());
        }
        match kind(&candidate) {
            Ok((FileType::RegularFile, mode)) if mode & 0o111 != 0 => return Ok(()),
            Ok(_) => why = Errno::ACCESS,
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => why = e,
        }
    }
    Err(command(said(why)))
}

fn later(path: &Path) -> bool {
    LATER.iter().any(|there| path.starts_with(there))
}
