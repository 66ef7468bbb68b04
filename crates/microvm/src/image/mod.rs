//! The image of machines: what the kernel finds as its first filesystem. The same for every box of this process, and made once, in
//! memory: the guest's first program with its libraries, the kernel's modules that it needs, and a small root for boxes with BusyBox.

mod cpio;
mod elf;
mod root;

use std::{
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::fault::{At, Fault};

/// Where the first program is.
pub(crate) const PROGRAM: &str = "stead";
/// Where its modules are, in the order in which they are loaded.
pub(crate) const MODULES: &str = "modules";
/// Where the root of boxes is.
pub(crate) const ROOT: &str = "box";

/// Kernel modules, in an order in which each finds what it needs: the channel, and layers.
const NEEDED: &[&str] = &[
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_mmio",
    "drivers/char/virtio_console",
    "fs/overlayfs/overlay",
];

/// An image, sealed: nothing changes it any more.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) file: OwnedFd,
    pub(crate) size: u64,
}

/// What an image is made of.
#[derive(Debug)]
pub(crate) struct Sources<'s> {
    /// The program that plays the roles of this crate.
    pub(crate) program: &'s Path,
    pub(crate) busybox: &'s Path,
    /// The folder of the kernel's modules.
    pub(crate) modules: &'s Path,
    /// Folders that the root of boxes has beside the usual ones, empty.
    pub(crate) places: &'s [PathBuf],
}

/// Makes an image. Reads some megabytes.
pub(crate) fn make(sources: &Sources<'_>) -> Result<Image, Fault> {
    let mut cpio = cpio::Cpio::default();
    for folder in ["dev", "proc", "sys", "in", "private", "root", MODULES] {
        cpio.folder(folder, 0o700);
    }
    let program = elf::program(sources.program)?;
    cpio.file(PROGRAM, 0o700, &program.bytes);
    for path in &program.needs {
        cpio.file(inside(path)?, 0o755, &std::fs::read(path).at(&format!("reading {}", path.display()))?);
    }
    for (number, name) in NEEDED.iter().enumerate() {
        let path = sources.modules.join("kernel").join(format!("{name}.ko"));
        // One that is built into the kernel has no file, and none is needed.
        if let Some(module) = module(&path, sources.modules, name)? {
            cpio.file(&format!("{MODULES}/{number}.ko"), 0o600, &module);
        }
    }
    root::furnish(&mut cpio, sources.busybox, sources.places)?;
    sealed(&cpio.finish())
}

fn module(path: &Path, modules: &Path, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let built_in = std::fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
            let named = built_in.lines().any(|line| line.strip_prefix("kernel/") == Some(&format!("{name}.ko")));
            let lacks = || Fault(format!("the kernel has no module {} (a compressed one is not read)", path.display()));
            if named { Ok(None) } else { Err(lacks()) }
        }
        Err(e) => Err(e).at(&format!("reading {}", path.display())),
    }
}

fn inside(path: &Path) -> Result<&str, Fault> {
    let plain = path.to_str().and_then(|p| p.strip_prefix('/'));
    plain.ok_or_else(|| Fault(format!("{} is no path that an image can have", path.display())))
}

fn sealed(bytes: &[u8]) -> Result<Image, Fault> {
    let step = "keeping the image of machines";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("stead-machine", flags).at(step)?);
    file.write_all(bytes).at(step)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).at(step)?;
    Ok(Image { file: file.into(), size: bytes.len() as u64 })
}
