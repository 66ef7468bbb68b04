//! The root that boxes have unless they bring one: BusyBox, a small `/etc`, and the places that folders are mounted on. The host's
//! programs are not in it: a machine cannot see them.

use std::{path::Path, process::Command};

use stead_tier::root::OWN_ETC;

use super::{ROOT, cpio::Cpio, elf};
use crate::fault::{At, Fault};

/// Files of the box's own that name programs.
const ETC: &[(&str, &str)] = &[
    (
        "passwd",
        "root:x:0:0:root:/:/bin/false\nbox:x:1000:1000:box:/home/box:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("shells", "/bin/sh\n"),
];

/// Folders that are mounted on, or stand empty.
const FOLDERS: &[&str] =
    &["dev", "home/box", "proc", "run", "tmp", "var", "workspace", "data", "mnt", "opt", "srv", "lib", "usr/lib"];

/// Puts the root into an image.
pub(super) fn furnish(cpio: &mut Cpio, busybox: &Path) -> Result<(), Fault> {
    let step = format!("reading {}", busybox.display());
    let program = elf::program(busybox)?;
    if !program.needs.is_empty() {
        return Err(Fault(format!(
            "{step}: it is not linked statically; install one that is: apt-get install busybox-static"
        )));
    }
    let listed = Command::new(busybox).arg("--list").env_clear().output().at(&step)?;
    cpio.folder(ROOT, 0o755);
    for name in FOLDERS {
        cpio.folder(&format!("{ROOT}/{name}"), 0o755);
    }
    cpio.file(&format!("{ROOT}/bin/busybox"), 0o755, &program.bytes);
    for applet in String::from_utf8_lossy(&listed.stdout).lines().filter(|a| !a.contains('/') && *a != "busybox") {
        cpio.link(&format!("{ROOT}/bin/{applet}"), "busybox");
    }
    for (name, to) in [("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin"), ("var/tmp", "../tmp")] {
        cpio.link(&format!("{ROOT}/{name}"), to);
    }
    for (name, text) in OWN_ETC.iter().chain(ETC) {
        cpio.file(&format!("{ROOT}/etc/{name}"), 0o644, text.as_bytes());
    }
    Ok(())
}
