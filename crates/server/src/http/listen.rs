//! Listening and serving connections: a bounded number of them, each with a bounded time for a request's head and a
//! bounded buffer, until told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use stead_core::code::{self, Code};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{app::Shared, stall::Stalling, tls};
use crate::config::{Config, ConfigError};

/// How long a connection may take to send the head of a request, and to shake hands.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that are buffered for a connection: what a slow follower holds in memory.
const MAX_BUFFER: usize = 64 << 10;
/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{code}: cannot listen on {addr}: {source}{}", hint(*.code))]
pub struct ListenError {
    /// `ST0150` when the port is in use.
    pub code: Code,
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn hint(code: Code) -> &'static str {
    if code == code::PORT_IN_USE {
        "\n  hint: end the other program, or choose another port: `--port` of `stead dev`, `listen` in stead.toml"
    } else {
        ""
    }
}

/// A bound socket.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Opens the socket; connections wait in its queue until [`Listener::serve`].
    pub(crate) async fn bind(addr: SocketAddr) -> Result<Self, ListenError> {
        let socket = TcpListener::bind(addr).await.map_err(|source| {
            let code = match source.kind() {
                io::ErrorKind::AddrInUse => code::PORT_IN_USE,
                _ => code::CONFIG,
            };
            ListenError { code, addr, source }
        })?;
        Ok(Self { socket, tls: None })
    }

    /// Reads certificate and key, when the configuration has them.
    pub(crate) fn secure(mut self, config: &Config) -> Result<Self, ConfigError> {
        self.tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(self)
    }

    /// The address it got.
    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `app.draining` fires, then waits for requests under way, at most `patience`.
    pub(crate) async fn serve(self, app: Shared, router: Router, patience: Duration) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(app.limits.connections.min(Semaphore::MAX_PERMITS)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = app.draining.cancelled() => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = next(&self.socket, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let serve = serve(stream, self.tls.clone(), app.clone(), router.clone(), graceful.watcher());
                    connections.spawn(async move {
                        serve.await;
                        drop(place);
                    });
                }
                Err(e) => {
                    tracing::warn!("a connection could not be accepted: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way after {patience:?}; they are cut off");
        }
        // What is left holds the data.
        connections.shutdown().await;
    }
}

/// The next connection, once there is a place for it; until then the kernel keeps it waiting.
async fn next(socket: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, app: Shared, router: Router, watcher: Watcher) {
    let _counted = app.metrics.connection();
    let stream = Stalling::new(stream, app.limits.follower_timeout.0);
    match tls {
        None => speak(stream, router, watcher).await,
        Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => speak(stream, router, watcher).await,
            Ok(Err(e)) => tracing::debug!("a TLS handshake failed: {e}"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn speak<S>(stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(e) = watcher.watch(connection).await {
        tracing::debug!("a connection ended: {e}");
    }
}
