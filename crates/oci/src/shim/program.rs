//! Whether there is a program to start and a folder to start it in, looked at before the runtime is asked: what it would
//! say is each runtime's own, and some make a working folder that is missing.

use std::path::{Path, PathBuf};

use rustix::{fs::FileType, io::Errno};

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
    for candidate in candidates(plan.words.first().map_or("", String::as_str), &plan.path, dir) {
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

/// What a program's name may mean, in order.
fn candidates(program: &str, path: &str, dir: &Path) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![dir.join(program)];
    }
    path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| Path::new(folder).join(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_absolute_folders_only() {
        let of = |program: &str, path: &str| candidates(program, path, Path::new("/work"));
        assert_eq!(of("./x", "/bin"), [Path::new("/work/./x")]);
        assert_eq!(of("/y", "/bin"), [Path::new("/y")]);
        assert_eq!(of("x", "/usr/bin:::relative:/bin"), [Path::new("/usr/bin/x"), Path::new("/bin/x")]);
    }
}
