//! The network of a box: a namespace with loopback and nothing else, and the socket on it where the way out begins.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::{
    fault::{At, Fault},
    sys,
};

/// Brings loopback up.
pub(crate) fn loopback() -> Result<(), Fault> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .at("opening a socket for loopback")?;
    sys::interface_up(socket, "lo").at("bringing loopback up")
}

/// The socket that the egress proxy accepts on, from outside. It is made in here, so it listens in this network.
pub(crate) fn way_out(port: u16) -> Result<OwnedFd, Fault> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(OwnedFd::from).at("listening for the egress proxy")
}
