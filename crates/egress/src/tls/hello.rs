//! The first message of a TLS client, read without taking part: for which host is it? (RFC 8446 sections 4.1.2 and 5.1, RFC
//! 6066 section 3, RFC 9849 for encrypted hellos.)

use bytes::Buf;
use tokio::time::timeout;

use crate::{
    limits::{HELLO_BYTES, Limits},
    wire::Reader,
};

/// What a hello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The host's name, as it stands there.
    pub(crate) name: Option<String>,
    /// Whether another hello is hidden in it, with a name that nobody on the way sees.
    pub(crate) encrypted: bool,
}

/// The alert for a name that is not served (RFC 6066 section 3): fatal, `unrecognized_name`.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

const SERVER_NAME: u16 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Reads until the hello is there whole, and leaves all of it in the reader. `None` when what comes is none.
pub(crate) async fn read_hello(reader: &mut Reader, limits: &Limits) -> Option<Hello> {
    let read = timeout(limits.head, async {
        let mut assembly = Assembly::default();
        loop {
            match assembly.take(&reader.buffer) {
                Parsed::Hello(hello) => return Some(hello),
                Parsed::NoHello => return None,
                Parsed::More if reader.more().await.ok()? => {}
                Parsed::More => return None,
            }
        }
    });
    read.await.ok().flatten()
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    More,
    Hello(Hello),
    NoHello,
}

/// The message, put together from its records, however many there are. What was read is not read again when more comes.
#[derive(Default)]
struct Assembly {
    message: Vec<u8>,
    /// Bytes of the records that are in it.
    read: usize,
}

impl Assembly {
    /// Takes all that has come so far.
    fn take(&mut self, bytes: &[u8]) -> Parsed {
        let Self { message, read } = self;
        loop {
            if let Some(length) = length_of(message) {
                if message[0] != 1 || length > HELLO_BYTES {
                    return Parsed::NoHello;
                }
                if let Some(body) = message.get(4..4 + length) {
                    return client_hello(body).map_or(Parsed::NoHello, Parsed::Hello);
                }
            }
            match &bytes[*read..] {
                [] => return Parsed::More,
                [22, 3, _, high, low, after @ ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    if length == 0 || length > 1 << 14 || message.len() + length > HELLO_BYTES + 4 {
                        return Parsed::NoHello;
                    }
                    let Some(record) = after.get(..length) else { return Parsed::More };
                    message.extend_from_slice(record);
                    *read += 5 + length;
                }
                [22] | [22, 3] | [22, 3, _] | [22, 3, _, _] => return Parsed::More,
                _ => return Parsed::NoHello,
            }
        }
    }
}

fn length_of(message: &[u8]) -> Option<usize> {
    match message {
        [_, a, b, c, ..] => Some(usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)),
        _ => None,
    }
}

/// A piece with a length before it, of so many bytes.
fn sized<'b>(rest: &mut &'b [u8], width: usize) -> Option<&'b [u8]> {
    let (length, after) = rest.split_at_checked(width)?;
    let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
    let (piece, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(piece)
}

fn client_hello(mut rest: &[u8]) -> Option<Hello> {
    // Version and random.
    rest = rest.get(34..)?;
    let session = sized(&mut rest, 1)?;
    let suites = sized(&mut rest, 2)?;
    let compressions = sized(&mut rest, 1)?;
    if session.len() > 32 || suites.is_empty() || compressions.is_empty() {
        return None;
    }
    let mut hello = Hello { name: None, encrypted: false };
    if rest.is_empty() {
        return Some(hello);
    }
    let mut extensions = sized(&mut rest, 2)?;
    if !rest.is_empty() {
        return None;
    }
    while !extensions.is_empty() {
        let kind = extensions.try_get_u16().ok()?;
        let body = sized(&mut extensions, 2)?;
        match kind {
            // A second one would be read by some and not by others.
            SERVER_NAME if hello.name.is_some() => return None,
            SERVER_NAME => hello.name = Some(server_name(body)?),
            ENCRYPTED_CLIENT_HELLO => hello.encrypted = true,
            _ => {}
        }
    }
    Some(hello)
}

/// The one name of the list, of kind `host_name`.
fn server_name(mut body: &[u8]) -> Option<String> {
    let mut list = sized(&mut body, 2)?;
    let kind = list.try_get_u8().ok()?;
    let name = sized(&mut list, 2)?;
    let sound = kind == 0 && list.is_empty() && body.is_empty() && name.is_ascii();
    sound.then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};

    use super::*;

    fn parse(bytes: &[u8]) -> Parsed {
        let whole = Assembly::default().take(bytes);
        // However it comes, it is the same.
        let mut assembly = Assembly::default();
        let cut = (0..bytes.len()).map(|end| assembly.take(&bytes[..end])).find(|p| *p != Parsed::More);
        assert_eq!(cut.unwrap_or_else(|| assembly.take(bytes)), whole);
        whole
    }

    /// What rustls sends.
    fn hello(name: &'static str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut connection = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut out = Vec::new();
        connection.write_tls(&mut out).unwrap();
        out
    }

    fn named(name: Option<&str>) -> Parsed {
        Parsed::Hello(Hello { name: name.map(str::to_owned), encrypted: false })
    }

    /// The message cut into records of at most that length.
    fn records(message: &[u8], length: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
        message.chunks(length).flat_map(record).collect()
    }

    /// A hello with these extensions.
    fn made(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat())
            .collect();
        let body =
            [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &(list.len() as u16).to_be_bytes(), &list].concat();
        let length = (body.len() as u32).to_be_bytes();
        records(&[&[1][..], &length[1..], &body].concat(), 1 << 14)
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let entry = [&[0][..], &(name.len() as u16).to_be_bytes(), name].concat();
        [&(entry.len() as u16).to_be_bytes()[..], &entry].concat()
    }

    #[test]
    fn a_real_hello_tells_its_host_however_it_is_cut() {
        let whole = hello("api.example.com");
        assert_eq!(parse(&whole), named(Some("api.example.com")));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), Parsed::More, "{cut}");
        }
        for length in [1, 7, 100] {
            assert_eq!(parse(&records(&whole[5..], length)), named(Some("api.example.com")), "{length}");
        }
        assert_eq!(parse(&hello("127.0.0.1")), named(None), "an address is never named");
    }

    #[test]
    fn what_could_name_two_hosts_is_none() {
        assert_eq!(parse(&made(&[(0, sni(b"a.example"))])), named(Some("a.example")));
        assert_eq!(parse(&made(&[(0, sni(b"a.example")), (0, sni(b"b.example"))])), Parsed::NoHello);
        let two = [&[0, 24][..], &[0, 0, 9], b"a.example", &[0, 0, 9], b"b.example"].concat();
        assert_eq!(parse(&made(&[(0, two)])), Parsed::NoHello);
        assert_eq!(parse(&made(&[(0, [&sni(b"a.example")[..], b"x"].concat())])), Parsed::NoHello);
        assert_eq!(parse(&made(&[(0, sni("ä.example".as_bytes()))])), Parsed::NoHello);
        let hidden = Hello { name: Some("a.example".into()), encrypted: true };
        assert_eq!(parse(&made(&[(0xfe0d, vec![0; 9]), (0, sni(b"a.example"))])), Parsed::Hello(hidden));
        assert_eq!(parse(&made(&[])), named(None));
        for text in
            [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", &[22, 2, 0, 0, 1, 1], &[22, 3, 1, 0, 0], &[23, 3, 1, 0, 1, 1]]
        {
            assert_eq!(parse(text), Parsed::NoHello);
        }
        assert_eq!(parse(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), Parsed::NoHello, "longer than the bound");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..300, byte: u8, length in 1usize..60,
        ) {
            parse(&bytes);
            parse(&[&[22, 3, 1, 0, bytes.len() as u8][..], &bytes].concat());
            // A real one with one byte changed, in records of any length.
            let mut whole = hello("api.example.com");
            let last = whole.len() - 1;
            whole[at.min(last)] = byte;
            parse(&whole);
            parse(&records(&whole[5..], length));
        }
    }
}
