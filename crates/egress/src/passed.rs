//! Connections that come as descriptors. Whoever sends them is the box: what is no connected stream socket is closed, and none
//! can make a thread of the host wait, whatever flags the box sets on the description that both share.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, Shutdown,
        SocketType, recv, recvmsg, send, shutdown, sockopt,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Descriptors of one message that are received; more are closed by the kernel, and one is what a message should have.
const DESCRIPTORS: usize = 4;
/// Messages without a usable connection in a row: the box plays.
const USELESS: usize = 1_000;

/// The socket over which connections come.
pub(crate) struct Door(UnixStream);

impl Door {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let kind = sockopt::socket_type(&socket)?;
        let unix = sockopt::socket_domain(&socket)? == AddressFamily::UNIX;
        if !unix || !matches!(kind, SocketType::STREAM | SocketType::SEQPACKET) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a unix socket of streams or packets"));
        }
        // Packets too: nothing but the wait for them is left to the type.
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket).map(Self)
    }

    /// The next connection; `None` when the other side is closed.
    pub(crate) async fn next(&self) -> io::Result<Option<Passed>> {
        for _ in 0..USELESS {
            let received = self.0.async_io(Interest::READABLE, || receive(&self.0)).await?;
            let Some(descriptors) = received else { return Ok(None) };
            // One connection a message; what else came is closed here.
            if let Some(stream) = descriptors.into_iter().find_map(|fd| Passed::new(fd).ok()) {
                return Ok(Some(stream));
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the box passes descriptors that are no connections"))
    }
}

/// The descriptors of one message; `None` at the end.
fn receive(socket: &UnixStream) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut byte = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let ended = message.bytes == 0 && descriptors.is_empty() && !message.flags.contains(ReturnFlags::CTRUNC);
    Ok((!ended).then_some(descriptors))
}

/// A connection of the box. Each call says that it must not wait, so that nothing hangs on the description's own flag.
pub(crate) struct Passed(TcpStream);

impl Passed {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let inet = [AddressFamily::INET, AddressFamily::INET6].contains(&sockopt::socket_domain(&fd)?);
        if !inet || sockopt::socket_type(&fd)? != SocketType::STREAM || sockopt::socket_acceptconn(&fd)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stream = std::net::TcpStream::from(fd);
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        // Answers are written whole; nothing is gained by waiting.
        let _ = stream.set_nodelay(true);
        Ok(Self(stream))
    }
}

impl AsyncRead for Passed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let space = into.initialize_unfilled();
            let read = || recv(&self.0, &mut *space, RecvFlags::DONTWAIT).map(|(n, _)| n).map_err(io::Error::from);
            match self.0.try_io(Interest::READABLE, read) {
                Ok(count) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Passed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, || send(&self.0, bytes, flags).map_err(io::Error::from)) {
                Err(error) if again(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(&self.0, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
