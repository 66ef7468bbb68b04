//! One message in one datagram over a `SOCK_SEQPACKET` socket, descriptors beside it. What a message says is each tier's own.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
    },
};

/// Most bytes of a message.
pub const MAX_MESSAGE: usize = 160 << 10;

/// Most descriptors beside one.
pub const MAX_DESCRIPTORS: usize = 64;

/// A pair of connected sockets.
///
/// # Errors
/// What the system said.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&a, &b] {
        // Beyond the usual limit only as root; a message that does not fit is refused when it is sent.
        let _ = sockopt::set_socket_send_buffer_size_force(end, 4 * MAX_MESSAGE)
            .or_else(|_| sockopt::set_socket_send_buffer_size(end, 2 * MAX_MESSAGE));
    }
    Ok((a, b))
}

/// Sends one message. With `wait` it waits for room.
///
/// # Errors
/// `MSGSIZE` for one beyond the bounds, else what the system said.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>], wait: bool) -> Result<(), Errno> {
    if message.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL | if wait { SendFlags::empty() } else { SendFlags::DONTWAIT };
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(message)], &mut beside, flags))?;
    Ok(())
}

/// A message that came.
#[derive(Debug)]
pub struct Received<'b> {
    /// What it says.
    pub message: &'b [u8],
    /// What came beside it. `None` if this process had no room for all of them: some would be worse than none, for nobody could tell
    /// which.
    pub descriptors: Option<Vec<OwnedFd>>,
}

/// Receives one message; `None` at the end of the conversation. `buffer` grows to what messages need: most are short, and memory that
/// a box's processes touch is copied for each.
///
/// # Errors
/// `MSGSIZE` for one beyond the bounds, else what the system said.
pub fn receive(socket: impl AsFd, buffer: &mut Vec<u8>, wait: bool) -> Result<Option<Received<'_>>, Errno> {
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
    // Dropped, and so closed, if they are not all.
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    let all = !got.flags.contains(ReturnFlags::CTRUNC);
    Ok(Some(Received { message: &buffer[..got.bytes], descriptors: all.then_some(descriptors) }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn messages_come_whole_with_their_descriptors_and_the_end_is_seen() {
        let (a, b) = pair().unwrap();
        let mut room = Vec::new();
        let long = vec![7; 128 << 10];
        send(&a, &long, &[a.as_fd(), b.as_fd()], true).unwrap();
        let got = receive(&b, &mut room, true).unwrap().unwrap();
        assert_eq!((got.message, got.descriptors.as_ref().map(Vec::len)), (&long[..], Some(2)));
        drop(got);
        assert!(matches!(receive(&b, &mut room, false), Err(Errno::AGAIN)));
        drop(a);
        assert!(receive(&b, &mut room, true).unwrap().is_none());
    }

    #[test]
    fn a_message_beyond_the_bounds_is_not_sent() {
        let (a, b) = pair().unwrap();
        assert_eq!(send(&a, &vec![0; MAX_MESSAGE + 1], &[], false), Err(Errno::MSGSIZE));
        assert_eq!(send(&a, &[0], &[b.as_fd(); MAX_DESCRIPTORS + 1], false), Err(Errno::MSGSIZE));
    }
}
