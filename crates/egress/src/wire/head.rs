//! The head of a request. httparse takes it apart; before and after it stand the rules that keep requests from being
//! smuggled (RFC 9112 sections 2.2, 5.1, 5.2, 6.1 to 6.3).

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::timeout;

use super::Reader;
use crate::{
    error::Refusal,
    limits::{FIELDS, HEAD_BYTES, Limits},
};

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// That many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// A request's head, checked.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// HTTP/1.1, not 1.0.
    pub(crate) v11: bool,
    /// All fields but those of the connection and of the body's length.
    pub(crate) headers: HeaderMap,
    /// The `Host` field.
    pub(crate) host: Option<String>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// Whether it asks for a WebSocket.
    pub(crate) websocket: bool,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The connection ended, or said nothing more.
    Gone,
    /// It is not taken.
    Refused(Refusal),
}

impl From<io::Error> for NoHead {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads the next head within the bounds of time and length.
pub(crate) async fn read_head(reader: &mut Reader, limits: &Limits) -> Result<Head, NoHead> {
    if reader.buffer.is_empty() && !timeout(limits.idle, reader.more()).await.map_err(|_| NoHead::Gone)?? {
        return Err(NoHead::Gone);
    }
    let whole = timeout(limits.head, async {
        let mut seen = 0;
        loop {
            match end(&reader.buffer, seen).map_err(NoHead::Refused)? {
                Some(end) => return Ok(end),
                None if reader.buffer.len() > HEAD_BYTES => {
                    let what = format!("the head of the request is longer than {HEAD_BYTES} bytes");
                    return Err(NoHead::Refused(Refusal::malformed(what)));
                }
                None => seen = reader.buffer.len(),
            }
            if !reader.more().await? {
                return Err(NoHead::Gone);
            }
        }
    });
    let end = whole.await.map_err(|_| NoHead::Gone)??;
    let bytes = reader.buffer.split_to(end);
    parse(&bytes).map_err(NoHead::Refused)
}

/// Where the head ends, if it is there whole; lines end with CR LF and with nothing else.
fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    for at in seen..bytes.len().min(HEAD_BYTES) {
        match bytes[at] {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => {
                return Err(Refusal::malformed("a line of the head ends with a line feed alone"));
            }
            b'\n' if at >= 3 && bytes[at - 2] == b'\n' => return Ok(Some(at + 1)),
            b'\n' if at == 1 => return Err(Refusal::malformed("the request begins with an empty line")),
            b'\n' | b'\r' | b'\t' => {}
            0..0x20 | 0x7f => return Err(Refusal::malformed("the head holds a control character")),
            _ => {}
        }
        if at > 0 && bytes[at - 1] == b'\r' && bytes[at] != b'\n' {
            return Err(Refusal::malformed("the head holds a carriage return alone"));
        }
        if at > 0 && bytes[at - 1] == b'\n' && matches!(bytes[at], b' ' | b'\t') {
            return Err(Refusal::malformed("a field of the head goes on in the next line"));
        }
    }
    Ok(None)
}

fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::malformed(format!("the head has more than {FIELDS} fields")));
        }
        _ => return Err(Refusal::malformed("the head is not that of an HTTP/1 request")),
    }
    let v11 = request.version == Some(1);
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::try_from(field.name).map_err(|_| Refusal::malformed("a field's name is none"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Refusal::malformed("a field's value is none"))?;
        // Gateways that turn `-` into `_` would read these as the real ones.
        if ["content_length", "transfer_encoding", "content_type"].contains(&name.as_str()) {
            return Err(Refusal::malformed("a field's name has `_` where HTTP has `-`"));
        }
        headers.append(name, value);
    }
    let framing = framing(&headers, v11)?;
    let host = single(&headers, &header::HOST)?.map(str::to_owned);
    if v11 && host.is_none() {
        return Err(Refusal::malformed("there is no Host field"));
    }
    // Who decides what a body is reads one of two.
    single(&headers, &header::CONTENT_TYPE)?;
    let words = tokens(&headers, &header::CONNECTION)?;
    let proxy = tokens(&headers, &HeaderName::from_static("proxy-connection"))?;
    let has = |word: &str| words.iter().chain(&proxy).any(|w| w == word);
    let keep_alive = v11 && !has("close");
    let websocket = has("upgrade") && tokens(&headers, &header::UPGRADE)?.iter().any(|w| w == "websocket");
    let expects = match single(&headers, &header::EXPECT)? {
        None => false,
        Some(e) if e.eq_ignore_ascii_case("100-continue") => v11,
        Some(_) => return Err(Refusal::malformed("the request expects something else than `100-continue`")),
    };
    for name in words.iter().filter_map(|w| HeaderName::try_from(w.as_str()).ok()) {
        headers.remove(name);
    }
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let hop: Vec<_> = headers.keys().filter(|n| crate::inject::is_hop(n)).cloned().collect();
    for name in hop {
        headers.remove(name);
    }
    Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        v11,
        headers,
        host,
        framing,
        keep_alive,
        expects,
        websocket,
    })
}

fn framing(headers: &HeaderMap, v11: bool) -> Result<Framing, Refusal> {
    let length = single(headers, &header::CONTENT_LENGTH)?;
    match (single(headers, &header::TRANSFER_ENCODING)?, length) {
        (None, None) => Ok(Framing::None),
        (Some(_), Some(_)) => Err(Refusal::malformed("the body has a length and a transfer encoding")),
        (Some(t), None) if v11 && t.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err(Refusal::malformed("the transfer encoding is not `chunked` of HTTP/1.1")),
        (None, Some(text)) => {
            let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
            let length = digits.then(|| text.parse().ok()).flatten();
            length.map(Framing::Length).ok_or_else(|| Refusal::malformed("the length of the body is no number"))
        }
    }
}

/// The value of a field that may stand once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    if all.next().is_some() {
        return Err(Refusal::malformed(format!("the field {name} stands twice")));
    }
    let text = first.map(|v| v.to_str()).transpose();
    text.map_err(|_| Refusal::malformed(format!("the field {name} is not plain text")))
}

/// The words of a list, in lower case.
fn tokens(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| Refusal::malformed(format!("the field {name} is not plain text")))?;
        words.extend(text.split(',').map(|w| w.trim().to_ascii_lowercase()).filter(|w| !w.is_empty()));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    async fn read(text: &[u8]) -> Result<Head, NoHead> {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        tokio::io::AsyncWriteExt::write_all(&mut near, text).await.unwrap();
        drop(near);
        let (mut reader, _writer) = super::super::split(Box::new(far));
        read_head(&mut reader, &Limits::default()).await
    }

    const GOOD: &str = "POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\n";

    #[tokio::test]
    async fn what_two_readers_could_take_differently_is_refused() {
        for (name, text) in [
            ("length and chunks", format!("{GOOD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")),
            ("two lengths", format!("{GOOD}Content-Length: 5\r\nContent-Length: 6\r\n\r\n")),
            ("two equal lengths", format!("{GOOD}Content-Length: 5\r\nContent-Length: 5\r\n\r\n")),
            ("a list of lengths", format!("{GOOD}Content-Length: 5, 5\r\n\r\n")),
            ("a signed length", format!("{GOOD}Content-Length: +5\r\n\r\n")),
            ("a hexadecimal length", format!("{GOOD}Content-Length: 0x5\r\n\r\n")),
            ("an endless length", format!("{GOOD}Content-Length: 99999999999999999999\r\n\r\n")),
            ("two encodings", format!("{GOOD}Transfer-Encoding: gzip, chunked\r\n\r\n")),
            ("an unknown encoding", format!("{GOOD}Transfer-Encoding: xchunked\r\n\r\n")),
            ("identity", format!("{GOOD}Transfer-Encoding: identity\r\n\r\n")),
            ("an encoding twice", format!("{GOOD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")),
            ("a vertical tab", format!("{GOOD}Transfer-Encoding: \x0bchunked\r\n\r\n")),
            ("chunks in 1.0", "POST http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
            ("a space before the colon", format!("{GOOD}Content-Length : 5\r\n\r\n")),
            ("a space before the name", format!("{GOOD} Content-Length: 5\r\n\r\n")),
            ("a folded line", format!("{GOOD}X: a\r\n b\r\n\r\n")),
            ("a folded line by tab", format!("{GOOD}X: a\r\n\tb\r\n\r\n")),
            ("a bare line feed", "GET http://a.example/ HTTP/1.1\nHost: a.example\n\n".into()),
            ("a bare line feed in the head", format!("{GOOD}X: a\nContent-Length: 5\r\n\r\n")),
            ("a bare carriage return", format!("{GOOD}X: a\rContent-Length: 5\r\n\r\n")),
            ("a zero byte", format!("{GOOD}X: a\0b\r\n\r\n")),
            ("an empty name", format!("{GOOD}: a\r\n\r\n")),
            ("an underscore", format!("{GOOD}Content_Length: 5\r\n\r\n")),
            ("two kinds of body", format!("{GOOD}Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n")),
            ("two hosts", format!("{GOOD}Host: b.example\r\n\r\n")),
            ("no host", "GET http://a.example/ HTTP/1.1\r\n\r\n".into()),
            ("an empty line first", "\r\nGET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".into()),
            ("no version", "GET http://a.example/\r\n\r\n".into()),
            ("another version", "GET http://a.example/ HTTP/2.0\r\nHost: a.example\r\n\r\n".into()),
            ("two spaces", "GET  http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".into()),
            ("another expectation", format!("{GOOD}Expect: 200-ok\r\n\r\n")),
            ("too many fields", format!("{GOOD}{}\r\n", "A: b\r\n".repeat(FIELDS))),
            ("too long", format!("{GOOD}A: {}\r\n\r\n", "b".repeat(HEAD_BYTES))),
        ] {
            let got = read(text.as_bytes()).await;
            assert!(matches!(got, Err(NoHead::Refused(_))), "{name}: {got:?}");
        }
        for cut in ["", "GET", GOOD] {
            assert!(matches!(read(cut.as_bytes()).await, Err(NoHead::Gone)), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_plain_head_is_taken_without_what_ends_here() {
        let text = format!(
            "{GOOD}Connection: X-Mine, close\r\nX-Mine: 1\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\n\
             Keep-Alive: 5\r\nUpgrade: h2c\r\nContent-Length: 5\r\nExpect: 100-Continue\r\nAccept: */*\r\n\r\nhello"
        );
        let head = read(text.as_bytes()).await.unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("POST", "http://a.example/x"));
        assert_eq!((head.framing, head.host.as_deref()), (Framing::Length(5), Some("a.example")));
        assert!(!head.keep_alive && head.expects && !head.websocket);
        assert_eq!(head.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
        let old = read(b"GET http://a.example/ HTTP/1.0\r\n\r\n").await.unwrap();
        assert!(!old.v11 && !old.keep_alive && old.host.is_none());
        let socket = format!("{GOOD}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n");
        assert!(read(socket.as_bytes()).await.unwrap().websocket);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_given_up() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut reader, _writer) = super::super::split(Box::new(far));
        let drip = async move {
            let mut near = near;
            loop {
                tokio::io::AsyncWriteExt::write_all(&mut near, b"a").await.unwrap();
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        };
        let limits = Limits::default();
        tokio::select! {
            got = read_head(&mut reader, &limits) => assert!(matches!(got, Err(NoHead::Gone)), "{got:?}"),
            () = drip => {}
        }
    }

    proptest! {
        /// No bytes make it panic, and a head that is taken has one framing and no line end in any value.
        #[test]
        fn any_bytes_are_taken_or_refused(text in "(GET|POST|[ -~]{0,3}) ?[ -~]{0,9} HTTP/1\\.[01]\r?\n([ -~]{0,9}:? ?[ -~\r\n\t]{0,9}\r?\n){0,4}\r?\n?") {
            if let Some(at) = end(text.as_bytes(), 0).ok().flatten()
                && let Ok(head) = parse(&text.as_bytes()[..at])
            {
                let sound = |v: &HeaderValue| !v.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
                prop_assert!(head.headers.values().all(sound));
            }
        }
    }
}
