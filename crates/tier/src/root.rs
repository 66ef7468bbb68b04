//! What stands in the root of a box: which names of the host it shows, and what is its own.

/// The home of a box's user.
pub const HOME: &str = "/home/box";

/// Folders of programs and libraries: shown read-only, or copied as the links that they are.
pub const PROGRAMS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What of the host's `/etc` is shown: names of programs, libraries, authorities. Nothing that names users, hosts or keys.
pub const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ld.so.cache",
    "localtime",
    "mime.types",
    "os-release",
    "pki/ca-trust",
    "pki/tls/certs",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];

/// Files of the box's own, the same in every root.
pub const OWN_ETC: &[(&str, &str)] = &[
    ("group", "root:x:0:\nbox:x:1000:\nnogroup:x:65534:\n"),
    ("hosts", "127.0.0.1 localhost box\n::1 localhost box\n"),
    ("hostname", "box\n"),
    ("resolv.conf", "# There is no resolver: the egress proxy resolves names.\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"),
];

/// Those that name programs, in a root that shows the host's.
pub const OWN_ETC_OF_PROGRAMS: &[(&str, &str)] = &[
    (
        "passwd",
        "root:x:0:0:root:/:/usr/sbin/nologin\nbox:x:1000:1000:box:/home/box:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    ("shells", "/bin/sh\n/bin/bash\n"),
];

/// Links of a box's `/dev`, and where they lead.
pub const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Folders that are mounted on, or stand empty.
pub const FOLDERS: &[&str] =
    &["dev", "etc", "home/box", "proc", "run", "tmp", "var", "workspace", "data", "mnt", "opt", "srv"];

/// Places below which a folder is made to mount on.
pub const MADE_BELOW: &[&str] = &["tmp", "home/box"];

/// What a root of its own must have.
pub const NEEDED: &[&str] = &["proc", "dev", "tmp", "home/box"];

/// Files of `/proc` that tell everyone about the host: covered. What only root may read stays closed by itself.
pub const COVERED: &[&str] =
    &["kcore", "keys", "key-users", "kallsyms", "cmdline", "modules", "timer_list", "config.gz"];
