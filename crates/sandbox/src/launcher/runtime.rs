//! The runtime's own program, out of reach of what runs in boxes. A command may be `/proc/self/exe`, or a script that names it as
//! its interpreter: then it is this program, and whoever may write its file could write what the host runs next. Where
//! the launcher's user may, the launcher starts itself again from a read-only mount of the file, and so do its boxes.

use std::{
    ffi::{CString, OsString},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
};

use rustix::fs::{Access, AtFlags, CWD};

use crate::{
    fault::{At, Fault},
    root::{READ_ONLY, tree},
    sys,
};

/// What tells a launcher that it was started again, and as whom: nothing else starts it so.
pub(super) const AGAIN: &str = "--again-as";
const PROGRAM: &str = "/proc/self/exe";

/// Starts this program again with its arguments, unless its file cannot be written anyway. Needs mounts of its own. `user` is who
/// it was.
pub(super) fn close(control: &OwnedFd, user: u32) -> Result<(), Fault> {
    if rustix::fs::accessat(CWD, PROGRAM, Access::WRITE_OK, AtFlags::EACCESS).is_err() {
        return Ok(());
    }
    let step = "mounting this program read-only, for its file can be written";
    let path = std::fs::read_link(PROGRAM).at(step)?;
    let file = tree(&path)?;
    let (found, own) = (rustix::fs::fstat(&file).at(step)?, rustix::fs::stat(PROGRAM).at(step)?);
    if (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino) {
        return Err(Fault(format!("{step}: another file is at {} now; start the server again", path.display())));
    }
    sys::set_mount_flags(file.as_fd(), READ_ONLY).at(step)?;
    rustix::io::fcntl_setfd(control, rustix::io::FdFlags::empty()).at(step)?;
    let own = std::env::args_os().map(OsString::into_vec);
    let more = [AGAIN.into(), user.to_string().into_bytes()];
    let number = format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes();
    let words: Result<Vec<_>, _> = own.chain(more).chain([number]).map(CString::new).collect();
    let mut words = words.map_err(|e| Fault(format!("{step}: {e}")))?;
    let program = words.pop().unwrap_or_default();
    let (name, value) = super::SMALL_PAGES;
    let environment = CString::new(format!("{name}={value}")).map_err(|e| Fault(format!("{step}: {e}")))?;
    Err(sys::exec(&program, &words, &[environment])).at("starting this program again from a read-only mount")
}
