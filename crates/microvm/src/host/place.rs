//! The place: a small process beside a machine, in namespaces of its own. It holds what of the box stands on the host: a filesystem in
//! memory for its layers, and a loopback network where the way out is, to which nobody else can connect. It serves descriptors over a
//! socket, and ends when that closes.

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use rustix::{
    fs::{Mode, OFlags, mkdirat, openat},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
    net::Shutdown,
    thread::UnshareFlags,
};
use stead_tier::socket::{self, Received};

use crate::{
    fault::{At, Fault},
    net, role, sys,
};

/// Most layers.
const MOST: usize = 32;

/// What a place is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The port of the way out, if there is one.
    pub(super) egress: Option<u16>,
    pub(super) layers: usize,
    /// Bytes and files of all layers together.
    pub(super) disk: u64,
    pub(super) inodes: u64,
}

/// A place that runs.
#[derive(Debug)]
pub(super) struct Place {
    child: Child,
    socket: Mutex<OwnedFd>,
}

/// What it holds.
pub(super) struct Held {
    pub(super) listener: Option<TcpListener>,
    pub(super) layers: Vec<OwnedFd>,
}

impl Place {
    /// Starts one. Blocks for some milliseconds.
    pub(super) fn start(role: &[OsString], wanted: &Wanted) -> Result<(Self, Held), Fault> {
        let step = "starting the place of a machine";
        let (ours, its) = socket::pair().at(step)?;
        let mut command = Command::new(role.first().ok_or_else(|| Fault(format!("{step}: no program")))?);
        command.args(&role[1..]).arg(role::PLACE).env_clear().current_dir("/");
        let child = command.stdin(its).stdout(Stdio::null()).spawn().at(step)?;
        drop(command);
        let place = Self { child, socket: Mutex::new(ours) };
        let numbers = [u64::from(wanted.egress.unwrap_or(0)), wanted.layers as u64, wanted.disk, wanted.inodes];
        let order: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut held = place.ask(&order).at(step)?;
        let listener = wanted.egress.map(|_| if held.is_empty() { None } else { Some(held.remove(0)) });
        match (held.len() == wanted.layers, listener) {
            (true, None) => Ok((place, Held { listener: None, layers: held })),
            (true, Some(Some(listener))) => Ok((place, Held { listener: Some(listener.into()), layers: held })),
            _ => Err(Fault(format!("{step}: it does not hold what was asked"))),
        }
    }

    /// A new connection to the listener.
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        self.ask(&[0])?.pop().map(TcpStream::from).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn ask(&self, order: &[u8]) -> io::Result<Vec<OwnedFd>> {
        let socket = self.socket.lock();
        socket::send(&*socket, order, &[], true)?;
        let (said, descriptors) = receive(socket.as_fd())?;
        match said.split_first() {
            Some((0, _)) => Ok(descriptors),
            Some((_, why)) => Err(io::Error::other(String::from_utf8_lossy(why).into_owned())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(self.socket.lock().as_fd(), Shutdown::Both);
        // It has nothing to do but to end; that takes a millisecond.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is a place, on its standard input, until that closes.
pub(crate) fn serve() -> Result<(), Fault> {
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let (order, _) = receive(socket).at("hearing what is wanted")?;
    let (listener, layers) = match make(&order) {
        Ok(made) => made,
        Err(fault) => return told(socket, Err(&fault)).at("telling why not"),
    };
    let held: Vec<_> = listener.iter().map(AsFd::as_fd).chain(layers.iter().map(AsFd::as_fd)).collect();
    told(socket, Ok(&held)).at("handing over what is held")?;
    drop(held);
    let port = listener.as_ref().and_then(|l| l.local_addr().ok()).map(|a| a.port());
    // Whoever asked has them now.
    drop((listener, layers));
    while let Ok((asked, _)) = receive(socket)
        && !asked.is_empty()
    {
        let connection = TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        match connection {
            Ok(connection) => told(socket, Ok(&[connection.as_fd()])),
            Err(e) => told(socket, Err(&e)),
        }
        .at("handing a connection over")?;
    }
    Ok(())
}

fn make(order: &[u8]) -> Result<(Option<TcpListener>, Vec<OwnedFd>), Fault> {
    let numbers: Vec<u64> =
        order.chunks_exact(8).filter_map(|b| Some(u64::from_le_bytes(b.try_into().ok()?))).collect();
    let [port, layers, disk, inodes] = numbers[..] else {
        return Err(Fault("what is wanted cannot be read".to_owned()));
    };
    let port = u16::try_from(port).map_err(|_| Fault("a port is none".to_owned()))?;
    let mut all = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if user != 0 {
        all |= UnshareFlags::NEWUSER;
    }
    sys::unshare(all).at("making the namespaces of a machine's place")?;
    if user != 0 {
        let write = |name: &str, text: String| {
            std::fs::write(format!("/proc/self/{name}"), text).at(&format!("writing {name}"))
        };
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("0 {user} 1"))?;
        write("gid_map", format!("0 {group} 1"))?;
    }
    let listener = match port {
        0 => None,
        port => {
            net::loopback()?;
            Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).at("listening for the egress proxy")?)
        }
    };
    let folders = match usize::try_from(layers).ok().filter(|n| *n <= MOST) {
        Some(0) => Vec::new(),
        Some(layers) => self::layers(layers, disk, inodes)?,
        None => return Err(Fault("more layers than a box has".to_owned())),
    };
    Ok((listener, folders))
}

/// A filesystem that hangs nowhere, with a folder for each layer; it lives as long as one of these is open.
fn layers(count: usize, disk: u64, inodes: u64) -> Result<Vec<OwnedFd>, Fault> {
    let step = "making the place of layers";
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).at(step)?;
    // A little more than the machine's own, which counts the same.
    let (size, files) = (disk.saturating_add(1 << 20).to_string(), inodes.saturating_add(64).to_string());
    for (name, value) in [("size", size.as_str()), ("nr_inodes", &files), ("mode", "0700")] {
        rustix::mount::fsconfig_set_string(&context, name, value).at(step)?;
    }
    rustix::mount::fsconfig_create(&context).at(step)?;
    let flags =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let top = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).at(step)?;
    let folder = |number: usize| {
        let name = number.to_string();
        mkdirat(&top, name.as_str(), Mode::from_raw_mode(0o755)).at(step)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&top, name.as_str(), flags, Mode::empty()).at(step)
    };
    (0..count).map(folder).collect()
}

/// Answers: what was asked for, or why there is none.
fn told(socket: BorrowedFd<'_>, answer: Result<&[BorrowedFd<'_>], &dyn std::fmt::Display>) -> Result<(), Errno> {
    match answer {
        Ok(descriptors) => socket::send(socket, &[0], descriptors, true),
        Err(why) => socket::send(socket, format!("\u{1}{why}").as_bytes(), &[], true),
    }
}

fn receive(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut room = Vec::new();
    let got = socket::receive(socket, &mut room, true)?;
    got.map_or(Ok(Default::default()), |Received { message, descriptors }| {
        Ok((message.to_vec(), descriptors.ok_or(Errno::MSGSIZE)?))
    })
}
