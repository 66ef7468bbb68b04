//! The guard on where requests go: every address that a name resolves to is judged before a connection is made to it.
//!
//! A URL that names an address itself never passes through the resolver, so it is judged when a tool is set up.

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use stead_ports::address::Refused;
pub use stead_ports::address::{Guarded, Reach};

use crate::error::ToolSetupError;

/// Refuses a URL that names a guarded address.
pub(crate) fn check_url(reach: &Reach, url: &Url) -> Result<(), ToolSetupError> {
    // The parser has brought numbers in any notation (`0xa9fea9fe`, `2852039166`) into the usual one.
    reach.check_host(url.host_str().unwrap_or_default()).map_err(|e| ToolSetupError::address(e.to_string()))
}

/// The same for the text of an HTTP URL; a text that is none is left to whoever needs it to be one.
///
/// # Errors
/// `ST0054` for a guarded address.
pub fn check_text(reach: &Reach, url: &str) -> Result<(), ToolSetupError> {
    Url::parse(url).map_or(Ok(()), |url| check_url(reach, &url))
}

/// Whether a URL leads to this machine by its very text.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A resolver that leaves guarded addresses out.
#[derive(Clone, Debug)]
pub(crate) struct Guard(pub(crate) Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(reach.permitted(name.as_str(), found)?.into_iter()) as Addrs)
        })
    }
}

/// The refusal among an error's causes, if there is one.
pub(crate) fn refusal<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Refused> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(refused) = e.downcast_ref::<Refused>() {
            return Some(refused);
        }
        next = e.source();
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::code;

    use super::*;

    #[test]
    fn every_notation_of_a_guarded_address_is_refused() {
        let reach = Reach::default();
        for host in [
            "169.254.169.254",
            "169.254.169.254.",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "0xa9.254.43518",
            "[fe80::1]",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:169.254.169.254]",
            "169。254。169。254",
            "①⑥⑨.254.169.254",
        ] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            let error = check_url(&reach, &url).expect_err(host);
            assert_eq!(error.code, code::TOOL_ADDRESS, "{host}");
        }
        assert!(check_url(&reach, &Url::parse("http://127.0.0.1:1/").unwrap()).is_ok());
        let allowed = Reach::allowing(["169.254.169.254".parse().unwrap()]);
        assert!(check_url(&allowed, &Url::parse("http://0xA9FEA9FE/").unwrap()).is_ok());
    }
}
