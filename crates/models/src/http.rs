//! HTTP clients that models share: no redirects (a conversation must not travel to a host nobody named), no hidden
//! retries (the engine journals them), no decompression.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
    retry,
};
use stead_ports::address::Reach;

/// How long a connection may take to be made, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// Connection pools for all models of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    /// Honours the proxy settings of the process.
    outside: Client,
    /// For loopback, which no proxy can reach.
    loopback: Client,
}

impl Http {
    /// Makes the clients; no guarded address is reached.
    ///
    /// # Errors
    /// When TLS cannot be set up on this host; the text says why.
    pub fn new() -> Result<Self, String> {
        Self::reaching(Reach::default())
    }

    /// The same, with what may be reached after all. A URL that names an address itself is the caller's to check.
    ///
    /// # Errors
    /// As [`Http::new`].
    pub fn reaching(reach: Reach) -> Result<Self, String> {
        let guard = Arc::new(Guard(reach));
        let builder = || {
            Client::builder()
                .dns_resolver(guard.clone())
                .redirect(Policy::none())
                .retry(retry::never())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(POOL_IDLE)
                .tcp_nodelay(true)
                .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        };
        let fail = |e: reqwest::Error| format!("cannot make an HTTP client: {}", chain(&e));
        let outside = builder().build().map_err(fail)?;
        let loopback = builder().no_proxy().build().map_err(fail)?;
        Ok(Self(Arc::new(Clients { outside, loopback })))
    }

    pub(crate) fn client(&self, url: &Url) -> &Client {
        if is_loopback(url) { &self.0.loopback } else { &self.0.outside }
    }
}

/// A resolver that leaves guarded addresses out.
#[derive(Debug)]
struct Guard(Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(reach.permitted(name.as_str(), found)?.into_iter()) as Addrs)
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let next = e.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = e.source();
    }
    text
}
