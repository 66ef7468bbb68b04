//! The way out of a sandbox: its egress proxy, and what its commands are told of it.

use std::{collections::BTreeMap, net::TcpListener, sync::Arc};

use stead_egress::{
    Audit, Config, Entry, Event, Gone, Limits, RuleSpec, Rules, Session, SystemResolver, serve_listener,
};
use stead_ports::BoxFuture;

use crate::{
    SandboxId, SandboxesError,
    files::{Files, Upload},
    limits::PORT,
    registry::Inner,
};

/// Where the certificates stand that commands are to trust, inside.
const AUTHORITIES: &str = "/home/box/.stead/authorities.pem";
/// Those of the host, which are trusted too.
const OF_HOST: &[&str] = &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
/// Variables by which usual programs find certificates.
const CERTIFICATES: &[&str] =
    &["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"];
/// And by which they find a proxy.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
/// How a variable names a secret.
const SECRET: &str = "secret://";

/// Tells each decision to the server's log.
struct Told(SandboxId);

impl Audit for Told {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        let Entry { exchange, asked, event } = entry;
        let (sandbox, host, port, method) = (self.0, asked.host, asked.port, asked.method);
        match event {
            Event::Allowed { rule, address, .. } => {
                tracing::info!(%sandbox, exchange, host, port, method, rule, %address, "egress allowed");
            }
            Event::Denied { refusal, .. } => {
                tracing::info!(%sandbox, exchange, host, port, method, code = %refusal.code, "egress denied");
            }
            Event::Ended { status, sent, received, .. } => {
                tracing::debug!(%sandbox, exchange, ?status, sent, received, "egress ended");
            }
        }
        Box::pin(async { Ok(()) })
    }
}

/// Opens the proxy of a sandbox, and serves it until it is closed.
pub(crate) fn open(all: &Inner, id: SandboxId, rules: &[RuleSpec]) -> Result<Session, SandboxesError> {
    let parts = &all.parts;
    let config = Config {
        rules: Rules::new(rules)?,
        secrets: parts.secrets.clone(),
        audit: Arc::new(Told(id)),
        resolver: parts.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver::default())),
        trust: all.trust()?,
        limits: Limits::default(),
    };
    Ok(Session::new(config)?)
}

/// Serves what the box connects to.
pub(crate) fn serve(session: &Session, listener: TcpListener) -> Result<(), SandboxesError> {
    let lost = |e: std::io::Error| stead_ports::sandbox::BoxError::Lost(format!("the way out of a sandbox: {e}"));
    let listener = tokio::net::TcpListener::from_std(listener).map_err(lost)?;
    let session = session.clone();
    tokio::spawn(async move {
        if let Err(error) = serve_listener(listener, &session).await {
            tracing::warn!(%error, "the way out of a sandbox is closed");
        }
    });
    Ok(())
}

/// Variables by which commands find the way out.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let proxy = PROXIES.iter().map(|name| ((*name).to_owned(), format!("http://127.0.0.1:{PORT}")));
    let local = ["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
    let certificates = CERTIFICATES.iter().map(|name| ((*name).to_owned(), AUTHORITIES.to_owned()));
    proxy.chain(local).chain(certificates).collect()
}

/// Puts the certificates in place that commands are to trust: the host's, and the session's own.
pub(crate) async fn trust(files: &Files, session: &Session) -> Result<(), SandboxesError> {
    let mut text = String::new();
    for path in OF_HOST {
        if let Ok(found) = tokio::fs::read_to_string(path).await {
            text = found;
            break;
        }
    }
    text.push('\n');
    text.push_str(session.authority_pem());
    files.make_folder("/home/box/.stead", true).await?;
    let mut upload: Upload = files.upload(AUTHORITIES, Some(0o644)).await?;
    upload.write(text.into_bytes().into()).await?;
    upload.finish().await?;
    Ok(())
}

/// The environment with placeholders for secrets.
pub(crate) fn filled(
    env: &BTreeMap<String, String>,
    session: &Session,
) -> Result<Vec<(String, String)>, SandboxesError> {
    let placeholders = session.placeholders();
    let fill = |(name, value): (&String, &String)| {
        let Some(secret) = value.strip_prefix(SECRET) else { return Ok((name.clone(), value.clone())) };
        let placeholder = placeholders.get(secret).cloned();
        let missing =
            || SandboxesError::Refused(format!("{name}: no egress rule of this sandbox names the secret `{secret}`"));
        Ok((name.clone(), placeholder.ok_or_else(missing)?))
    };
    env.iter().map(fill).collect()
}
