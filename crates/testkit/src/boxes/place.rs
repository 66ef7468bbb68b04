//! A folder of the host that a lab works in, and what listens on the host and must hear nothing.

use std::{
    fs, io,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{PermissionsExt as _, chown, lchown},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A folder of the host that anyone can reach, and the canaries that belong to it: a file, and listeners on all addresses of the host.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    unix: UnixListener,
    name: String,
}

impl Place {
    /// A new one below `/tmp`, whose name begins so.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(prefix: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in("/tmp").unwrap();
        open(folder.path());
        fs::write(folder.path().join("canary"), "untouched").unwrap();
        let name = format!("stead-canary-{}", folder.path().display());
        let unix = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let (tcp, udp) = (TcpListener::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("0.0.0.0:0").unwrap());
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        Self { folder, tcp, udp, unix, name }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder in it that anyone can enter, made if it is not there.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        open(&path);
        path
    }

    /// A folder that holds the probe, the program `stead-box-probe` of the namespace tier, as `probe`.
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn tools(&self, probe: impl AsRef<Path>) -> PathBuf {
        let tools = self.folder("tools");
        fs::copy(probe, tools.join("probe")).unwrap();
        tools
    }

    /// The numbers of the ports that listen, of TCP and of UDP, and the abstract name of a socket that does.
    ///
    /// # Panics
    /// If the system cannot tell.
    pub fn listening(&self) -> (u16, u16, &str) {
        (self.tcp.local_addr().unwrap().port(), self.udp.local_addr().unwrap().port(), &self.name)
    }

    /// What has been heard until now.
    pub(super) fn heard(&self) -> Vec<&'static str> {
        fn some<T>(what: &'static str, heard: io::Result<T>) -> Option<&'static str> {
            heard.is_ok().then_some(what)
        }
        let tried = [
            some("TCP", self.tcp.accept()),
            some("UDP", self.udp.recv(&mut [0; 8])),
            some("abstract socket", self.unix.accept()),
        ];
        tried.into_iter().flatten().collect()
    }
}

/// Lets anyone read and enter.
pub(super) fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Gives a folder and all in it to a user.
///
/// # Panics
/// If it may not be given.
pub fn give(folder: &Path, user: u32) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            give(&entry.path(), user);
        }
        lchown(entry.path(), Some(user), Some(user)).unwrap();
    }
    chown(folder, Some(user), Some(user)).unwrap();
}
