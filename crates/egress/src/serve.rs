//! The ways in: one stream, a listener, or connections that a box hands out one by one.

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

#[cfg(target_os = "linux")]
use crate::passed::Door;
use crate::{
    converse::{Face, converse},
    session::Session,
    wire::BoxIo,
};

/// Serves one connection of the box, until it or the session ends.
pub async fn serve_stream<S>(stream: S, session: &Session)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    serve(Box::new(stream), session.clone()).await;
}

async fn serve(io: BoxIo, session: Session) {
    let closed = session.clone();
    let conversation = converse(session, io, Face::Proxy);
    tokio::pin!(conversation);
    tokio::select! {
        biased;
        () = closed.closed() => {}
        () = &mut conversation => return,
    }
    // What is under way is cut by the same, and puts its end on record; whatever has not done so by then is dropped.
    let _ = tokio::time::timeout(GRACE, conversation).await;
}

/// For what a closed session still has to put on record.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves a listener on this machine, until the session ends. Whoever can connect to it is the box: for tests, and for boxes
/// that share the host's network.
///
/// # Errors
/// What accepting gives, when it is no matter of one connection.
pub async fn serve_listener(listener: TcpListener, session: &Session) -> io::Result<()> {
    serve_all(session, Source::Listener(listener)).await
}

/// Serves the connections that the box's shim accepts on its loopback and passes over a unix socket: each message has one
/// byte at least, and the descriptor of one connection (`SCM_RIGHTS`). A stream or a sequence of packets will do. Returns when
/// the other side is closed and all its connections have ended, or the session ends.
///
/// # Errors
/// The descriptor is no such socket, or receiving fails.
#[cfg(target_os = "linux")]
pub async fn serve_passed(socket: OwnedFd, session: &Session) -> io::Result<()> {
    serve_all(session, Source::Door(Door::new(socket)?)).await
}

/// Where connections come from.
enum Source {
    Listener(TcpListener),
    #[cfg(target_os = "linux")]
    Door(Door),
}

impl Source {
    /// The next one; `None` when there will be no more.
    async fn next(&self) -> io::Result<Option<BoxIo>> {
        match self {
            Self::Listener(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole; nothing is gained by waiting.
                let _ = stream.set_nodelay(true);
                Ok(Some(Box::new(stream)))
            }
            #[cfg(target_os = "linux")]
            Self::Door(door) => Ok(door.next().await?.map(|stream| Box::new(stream) as BoxIo)),
        }
    }
}

/// Serves what a source gives, as many at once as the session may have.
async fn serve_all(session: &Session, source: Source) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(session.0.limits.connections));
    let mut tasks = JoinSet::new();
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place: OwnedSemaphorePermit = place.map_err(io::Error::other)?;
            match source.next().await {
                Ok(None) => return Ok(()),
                Ok(Some(stream)) => {
                    let session = session.clone();
                    tasks.spawn(async move {
                        serve(stream, session).await;
                        drop(place);
                    });
                    while tasks.try_join_next().is_some() {}
                }
                Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    };
    let ended = tokio::select! {
        biased;
        () = session.closed() => Ok(()),
        ended = accepting => ended,
    };
    // Each ends by itself once the session is closed.
    while tasks.join_next().await.is_some() {}
    ended
}

/// Before accepting is tried again that failed for want of something.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Whether accepting may be tried again: the connection is gone, or descriptors and memory are short for now.
fn passes(error: &io::Error) -> bool {
    const SHORT: [i32; 4] = [
        rustix::io::Errno::MFILE.raw_os_error(),
        rustix::io::Errno::NFILE.raw_os_error(),
        rustix::io::Errno::NOBUFS.raw_os_error(),
        rustix::io::Errno::NOMEM.raw_os_error(),
    ];
    error.kind() == io::ErrorKind::ConnectionAborted || error.raw_os_error().is_some_and(|e| SHORT.contains(&e))
}
