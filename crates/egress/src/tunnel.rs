//! `CONNECT`: a tunnel that is passed through once its hello names the host, or is ended here as that host.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::{HeaderMap, StatusCode};
use stead_core::code;
use stead_ports::connect::To;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::{
    audit::{Asked, Event},
    converse::{Connection, Face, converse, host_and_port, told},
    dial::{NoDial, dial, permitted},
    error::Refusal,
    relay::{Counts, relay},
    rules::{Name, Rule, Rules, Scheme, Way},
    tls::{Hello, UNRECOGNIZED_NAME, read_hello},
    wire::{Framing, Head, Rest, rejoin},
};

/// Serves a `CONNECT` to the end of its tunnel.
pub(crate) async fn tunnel(mut connection: Connection, head: Head) {
    let wanted = target(&head);
    let (host, port) = match &wanted {
        Ok((host, port)) => (host.to_string(), *port),
        Err(_) => (told(&head.target, 253), 0),
    };
    let asked = Asked { scheme: Some(Scheme::Https), method: "CONNECT".to_owned(), host, port, path: None };
    let decided = wanted.and_then(|(host, port)| {
        connection.session.unspent()?;
        let way = connection.session.rules().connection(Scheme::Https, &host, port)?;
        Ok((host, port, way))
    });
    match decided {
        Err(refusal) => deny(&mut connection, &asked, refusal.into(), Told::No).await,
        Ok((host, port, Way::Pass(rule))) => pass(connection, &asked, &host, port, rule).await,
        Ok((host, port, Way::Inspect)) => intercept(connection, &asked, host, port).await,
    }
}

fn target(head: &Head) -> Result<(Name, u16), Refusal> {
    if head.framing != Framing::None {
        return Err(Refusal::malformed("a CONNECT has no body"));
    }
    if !head.target.contains(':') {
        return Err(Refusal::malformed("a CONNECT names host and port"));
    }
    // The port is there: a default is of no use.
    let wanted = host_and_port(&head.target, 0)?;
    match &head.host {
        Some(text) if host_and_port(text, wanted.1)? != wanted => {
            let what = format!("the Host field does not name {}:{}, where the tunnel goes", wanted.0, wanted.1);
            Err(Refusal::new(code::EGRESS_HOST, what, "send the Host field that belongs to the tunnel"))
        }
        _ => Ok(wanted),
    }
}

/// Whether the box was told already that the tunnel is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Open,
}

async fn deny(connection: &mut Connection, asked: &Asked, why: NoDial, told: Told) {
    let id = connection.session.exchange();
    let event = why.event();
    // The connection ends in any case, whoever listens.
    let _ = connection.session.record(id, asked, event).await;
    let _ = match told {
        Told::No => connection.out.refuse(&why.refusal, false, false).await,
        Told::Open => connection.out.raw(&UNRECOGNIZED_NAME).await,
    };
    connection.close().await;
}

/// The hello, if it names the host and hides no other.
async fn greeted(connection: &mut Connection, host: &Name) -> Result<(), Refusal> {
    let limits = connection.session.0.limits.clone();
    let wrong = |what: &str| {
        let hint = "speak TLS to the host that the tunnel is for, by its name; `opaque: true` of a rule lets other tunnels through";
        Err(Refusal::new(code::EGRESS_SNI, format!("the tunnel to {host} {what}"), hint))
    };
    match read_hello(&mut connection.reader, &limits).await {
        None => wrong("does not begin with TLS"),
        Some(Hello { encrypted: true, .. }) => wrong("begins with an encrypted hello"),
        Some(Hello { name: None, .. }) => wrong("names no host"),
        Some(Hello { name: Some(name), .. }) if !name.eq_ignore_ascii_case(host.as_str()) => {
            wrong("names another host")
        }
        Some(_) => Ok(()),
    }
}

fn open(connection: &mut Connection) {
    // A head without fields: what follows belongs to the tunnel.
    connection.out.head(StatusCode::OK, &HeaderMap::new(), Rest::None, true);
}

async fn pass(mut connection: Connection, asked: &Asked, host: &Name, port: u16, rule: Arc<Rule>) {
    let inner = Arc::clone(&connection.session.0);
    let session = connection.session.clone();
    let to = To { host: host.as_str(), port, method: "CONNECT", path: "" };
    let policies = match session.judge(to).await {
        Ok(policies) => policies,
        Err(why) => return deny(&mut connection, asked, why, Told::No).await,
    };
    let (far, address) = match dial(&*inner.resolver, &inner.limits, &rule, host, port).await {
        Ok(dialled) => dialled,
        Err(why) => return deny(&mut connection, asked, why, Told::No).await,
    };
    open(&mut connection);
    // A box that is gone already says nothing more, and that is put on record below: the host was connected to.
    let _ = connection.out.flush().await;
    if !rule.opaque
        && let Err(refusal) = greeted(&mut connection, host).await
    {
        return deny(&mut connection, asked, NoDial::at(refusal, address), Told::Open).await;
    }
    let still = |rules: &Rules| match rules.connection(Scheme::Https, host, port) {
        // What must be looked at from now on cannot go on unseen.
        Ok(Way::Pass(now)) => permitted(&now, address).is_ok() && (now.opaque || !rule.opaque),
        _ => false,
    };
    let id = session.exchange();
    let (rule, nothing) = (rule.label.clone(), Vec::new);
    let event = Event::Allowed { rule, address, secrets: nothing(), stripped: nothing(), policies };
    if session.record(id, asked, event).await.is_err() {
        return;
    }
    let counts = Counts::default();
    let near = (&mut connection.reader, &mut connection.out);
    let cut = relay(&session, near, far, None, &counts, still).await;
    let (sent, received) = (counts.sent.load(Relaxed), counts.received.load(Relaxed));
    // It has ended already; a sink that is gone is seen at the next decision.
    let _ = session.record(id, asked, Event::Ended { status: None, sent, received, masked: 0, cut }).await;
}

async fn intercept(mut connection: Connection, asked: &Asked, host: Name, port: u16) {
    open(&mut connection);
    if connection.out.flush().await.is_err() {
        return;
    }
    let config = match greeted(&mut connection, &host).await.and_then(|()| connection.session.0.authority.server(&host))
    {
        Ok(config) => config,
        Err(refusal) => return deny(&mut connection, asked, refusal.into(), Told::Open).await,
    };
    let Connection { session, reader, out, .. } = connection;
    let near = rejoin(reader, out.into_half());
    let accept = TlsAcceptor::from(config).accept(near);
    // A client that does not trust the authority breaks off here; its own error says so.
    if let Ok(Ok(stream)) = timeout(session.0.limits.head, accept).await {
        Box::pin(converse(session, Box::new(stream), Face::Host(host, port))).await;
    }
}
