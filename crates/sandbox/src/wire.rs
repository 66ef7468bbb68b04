//! What server, launcher and inits tell each other: MiniCBOR in datagrams over `SOCK_SEQPACKET` sockets, descriptors beside
//! them. All ends are the same program; a message that cannot be read still never counts as one.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use minicbor::{Decode, Encode};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
    },
};

/// Most bytes of a message.
pub(crate) const MAX_MESSAGE: usize = 160 << 10;
/// Most descriptors beside one.
pub(crate) const MAX_DESCRIPTORS: usize = 64;

/// What a box is made of: [`stead_ports::sandbox::Spec`] after it was checked, its folders replaced by descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Plan {
    #[n(0)]
    pub(crate) words: Vec<String>,
    #[n(1)]
    pub(crate) env: Vec<(String, String)>,
    #[n(2)]
    pub(crate) dir: String,
    /// The folder of a root of its own.
    #[n(3)]
    pub(crate) root: Option<Folder>,
    #[n(4)]
    pub(crate) mounts: Vec<Place>,
    #[n(5)]
    pub(crate) limits: Limits,
    #[n(6)]
    pub(crate) egress: Option<u16>,
    /// Rows and columns of a terminal of its own.
    #[n(7)]
    pub(crate) terminal: Option<(u16, u16)>,
}

/// A folder of the host: its path, and what is there, so that another one in its place is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Folder {
    #[n(0)]
    pub(crate) path: String,
    #[n(1)]
    pub(crate) device: u64,
    #[n(2)]
    pub(crate) inode: u64,
}

/// A folder inside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Place {
    #[n(0)]
    pub(crate) at: String,
    #[n(1)]
    pub(crate) from: Folder,
    #[n(2)]
    pub(crate) access: Access,
}

/// How a folder is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum Access {
    #[n(0)]
    ReadOnly,
    #[n(1)]
    ReadWrite,
    #[n(2)]
    Layered,
}

/// Limits, in the units of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Limits {
    #[n(0)]
    pub(crate) memory: Option<u64>,
    #[n(1)]
    pub(crate) pids: Option<u32>,
    #[n(2)]
    pub(crate) cpu_milli: Option<u32>,
    #[n(3)]
    pub(crate) disk: u64,
    #[n(4)]
    pub(crate) inodes: u64,
    #[n(5)]
    pub(crate) file: u64,
    #[n(6)]
    pub(crate) open_files: u32,
    #[n(7)]
    pub(crate) wall_ms: u64,
    /// Hold `pids` by a resource limit, for no control group does.
    #[n(8)]
    pub(crate) nproc: bool,
}

/// What the launcher is told. Beside `Start`: standard input, output, error; none of them for a terminal.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Order {
    #[n(0)]
    Start {
        #[n(0)]
        id: u64,
        #[n(1)]
        plan: Plan,
    },
    #[n(1)]
    Kill {
        #[n(0)]
        id: u64,
    },
    #[n(2)]
    Limit {
        #[n(0)]
        id: u64,
        #[n(1)]
        asked: u64,
        #[n(2)]
        memory: Option<u64>,
        #[n(3)]
        pids: Option<u32>,
        #[n(4)]
        cpu_milli: Option<u32>,
    },
}

/// What the launcher tells. Beside `Started`: the egress listener and the terminal, those that were asked, in this order;
/// beside `Ended`: the upper layers.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum News {
    #[n(0)]
    Ready {
        #[n(0)]
        host: Host,
    },
    #[n(1)]
    Started {
        #[n(0)]
        id: u64,
    },
    #[n(2)]
    Failed {
        #[n(0)]
        id: u64,
        #[n(1)]
        failure: Failure,
    },
    #[n(3)]
    Ended {
        #[n(0)]
        id: u64,
        #[n(1)]
        end: End,
        #[n(2)]
        usage: Usage,
    },
    #[n(4)]
    Limited {
        #[n(0)]
        asked: u64,
        #[n(1)]
        failure: Option<String>,
    },
    /// There are no boxes here, and why.
    #[n(5)]
    Unable {
        #[n(0)]
        why: String,
    },
}

/// Why a box did not start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Failure {
    /// What was asked makes no box.
    #[n(0)]
    Spec(#[n(0)] String),
    /// The command did not start.
    #[n(1)]
    Command(#[n(0)] String),
    /// The host did not let a box be made.
    #[n(2)]
    Host(#[n(0)] String),
    /// As many as may run do.
    #[n(3)]
    Busy(#[n(0)] u64),
}

/// How a box ended, before what the server knows of it (a full output, a kill of its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum End {
    #[n(0)]
    Exited(#[n(0)] i32),
    #[n(1)]
    Signal(#[n(0)] i32),
    /// Its deadline.
    #[n(2)]
    Deadline,
    /// A kill: by the server, or of the whole box by the kernel.
    #[n(3)]
    Killed,
}

/// What a box used, as far as something measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Usage {
    #[n(0)]
    pub(crate) wall_us: u64,
    #[n(1)]
    pub(crate) cpu_us: Option<u64>,
    #[n(2)]
    pub(crate) memory_peak: Option<u64>,
    #[n(3)]
    pub(crate) oom_kills: Option<u64>,
    #[n(4)]
    pub(crate) pids_refused: Option<u64>,
}

/// What the launcher found: what holds each limit, or why nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Host {
    /// Whether it runs as root; else it has a user namespace of its own.
    #[n(0)]
    pub(crate) root: bool,
    /// The user that files written in a box belong to outside.
    #[n(1)]
    pub(crate) user: u32,
    #[n(2)]
    pub(crate) memory: Found,
    #[n(3)]
    pub(crate) pids: Found,
    #[n(4)]
    pub(crate) cpu: Found,
    #[n(5)]
    pub(crate) accounting: Found,
    /// The version of Landlock, if there is one.
    #[n(6)]
    pub(crate) landlock: Option<i32>,
}

/// What holds something, or why nothing does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Found {
    #[n(0)]
    By(#[n(0)] String),
    #[n(1)]
    Not(#[n(0)] String),
}

impl Default for Found {
    fn default() -> Self {
        Self::Not("not looked for".to_owned())
    }
}

/// What an init is told, once. Beside it: standard input, output, error (not for a terminal), the root if it is one of its
/// own, and one tree for each mount.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) struct Go {
    #[n(0)]
    pub(crate) plan: Plan,
}

/// What an init tells its launcher.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Report {
    /// The command runs. Beside it the box's mounts, what [`News::Started`] has, then the upper layers.
    #[n(0)]
    Started,
    #[n(1)]
    Failed(#[n(0)] Failure),
    #[n(2)]
    Exited {
        #[n(0)]
        code: i32,
        #[n(1)]
        cpu_us: u64,
    },
    #[n(3)]
    Signal {
        #[n(0)]
        signal: i32,
        #[n(1)]
        cpu_us: u64,
    },
}

/// What a seed tells its init.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Sprout {
    /// It has given up its rights.
    #[n(0)]
    Bare,
    #[n(1)]
    Failed(#[n(0)] Failure),
}

/// A pair of connected sockets.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&a, &b] {
        // Beyond the usual limit only as root; a message that does not fit is refused when it is sent.
        let _ = sockopt::set_socket_send_buffer_size_force(end, 4 * MAX_MESSAGE)
            .or_else(|_| sockopt::set_socket_send_buffer_size(end, 2 * MAX_MESSAGE));
    }
    Ok((a, b))
}

/// Sends one message. With `wait` it waits for room.
pub(crate) fn send<M: Encode<()>>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), Errno> {
    let bytes = minicbor::to_vec(message).map_err(|_| Errno::INVAL)?;
    if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL | if wait { SendFlags::empty() } else { SendFlags::DONTWAIT };
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(&bytes)], &mut beside, flags))?;
    Ok(())
}

/// Receives one message; `None` at the end of the conversation. `buffer` grows to what messages need: most are short, and
/// memory that a box's processes touch is copied for each.
pub(crate) fn receive<M: for<'b> Decode<'b, ()>>(
    socket: impl AsFd,
    buffer: &mut Vec<u8>,
    wait: bool,
) -> Result<Option<(M, Vec<OwnedFd>)>, Errno> {
    let patience = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let length = rustix::io::retry_on_intr(|| {
        let look = RecvFlags::PEEK | RecvFlags::TRUNC | patience;
        rustix::net::recv(&socket, &mut [0_u8; 1][..], look).map(|(_, length)| length)
    })?;
    if length > buffer.len() {
        buffer.resize(length.min(MAX_MESSAGE), 0);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | patience;
    let got = rustix::io::retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut beside, flags))?;
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(rustix::net::ReturnFlags::TRUNC | rustix::net::ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    let message = minicbor::decode(&buffer[..got.bytes]).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, descriptors)))
}

/// Room for messages.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; 512]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn messages_and_descriptors_arrive_together_and_garbage_is_no_message() {
        let (a, b) = pair().unwrap();
        let mut room = buffer();
        send(&a, &Order::Kill { id: 7 }, &[a.as_fd(), b.as_fd()], true).unwrap();
        let (order, descriptors) = receive::<Order>(&b, &mut room, true).unwrap().unwrap();
        assert_eq!((order, descriptors.len()), (Order::Kill { id: 7 }, 2));

        rustix::net::send(&a, &[0xff, 0x00], SendFlags::empty()).unwrap();
        assert_eq!(receive::<Order>(&b, &mut room, true).map(|_| ()), Err(Errno::BADMSG));
        assert_eq!(receive::<Order>(&b, &mut room, false).map(|_| ()), Err(Errno::AGAIN));
        drop(descriptors);
        drop(a);
        assert!(receive::<Order>(&b, &mut room, true).unwrap().is_none());
    }

    #[test]
    fn a_message_beyond_the_bound_is_not_sent() {
        let (a, _b) = pair().unwrap();
        let plan = Plan { words: vec!["x".repeat(MAX_MESSAGE)], ..Plan::default() };
        assert_eq!(send(&a, &Go { plan }, &[], false), Err(Errno::MSGSIZE));
    }
}
