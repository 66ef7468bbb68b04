//! The way out of a box: a session of the egress proxy, which lives as long as the box.

use std::{collections::BTreeMap, net, path::Path, sync::Arc, time::Duration};

use stead_core::sandbox::Traffic;
use stead_egress::{Config, Limits, Rules, Session, SystemResolver, serve_listener};
use stead_ports::{connect::Connects, sandbox::BoxError, secret::Secrets};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

use crate::{
    audit::{Of, Whose},
    fault::Fault,
    furniture::{BUNDLE, Bundle},
    workshop::Inner,
};

/// The port on the box's loopback where the proxy listens.
pub(crate) const PORT: u16 = 3128;
/// How long what is cut may take to tell what went through.
const SETTLE: Duration = Duration::from_secs(2);
/// Where the list of certificate authorities is, inside.
pub(crate) const CERTIFICATES: &str = "/opt/certificates";

/// A session, and what the box needs to use it. Dropped or closed, everything under way is cut.
#[derive(Debug)]
pub(crate) struct WayOut {
    session: Session,
    bundle: Bundle,
    serving: Option<JoinHandle<()>>,
    /// Exchanges under way.
    open: watch::Receiver<usize>,
}

impl WayOut {
    /// Opens a session with those rules, which may move that many bytes. Policies are asked about what the rules allow.
    pub(crate) fn open(
        shop: &Inner,
        rules: &Rules,
        secrets: &Arc<dyn Secrets>,
        (whose, connects): (Whose, Connects),
        most: Option<u64>,
    ) -> Result<Self, Fault> {
        let outside = &shop.outside;
        let resolver = outside.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver::default()));
        let (count, open) = watch::channel(0);
        let session = Session::new(Config {
            rules: rules.clone(),
            secrets: Arc::clone(secrets),
            connects,
            audit: Arc::new(Of { to: Arc::clone(&outside.audit), whose, open: count }),
            resolver,
            trust: outside.trust.clone(),
            limits: Limits { traffic: most, ..Limits::default() },
        })?;
        let bundle = shop.furniture.bundle(shop.authorities(), session.authority_pem())?;
        Ok(Self { session, bundle, serving: None, open })
    }

    /// Accepts on the socket in the box from now on.
    pub(crate) fn serve(&mut self, listener: Option<net::TcpListener>) -> Result<(), Fault> {
        let lost = |why: String| BoxError::Lost(format!("its way out: {why}"));
        let listener = listener.ok_or_else(|| lost("the tier gave none".to_owned()))?;
        let listener = TcpListener::from_std(listener).map_err(|e| lost(e.to_string()))?;
        let session = self.session.clone();
        self.serving = Some(tokio::spawn(async move {
            if let Err(error) = serve_listener(listener, &session).await {
                tracing::warn!(%error, "the way out of a sandbox has closed early");
            }
        }));
        Ok(())
    }

    /// The session itself, for whoever changes its rules.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The folder to mount at [`CERTIFICATES`].
    pub(crate) fn folder(&self) -> &Path {
        self.bundle.folder()
    }

    /// What stands for each secret.
    pub(crate) fn placeholders(&self) -> BTreeMap<String, String> {
        self.session.placeholders()
    }

    /// Ends it once the box is dead; tells what went through.
    pub(crate) async fn close(mut self) -> Traffic {
        // Rules that allow nothing cut what is under way as a close does, but what had gone through is told: an action that was
        // killed in the middle of a download has used it all the same.
        if self.session.set_rules(Rules::default()).is_ok() {
            let _ = timeout(SETTLE, self.open.wait_for(|open| *open == 0)).await;
        }
        self.session.close();
        if let Some(serving) = self.serving.take() {
            let _ = serving.await;
        }
        traffic(&self.session)
    }
}

/// What went through so far.
pub(crate) fn traffic(session: &Session) -> Traffic {
    let used = session.usage();
    Traffic { allowed: used.allowed, denied: used.denied, sent: used.sent, received: used.received }
}

impl Drop for WayOut {
    fn drop(&mut self) {
        self.session.close();
    }
}

/// What tells programs of the proxy and of the authorities, each in its own word.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    let proxy = format!("http://127.0.0.1:{PORT}");
    let proxies = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let list = format!("{CERTIFICATES}/{BUNDLE}");
    let lists = [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "AWS_CA_BUNDLE",
        "CARGO_HTTP_CAINFO",
    ];
    // Node looks at its proxy variables only when told to.
    let others =
        [("no_proxy", "localhost,127.0.0.1,::1"), ("NO_PROXY", "localhost,127.0.0.1,::1"), ("NODE_USE_ENV_PROXY", "1")];
    let to = |value: String| move |name: &str| (name.to_owned(), value.clone());
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    proxies.map(to(proxy)).into_iter().chain(lists.map(to(list))).chain(others)
}
