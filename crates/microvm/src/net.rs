//! Loopback of a network that is new: it is there, but down.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::fault::{At, Fault};

/// `struct nlmsghdr` and `struct ifinfomsg` of `rtnetlink(7)`: interface 1, which is loopback in every network, shall be up.
const UP: [u8; 32] = {
    let mut message = [0; 32];
    message[0] = 32;
    // RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK.
    message[4] = 16;
    message[6] = 5;
    message[8] = 1;
    message[20] = 1;
    // IFF_UP, in the flags and in the mask of what changes.
    message[24] = 1;
    message[28] = 1;
    message
};

/// Brings loopback up.
pub(crate) fn loopback() -> Result<(), Fault> {
    let step = "bringing loopback up";
    // The first protocol, `NETLINK_ROUTE`, is what is meant by none.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).at(step)?;
    send(&socket, &UP, SendFlags::empty()).at(step)?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).at(step)?;
    // An error message (NLMSG_ERROR) of number nought says that it was done.
    match (length >= 20, &answer[4..6], &answer[16..20]) {
        (true, [2, 0], [0, 0, 0, 0]) => Ok(()),
        _ => Err(Fault(format!("{step}: the kernel refused"))),
    }
}
