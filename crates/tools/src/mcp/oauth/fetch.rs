//! The one way to an authorization server. Its URLs are words of the MCP server, or of documents that it names, so a request leads
//! only where that server could not gain from it: to `https://` and public addresses, to the MCP server's own host, to this machine
//! only when the MCP server is on it, and to private addresses only when it is at one itself or the operator says so. Redirects are
//! not followed here; the library follows those of metadata within one origin, each through this check. Answers are bounded.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rmcp::transport::auth::{OAuthHttpClient, OAuthHttpClientError, OAuthHttpClientFuture, OAuthHttpRequest};
use stead_core::code;
use stead_ports::address::internal;

use crate::{
    http::client::{self, chain},
    reach::{self, Reach},
};

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 256 << 10;

/// Where requests may lead.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    reach: Reach,
    /// The MCP server's host, to which its own URL led already.
    host: String,
    loopback: bool,
    private: bool,
}

impl Bounds {
    pub(super) fn new(server: &Url, reach: &Reach, private: bool) -> Self {
        let address = literal(server);
        let at_private = address.is_some_and(|ip| !ip.is_loopback() && internal(ip).is_some());
        Self {
            reach: reach.clone(),
            host: server.host_str().unwrap_or_default().to_ascii_lowercase(),
            loopback: reach::is_loopback(server),
            private: private || at_private,
        }
    }

    /// Whether that URL may be asked, or a person be sent to it, as far as its text tells.
    pub(super) fn check(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let told = format!("`{}`", crate::text::ellipsis(&url.origin().ascii_serialization(), 200));
        let here = reach::is_loopback(url);
        match url.scheme() {
            "https" => {}
            "http" if here && self.loopback => {}
            _ => return Err(format!("{told} is not `https://`, and secrets are sent there")),
        }
        if host.is_empty() || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{told} has no host, or holds credentials"));
        }
        if here && !self.loopback {
            return Err(format!("{told} leads to this machine, and the MCP server is not on it"));
        }
        self.reach.check_host(host).map_err(|e| format!("{}: {e}", code::TOOL_ADDRESS))?;
        match literal(url) {
            Some(address) => self.judge(host, address),
            None => Ok(()),
        }
    }

    /// Whether that address of a host may be spoken to.
    fn judge(&self, host: &str, address: IpAddr) -> Result<(), String> {
        self.reach.check(address).map_err(|e| format!("{}: {e}", code::TOOL_ADDRESS))?;
        let Some(what) = internal(address) else { return Ok(()) };
        let allowed = match is_loopback(address) {
            true => self.loopback,
            false => self.private || host.eq_ignore_ascii_case(&self.host),
        };
        if allowed {
            return Ok(());
        }
        let code = code::TOOL_ADDRESS;
        Err(format!("{code}: `{host}` leads to {what}, where an MCP server may not send its client"))
    }
}

/// Forms of IPv6 that carry an IPv4 address count as that; the unspecified address leads to this machine as well.
fn is_loopback(address: IpAddr) -> bool {
    let mapped = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => v6.to_ipv4(),
    };
    let here = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    here(address) || mapped.is_some_and(|v4| here(v4.into()))
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl Resolve for Bounds {
    fn resolve(&self, name: Name) -> Resolving {
        let bounds = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut refused = None;
            let mut left = Vec::new();
            for address in found {
                match bounds.judge(name.as_str(), address.ip()) {
                    Ok(()) => left.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(why) if left.is_empty() => Err(why.into()),
                _ => Ok(Box::new(left.into_iter()) as Addrs),
            }
        })
    }
}

/// See the module.
pub(super) struct Fetch {
    bounds: Bounds,
    plain: Client,
    tls: Client,
}

impl Fetch {
    pub(super) fn new(bounds: Bounds) -> Result<Self, String> {
        let made = |url: &str| {
            let url = Url::parse(url).map_err(|e| e.to_string())?;
            let client = client::builder(&url, &bounds.reach).dns_resolver(Arc::new(bounds.clone())).timeout(PATIENCE);
            client.build().map_err(|e| format!("the HTTP client cannot be made: {}", chain(&e)))
        };
        Ok(Self { plain: made("http://localhost")?, tls: made("https://localhost")?, bounds })
    }

    async fn send(&self, asked: OAuthHttpRequest) -> Result<oauth2::HttpResponse, OAuthHttpClientError> {
        let (parts, body) = asked.request.into_parts();
        let url = Url::parse(&parts.uri.to_string())?;
        self.bounds.check(&url)?;
        let client = if url.scheme() == "https" { &self.tls } else { &self.plain };
        let request = client.request(parts.method, url).headers(parts.headers).body(body).build();
        let sent = client.execute(request.map_err(|e| chain(&e))?).await;
        let mut response = sent.map_err(|e| chain(&e))?;
        let mut told = http::Response::builder().status(response.status());
        if let Some(headers) = told.headers_mut() {
            *headers = response.headers().clone();
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| chain(&e))? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("the answer has more than {MAX_ANSWER} bytes").into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(told.body(body)?)
    }
}

impl OAuthHttpClient for Fetch {
    fn execute(&self, request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn bounds(server: &str, private: bool) -> Bounds {
        Bounds::new(&Url::parse(server).unwrap(), &Reach::default(), private)
    }

    #[test]
    fn a_server_cannot_send_its_client_inside() {
        let public = bounds("https://mcp.example.com/mcp", false);
        for url in [
            "http://auth.example.com/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://2852039166/",
            "https://127.0.0.1/token",
            "https://localhost/token",
            "https://[::1]/token",
            "https://10.0.0.5/token",
            "https://192.168.1.1/",
            "https://[fd00::1]/",
            "https://100.64.0.1/",
            "https://user:pw@auth.example.com/",
            "file:///etc/passwd",
        ] {
            assert!(public.check(&Url::parse(url).unwrap()).is_err(), "{url} was allowed");
        }
        assert!(public.check(&Url::parse("https://auth.example.com/token").unwrap()).is_ok());
        assert!(public.check(&Url::parse("https://93.184.216.34/token").unwrap()).is_ok());
    }

    #[test]
    fn what_a_name_leads_to_is_judged_as_well() {
        let public = bounds("https://mcp.example.com/mcp", false);
        for address in ["127.0.0.1", "::1", "10.0.0.5", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe"] {
            assert!(public.judge("auth.example.com", address.parse().unwrap()).is_err(), "{address}");
        }
        assert!(public.judge("auth.example.com", "93.184.216.34".parse().unwrap()).is_ok());
        // Its own host is where its own URL led already; but not on this machine, nor where credentials of clouds are.
        assert!(public.judge("mcp.example.com", "10.0.0.5".parse().unwrap()).is_ok());
        assert!(public.judge("mcp.example.com", "127.0.0.1".parse().unwrap()).is_err());
        assert!(public.judge("mcp.example.com", "169.254.169.254".parse().unwrap()).is_err());
        let told = bounds("https://mcp.example.com/mcp", true);
        assert!(told.judge("sso.corp", "10.0.0.5".parse().unwrap()).is_ok());
        assert!(told.judge("sso.corp", "127.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_server_on_this_machine_may_have_its_authorization_server_here_and_not_inside() {
        let here = bounds("http://localhost:3000/mcp", false);
        assert!(here.check(&Url::parse("http://127.0.0.1:9/token").unwrap()).is_ok());
        assert!(here.judge("localhost", "127.0.0.1".parse().unwrap()).is_ok());
        assert!(here.check(&Url::parse("https://10.0.0.5/token").unwrap()).is_err());
        assert!(here.check(&Url::parse("http://169.254.169.254/").unwrap()).is_err());
        let inside = bounds("https://10.0.0.4/mcp", false);
        assert!(inside.check(&Url::parse("https://10.0.0.5/token").unwrap()).is_ok());
        for url in ["https://127.0.0.1/token", "https://0.0.0.0/token", "https://[::]/token", "https://[::ffff:0:0]/"] {
            assert!(inside.check(&Url::parse(url).unwrap()).is_err(), "{url} was allowed");
        }
    }
}
