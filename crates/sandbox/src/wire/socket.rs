//! One message in one datagram, descriptors beside it.

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

/// Receives one message; `None` at the end of the conversation. If this process has no room for the descriptors, there are none,
/// and whoever is told must count them: it concerns one box, not the conversation. `buffer` grows to what messages need: most are short, and
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
    if got.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    if got.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        // As many as this process may have are open. Some are worse than none, for nobody could tell which.
        descriptors.clear();
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

    use super::{
        super::{Go, Order, Plan},
        *,
    };

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
