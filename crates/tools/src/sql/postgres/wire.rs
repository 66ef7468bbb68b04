//! The connection to PostgreSQL: sockets of our own, so that what the server sends can be bounded. The driver would
//! keep a row of a gigabyte in memory.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use stead_postgres::Tls;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode},
    tls::MakeTlsConnect,
};

use crate::reach::Reach;

/// Most bytes that a server may send over one statement.
pub(super) const MAX_RECEIVED: usize = 32 << 20;

/// An open connection and the task that drives it.
pub(super) struct Session {
    pub(super) client: Client,
    left: Arc<AtomicUsize>,
    driver: JoinHandle<()>,
}

impl Session {
    /// Whether the server sent more than [`MAX_RECEIVED`].
    pub(super) fn flooded(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Closes the socket; the server then undoes what was not committed.
        self.driver.abort();
    }
}

/// Connects to the first host that answers. The error never holds a password.
pub(super) async fn connect(config: &Config, tls: &Tls, reach: &Reach) -> Result<Session, String> {
    let ports = config.get_ports();
    let mut why = "no host".to_owned();
    for (i, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(i).or_else(|| ports.first()).copied().unwrap_or(5432);
        let opened: io::Result<Box<dyn Stream>> = match host {
            Host::Tcp(name) => match addresses(name, port, reach).await {
                Ok(addresses) => TcpStream::connect(addresses.as_slice()).await.and_then(|s| {
                    s.set_nodelay(true)?;
                    Ok(Box::new(s) as _)
                }),
                Err(e) => Err(e),
            },
            Host::Unix(dir) => {
                UnixStream::connect(dir.join(format!(".s.PGSQL.{port}"))).await.map(|s| Box::new(s) as _)
            }
        };
        match opened {
            Ok(stream) => match start(config, tls, host, stream).await {
                Ok(session) => return Ok(session),
                Err(e) => why = e,
            },
            Err(e) => why = e.to_string(),
        }
    }
    Err(why)
}

/// What a name leads to, guarded addresses left out.
async fn addresses(name: &str, port: u16, reach: &Reach) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((name, port)).await?;
    reach.permitted(name, found).map_err(io::Error::other)
}

async fn start(config: &Config, tls: &Tls, host: &Host, stream: Box<dyn Stream>) -> Result<Session, String> {
    // The certificate is for the name in the URL. A socket has none, and no TLS.
    let (config, name) = match host {
        Host::Tcp(name) => (config.clone(), name.as_str()),
        Host::Unix(_) => {
            let mut config = config.clone();
            config.ssl_mode(SslMode::Disable);
            (config, "")
        }
    };
    let left = Arc::new(AtomicUsize::new(MAX_RECEIVED));
    let metered = Metered { stream, left: Arc::clone(&left) };
    let tls = MakeTlsConnect::<Metered>::make_tls_connect(&mut tls.clone(), name).map_err(|e| e.to_string())?;
    let (client, connection) = config.connect_raw(metered, tls).await.map_err(|e| words(&e))?;
    let driver = tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!(error = %e, "a PostgreSQL connection ended");
        }
    });
    Ok(Session { client, left, driver })
}

/// An error with its cause, which the driver's own text leaves out.
pub(super) fn words(e: &tokio_postgres::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream that fails once it has delivered its share.
struct Metered {
    stream: Box<dyn Stream>,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        // Only this task takes from the meter.
        let left = self.left.load(Ordering::Relaxed).saturating_sub(read);
        self.left.store(left, Ordering::Relaxed);
        Poll::Ready(if left == 0 { Err(io::Error::other("the server sent too much")) } else { Ok(()) })
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
