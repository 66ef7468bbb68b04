//! Tries, inside a box, what no shell can: system calls with chosen arguments. Prints a line `name result` for each, where
//! the result is `allowed` or the number of the error. Used by the tests, which say what must come out.

#![expect(unsafe_code, reason = "system calls made with arguments that no wrapper would make")]

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{fs::OpenOptionsExt as _, net::UnixStream},
    },
    path::Path,
    time::Duration,
};

use libc::{c_long, syscall};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("calls") => calls(),
        Some("sockets") => sockets(),
        Some("x32") => say("x32", raw(0x4000_0000 | libc::SYS_getpid, [0; 5])),
        #[cfg(target_arch = "x86_64")]
        Some("int80") => int80(),
        Some("descriptors") => descriptors(),
        Some("raise") => raise(),
        Some("closed") => closed(),
        Some("open") => open(),
        Some("read") => read(),
        Some("reach") => reach(),
        Some("search") => search(),
        Some("forks") => forks(),
        _ => std::process::exit(64),
    }
}

fn say(name: &str, result: c_long) {
    let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    // A test that cannot hear sees no line.
    let _ = if result == -1 { writeln!(out, "{name} {code}") } else { writeln!(out, "{name} allowed") };
}

/// The same for what a library tried.
fn tell<T>(name: &str, result: io::Result<T>) {
    let mut out = io::stdout().lock();
    let _ = match result {
        Ok(_) => writeln!(out, "{name} allowed"),
        // An error of a library's own has no number.
        Err(e) => writeln!(out, "{name} {}", e.raw_os_error().unwrap_or(-1)),
    };
}

/// Words after the name of what is tried.
fn words() -> impl Iterator<Item = String> {
    std::env::args().skip(2)
}

/// Pointers among the arguments are to static or leaked texts, or null.
fn raw(number: c_long, [a, b, c, d, e]: [u64; 5]) -> c_long {
    // SAFETY: the calls tried here must be refused before they read their arguments; those that are not refused get
    // pointers to memory that lives for ever, or null.
    unsafe { syscall(number, a, b, c, d, e, 0_u64) }
}

fn text(text: &str) -> u64 {
    CString::new(text).map_or(0, |t| t.into_raw() as u64)
}

fn calls() {
    use libc::*;
    let here = AT_FDCWD as i64 as u64;
    let user = CLONE_NEWUSER as u64;
    let zeroes = Box::leak(Box::new([0_u64; 64])).as_mut_ptr() as u64;
    let clone3 = Box::leak(Box::new([user, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, 0, 0, 0])).as_mut_ptr() as u64;
    let tries: &[(&str, c_long, [u64; 5])] = &[
        ("mount", SYS_mount, [text("none"), text("/tmp"), text("tmpfs"), 0, 0]),
        ("remount", SYS_mount, [0, text("/"), 0, MS_REMOUNT | MS_BIND, 0]),
        ("umount", SYS_umount2, [text("/proc"), MNT_DETACH as u64, 0, 0, 0]),
        ("fsopen", SYS_fsopen, [text("tmpfs"), 0, 0, 0, 0]),
        ("open_tree", SYS_open_tree, [here, text("/"), 1, 0, 0]),
        ("move_mount", SYS_move_mount, [here, text("/tmp"), here, text("/mnt"), 0]),
        ("mount_setattr", SYS_mount_setattr, [here, text("/"), 0, zeroes, 32]),
        ("pivot_root", SYS_pivot_root, [text("/tmp"), text("/tmp"), 0, 0, 0]),
        ("chroot", SYS_chroot, [text("/tmp"), 0, 0, 0, 0]),
        ("unshare_user", SYS_unshare, [user, 0, 0, 0, 0]),
        ("unshare_mounts", SYS_unshare, [CLONE_NEWNS as u64, 0, 0, 0, 0]),
        ("unshare_network", SYS_unshare, [CLONE_NEWNET as u64, 0, 0, 0, 0]),
        ("clone_user", SYS_clone, [user | SIGCHLD as u64, 0, 0, 0, 0]),
        ("clone3_user", SYS_clone3, [clone3, 88, 0, 0, 0]),
        ("setns", SYS_setns, [0, 0, 0, 0, 0]),
        ("ptrace_attach", SYS_ptrace, [PTRACE_ATTACH as u64, 1, 0, 0, 0]),
        ("ptrace_seize", SYS_ptrace, [PTRACE_SEIZE as u64, 1, 0, 0, 0]),
        ("process_vm_readv", SYS_process_vm_readv, [1, zeroes, 1, zeroes, 1]),
        ("process_vm_writev", SYS_process_vm_writev, [1, zeroes, 1, zeroes, 1]),
        ("pidfd_getfd", SYS_pidfd_getfd, [0, 0, 0, 0, 0]),
        ("kcmp", SYS_kcmp, [1, 1, 0, 0, 0]),
        ("mknod_char", SYS_mknodat, [here, text("/tmp/c"), u64::from(S_IFCHR | 0o666), 0x0103, 0]),
        ("mknod_block", SYS_mknodat, [here, text("/tmp/b"), u64::from(S_IFBLK | 0o666), 0x0700, 0]),
        ("mknod_whiteout", SYS_mknodat, [here, text("/tmp/w"), u64::from(S_IFCHR), 0, 0]),
        ("chmod_setuid", SYS_fchmodat, [here, text("/tmp"), 0o4755, 0, 0]),
        ("keyctl", SYS_keyctl, [0, (-3_i64) as u64, 0, 0, 0]),
        ("add_key", SYS_add_key, [text("user"), text("x"), text("y"), 1, (-3_i64) as u64]),
        ("request_key", SYS_request_key, [text("user"), text("x"), 0, 0, 0]),
        ("bpf", SYS_bpf, [0, zeroes, 48, 0, 0]),
        ("perf_event_open", SYS_perf_event_open, [zeroes, 0, u64::MAX, u64::MAX, 0]),
        ("userfaultfd", SYS_userfaultfd, [1, 0, 0, 0, 0]),
        ("io_uring_setup", SYS_io_uring_setup, [8, zeroes, 0, 0, 0]),
        ("open_by_handle_at", SYS_open_by_handle_at, [here, zeroes, 0, 0, 0]),
        ("name_to_handle_at", SYS_name_to_handle_at, [here, text("/"), zeroes, zeroes, 0]),
        ("personality", SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
        ("clock_settime", SYS_clock_settime, [0, zeroes, 0, 0, 0]),
        ("settimeofday", SYS_settimeofday, [zeroes, 0, 0, 0, 0]),
        ("sethostname", SYS_sethostname, [text("x"), 1, 0, 0, 0]),
        ("reboot", SYS_reboot, [0xfee1_dead, 672_274_793, 0, 0, 0]),
        ("swapon", SYS_swapon, [text("/tmp/x"), 0, 0, 0, 0]),
        ("init_module", SYS_init_module, [zeroes, 64, text(""), 0, 0]),
        ("finit_module", SYS_finit_module, [0, text(""), 0, 0, 0]),
        ("kexec_load", SYS_kexec_load, [0, 0, 0, 0, 0]),
        ("acct", SYS_acct, [0, 0, 0, 0, 0]),
        ("quotactl", SYS_quotactl, [0, 0, 0, 0, 0]),
        ("syslog", SYS_syslog, [3, zeroes, 64, 0, 0]),
        ("fanotify_init", SYS_fanotify_init, [0, 0, 0, 0, 0]),
        ("tiocsti", SYS_ioctl, [0, 0x5412, text("x"), 0, 0]),
        ("line_discipline", SYS_ioctl, [0, 0x5423, zeroes, 0, 0]),
        ("watch_opens", SYS_inotify_add_watch, [0, text("/usr/bin"), u64::from(IN_OPEN), 0, 0]),
        ("watch_all", SYS_inotify_add_watch, [0, text("/usr/bin"), u64::from(IN_ALL_EVENTS), 0, 0]),
        ("lease", SYS_fcntl, [0, F_SETLEASE as u64, F_WRLCK as u64, 0, 0]),
        ("notify", SYS_fcntl, [0, F_NOTIFY as u64, 1, 0, 0]),
        ("seccomp_listener", SYS_seccomp, [1, 8, zeroes, 0, 0]),
        ("sched_core", SYS_prctl, [62, 1, 0, 0, 0]),
        ("memory_map", SYS_prctl, [35, 1, zeroes, 0, 0]),
        ("io_setup", SYS_io_setup, [128, zeroes, 0, 0, 0]),
        ("statmount", 457, [zeroes, zeroes, 512, 0, 0]),
        ("listmount", 458, [zeroes, zeroes, 8, 0, 0]),
        ("open_tree_attr", 467, [here, text("/"), 1, 0, 0]),
        ("cachestat", 451, [0, zeroes, zeroes, 0, 0]),
        ("memfd_secret", SYS_memfd_secret, [0, 0, 0, 0, 0]),
        ("nice", SYS_setpriority, [0, 0, (-20_i64) as u64, 0, 0]),
        ("sched_fifo", SYS_sched_setscheduler, [0, 1, Box::leak(Box::new(50_i32)) as *mut i32 as u64, 0, 0]),
        ("setuid_root", SYS_setresuid, [0, 0, 0, 0, 0]),
        ("setgroups", SYS_setgroups, [1, zeroes, 0, 0, 0]),
        ("kill_all", SYS_kill, [u64::MAX, 9, 0, 0, 0]),
        ("kill_host", SYS_kill, [300, 9, 0, 0, 0]),
        ("later", 700, [0; 5]),
    ];
    for (name, number, arguments) in tries {
        say(name, raw(*number, *arguments));
    }
}

fn sockets() {
    use libc::*;
    let tries: &[(&str, i32, i32, i32)] = &[
        ("raw", AF_INET, SOCK_RAW, IPPROTO_ICMP),
        ("raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
        ("packet", AF_PACKET, SOCK_RAW, 0),
        ("netlink", AF_NETLINK, SOCK_RAW, 0),
        ("vsock", AF_VSOCK, SOCK_STREAM, 0),
        ("alg", AF_ALG, SOCK_SEQPACKET, 0),
        ("bluetooth", AF_BLUETOOTH, SOCK_RAW, 0),
        ("icmp", AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
        ("sctp", AF_INET, SOCK_SEQPACKET, 0),
        ("sctp6", AF_INET6, SOCK_SEQPACKET, 0),
        ("mptcp", AF_INET, SOCK_STREAM, IPPROTO_MPTCP),
        ("tcp", AF_INET, SOCK_STREAM, 0),
        ("unix", AF_UNIX, SOCK_STREAM, 0),
    ];
    for (name, family, kind, protocol) in tries {
        say(name, raw(SYS_socket, [*family as u64, *kind as u64, *protocol as u64, 0, 0]));
    }
}

/// `getpid` through the gate of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn int80() {
    let result: i32;
    // SAFETY: asks for a process id; the registers that the gate may change are told.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 20 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    say("int80", c_long::from(result));
}

/// Numbers that are open, without looking into `/proc`.
fn descriptors() {
    for number in 0..1024 {
        // SAFETY: asks for flags.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } != -1 {
            println!("{number}");
        }
    }
}

/// Raises every limit that was set.
fn raise() {
    use libc::*;
    let all = [("core", RLIMIT_CORE), ("nofile", RLIMIT_NOFILE), ("fsize", RLIMIT_FSIZE), ("nice", RLIMIT_NICE)];
    for (name, limit) in all {
        let most = rlimit { rlim_cur: RLIM_INFINITY, rlim_max: RLIM_INFINITY };
        // SAFETY: reads a structure that lives over the call.
        say(name, c_long::from(unsafe { setrlimit(limit, &raw const most) }));
    }
}

/// What the first process has.
fn closed() {
    let first = Path::new("/proc/1");
    for name in ["root", "exe", "cwd"] {
        tell(name, fs::read_link(first.join(name)));
    }
    for name in ["environ", "mem", "maps"] {
        tell(name, File::open(first.join(name)));
    }
    tell("fd", fs::read_dir(first.join("fd")));
}

/// Opens files: `r` to read, `w` to read and write.
fn open() {
    let write = words().next().as_deref() == Some("w");
    for path in words().skip(1) {
        tell(&path, OpenOptions::new().read(true).write(write).open(&path));
    }
}

/// Reads the beginnings of files.
fn read() {
    for path in words() {
        let mut piece = [0; 10];
        match File::open(&path).and_then(|mut file| file.read(&mut piece)) {
            Ok(n) => println!("{path} {n} bytes"),
            Err(e) => tell::<()>(&path, Err(e)),
        }
    }
}

/// Looks for the host and the network: ports of the host by TCP and UDP, an abstract socket, other machines, a name.
fn reach() {
    let [tcp, udp, name] = [0, 1, 2].map(|n| words().nth(n).unwrap_or_default());
    let host = ["10.0.2.2", "127.0.0.1", "::1"].map(|host| (host, tcp.clone()));
    let others = ["1.1.1.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "2606:4700::1111"];
    for (host, port) in host.into_iter().chain(others.map(|host| (host, "443".to_owned()))) {
        let Ok(ip) = host.parse() else { continue };
        let address = SocketAddr::new(ip, port.parse().unwrap_or(0));
        tell(&format!("tcp {host}"), TcpStream::connect_timeout(&address, Duration::from_secs(2)));
    }
    let own = ("127.0.0.1", udp);
    for (host, port) in ["1.1.1.1", "8.8.8.8", "10.0.0.1"].map(|host| (host, "53".to_owned())).into_iter().chain([own])
    {
        let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", format!("{host}:{port}")));
        tell(&format!("udp {host}"), sent);
    }
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name);
    tell("abstract", address.and_then(|address| UnixStream::connect_addr(&address)));
    tell("name", "example.com:80".to_socket_addrs());
}

/// Looks for two words that stand together, in all files that a command may read, and for shared memory.
fn search() {
    let word = words().take(2).collect::<String>().into_bytes();
    let tops = ["/tmp", "/home", "/dev/shm", "/workspace", "/mnt", "/opt", "/srv", "/run", "/var", "/proc"];
    let mut left: Vec<_> = tops.map(Into::into).into();
    let own = [format!("/proc/{}", std::process::id()), "/proc/self".to_owned(), "/proc/thread-self".to_owned()];
    let mut looked = 0;
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        let Ok(kind) = fs::symlink_metadata(&path).map(|m| m.file_type()) else { continue };
        if kind.is_dir() && !own.iter().any(|own| path == Path::new(own)) {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if kind.is_file() {
            let mut piece = vec![0; 1 << 16];
            let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
            let read = opened.and_then(|mut file| file.read(&mut piece)).unwrap_or(0);
            looked += 1;
            if path.ends_with("needle") || piece[..read].windows(word.len()).any(|window| window == word) {
                found.push(path);
            }
        }
    }
    println!("{looked} files");
    for path in found {
        println!("found {}", path.display());
    }
    let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    println!("segments {}", segments.lines().skip(1).count());
}

/// Forks as fast as it can, and so does every child.
fn forks() {
    loop {
        // SAFETY: parent and child go on doing the same, and nothing else.
        unsafe { libc::fork() };
    }
}
