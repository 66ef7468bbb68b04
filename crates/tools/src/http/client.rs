//! The HTTP client of every tool, built so that what is reported of an exchange is true: it follows no redirect, uses no
//! proxy, keeps no cookie and no connection, repeats nothing, and goes to no guarded address.

use std::{error::Error, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::{
    reach::{Guard, Reach},
    text,
};

/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// A client for the service at `url`.
pub(crate) fn builder(url: &Url, reach: &Reach) -> ClientBuilder {
    // Without TLS (and no redirect is followed) there is no need to read this host's certificates, which takes longer
    // than a request.
    let builder = if url.scheme() == "http" { Client::builder().tls_certs_only([]) } else { Client::builder() };
    builder
        .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .no_proxy()
        .dns_resolver(std::sync::Arc::new(Guard(reach.clone())))
        .redirect(redirect::Policy::none())
        .referer(false)
        // A connection that another call left open may be dead already, and then nobody knows what was sent.
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
}

/// An error with its causes; without the URL, whose query may be private.
pub(crate) fn chain(e: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut next: Option<&dyn Error> = e.source();
    while let Some(cause) = next {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    if words.is_empty() { "no cause given".into() } else { text::ellipsis(&words, 300) }
}
