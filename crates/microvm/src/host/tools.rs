//! The programs and files that machines are made of: where they are looked for, and the commands that get what is missing.

use std::path::{Path, PathBuf};

use super::Settings;
use crate::{fault::Fault, vmm::Parts};

/// What gets QEMU and BusyBox on Debian.
const INSTALL: &str = "apt-get install --no-install-recommends qemu-system-x86 busybox-static";
/// What gets a kernel, which is unpacked and not installed.
const UNPACK: &str = "cd \"$(mktemp -d)\" && apt-get download \"$(apt-cache depends linux-image-cloud-amd64 | \
                      sed -n 's/.*Depends: //p' | head -n 1)\" && mkdir -p ~/.cache/stead/kernel && \
                      dpkg-deb -x linux-image-*.deb ~/.cache/stead/kernel";

/// Folders of programs, in order.
const PROGRAMS: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds all of it.
pub(super) fn find(settings: &Settings) -> Result<Parts, Fault> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Fault("machines run on x86-64 hosts only".to_owned()));
    }
    let lacks = |what: &str| Fault(format!("there is no {what}; install it: {INSTALL}"));
    let monitor = program("qemu-system-x86_64").ok_or_else(|| lacks("qemu-system-x86_64"))?;
    let busybox = program("busybox").ok_or_else(|| lacks("busybox"))?;
    let places = settings.kernels.iter().map(PathBuf::as_path).chain([Path::new("/")]);
    let kernel = places.filter_map(kernel).next();
    let (kernel, modules) = kernel.ok_or_else(|| {
        let looked = settings.kernels.iter().map(|k| k.display().to_string()).collect::<Vec<_>>().join(", ");
        Fault(format!("there is no kernel for machines in {looked} or /boot; unpack one: {UNPACK}"))
    })?;
    Ok(Parts { monitor, kernel, modules, busybox })
}

fn program(name: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// The kernel of a folder with its modules; of several the last by name, and only one made for machines.
fn kernel(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut names: Vec<String> = std::fs::read_dir(folder.join("boot"))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("vmlinuz-") && name.contains("-cloud-"))
        .collect();
    names.sort();
    names.iter().rev().find_map(|name| {
        let version = name.strip_prefix("vmlinuz-")?;
        let modules = ["lib/modules", "usr/lib/modules"].map(|at| folder.join(at).join(version));
        Some((folder.join("boot").join(name), modules.into_iter().find(|path| path.is_dir())?))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kernel(dir.path()), None);
        std::fs::create_dir_all(dir.path().join("boot")).unwrap();
        std::fs::create_dir_all(dir.path().join("lib/modules/6.1.0-9-cloud-amd64")).unwrap();
        for version in ["6.1.0-9-cloud-amd64", "6.1.0-9-amd64"] {
            std::fs::write(dir.path().join("boot").join(format!("vmlinuz-{version}")), "").unwrap();
        }
        let (kernel, modules) = kernel(dir.path()).unwrap();
        assert!(kernel.ends_with("boot/vmlinuz-6.1.0-9-cloud-amd64") && modules.ends_with("6.1.0-9-cloud-amd64"));
        let settings = Settings { kernels: vec![dir.path().join("none")], ..Settings::default() };
        if let Err(fault) = find(&settings) {
            assert!(fault.0.contains("apt-get"), "{fault}");
        }
    }
}
