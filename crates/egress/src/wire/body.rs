//! The body of a request, piece by piece. Chunks are read as RFC 9112 section 7.1 writes them; extensions, which nobody
//! uses and smugglers do, are refused, and trailers are read over.

use bytes::Bytes;
use stead_core::code;
use tokio::time::timeout;

use super::{Framing, Reader};
use crate::{
    error::Refusal,
    limits::{HEAD_BYTES, Limits, PIECE},
};

/// Bytes of the line that begins a chunk.
const SIZE_LINE: usize = 18;

/// A body on its way in.
#[derive(Debug)]
pub(crate) struct Incoming(State);

#[derive(Debug)]
enum State {
    /// That many bytes, without more after them.
    Plain(u64),
    /// That many bytes of a chunk.
    Chunk(u64),
    /// The line that begins a chunk; after another one or not.
    Size { first: bool },
    /// Nothing more.
    Done,
}

impl Incoming {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size { first: true },
        })
    }

    /// The next piece, at most 16 KiB; `None` after the last.
    ///
    /// # Errors
    /// `ST0253` for a chunk that is none and for an end that comes too early, `ST0263` for a stall.
    pub(crate) async fn next(&mut self, reader: &mut Reader, limits: &Limits) -> Result<Option<Bytes>, Refusal> {
        loop {
            match &mut self.0 {
                State::Done => return Ok(None),
                State::Plain(left) | State::Chunk(left) if *left > 0 => {
                    if reader.buffer.is_empty() {
                        fill(reader, limits).await?;
                    }
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE);
                    let piece = reader.buffer.split_to(most.min(reader.buffer.len())).freeze();
                    *left -= piece.len() as u64;
                    if let State::Plain(0) = self.0 {
                        self.0 = State::Done;
                    }
                    return Ok(Some(piece));
                }
                State::Plain(_) => self.0 = State::Done,
                State::Chunk(_) => self.0 = State::Size { first: false },
                State::Size { first } => {
                    if !*first && !line(reader, limits, SIZE_LINE).await?.is_empty() {
                        return Err(Refusal::malformed("a chunk does not end where it says"));
                    }
                    let text = line(reader, limits, SIZE_LINE).await?;
                    match size(&text)? {
                        0 => {
                            trailers(reader, limits).await?;
                            self.0 = State::Done;
                        }
                        size => self.0 = State::Chunk(size),
                    }
                }
            }
        }
    }
}

fn size(text: &[u8]) -> Result<u64, Refusal> {
    let digits = !text.is_empty() && text.len() <= 15 && text.iter().all(u8::is_ascii_hexdigit);
    let size = digits.then(|| std::str::from_utf8(text).ok().and_then(|t| u64::from_str_radix(t, 16).ok())).flatten();
    size.ok_or_else(|| Refusal::malformed("the size of a chunk is no plain hexadecimal number"))
}

async fn trailers(reader: &mut Reader, limits: &Limits) -> Result<(), Refusal> {
    let mut left = HEAD_BYTES;
    loop {
        let line = line(reader, limits, left).await?;
        if line.is_empty() {
            return Ok(());
        }
        left = left.saturating_sub(line.len() + 2);
    }
}

/// A line, without its CR LF.
async fn line(reader: &mut Reader, limits: &Limits, most: usize) -> Result<Bytes, Refusal> {
    let mut seen = 0;
    loop {
        let new = reader.buffer.iter().take(most + 2).skip(seen).position(|b| *b == b'\n');
        if let Some(at) = new.map(|at| seen + at) {
            let line = reader.buffer.split_to(at + 1).freeze();
            return match &line[..] {
                [text @ .., b'\r', b'\n'] if !text.contains(&b'\r') => Ok(line.slice(..at - 1)),
                _ => Err(Refusal::malformed("a line of the body's chunks does not end with CR LF")),
            };
        }
        if reader.buffer.len() >= most + 2 {
            return Err(Refusal::malformed("a line of the body's chunks is too long"));
        }
        // No byte is looked at twice, however small the pieces are in which they come.
        seen = reader.buffer.len();
        fill(reader, limits).await?;
    }
}

async fn fill(reader: &mut Reader, limits: &Limits) -> Result<(), Refusal> {
    match timeout(limits.stall, reader.more()).await {
        Ok(Ok(true)) => Ok(()),
        Ok(_) => Err(Refusal::malformed("the body ends before its end")),
        Err(_) => Err(Refusal::new(code::EGRESS_TIMEOUT, "the body of the request stalled", "send it without pauses")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    async fn read(framing: Framing, text: &[u8], cut: usize) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
        let (mut near, far) = tokio::io::duplex(cut);
        let text = text.to_vec();
        let write = tokio::spawn(async move {
            // Whoever refuses stops reading.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &text).await;
        });
        let (mut reader, writer) = super::super::split(Box::new(far));
        let (mut body, mut out) = (Incoming::new(framing), Vec::new());
        let limits = Limits::default();
        while let Some(piece) = body.next(&mut reader, &limits).await? {
            out.extend_from_slice(&piece);
        }
        while reader.more().await.unwrap() {}
        drop(writer);
        write.await.unwrap();
        Ok((out, reader.buffer.to_vec()))
    }

    #[tokio::test]
    async fn a_body_ends_exactly_where_it_says() {
        for cut in [1, 3, 1 << 16] {
            let (body, rest) = read(Framing::Length(5), b"helloGET", cut).await.unwrap();
            assert_eq!((&body[..], &rest[..]), (&b"hello"[..], &b"GET"[..]));
            let chunks = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET";
            let (body, rest) = read(Framing::Chunked, chunks, cut).await.unwrap();
            assert_eq!((&body[..], &rest[..]), (&b"hello0123456789"[..], &b"GET"[..]));
            let (body, rest) = read(Framing::None, b"GET", cut).await.unwrap();
            assert_eq!((&body[..], &rest[..]), (&b""[..], &b"GET"[..]));
        }
    }

    #[tokio::test]
    async fn a_chunk_that_could_hide_a_request_is_refused() {
        for text in [
            &b"5;x=y\r\nhello\r\n0\r\n\r\n"[..],
            b"5;\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"-1\r\nhello\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhell",
            b"5\r\nhello\r\n",
            b"0\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\rz\r\n\r\n",
        ] {
            let error = read(Framing::Chunked, text, 4).await.expect_err(&String::from_utf8_lossy(text));
            assert_eq!(error.code, code::EGRESS_MALFORMED, "{}", String::from_utf8_lossy(text));
        }
        assert!(read(Framing::Length(6), b"hello", 4).await.is_err());
    }
}
