//! The streams of a command, between the channel and whoever reads and writes them here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use stead_ports::sandbox::{Captured, Pipes, Source, Stdio};
use stead_tier::kept::{Keeping, Kept};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    ends::{Reader, Writer},
    link::Link,
};
use crate::wire::stream;

/// Bytes that a pipe to a caller holds.
const PIPE: usize = 64 << 10;

/// What is done with the streams.
pub(super) struct Reading {
    input: Option<Writer>,
    output: Option<Reader>,
    error: Option<Reader>,
    given: Bytes,
    keeping: Keeping,
}

impl Reading {
    pub(super) fn new(stdio: Stdio, link: &Arc<Link>) -> Self {
        let captured = matches!(stdio, Stdio::Quiet | Stdio::Capture { .. });
        let (given, keeping) = Keeping::of(stdio);
        Self {
            input: captured.then(|| link.writer(stream::STDIN)),
            output: captured.then(|| link.reader(stream::STDOUT)),
            error: Some(link.reader(stream::STDERR)),
            given,
            keeping,
        }
    }

    /// Reads and writes until the outputs end. `over` is called when the command is to be killed for what it wrote.
    pub(super) async fn run(self, over: impl Fn()) -> (Captured, Captured) {
        let Self { input, output, error, given, keeping } = self;
        let (over, keeping) = (&over, &keeping);
        let write = write(input, given);
        let read = async {
            tokio::join!(read(Source::Stdout, output, keeping, over), read(Source::Stderr, error, keeping, over),)
        };
        // An input that nobody reads any more does not keep an outcome.
        let (mut read, mut write) = (std::pin::pin!(read), std::pin::pin!(write));
        tokio::select! {
            captured = &mut read => captured,
            () = &mut write => read.await,
        }
    }
}

/// Reads an output to its end.
async fn read(source: Source, from: Option<Reader>, keeping: &Keeping, over: &impl Fn()) -> Captured {
    let Some(mut from) = from else { return Captured::default() };
    let mut kept = Kept::default();
    while let Ok(Some(piece)) = from.next().await {
        if kept.add(keeping, source, &piece) {
            over();
        }
    }
    kept.captured()
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
