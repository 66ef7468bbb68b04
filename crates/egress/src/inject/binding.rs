//! A secret of a rule with its injector, and the place of a request that belongs to it.

use http::{HeaderName, header};

use crate::{
    error::Refusal,
    inject::{
        oauth::{self, Key},
        strip,
    },
    rules::{InjectSpec, SecretSpec},
};

/// A secret and the way it goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) secret: String,
    pub(crate) injector: Injector,
}

/// The injectors, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Injector {
    Header { name: HeaderName, prefix: String },
    Basic { user: String },
    Form { field: String },
    Sigv4 { access_key_id: String, region: String, service: String, session_token: Option<String> },
    Oauth(Key),
}

/// Where a placeholder may stand, because it is replaced there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header(HeaderName),
    Field(String),
}

impl Binding {
    pub(crate) fn new(spec: &SecretSpec) -> Result<Self, Refusal> {
        let wrong =
            |what: &str, hint: &str| Err(Refusal::rule(format!("egress: the secret `{}` {what}", spec.secret), hint));
        let plain = |t: &str| t.len() <= 256 && t.bytes().all(|b| (b' '..=b'~').contains(&b));
        let word = |t: &str| !t.is_empty() && plain(t) && !t.contains([' ', '/']);
        if spec.secret.is_empty() || !plain(&spec.secret) {
            return wrong("has no name", "write the name that `stead secrets ls` shows");
        }
        let injector = match &spec.inject {
            InjectSpec::Bearer => Injector::Header { name: header::AUTHORIZATION, prefix: "Bearer ".to_owned() },
            InjectSpec::Header { name, prefix } => match HeaderName::try_from(name.as_str()) {
                Ok(name) if !strip::is_framing(&name) && plain(prefix) => {
                    Injector::Header { name, prefix: prefix.clone() }
                }
                _ => {
                    return wrong(
                        "goes into no field of a request",
                        "name a field such as `X-Api-Key`, not one that HTTP itself uses",
                    );
                }
            },
            InjectSpec::Basic { user } if plain(user) && !user.contains(':') => Injector::Basic { user: user.clone() },
            InjectSpec::Basic { .. } => {
                return wrong("has a user that is none", "a user is ASCII without `:` (RFC 7617)");
            }
            InjectSpec::Form { field } if !field.is_empty() && plain(field) => Injector::Form { field: field.clone() },
            InjectSpec::Form { .. } => return wrong("goes into no field of a form", "name the field"),
            InjectSpec::Sigv4 { access_key_id, region, service, session_token } => {
                if !word(access_key_id) || !word(region) || !word(service) {
                    return wrong("cannot sign", "give access_key_id, region and service as AWS writes them");
                }
                Injector::Sigv4 {
                    access_key_id: access_key_id.clone(),
                    region: region.clone(),
                    service: service.clone(),
                    session_token: session_token.clone(),
                }
            }
            InjectSpec::Oauth { token_url, client_id, scope } => {
                if !oauth::is_token_url(token_url) || client_id.is_empty() || !plain(client_id) || !plain(scope) {
                    return wrong("cannot be exchanged for a token", "give an https token_url and the client_id");
                }
                Injector::Oauth(Key {
                    token_url: token_url.clone(),
                    client_id: client_id.clone(),
                    scope: scope.clone(),
                })
            }
        };
        Ok(Self { secret: spec.secret.clone(), injector })
    }

    /// Names of the secrets that it takes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let second = match &self.injector {
            Injector::Sigv4 { session_token, .. } => session_token.as_deref(),
            _ => None,
        };
        std::iter::once(self.secret.as_str()).chain(second)
    }

    /// The places that it fills.
    pub(crate) fn places(&self) -> Vec<Place> {
        match &self.injector {
            Injector::Header { name, .. } => vec![Place::Header(name.clone())],
            Injector::Basic { .. } | Injector::Oauth(_) => vec![Place::Header(header::AUTHORIZATION)],
            Injector::Form { field } => vec![Place::Field(field.clone())],
            Injector::Sigv4 { .. } => {
                vec![
                    Place::Header(header::AUTHORIZATION),
                    Place::Header(HeaderName::from_static("x-amz-security-token")),
                ]
            }
        }
    }

    /// Whether both would fill one place.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        let own = self.places();
        other.places().iter().any(|place| own.contains(place))
    }
}
