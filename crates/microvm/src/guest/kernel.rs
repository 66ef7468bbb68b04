//! Readies the machine's kernel: its filesystems, its modules, the port of the channel; and closes what no command needs.

use std::{
    fs::{self, File},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::mount::MountFlags;

use crate::{
    fault::{At, Fault},
    image::MODULES,
};

/// How long the port may take to appear.
const PORT_WAIT: Duration = Duration::from_secs(30);

/// Settings of the kernel that take what could help a command against it. Those that this kernel does not know are skipped.
const CLOSED: &[(&str, &str)] = &[
    ("kernel/modules_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/yama/ptrace_scope", "3"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/io_uring_disabled", "2"),
    ("kernel/sysrq", "0"),
    ("kernel/core_pattern", "|/none"),
    ("kernel/keys/maxkeys", "0"),
    ("vm/unprivileged_userfaultfd", "0"),
    ("fs/suid_dumpable", "0"),
    ("net/ipv4/ping_group_range", "1 0"),
];

/// Mounts what the kernel tells of itself, and loads its modules.
pub(super) fn ready() -> Result<(), Fault> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).at("mounting /proc")?;
    rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None).at("mounting /sys")?;
    rustix::mount::mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, None).at("mounting /dev")?;
    let mut modules: Vec<_> = fs::read_dir(Path::new("/").join(MODULES))
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .at("listing the kernel's modules")?;
    modules.sort_by_key(fs::DirEntry::file_name);
    for module in modules {
        let step = format!("loading the module {}", module.file_name().display());
        let file = File::open(module.path()).at(&step)?;
        rustix::system::finit_module(file, c"", 0).at(&step)?;
    }
    rustix::system::sethostname(b"box").at("naming the machine")?;
    crate::net::loopback()
}

/// Closes the kernel to what no command needs.
pub(super) fn close() -> Result<(), Fault> {
    for (name, value) in CLOSED {
        let path = Path::new("/proc/sys").join(name);
        if path.exists() {
            // Some cannot be set twice, or only lower; a command that broke out of this gains the guest at most.
            let _ = fs::write(path, value);
        }
    }
    fs::write("/proc/sys/user/max_user_namespaces", "0").at("closing user namespaces")
}

/// Opens the port of the channel, which appears when the host has answered.
pub(super) fn port(name: &str) -> Result<File, Fault> {
    let until = Instant::now() + PORT_WAIT;
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let named = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if named.trim_end() == name {
                let device = Path::new("/dev").join(entry.file_name());
                return File::options().read(true).write(true).open(device).at("opening the channel");
            }
        }
        if Instant::now() > until {
            return Err(Fault("the machine has no channel".to_owned()));
        }
        sleep(Duration::from_millis(2));
    }
}
