//! Connections that a shim in the box passes as descriptors.

use std::{
    io::IoSlice,
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};
use stead_egress::serve_passed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{http::echo_world, world::body};

fn pass(shim: &OwnedFd, descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(shim, &[IoSlice::new(b"c")], &mut control, SendFlags::empty()).unwrap();
}

#[tokio::test]
async fn connections_come_in_as_descriptors_and_junk_is_closed() {
    let (world, server) = echo_world().await;
    for kind in [SocketType::SEQPACKET, SocketType::STREAM] {
        let (shim, host) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let session = world.session.clone();
        let serving = tokio::spawn(async move { serve_passed(host, &session).await });
        let inside = TcpListener::bind("127.0.0.1:0").unwrap();
        let (file, other) = (
            tempfile::tempfile().unwrap(),
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap(),
        );
        for round in 0..3 {
            // Nothing, a file, the listener itself, a unix socket, and more than one message should have.
            pass(&shim, &[]);
            pass(&shim, &[file.as_fd()]);
            pass(&shim, &[inside.as_fd(), other.0.as_fd()]);
            pass(&shim, &[file.as_fd(); 7]);
            let client = TcpStream::connect(inside.local_addr().unwrap()).unwrap();
            let (accepted, _) = inside.accept().unwrap();
            pass(&shim, &[accepted.as_fd()]);
            client.set_nonblocking(true).unwrap();
            let mut client = tokio::net::TcpStream::from_std(client).unwrap();
            let at = format!("api.test:{}", server.port);
            let one = format!("GET http://{at}/{round} HTTP/1.1\r\nHost: {at}\r\n\r\n");
            client.write_all(one.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while answer.windows(4).filter(|w| w == b"\r\n\r\n").count() < 2 {
                assert!(client.read_buf(&mut answer).await.unwrap() > 0);
            }
            // The box shares the description, and makes it wait: the host's threads do not. With one thread here, that
            // would hang this test.
            accepted.set_nonblocking(false).unwrap();
            client.write_all(one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
            drop(accepted);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(body(&answer).contains(&format!("GET /{round} ")), "{answer}");
        }
        drop(shim);
        serving.await.unwrap().unwrap();
    }
    assert_eq!(server.arrived().len(), 12);
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    assert!(serve_passed(file, &world.session).await.is_err(), "no socket to receive over");
}
