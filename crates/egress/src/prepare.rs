//! From what the box asked to what the host is asked: placeholders found, the client's own credentials taken out, secrets put in.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};
use stead_core::code;
use zeroize::Zeroizing;

use crate::{
    error::Refusal,
    inject::{
        Binding, Injector, Place, Signer, hex, is_credential, is_override, payload_hash, plain_name, replace_field,
    },
    placeholder,
    rules::{Name, Rule, Scheme, path::Target},
    session::Session,
};

/// A request that a rule allows.
pub(crate) struct Allowed {
    pub(crate) rule: Arc<Rule>,
    pub(crate) scheme: Scheme,
    pub(crate) host: Name,
    pub(crate) port: u16,
    pub(crate) method: String,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
}

impl Allowed {
    /// Takes out what the client may not bring along.
    ///
    /// # Errors
    /// `ST0255` for a placeholder anywhere but at the place of its secret.
    pub(crate) fn strip(&mut self) -> Result<Vec<String>, Refusal> {
        let places: Vec<Place> = self.rule.secrets.iter().flat_map(Binding::places).collect();
        let is_place = |name: &HeaderName| places.contains(&Place::Header(name.clone()));
        if placeholder::is_in(self.target.origin().as_bytes()) {
            return Err(placeholder::misplaced("the URL"));
        }
        for (name, value) in &self.headers {
            if !is_place(name) && (placeholder::is_in(value.as_bytes()) || in_basic(value)) {
                return Err(placeholder::misplaced(&format!("the field {name}")));
            }
        }
        let mut stripped = Vec::new();
        let names: Vec<HeaderName> = self.headers.keys().cloned().collect();
        for name in names {
            let plain = plain_name(&name);
            let to_place = places.iter().any(|p| matches!(p, Place::Header(own) if plain_name(own) == plain));
            let foreign = is_override(&plain) || (is_credential(&plain) && !self.rule.client_credentials);
            if !to_place && !foreign {
                continue;
            }
            // A placeholder at its place is no credential of the client's own, nor is what the place's own field held.
            let own = self.headers.get_all(&name).iter().any(|v| !placeholder::is_in(v.as_bytes()) && !in_basic(v));
            self.headers.remove(&name);
            if own && (foreign || !is_place(&name)) {
                stripped.push(name.to_string());
            }
        }
        stripped.sort_unstable();
        let default = self.port == self.scheme.port();
        let host = if default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) };
        let host = HeaderValue::from_str(&host).map_err(|_| Refusal::malformed("the host fits into no field"))?;
        self.headers.insert(header::HOST, host);
        Ok(stripped)
    }

    /// Whether the whole body must be here before the head can be sent.
    pub(crate) fn needs_body(&self) -> Result<bool, Refusal> {
        for binding in &self.rule.secrets {
            match &binding.injector {
                Injector::Form { .. } => return Ok(true),
                Injector::Sigv4 { service, .. } if payload_hash(service, &self.headers)?.is_none() => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Puts the rule's secrets in, the signature last. `body` is there when it is needed.
    ///
    /// # Errors
    /// `ST0256` for a secret that cannot be had or does not fit, `ST0253` for a body that is no form.
    pub(crate) async fn inject(
        &mut self,
        session: &Session,
        mut body: Option<Bytes>,
    ) -> Result<Option<Bytes>, Refusal> {
        let rule = Arc::clone(&self.rule);
        let (signs, others): (Vec<_>, Vec<_>) =
            rule.secrets.iter().partition(|b| matches!(b.injector, Injector::Sigv4 { .. }));
        for binding in others.into_iter().chain(signs) {
            let value = session.reveal(&binding.secret).await?;
            match &binding.injector {
                Injector::Header { name, prefix } => {
                    self.set(name.clone(), &Zeroizing::new(format!("{prefix}{}", value.expose())))?;
                }
                Injector::Basic { user } => {
                    let pair = Zeroizing::new(format!("{user}:{}", value.expose()));
                    self.set(header::AUTHORIZATION, &Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair))))?;
                }
                Injector::Oauth(key) => {
                    let token = session.0.tokens.get(session, &rule, key, (&binding.secret, &value)).await?;
                    session.hide_token(&token);
                    self.set(header::AUTHORIZATION, &Zeroizing::new(format!("Bearer {}", token.expose())))?;
                }
                Injector::Form { field } => {
                    let told = self.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
                    let form = told.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                    if !form.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
                        return Err(Refusal::malformed("the rule puts a secret into a form, and the body is none"));
                    }
                    let old = body.take().unwrap_or_default();
                    body = Some(Bytes::from_owner(replace_field(&old, field, &value)));
                }
                Injector::Sigv4 { access_key_id, region, service, session_token } => {
                    let token = match session_token {
                        Some(name) => Some(session.reveal(name).await?),
                        None => None,
                    };
                    let hash = match payload_hash(service, &self.headers)? {
                        Some(word) => word.to_owned(),
                        None => hex(&Sha256::digest(body.as_deref().unwrap_or_default())),
                    };
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                    let signer = Signer {
                        access_key_id,
                        secret_key: &value,
                        session_token: token.as_ref(),
                        region,
                        service,
                        now,
                    };
                    signer.sign(&self.method, &self.target, &mut self.headers, &hash)?;
                }
            }
        }
        Ok(body)
    }

    /// The host did not take a token: the next request asks for another.
    pub(crate) async fn forget_tokens(&self, session: &Session) {
        for binding in &self.rule.secrets {
            if let Injector::Oauth(key) = &binding.injector {
                session.0.tokens.forget(key).await;
            }
        }
    }

    fn set(&mut self, name: HeaderName, value: &str) -> Result<(), Refusal> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            let what = format!("the secret for the field {name} has characters that no field can carry");
            Refusal::new(code::EGRESS_SECRET, what, "set it anew, on one line and without control characters")
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }
}

/// Takes placeholders out of a form's fields that a secret goes to, so that what is left can be looked at.
pub(crate) fn without_fields(rule: &Rule, body: &[u8]) -> Vec<u8> {
    let fields: Vec<&String> = rule
        .secrets
        .iter()
        .filter_map(|b| match &b.injector {
            Injector::Form { field } => Some(field),
            _ => None,
        })
        .collect();
    fields.into_iter().fold(body.to_vec(), |body, field| {
        let none = stead_ports::secret::Secret::new("");
        replace_field(&body, field, &none).to_vec()
    })
}

fn in_basic(value: &HeaderValue) -> bool {
    let Some(text) = value.to_str().ok().and_then(|t| t.trim().split_once(' ')) else { return false };
    text.0.eq_ignore_ascii_case("basic") && STANDARD.decode(text.1.trim()).is_ok_and(|t| placeholder::is_in(&t))
}
