//! `[[approvals.notices]]`: who is told of questions to people, and how.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most notices.
pub(super) const MOST: usize = 16;
/// Most addresses of a mail.
const MOST_TO: usize = 32;

/// A notice: where it goes, and of which questions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Notice")]
pub struct Notice {
    /// Its name: under it is noted what was sent. One with another name tells of every open question anew.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{0,63}$"))]
    pub name: String,
    /// An `http` or `https` URL that is sent a request for each notice. Where the URL is a secret, `secret://NAME` or `env://NAME`.
    pub webhook: Option<String>,
    /// What a webhook is sent: `json`, a document of our own; `slack`, `teams`, what their webhooks take.
    pub format: Option<Format>,
    /// What requests with `json` are signed with (Standard Webhooks): `secret://NAME` or `env://NAME`, whose value is `whsec_` and at
    /// least 24 bytes as base64.
    pub secret: Option<String>,
    /// A mail server: `smtps://HOST:PORT` for TLS from the start, `smtp://HOST:PORT` for STARTTLS, without which mail goes to this
    /// machine alone.
    pub smtp: Option<String>,
    /// Who logs in there.
    pub username: Option<String>,
    /// With which password: `secret://NAME` or `env://NAME`.
    pub password: Option<String>,
    /// PEM file of certificates that vouch for the mail server or the webhook, instead of this host's; relative to this file.
    pub ca: Option<PathBuf>,
    /// Whom mail is from.
    pub from: Option<String>,
    /// Whom it goes to.
    pub to: Vec<String>,
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of these agents.
    pub agents: BTreeSet<String>,
    /// Only when a gate asks for one of these: roles, or people as `user:NAME`; once a question was escalated, those who came in too.
    pub roles: BTreeSet<String>,
    /// Whether it shows what the action is, cut: then the arguments leave this server.
    pub details: bool,
    /// Whether it also tells that nobody is asked any more, and why.
    pub resolved: bool,
}

/// See [`Notice::format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Format {
    /// A document of our own, signed.
    #[default]
    Json,
    /// Block Kit, for an incoming webhook.
    Slack,
    /// An Adaptive Card, for a webhook of Workflows.
    Teams,
}

/// Why the notices are wrong, if they are.
pub(super) fn wrong(notices: &[Notice]) -> Option<String> {
    if notices.len() > MOST {
        return Some(format!("`approvals.notices` has at most {MOST} entries"));
    }
    let mut names = BTreeSet::new();
    for notice in notices {
        let name = &notice.name;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 64 || name.starts_with('-') || !name.bytes().all(plain) {
            return Some(format!(
                "`approvals.notices.name`: {name:?} is no name: lower-case letters, digits and `-`, 1 to 64 bytes"
            ));
        }
        if !names.insert(name) {
            return Some(format!("two of `approvals.notices` are called `{name}`"));
        }
        if let Some(why) = notice.wrong() {
            return Some(format!("the notice `{name}` of `approvals.notices`: {why}"));
        }
    }
    None
}

impl Notice {
    fn wrong(&self) -> Option<String> {
        let of_mail = [
            (self.username.is_some(), "username"),
            (self.password.is_some(), "password"),
            (self.from.is_some(), "from"),
            (!self.to.is_empty(), "to"),
        ];
        match (&self.webhook, &self.smtp) {
            (Some(url), None) => {
                if let Some((_, key)) = of_mail.iter().find(|(there, _)| *there) {
                    return Some(format!("`{key}` belongs to `smtp`"));
                }
                if !is_reference(url) && !is_url(url) {
                    return Some("`webhook` must be an `http` or `https` URL, or name a secret that is one".into());
                }
                match (self.format.unwrap_or_default(), &self.secret) {
                    (Format::Json, Some(secret)) if !is_reference(secret) => {
                        Some("`secret` must name a secret: `secret://NAME` or `env://NAME`".into())
                    }
                    (Format::Slack | Format::Teams, Some(_)) => {
                        Some("only `json` is signed: leave `secret` out".into())
                    }
                    _ => None,
                }
            }
            (None, Some(url)) => {
                if self.format.is_some() || self.secret.is_some() {
                    return Some("`format` and `secret` belong to `webhook`".into());
                }
                if let Err(why) = mail_server(url) {
                    return Some(why);
                }
                if self.password.as_ref().is_some_and(|password| !is_reference(password)) {
                    return Some("`password` must name a secret: `secret://NAME` or `env://NAME`".into());
                }
                if self.username.is_some() != self.password.is_some() {
                    return Some("`username` and `password` go together".into());
                }
                if self.to.is_empty() || self.to.len() > MOST_TO {
                    return Some(format!("`to` has 1 to {MOST_TO} addresses"));
                }
                let Some(from) = &self.from else { return Some("`from` is missing".into()) };
                let bad = [from]
                    .into_iter()
                    .chain(&self.to)
                    .find(|address| address.parse::<lettre::message::Mailbox>().is_err());
                bad.map(|address| format!("{address:?} is no address of mail"))
            }
            _ => Some("it has one of `webhook` and `smtp`".into()),
        }
    }
}

fn is_reference(text: &str) -> bool {
    ["secret://", "env://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|name| !name.is_empty()))
}

fn is_url(text: &str) -> bool {
    text.parse::<axum::http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    })
}

/// A mail server: host, port, and whether TLS begins at once.
///
/// # Errors
/// What is wrong with the URL.
pub(crate) fn mail_server(url: &str) -> Result<(String, u16, bool), String> {
    let wrong = || format!("`smtp` must be `smtp://HOST:PORT` or `smtps://HOST:PORT`, without anything else: {url:?}");
    let uri: axum::http::Uri = url.parse().map_err(|_| wrong())?;
    let (tls, port) = match uri.scheme_str() {
        Some("smtp") => (false, 587),
        Some("smtps") => (true, 465),
        _ => return Err(wrong()),
    };
    let authority = uri.authority().ok_or_else(wrong)?;
    let bare = authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if bare || host.is_empty() {
        return Err(wrong());
    }
    Ok((host.to_owned(), authority.port_u16().unwrap_or(port), tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        toml::from_str::<Notice>(text).map_or_else(|e| Some(e.message().to_owned()), |notice| wrong(&[notice]))
    }

    #[test]
    fn a_notice_goes_one_way_and_its_secrets_stand_elsewhere() {
        for good in [
            "name = \"a\"\nwebhook = \"https://h.example/x\"",
            "name = \"a\"\nwebhook = \"secret://slack\"\nformat = \"slack\"",
            "name = \"a\"\nwebhook = \"env://HOOK\"\nsecret = \"env://KEY\"",
            "name = \"a\"\nsmtp = \"smtps://mail.example\"\nfrom = \"Stead <s@x.example>\"\nto = [\"a@x.example\"]",
        ] {
            assert_eq!(told(good), None, "{good}");
        }
        for (bad, why) in [
            ("name = \"a\"", "one of `webhook` and `smtp`"),
            ("name = \"A\"\nwebhook = \"https://h\"", "is no name"),
            ("name = \"a\"\nwebhook = \"ftp://h\"", "`http` or `https`"),
            ("name = \"a\"\nwebhook = \"https://h\"\nsecret = \"whsec_x\"", "must name a secret"),
            (
                "name = \"a\"\nwebhook = \"https://h\"\nformat = \"teams\"\nsecret = \"env://K\"",
                "only `json` is signed",
            ),
            ("name = \"a\"\nwebhook = \"https://h\"\nto = [\"a@x\"]", "`to` belongs to `smtp`"),
            (
                "name = \"a\"\nsmtp = \"smtp://u:p@h\"\nfrom = \"s@x.example\"\nto = [\"a@x.example\"]",
                "must be `smtp://HOST:PORT`",
            ),
            (
                "name = \"a\"\nsmtp = \"smtp://h\"\nfrom = \"s@x.example\\r\\nBcc: b@x.example\"\nto = [\"a@x.example\"]",
                "no address",
            ),
            (
                "name = \"a\"\nsmtp = \"smtp://h\"\nfrom = \"s@x.example\"\nto = [\"a@x.example\"]\nusername = \"u\"",
                "go together",
            ),
        ] {
            assert!(told(bad).is_some_and(|said| said.contains(why)), "{bad}: {:?}", told(bad));
        }
    }
}
