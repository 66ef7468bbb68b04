//! Sending one notice, once: no redirect is followed, no proxy is used, and no guarded address is reached.

use std::{fs, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{
    Certificate, Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use sha2::Sha256;
use stead_ports::{
    address::Reach,
    clock::Clock as _,
    secret::{Secret, Secrets},
};
use stead_trust::shown::instant;

use super::{Unsent, build::Message, form, mail, secret::value};
use crate::{
    clock::SystemClock,
    config::{self, Format},
};

/// How long a notice may take, with everything.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// Fewest bytes of a key that requests are signed with.
const SHORTEST_KEY: usize = 24;

/// A way for notices.
pub(super) struct Sender {
    pub(super) notice: config::Notice,
    secrets: Arc<dyn Secrets>,
    reach: Reach,
}

/// A resolver that leaves guarded addresses out.
struct Guard(Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(reach.permitted(name.as_str(), found)?.into_iter()) as Addrs)
        })
    }
}

impl Sender {
    pub(super) fn new(notice: config::Notice, secrets: Arc<dyn Secrets>, reach: Reach) -> Self {
        Self { notice, secrets, reach }
    }

    /// Sends a notice.
    ///
    /// # Errors
    /// Why it was not, or perhaps not, sent.
    pub(super) async fn send(&self, message: &Message) -> Result<(), Unsent> {
        let sent = tokio::time::timeout(TIMEOUT, self.attempt(message)).await;
        sent.unwrap_or_else(|_| Err(Unsent::Unreachable(format!("it took longer than {TIMEOUT:?}"))))
    }

    async fn attempt(&self, message: &Message) -> Result<(), Unsent> {
        if self.notice.smtp.is_some() {
            let password = match &self.notice.password {
                Some(password) => Some(value(&*self.secrets, password).await?),
                None => None,
            };
            return Box::pin(mail::send(&self.notice, password.as_ref(), &self.reach, message)).await;
        }
        self.post(message).await
    }

    async fn post(&self, message: &Message) -> Result<(), Unsent> {
        let url = value(&*self.secrets, self.notice.webhook.as_deref().unwrap_or_default()).await?;
        let url = Url::parse(url.expose().trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| Unsent::Unreachable("its URL is no `http` or `https` URL".to_owned()))?;
        let host = url.host_str().unwrap_or_default();
        self.reach.check_host(host).map_err(|e| Unsent::Address(e.to_string()))?;
        let at = u64::try_from(SystemClock.now().0 / 1_000_000).unwrap_or(0);
        let format = self.notice.format.unwrap_or_default();
        let body = form::body(format, message, &instant(at)).to_string();
        let mut request = self.client(&url)?.post(url).header("content-type", "application/json");
        if format == Format::Json {
            request = request.header("webhook-id", &message.id).header("webhook-timestamp", at);
            if let Some(secret) = &self.notice.secret {
                let key = value(&*self.secrets, secret).await?;
                request = request.header("webhook-signature", signature(&key, &message.id, at, &body)?);
            }
        }
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|e| {
            // A URL may be a secret.
            let e = e.without_url();
            let mut text = e.to_string();
            let mut next = std::error::Error::source(&e);
            while let Some(cause) = next {
                text = format!("{text}: {cause}");
                next = cause.source();
            }
            Unsent::Unreachable(text)
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Unsent::Refused(format!("it answered with {status}"))),
        }
    }

    fn client(&self, url: &Url) -> Result<Client, Unsent> {
        let wrong = |why: String| Unsent::Unreachable(why);
        let builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(Guard(self.reach.clone())))
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")));
        let builder = match &self.notice.ca {
            Some(ca) => {
                let pem = fs::read(ca).map_err(|e| wrong(format!("{}: {e}", ca.display())))?;
                builder.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?)
            }
            // What needs no TLS needs no certificates.
            None if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        builder.build().map_err(|e| wrong(e.to_string()))
    }
}

/// The header of Standard Webhooks, version 1: `v1,` and the HMAC-SHA256 of id, time and body as base64.
fn signature(key: &Secret, id: &str, at: u64, body: &str) -> Result<String, Unsent> {
    let wrong = || Unsent::Secret(format!("`secret` must be `whsec_` and at least {SHORTEST_KEY} bytes as base64"));
    let key = key.expose().trim().strip_prefix("whsec_").ok_or_else(wrong)?;
    let key = BASE64_STANDARD.decode(key).ok().filter(|key| key.len() >= SHORTEST_KEY).ok_or_else(wrong)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| wrong())?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_as_the_example_of_standard_webhooks() {
        // github.com/standard-webhooks/standard-webhooks, the libraries' test of `sign`.
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        for bad in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "whsec_c2hvcnQ="] {
            assert!(signature(&Secret::new(bad), "m", 1, "").is_err(), "{bad}");
        }
    }
}
