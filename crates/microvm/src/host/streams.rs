//! The streams of a command, between the channel and whoever reads and writes them here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use stead_ports::sandbox::{Captured, Follower, KEEP, Pipes, Source, Stdio, WhenFull};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    ends::{Reader, Writer},
    link::Link,
};
use crate::wire::stream;

/// Most bytes that can be kept of an output.
const MAX_KEEP: usize = 64 << 20;
/// Bytes that a pipe to a caller holds.
const PIPE: usize = 64 << 10;

/// What is done with the streams.
pub(super) struct Reading {
    input: Option<Writer>,
    output: Option<Reader>,
    error: Option<Reader>,
    given: Bytes,
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
}

impl Reading {
    pub(super) fn new(stdio: Stdio, link: &Arc<Link>) -> Self {
        let captured = matches!(stdio, Stdio::Quiet | Stdio::Capture { .. });
        let plain = |keep, full| Self {
            input: captured.then(|| link.writer(stream::STDIN)),
            output: captured.then(|| link.reader(stream::STDOUT)),
            error: Some(link.reader(stream::STDERR)),
            given: Bytes::new(),
            keep,
            full,
            follower: None,
        };
        let mut reading = match stdio {
            Stdio::Quiet => plain(KEEP, WhenFull::Kill),
            Stdio::Capture { input, keep, full, follower } => Self { given: input, follower, ..plain(keep, full) },
            Stdio::Pipes { keep } => plain(keep, WhenFull::Drop),
            Stdio::Terminal { .. } => plain(0, WhenFull::Drop),
        };
        reading.keep = reading.keep.min(MAX_KEEP);
        reading
    }

    pub(super) async fn run(self, over: impl Fn(WhenFull)) -> (Captured, Captured) {
        let Self { input, output, error, given, keep, full, follower } = self;
        let over = || over(full);
        let write = write(input, given);
        let read = async {
            tokio::join!(
                read(Source::Stdout, output, keep, follower.as_ref(), over),
                read(Source::Stderr, error, keep, follower.as_ref(), over),
            )
        };
        // An input that nobody reads any more does not keep an outcome.
        let (mut read, mut write) = (std::pin::pin!(read), std::pin::pin!(write));
        tokio::select! {
            captured = &mut read => captured,
            () = &mut write => read.await,
        }
    }
}

/// Reads an output to its end. The first `keep` bytes are kept; `over` is called once when there are more.
async fn read(
    source: Source,
    from: Option<Reader>,
    keep: usize,
    follower: Option<&Follower>,
    over: impl Fn(),
) -> Captured {
    let Some(mut from) = from else { return Captured::default() };
    let (mut kept, mut total, mut told) = (BytesMut::new(), 0_u64, false);
    while let Ok(Some(piece)) = from.next().await {
        total += piece.len() as u64;
        let room = keep - kept.len();
        let some = &piece[..piece.len().min(room)];
        kept.extend_from_slice(some);
        if let Some(follower) = follower.filter(|_| !some.is_empty()) {
            follower(source, some);
        }
        if piece.len() > room && !std::mem::replace(&mut told, true) {
            over();
        }
    }
    Captured { bytes: kept.freeze(), total }
}

/// Writes an input whole, unless nobody reads it any more.
async fn write(to: Option<Writer>, input: Bytes) {
    if let Some(to) = to
        && to.send(input).await.is_ok()
    {
        to.end().await;
    }
}

/// Streams that the caller reads and writes itself. They live as long as somebody holds them.
pub(super) fn pipes(link: &Arc<Link>) -> Pipes {
    let ((stdin, mut input), (mut output, stdout)) = (tokio::io::duplex(PIPE), tokio::io::duplex(PIPE));
    let (to, mut from) = (link.writer(stream::STDIN), link.reader(stream::STDOUT));
    tokio::spawn(async move {
        let mut piece = BytesMut::with_capacity(PIPE);
        // An error of a pipe is its end.
        while matches!(input.read_buf(&mut piece).await, Ok(1..)) {
            if to.send(piece.split().freeze()).await.is_err() {
                return;
            }
        }
        to.end().await;
    });
    tokio::spawn(async move {
        while let Ok(Some(piece)) = from.next().await {
            if output.write_all(&piece).await.is_err() {
                return from.refuse().await;
            }
        }
    });
    Pipes { stdin: Box::new(stdin), stdout: Box::new(stdout) }
}
