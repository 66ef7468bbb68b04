//! Where people reach this server: `public_url`, and the domain that passkeys are made for.

use std::time::Duration;

use super::Config;

/// How long a browser may stay signed in.
const SESSION: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);
/// Longest host, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// What is wrong, and what to do.
type Wrong = (String, &'static str);

/// Where people reach this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The origin of its pages (RFC 6454), as a browser writes it.
    pub(crate) origin: String,
    /// The relying party's id (WebAuthn Level 2, section 4).
    pub(crate) rp_id: String,
}

impl Place {
    /// The place of a configuration; `port` is the one that the server listens on.
    ///
    /// # Errors
    /// `public_url`, `approvals.rp_id` or `approvals.session` cannot be used.
    pub(crate) fn of(config: &Config, port: u16) -> Result<Self, Wrong> {
        if !SESSION.contains(&config.approvals.session.0) {
            return Err(("`approvals.session` must be 1s to 24h".to_owned(), "leave it out for 8h"));
        }
        let (origin, host) = match &config.public_url {
            Some(url) => public(url)?,
            None => {
                let scheme = if config.tls.is_some() { "https" } else { "http" };
                (format!("{scheme}://localhost:{port}"), "localhost".to_owned())
            }
        };
        let rp_id = match &config.approvals.rp_id {
            None => host,
            Some(id) if covers(id, &host) => id.clone(),
            Some(id) => {
                let message = format!("`approvals.rp_id`: `{id:.100}` is neither `{host}` nor a domain above it");
                return Err((message, "name the host of `public_url`, or a registrable domain that it ends with"));
            }
        };
        Ok(Self { origin, rp_id })
    }

    /// Whether browsers reach it by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// The origin and host of a URL that people may be sent to.
fn public(text: &str) -> Result<(String, String), Wrong> {
    let wrong = |why: &str| (format!("`public_url` {why}"), "write it as `https://stead.example.com`");
    let url = reqwest::Url::parse(text).map_err(|_| wrong("is no URL"))?;
    let host = url.domain().filter(|host| (1..=MAX_HOST).contains(&host.len()));
    let host = host.ok_or_else(|| wrong("must have a name as its host: passkeys are made for names, not addresses"))?;
    if !is_domain(host) {
        return Err(wrong("has a host that is no name"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must have neither a path nor a query: pages are told apart by their origin alone"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must have no name and no password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if host == "localhost" => {}
        _ => return Err(wrong("must be `https`; `http` is for `localhost` alone")),
    }
    Ok((url.origin().ascii_serialization(), host.to_owned()))
}

/// Whether a domain is this host or one above it, with more than one label.
fn covers(id: &str, host: &str) -> bool {
    let above = host.strip_suffix(id).is_some_and(|rest| rest.ends_with('.')) && id.contains('.');
    is_domain(id) && (id == host || above)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: Option<&str>, rp_id: Option<&str>) -> Result<(String, String), String> {
        let mut config = Config { public_url: url.map(str::to_owned), ..Config::default() };
        config.approvals.rp_id = rp_id.map(str::to_owned);
        Place::of(&config, 7_411).map(|p| (p.origin, p.rp_id)).map_err(|(message, _)| message)
    }

    #[test]
    fn pages_are_at_one_origin_and_passkeys_for_its_host_or_a_domain_above_it() {
        let is = |url, rp, origin: &str, id: &str| assert_eq!(place(url, rp), Ok((origin.to_owned(), id.to_owned())));
        is(None, None, "http://localhost:7411", "localhost");
        is(Some("https://stead.example.com/"), None, "https://stead.example.com", "stead.example.com");
        is(Some("https://Stead.example.com:443"), Some("example.com"), "https://stead.example.com", "example.com");
        is(Some("https://stead.example.com:8443"), None, "https://stead.example.com:8443", "stead.example.com");
        is(Some("http://localhost:80"), None, "http://localhost", "localhost");
        is(Some("https://bücher.example"), None, "https://xn--bcher-kva.example", "xn--bcher-kva.example");
    }

    #[test]
    fn what_passkeys_could_not_be_made_for_is_refused() {
        let wrong = [
            "stead.example.com",
            "http://stead.example.com",
            "https://10.0.0.1",
            "https://[::1]:7411",
            "http://127.0.0.1:7411",
            "https://u:p@stead.example.com",
            "https://stead.example.com/approvals",
            "https://stead.example.com/?a=b",
            "https://stead.example.com/#a",
            "https://stead_x.example.com",
            "ftp://stead.example.com",
            "https://localhost.",
            "",
        ];
        for url in wrong {
            assert!(place(Some(url), None).is_err_and(|e| e.contains("`public_url`")), "{url}");
        }
        for rp_id in ["com", "ead.example.com", "other.com", "stead.example.com.", "", "EXAMPLE.com", ".example.com"] {
            let said = place(Some("https://stead.example.com"), Some(rp_id));
            assert!(said.is_err_and(|e| e.contains("`approvals.rp_id`")), "{rp_id}");
        }
        assert!(place(None, Some("local")).is_err());
    }
}
