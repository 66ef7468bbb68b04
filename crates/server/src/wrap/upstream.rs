//! The wrapped server's process, with the environment and the stderr that it would have without this one between, and its
//! two pipes.

use std::{ffi::OsString, io, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use super::envelope::MAX_MESSAGE;

/// How long a server may take to end by itself once its input is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of a line left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    /// Nothing did.
    Nothing,
    /// Some of it may have.
    Perhaps,
}

/// A pipe that is written line by line, by several tasks.
pub(super) struct Lines<W>(Arc<Mutex<Option<W>>>);

impl<W: AsyncWrite + Send + Unpin + 'static> Lines<W> {
    pub(super) fn new(pipe: W) -> Self {
        Self(Arc::new(Mutex::new(Some(pipe))))
    }

    /// Writes a line and its end. In a task of its own: whoever gives up waiting for it cuts no line off.
    pub(super) async fn write(&self, line: &[u8]) -> Sent {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        let pipe = self.0.clone();
        let written = tokio::spawn(async move {
            let mut pipe = pipe.lock().await;
            let sent = match pipe.as_mut() {
                Some(open) => send(open, &bytes).await,
                None => Sent::Nothing,
            };
            // After half a line nothing that follows would be understood.
            if sent != Sent::Whole {
                pipe.take();
            }
            sent
        });
        written.await.unwrap_or(Sent::Perhaps)
    }

    /// Closes it; what is written later does not leave.
    pub(super) async fn close(&self) {
        self.0.lock().await.take();
    }
}

async fn send(pipe: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Sent {
    let first = match pipe.write(bytes).await {
        Ok(n) if n > 0 => n,
        _ => return Sent::Nothing,
    };
    let rest = async {
        pipe.write_all(&bytes[first..]).await?;
        pipe.flush().await
    };
    if rest.await.is_ok() { Sent::Whole } else { Sent::Perhaps }
}

/// Reads the next line, without its end; `None` at the end of the stream.
///
/// # Errors
/// When it is longer than [`MAX_MESSAGE`], or cannot be read.
pub(super) async fn next_line(pipe: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<Option<()>> {
    line.clear();
    loop {
        let available = pipe.fill_buf().await?;
        if available.is_empty() {
            // What has no end is no message.
            return Ok(None);
        }
        let end = available.iter().position(|b| *b == b'\n');
        let take = end.unwrap_or(available.len());
        if line.len() + take > MAX_MESSAGE {
            return Err(io::Error::other(format!("a message has more than {MAX_MESSAGE} bytes")));
        }
        line.extend_from_slice(&available[..take]);
        pipe.consume(take + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(()));
        }
    }
}

/// The started server.
pub(super) struct Upstream {
    child: Child,
    pub(super) stdin: Arc<Lines<ChildStdin>>,
}

impl Upstream {
    /// Starts it, through the launcher if there is one.
    pub(super) fn start(launcher: &[OsString], command: &[OsString]) -> io::Result<(Self, BufReader<ChildStdout>)> {
        let mut words = launcher.iter().chain(command);
        let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it was started without pipes"));
        };
        Ok((Self { child, stdin: Arc::new(Lines::new(stdin)) }, BufReader::with_capacity(64 * 1024, stdout)))
    }

    /// Ends it as a client does (MCP, "Lifecycle", "Shutdown"): closes its input, gives it a moment, kills it.
    pub(super) async fn end(&mut self) {
        let ended = async {
            // Its input may be full of what it does not read.
            self.stdin.close().await;
            self.child.wait().await
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            // It may have ended meanwhile.
            let _ = self.child.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use futures_util::FutureExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_line_whose_writer_gives_up_is_whole_all_the_same() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let lines = Lines::new(ours);
        assert_eq!(lines.write(b"given up").now_or_never(), None);
        let read = tokio::spawn(async move {
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            text
        });
        assert_eq!(lines.write(b"next").await, Sent::Whole);
        lines.close().await;
        assert_eq!(lines.write(b"too late").await, Sent::Nothing);
        assert_eq!(read.await.unwrap(), "given up\nnext\n");
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_no_message_and_one_that_is_too_long_ends_the_reading() {
        let mut line = Vec::new();
        let mut pipe: &[u8] = b"one\ntwo";
        assert_eq!(next_line(&mut pipe, &mut line).await.unwrap(), Some(()));
        assert_eq!(line, b"one");
        assert_eq!(next_line(&mut pipe, &mut line).await.unwrap(), None);
        let long = vec![b'x'; MAX_MESSAGE + 1];
        assert!(next_line(&mut long.as_slice(), &mut line).await.is_err());
    }
}
