//! A service's credential: where it stands in a request, and what of it must never be seen in an answer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Request,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue},
};

use super::{request::RESERVED, template::percent_encode};
use crate::{config::Placement, secret::Secret};

/// A credential and its place.
pub(super) struct Credential {
    place: Place,
    /// What is blotted out of answers: the secret, and the form in which it is sent.
    pub(super) secrets: Vec<Secret>,
}

enum Place {
    Header(HeaderName, HeaderValue),
    /// Name and value, encoded.
    Query(String),
    Cookie(HeaderValue),
}

impl Credential {
    /// The error never holds the secret.
    pub(super) fn new(placement: &Placement, secret: &Secret) -> Result<Self, String> {
        let value = secret.reveal();
        if value.is_empty() {
            return Err("`auth` is empty".into());
        }
        let mut secrets = vec![secret.clone()];
        let place = match placement {
            Placement::Bearer => Place::Header(AUTHORIZATION, sensitive(&format!("Bearer {value}"))?),
            Placement::Basic => {
                if !value.contains(':') {
                    return Err("`auth` must hold `user:password` for a service with basic authentication".into());
                }
                let encoded = STANDARD.encode(value);
                secrets.push(Secret::new(&encoded));
                Place::Header(AUTHORIZATION, sensitive(&format!("Basic {encoded}"))?)
            }
            Placement::Header(name) => {
                let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
                if RESERVED.contains(&parsed.as_str()) && parsed != AUTHORIZATION {
                    return Err(format!("the header `{name}` cannot hold the credential"));
                }
                Place::Header(parsed, sensitive(value)?)
            }
            Placement::Query(name) => {
                let encoded = percent_encode(value);
                secrets.push(Secret::new(&encoded));
                Place::Query(format!("{}={encoded}", percent_encode(name)))
            }
            Placement::Cookie(name) => {
                let encoded = percent_encode(value);
                secrets.push(Secret::new(&encoded));
                Place::Cookie(sensitive(&format!("{}={encoded}", percent_encode(name)))?)
            }
        };
        Ok(Self { place, secrets })
    }

    /// Adds it to a request.
    pub(super) fn sign(&self, request: &mut Request) -> Result<(), String> {
        match &self.place {
            Place::Header(name, value) => {
                request.headers_mut().insert(name, value.clone());
            }
            Place::Query(pair) => {
                let query = request.url().query().map_or_else(|| pair.clone(), |other| format!("{other}&{pair}"));
                request.url_mut().set_query(Some(&query));
            }
            Place::Cookie(pair) => {
                let mut joined = request.headers().get(COOKIE).map_or(Vec::new(), |c| [c.as_bytes(), b"; "].concat());
                joined.extend_from_slice(pair.as_bytes());
                let mut value = HeaderValue::from_bytes(&joined).map_err(|_| "the cookies are not usable")?;
                value.set_sensitive(true);
                request.headers_mut().insert(COOKIE, value);
            }
        }
        Ok(())
    }
}

fn sensitive(value: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::try_from(value).map_err(|_| "`auth` holds characters that cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
