//! A message of ours in a datagram ([`stead_tier::socket`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minicbor::{Decode, Encode};
use rustix::io::Errno;
use stead_tier::socket::{self, Received};

/// Sends one message. With `wait` it waits for room.
pub(crate) fn send<M: Encode<()>>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), Errno> {
    socket::send(socket, &minicbor::to_vec(message).map_err(|_| Errno::INVAL)?, descriptors, wait)
}

/// Receives one message; `None` at the end of the conversation. If this process has no room for the descriptors, there are none,
/// and whoever is told must count them: it concerns one box, not the conversation.
pub(crate) fn receive<M: for<'b> Decode<'b, ()>>(
    socket: impl AsFd,
    buffer: &mut Vec<u8>,
    wait: bool,
) -> Result<Option<(M, Vec<OwnedFd>)>, Errno> {
    let Some(Received { message, descriptors }) = socket::receive(socket, buffer, wait)? else { return Ok(None) };
    let message = minicbor::decode(message).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, descriptors.unwrap_or_default())))
}

/// Room for messages.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; 512]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use rustix::net::SendFlags;
    use stead_tier::socket::{MAX_MESSAGE, pair};

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
