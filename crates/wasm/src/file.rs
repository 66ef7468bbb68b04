//! The folders that an action is given, open, and the component that its command names in one of them.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use stead_ports::sandbox::{BoxError, Content, Spec};
use stead_tier::ask;

/// Most bytes of a component: compiling takes time and memory that grow with it.
pub(crate) const MAX_COMPONENT: u64 = 16 << 20;

/// A folder, as it was when it was given.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) at: String,
    open: OwnedFd,
}

impl Folder {
    /// A path of this process that leads to it, whatever has its name now.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.open.as_raw_fd().to_string())
    }
}

/// Opens the folders.
pub(crate) fn folders(spec: &Spec) -> Result<Vec<Folder>, BoxError> {
    let places = ask::places(spec, &[])?;
    let open = places.into_iter().zip(&spec.mounts).map(|(at, mount)| {
        let Content::ReadOnly(path) = &mount.content else {
            return Err(ask::wrong(format!("the wasm tier grants folders read-only, and {at} is not to be")));
        };
        let absolute = ask::folder(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(&absolute, flags, Mode::empty())
            .map_err(|e| ask::wrong(format!("the folder {}: {e}", path.display())))?;
        Ok(Folder { at, open })
    });
    open.collect()
}

/// Reads the component that a path inside names. No link is followed on the way.
pub(crate) fn component(folders: &[Folder], program: &str) -> Result<Vec<u8>, BoxError> {
    let failed = |why: String| BoxError::Command { program: program.to_owned(), why };
    let path = Path::new(program);
    let within = folders
        .iter()
        .filter_map(|folder| Some((folder, path.strip_prefix(&folder.at).ok()?)))
        .max_by_key(|(folder, _)| folder.at.len());
    let Some((folder, relative)) = within else {
        return Err(failed("it is no path of a component in a folder that the action is given".to_owned()));
    };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // A pipe must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let said = |e: rustix::io::Errno| failed(std::io::Error::from(e).to_string());
    let file = rustix::fs::openat2(&folder.open, relative, flags, Mode::empty(), how).map_err(said)?;
    let found = rustix::fs::fstat(&file).map_err(said)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(failed("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::from(file).take(MAX_COMPONENT + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > MAX_COMPONENT {
        return Err(failed(format!("a component may have {MAX_COMPONENT} bytes")));
    }
    Ok(bytes)
}
