//! Servers on loopback that answer with exactly the bytes that a test says, and remember what they were asked.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    /// The value of a field, if there is exactly one.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut all =
            self.head.lines().skip(1).filter_map(|l| l.split_once(':')).filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = all.next()?.1.trim().to_owned();
        all.next().is_none().then_some(first)
    }
}

/// What is answered, in the pieces in which it is written.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// An answer with a body and a length.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Pieces {
    full("200 OK", "", body)
}

/// One with a status and more fields, each ending with CR LF.
pub(crate) fn full(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Pieces {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    vec![[head.as_bytes(), body].concat()]
}

/// One in chunks, each written by itself.
pub(crate) fn chunked(fields: &str, body: &[u8], size: usize) -> Pieces {
    let mut pieces = vec![format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n").into_bytes()];
    pieces.extend(body.chunks(size).map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat()));
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

/// A server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    /// One that speaks plain HTTP on an address of loopback.
    pub(crate) async fn http_on(address: &str, answer: impl Fn(&Arrived) -> Pieces + Send + Sync + 'static) -> Self {
        Self::run(address, None, answer).await
    }

    pub(crate) async fn http(answer: impl Fn(&Arrived) -> Pieces + Send + Sync + 'static) -> Self {
        Self::run("127.0.0.1:0", None, answer).await
    }

    /// One that speaks TLS, with a certificate for that name.
    pub(crate) async fn https(
        ca: &TestCa,
        name: &str,
        answer: impl Fn(&Arrived) -> Pieces + Send + Sync + 'static,
    ) -> Self {
        Self::run("127.0.0.1:0", Some(ca.acceptor(name)), answer).await
    }

    async fn run(
        address: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Arrived) -> Pieces + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, arrived: Arc::default(), connections: Arc::default() };
        let (own, answer) = (server.clone(), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *own.connections.lock().unwrap() += 1;
                let (own, answer, tls) = (own.clone(), Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    match tls {
                        None => own.serve(stream, &*answer).await,
                        // A client that breaks off the handshake has its reasons.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => own.serve(stream, &*answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        server
    }

    /// Serves a connection; `None` when it ended.
    async fn serve(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        answer: &(dyn Fn(&Arrived) -> Pieces + Send + Sync),
    ) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let arrived = read_request(&mut stream, &mut buffer).await?;
            self.arrived.lock().unwrap().push(arrived.clone());
            for piece in answer(&arrived) {
                stream.write_all(&piece).await.ok()?;
                stream.flush().await.ok()?;
                // Lets the proxy take this piece by itself.
                tokio::task::yield_now().await;
            }
            if arrived.head.to_ascii_lowercase().contains("upgrade: websocket") {
                // What follows is echoed as it is.
                let (mut read, mut write) = tokio::io::split(&mut stream);
                tokio::io::copy(&mut read, &mut write).await.ok()?;
                return None;
            }
        }
    }

    /// Everything that has arrived.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// The only request that has arrived.
    pub(crate) fn one(&self) -> Arrived {
        let arrived = self.arrived();
        assert_eq!(arrived.len(), 1, "{arrived:?}");
        arrived[0].clone()
    }

    /// Connections that were made.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Arrived> {
    let end = until(stream, buffer, |b| b.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)).await?;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") {
        loop {
            let end = until(stream, buffer, |b| b.windows(2).position(|w| w == b"\r\n").map(|at| at + 2)).await?;
            let size = usize::from_str_radix(std::str::from_utf8(&buffer[..end - 2]).unwrap(), 16).unwrap();
            buffer.drain(..end);
            until(stream, buffer, |b| (b.len() >= size + 2).then_some(0)).await?;
            body.extend(buffer.drain(..size));
            buffer.drain(..2);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = lower.split("content-length: ").nth(1).and_then(|l| l.split("\r\n").next()) {
        let length = length.parse().unwrap();
        until(stream, buffer, |b| (b.len() >= length).then_some(0)).await?;
        body.extend(buffer.drain(..length));
    }
    Some(Arrived { head, body })
}

async fn until(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    found: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    loop {
        if let Some(at) = found(buffer) {
            return Some(at);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// An authority for hosts.
pub(crate) struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than those of hosts: OpenSSL takes a certificate for self-signed by its names.
        params.distinguished_name.push(DnType::CommonName, "The test's authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
