//! Bytes both ways, for tunnels and WebSockets: within a bound of silence, and only as long as the rules allow it.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use stead_core::code::{self, Code};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    converse::{After, Connection},
    dial::permitted,
    limits::PIECE,
    prepare::Allowed,
    rules::Rules,
    screen::Screen,
    send::Progress,
    session::Session,
    wire::{Out, Reader},
};

/// What went over.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) masked: AtomicU64,
}

/// Relays until both sides have ended, nothing moves for too long, or it is not allowed any more. Gives the reason when it
/// was cut.
pub(crate) async fn relay(
    session: &Session,
    near: (&mut Reader, &mut Out),
    far: impl AsyncRead + AsyncWrite,
    screen: Option<Screen>,
    counts: &Counts,
    allowed: impl Fn(&Rules) -> bool,
) -> Option<Code> {
    let (near_read, near_write) = (near.0, near.1.half());
    let (far_read, far_write) = tokio::io::split(far);
    let both = async {
        let up = copy(session, near_read, far_write, None, &counts.sent, counts);
        let down = copy(session, far_read, near_write, screen, &counts.received, counts);
        // One side that breaks off ends both.
        tokio::try_join!(up, down)
    };
    tokio::select! {
        biased;
        () = session.revoked(allowed) => Some(code::EGRESS_REVOKED),
        _ = both => None,
        () = silence(session.0.limits.tunnel, counts) => Some(code::EGRESS_TIMEOUT),
    }
}

async fn copy(
    session: &Session,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut screen: Option<Screen>,
    count: &AtomicU64,
    counts: &Counts,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            if let Some(screen) = &mut screen {
                to.write_all(&screen.end()).await?;
            }
            return to.shutdown().await;
        }
        if !session.spend(count, read) {
            // Cut by the revocation that this is.
            std::future::pending::<()>().await;
        }
        match &mut screen {
            None => to.write_all(&piece[..read]).await?,
            Some(screen) => {
                to.write_all(&screen.renew()).await?;
                let clean = screen.push(&piece[..read]);
                to.write_all(&clean).await?;
                counts.masked.store(screen.masked(), Relaxed);
            }
        }
        to.flush().await?;
    }
}

/// Returns once nothing has moved for that long, or a little longer.
async fn silence(bound: Duration, counts: &Counts) {
    let moved = || (counts.sent.load(Relaxed), counts.received.load(Relaxed));
    let mut last = moved();
    loop {
        tokio::time::sleep(bound).await;
        let now = moved();
        if now == last {
            return;
        }
        last = now;
    }
}

/// A connection that has become a WebSocket. What the host sends is searched: its frames are neither masked nor packed.
pub(crate) async fn socket(
    connection: &mut Connection,
    allowed: &Allowed,
    socket: OnUpgrade,
    address: SocketAddr,
    progress: &Progress,
) -> After {
    let Ok(far) = socket.await else { return After::Close };
    let session = connection.session.clone();
    let counts = Counts::default();
    let Allowed { scheme, host, port, method, target, .. } = allowed;
    let still = |rules: &Rules| {
        let now = rules.request(*scheme, host, *port, method, &target.path);
        now.is_ok_and(|rule| rule.websocket && permitted(&rule, address).is_ok())
    };
    let near = (&mut connection.reader, &mut connection.out);
    let screen = Some(Screen::new(&session));
    if let Some(code) = relay(&session, near, TokioIo::new(far), screen, &counts, still).await {
        progress.cut(code);
    }
    progress.sent.fetch_add(counts.sent.load(Relaxed), Relaxed);
    progress.received.fetch_add(counts.received.load(Relaxed), Relaxed);
    progress.masked.fetch_add(counts.masked.load(Relaxed), Relaxed);
    After::Close
}
