//! A connection to a host. It belongs to one connection of the box and to one address, which was judged.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, SizeHint},
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use stead_core::code;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::rustls::{self, pki_types::ServerName};

use crate::{
    dial::{NoDial, dial},
    error::Refusal,
    limits::{ANSWER_HEAD_BYTES, FIELDS},
    rules::{Name, Rule, Scheme},
    session::Session,
};

/// An open connection that speaks HTTP/1.1.
pub(crate) struct Upstream {
    pub(crate) scheme: Scheme,
    pub(crate) host: Name,
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
    pub(crate) sender: SendRequest<Outgoing>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Connects, with TLS where the scheme has it.
    pub(crate) async fn open(
        session: &Session,
        rule: &Rule,
        scheme: Scheme,
        host: &Name,
        port: u16,
    ) -> Result<Self, NoDial> {
        let inner = &session.0;
        let (stream, address) = dial(&*inner.resolver, &inner.limits, rule, host, port).await?;
        let fail = |refusal| NoDial::at(refusal, address);
        let (sender, task) = match scheme {
            Scheme::Http => speak(stream).await.map_err(fail)?,
            Scheme::Https => {
                let name = ServerName::try_from(host.as_str().to_owned()).map_err(|_| fail(untrusted(host)))?;
                let hello = inner.trust.connector().connect(name, stream);
                match timeout(inner.limits.connect, hello).await {
                    Ok(Ok(stream)) => speak(stream).await.map_err(fail)?,
                    Ok(Err(error)) if is_certificate(&error) => return Err(fail(untrusted(host))),
                    _ => return Err(fail(silent(host, "did not complete a TLS handshake"))),
                }
            }
        };
        Ok(Self { scheme, host: host.clone(), port, address, sender, task })
    }

    /// Whether it leads there and can be used again.
    pub(crate) fn serves(&self, scheme: Scheme, host: &Name, port: u16) -> bool {
        self.scheme == scheme && self.host == *host && self.port == port && self.sender.is_ready()
    }
}

async fn speak<S>(stream: S) -> Result<(SendRequest<Outgoing>, JoinHandle<()>), Refusal>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let made = Builder::new().max_buf_size(ANSWER_HEAD_BYTES).max_headers(FIELDS).handshake(TokioIo::new(stream)).await;
    let failed = || Refusal::new(code::EGRESS_UNREACHABLE, "the host's connection failed", "try again");
    let (sender, connection) = made.map_err(|_| failed())?;
    // Its failures come back with the answer that they spoil.
    let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
    Ok((sender, task))
}

fn is_certificate(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

fn untrusted(host: &Name) -> Refusal {
    Refusal::new(
        code::EGRESS_CERTIFICATE,
        format!("the certificate of {host} is expired, for another name, or of an unknown authority"),
        "correct the host's certificate, or have the operator trust its authority",
    )
}

pub(crate) fn silent(host: &Name, what: &str) -> Refusal {
    let hint = "try again later; if it persists, ask whoever runs the host";
    Refusal::new(code::EGRESS_UNREACHABLE, format!("{host} {what}"), hint)
}

/// The body came to a bad end, and the host must not take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the body was broken off")]
pub(crate) struct Broken;

/// A body on its way to a host.
pub(crate) enum Outgoing {
    Empty,
    Whole(Option<Bytes>),
    Pieces { from: mpsc::Receiver<Result<Bytes, Broken>>, left: Option<u64> },
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Pieces { from, left } => {
                let next = std::task::ready!(from.poll_recv(cx));
                if let (Some(Ok(piece)), Some(left)) = (&next, left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(next.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty | Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Whole(None) => SizeHint::with_exact(0),
            Self::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces { left, .. } => left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
