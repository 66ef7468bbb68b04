//! On whose behalf runs act elsewhere: for whom delegated tokens are made, where they go, and which token service is asked for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::oidc::is_url;

/// Most audiences.
const MAX_AUDIENCES: usize = 1_000;
/// Longest audience, in bytes.
pub(crate) const MAX_AUDIENCE: usize = 500;

/// Somebody for whom manifests may have delegated tokens made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Audience")]
pub struct Audience {
    /// The audience as its tokens name it (`aud`), exactly as manifests write it.
    #[schemars(length(min = 1, max = 500))]
    pub audience: String,
    /// Hosts that may be shown such a token; that of the audience, when it is a URL and this is silent. So no manifest can have a token made
    /// and send it elsewhere.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Scopes that manifests may ask for; any when silent.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Whether the token service of `identity.exchange` is asked; when false this server signs the token itself.
    #[serde(default = "yes")]
    pub exchange: bool,
    /// What the token service calls the audience, where that is another name.
    #[serde(default)]
    pub known_as: Option<String>,
    /// The resource (RFC 8707) that it is asked for, unless the manifest says one.
    #[serde(default)]
    pub resource: Option<String>,
}

/// A token service that exchanges tokens (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Exchange")]
pub struct Exchange {
    /// Its token endpoint: `https`, or `http` on this machine.
    pub token_url: String,
    /// The client that this server is there.
    #[schemars(length(min = 1, max = 500))]
    pub client_id: String,
    /// How it says so: `private_key_jwt` (RFC 7523) with the key that it publishes, or by a secret in the header or the form.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Where that secret is: `secret://NAME` or `secret://NAME#FIELD`.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// For whom the assertion and the tokens that it is shown are meant (`aud`); `token_url` when silent.
    #[serde(default)]
    pub audience: Option<String>,
    /// What it is told that the token about the person is.
    #[serde(default = "jwt")]
    pub subject_token_type: String,
    /// Whether it is shown who acts (`actor_token`).
    #[serde(default = "yes")]
    pub actor: bool,
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ClientAuth {
    /// By an assertion that it signs.
    #[default]
    PrivateKeyJwt,
    /// By a secret as basic authentication.
    SecretHeader,
    /// By a secret in the form.
    SecretBody,
}

const fn yes() -> bool {
    true
}

fn jwt() -> String {
    "urn:ietf:params:oauth:token-type:jwt".to_owned()
}

impl Audience {
    /// Whether a host may be shown a token for it.
    pub(crate) fn leads_to(&self, host: &str) -> bool {
        let bare = |host: &str| host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        if self.hosts.is_empty() {
            let own = reqwest::Url::parse(&self.audience).ok();
            return own.as_ref().and_then(|url| url.host_str()).is_some_and(|own| bare(own) == bare(host));
        }
        self.hosts.iter().any(|known| bare(known) == bare(host))
    }
}

fn plain(text: &str) -> bool {
    (1..=MAX_AUDIENCE).contains(&text.len()) && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// What is wrong with the audiences and the exchange, and what to do.
pub(crate) fn wrong(audiences: &[Audience], exchange: Option<&Exchange>) -> Option<(String, &'static str)> {
    if audiences.len() > MAX_AUDIENCES {
        return Some(("`identity.audiences` has more than 1,000 entries".into(), "name fewer"));
    }
    for (n, audience) in audiences.iter().enumerate() {
        let name: String = audience.audience.chars().filter(char::is_ascii_graphic).take(60).collect();
        let texts = [&audience.known_as, &audience.resource].into_iter().flatten();
        let scopes = audience.scopes.iter().flatten();
        if !plain(&audience.audience) || !texts.chain(scopes).chain(&audience.hosts).all(|text| plain(text)) {
            let what = format!("`identity.audiences` has an entry that cannot be used: `{name}`");
            return Some((what, "write 1 to 500 visible ASCII characters without spaces"));
        }
        let url = reqwest::Url::parse(&audience.audience).ok();
        if audience.hosts.is_empty() && url.is_none_or(|url| url.host_str().is_none_or(str::is_empty)) {
            let hint =
                "say in `hosts` which hosts may be shown its tokens: they would be worth something anywhere else too";
            return Some((format!("`identity.audiences` names `{name}`, which is no URL with a host"), hint));
        }
        if audiences[..n].iter().any(|before| before.audience == audience.audience) {
            return Some((format!("`identity.audiences` names `{name}` twice"), "write one entry for it"));
        }
    }
    let exchange = exchange?;
    if !is_url(&exchange.token_url) {
        let hint = "`http` is for a service on this machine alone";
        return Some((
            "`identity.exchange.token_url` must be an `https` URL without a query or a fragment".into(),
            hint,
        ));
    }
    if !plain(&exchange.client_id) || !plain(&exchange.subject_token_type) {
        return Some(("`identity.exchange` has a name that cannot be sent".into(), "write it without spaces"));
    }
    if exchange.audience.as_ref().is_some_and(|audience| !plain(audience)) {
        return Some(("`identity.exchange.audience` cannot be an audience".into(), "write it without spaces"));
    }
    let secret = exchange.client_secret.as_deref();
    match exchange.client_auth {
        ClientAuth::PrivateKeyJwt if secret.is_some() => Some((
            "`identity.exchange.client_secret` has no meaning with `private_key_jwt`".into(),
            "leave it out, or say `client_auth = \"secret_header\"`",
        )),
        ClientAuth::PrivateKeyJwt => None,
        _ if secret.is_none_or(|s| !s.starts_with("secret://") || s.len() > 300) => Some((
            "`identity.exchange.client_secret` must be `secret://NAME` or `secret://NAME#FIELD`".into(),
            "put the secret in with `stead secrets set`, and name it here",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(text: &str, hosts: &[&str]) -> Audience {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Audience { audience: text.into(), hosts, scopes: None, exchange: true, known_as: None, resource: None }
    }

    #[test]
    fn a_token_goes_to_its_audience_and_nowhere_else() {
        let mail = audience("https://mail.example/api", &[]);
        assert!(mail.leads_to("mail.example") && mail.leads_to("MAIL.example."));
        assert!(!mail.leads_to("evil.example") && !mail.leads_to("x.mail.example") && !mail.leads_to(""));
        let named = audience("urn:mail", &["10.0.0.1", "[::1]"]);
        assert!(named.leads_to("10.0.0.1") && named.leads_to("::1") && !named.leads_to("10.0.0.2"));
        assert!(wrong(&[mail.clone(), named], None).is_none());
        assert!(wrong(&[audience("urn:mail", &[])], None).is_some(), "nobody knows where its tokens may go");
        assert!(wrong(&[mail.clone(), mail], None).is_some());
        assert!(wrong(&[audience("https://a b", &[])], None).is_some());
    }
}
