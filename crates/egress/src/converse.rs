//! A connection of the box: one request after another, until it becomes a tunnel or ends.

use std::time::Duration;

use crate::{
    audit::{Asked, Event},
    error::Refusal,
    exchange::{Wanted, exchange},
    rules::{Name, Scheme, path::Target},
    session::Session,
    tunnel::tunnel,
    upstream::Upstream,
    wire::{BoxIo, Head, NoHead, Out, Reader, read_head, split},
};

/// As what the proxy is spoken to.
#[derive(Clone, Debug)]
pub(crate) enum Face {
    /// As a proxy: whole URLs, and `CONNECT`.
    Proxy,
    /// As that host, within TLS.
    Host(Name, u16),
}

/// A connection, and the one to a host that it has at the time.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) reader: Reader,
    pub(crate) out: Out,
    pub(crate) upstream: Option<Upstream>,
}

/// How much is read over at the end of a connection, and for how long.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next one.
    Next,
    /// The end of the connection.
    Close,
}

/// Serves a connection to its end.
pub(crate) async fn converse(session: Session, io: BoxIo, face: Face) {
    let (reader, half) = split(io);
    let out = Out::new(half, session.0.limits.clone());
    let mut connection = Connection { session, reader, out, upstream: None };
    loop {
        let Connection { session, reader, .. } = &mut connection;
        let head = tokio::select! {
            biased;
            () = session.closed() => return,
            head = read_head(reader, &session.0.limits) => head,
        };
        let head = match head {
            Ok(head) => head,
            Err(NoHead::Gone) => break,
            Err(NoHead::Refused(refusal)) => {
                let asked = Asked { scheme: face.scheme(), ..Asked::default() };
                refuse(&mut connection, &asked, refusal).await;
                break;
            }
        };
        if matches!(face, Face::Proxy) && head.method == "CONNECT" {
            return Box::pin(tunnel(connection, head)).await;
        }
        let wanted = face.wanted(&head);
        let asked = face.asked(&head, &wanted);
        if exchange(&mut connection, head, asked, wanted).await == After::Close {
            break;
        }
    }
    connection.close().await;
}

impl Connection {
    /// Ends the connection. What the box still sends is read over for a moment: closed with bytes unread, the kernel would throw
    /// the answer away.
    pub(crate) async fn close(&mut self) {
        self.out.close().await;
        let Self { reader, .. } = self;
        let lingering = async {
            let mut left = LINGER_BYTES;
            while left > 0 && reader.more().await.is_ok_and(|more| more) {
                left = left.saturating_sub(reader.buffer.len());
                reader.buffer.clear();
            }
        };
        // Either way it ends here.
        let _ = tokio::time::timeout(LINGER, lingering).await;
    }
}

/// Puts a refusal on record, and tells the box.
pub(crate) async fn refuse(connection: &mut Connection, asked: &Asked, refusal: Refusal) {
    let id = connection.session.exchange();
    let event = Event::Denied { refusal: refusal.clone(), policies: None, address: None };
    // The connection ends in any case.
    let _ = connection.session.record(id, asked, event).await;
    let _ = connection.out.refuse(&refusal, false, false).await;
}

impl Face {
    fn scheme(&self) -> Option<Scheme> {
        matches!(self, Self::Host(..)).then_some(Scheme::Https)
    }

    /// Where a request goes.
    fn wanted(&self, head: &Head) -> Result<Wanted, Refusal> {
        match self {
            Self::Proxy => {
                let (authority, target) = absolute(&head.target)?;
                let (host, port) = host_and_port(authority, Scheme::Http.port())?;
                named(head, &host, port, Scheme::Http)?;
                Ok(Wanted { scheme: Scheme::Http, host, port, target: Target::parse(&target)? })
            }
            Self::Host(..) if head.method == "CONNECT" => Err(Refusal::malformed("there is no tunnel within a tunnel")),
            Self::Host(host, port) => {
                named(head, host, *port, Scheme::Https)?;
                let target = Target::parse(&head.target)?;
                Ok(Wanted { scheme: Scheme::Https, host: host.clone(), port: *port, target })
            }
        }
    }

    /// What the record says of it, also when it makes no sense.
    fn asked(&self, head: &Head, wanted: &Result<Wanted, Refusal>) -> Asked {
        let (scheme, host, port, path) = match wanted {
            Ok(w) => (Some(w.scheme), w.host.to_string(), w.port, w.target.path.clone()),
            Err(_) => {
                let target = head.target.split('?').next().unwrap_or_default();
                (self.scheme(), head.host.clone().unwrap_or_default(), 0, target.to_owned())
            }
        };
        Asked { scheme, method: told(&head.method, 32), host: told(&host, 253), port, path: Some(told(&path, 512)) }
    }
}

/// What the box wrote, for the record: cut, and what a terminal or a reader of lines might take for more than a character escaped.
pub(crate) fn told(text: &str, most: usize) -> String {
    let escaped = text.chars().flat_map(|c| {
        let plain = c.is_ascii_graphic() || c == ' ';
        plain.then_some(c).into_iter().chain((!plain).then(|| c.escape_unicode()).into_iter().flatten())
    });
    escaped.take(most).collect()
}

/// The authority and the origin form of a whole URL.
fn absolute(target: &str) -> Result<(&str, String), Refusal> {
    let scheme = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
    let Some(rest) = scheme.map(|s| &target[s.len()..]) else {
        return Err(Refusal::malformed(
            "the target is no http URL: the proxy takes `GET http://host/path`, and `CONNECT host:443` for https",
        ));
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(at);
    Ok((authority, if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }))
}

/// A name with a port, or with the one that goes without saying.
pub(crate) fn host_and_port(authority: &str, default: u16) -> Result<(Name, u16), Refusal> {
    let (host, port) = match authority.rsplit_once(':') {
        // What is not plainly a port is left to the name's own parser, which takes no `:`.
        Some((host, port)) if !host.contains(':') && is_port(port) => (host, port.parse().ok()),
        _ => (authority, Some(default)),
    };
    let name = Name::parse(host)?;
    port.filter(|p| *p != 0).map(|port| (name, port)).ok_or_else(|| Refusal::malformed("the port is none"))
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Refuses a `Host` field that is not the target's.
fn named(head: &Head, host: &Name, port: u16, scheme: Scheme) -> Result<(), Refusal> {
    let Some(text) = &head.host else { return Ok(()) };
    if host_and_port(text, scheme.port())? == (host.clone(), port) {
        return Ok(());
    }
    Err(Refusal::new(
        stead_core::code::EGRESS_HOST,
        format!("the Host field does not name {host}:{port}, where the request goes"),
        "send the Host field that belongs to the URL",
    ))
}
