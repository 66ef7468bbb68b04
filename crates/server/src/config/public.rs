//! `public_url`: the URL under which people reach this server.

use super::Config;

/// Whether it can be one: no query, no fragment, no user.
pub(super) fn is_public_url(text: &str) -> bool {
    let url = text.parse::<axum::http::Uri>();
    !text.contains('#')
        && url.is_ok_and(|url| {
            let plain = url
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
            matches!(url.scheme_str(), Some("http" | "https")) && plain && url.query().is_none()
        })
}

impl Config {
    /// Where people reach this server, without a slash at the end; `own` is where it listens.
    pub(crate) fn public_url(&self, own: &str) -> String {
        self.public_url.as_deref().unwrap_or(own).trim_end_matches('/').to_owned()
    }
}
