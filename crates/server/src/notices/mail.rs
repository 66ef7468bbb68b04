//! A notice as mail: plain text with a little HTML beside it, from an address to others. Nothing in it is loaded from anywhere, and
//! no other header than these is ever written.

use std::{error::Error as _, fs, path::Path, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use stead_ports::{address::Reach, secret::Secret};

use super::{Unsent, build::Message, form};
use crate::config::{self, mail_server};

/// How long a step of the conversation with a mail server may take.
const STEP: Duration = Duration::from_secs(10);

/// A header of which lettre knows nothing.
macro_rules! header {
    ($name:ident, $word:literal) => {
        #[derive(Clone)]
        struct $name(String);

        impl Header for $name {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($word)
            }
            fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self(text.to_owned()))
            }
            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), self.0.clone())
            }
        }
    };
}

header!(ListId, "List-Id");
header!(AutoSubmitted, "Auto-Submitted");

/// Sends a notice to a mail server, whose password is given.
pub(super) async fn send(
    notice: &config::Notice,
    password: Option<&Secret>,
    reach: &Reach,
    message: &Message,
) -> Result<(), Unsent> {
    let (host, port, tls) = mail_server(notice.smtp.as_deref().unwrap_or_default()).map_err(Unsent::Unreachable)?;
    reach.check_host(&host).map_err(|e| Unsent::Address(e.to_string()))?;
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|e| Unsent::Unreachable(format!("{host}: {e}")))?;
    let found = reach.permitted(&host, found).map_err(|e| Unsent::Address(e.to_string()))?;
    let mut last = Unsent::Unreachable(format!("{host} has no address"));
    let mail = mail(notice, message).map_err(Unsent::Refused)?;
    for address in found {
        let here = address.ip().is_loopback();
        let parameters = parameters(&host, notice.ca.as_deref())?;
        // On this machine nobody listens; elsewhere nothing goes without TLS.
        let tls = match (tls, here && notice.ca.is_none()) {
            (true, _) => Tls::Wrapper(parameters),
            (false, true) => Tls::Opportunistic(parameters),
            (false, false) => Tls::Required(parameters),
        };
        // The very address that was looked at, under the name of the host.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string());
        let mut transport = transport.port(address.port()).tls(tls).timeout(Some(STEP));
        if let (Some(user), Some(password)) = (&notice.username, password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        let transport: AsyncSmtpTransport<Tokio1Executor> = transport.build();
        match transport.send(mail.clone()).await {
            Ok(_) => return Ok(()),
            Err(e) if e.is_permanent() || e.is_transient() => return Err(Unsent::Refused(told(&e))),
            Err(e) => last = Unsent::Unreachable(told(&e)),
        }
    }
    Err(last)
}

/// What went wrong, in one line.
fn told(e: &lettre::transport::smtp::Error) -> String {
    let mut text = e.to_string();
    if let Some(source) = e.source() {
        text = format!("{text}: {source}");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

fn parameters(host: &str, ca: Option<&Path>) -> Result<TlsParameters, Unsent> {
    let wrong = |why: String| Unsent::Unreachable(format!("TLS cannot be had: {why}"));
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(ca) = ca {
        let pem = fs::read(ca).map_err(|e| wrong(format!("{}: {e}", ca.display())))?;
        let ca = Certificate::from_pem(&pem).map_err(|e| wrong(e.to_string()))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(ca);
    }
    parameters.build().map_err(|e| wrong(e.to_string()))
}

/// The mail itself. Addresses were parsed when the configuration was read.
fn mail(notice: &config::Notice, message: &Message) -> Result<Mail, String> {
    let told = |e: &dyn std::fmt::Display| e.to_string();
    let from: Mailbox = notice.from.as_deref().unwrap_or_default().parse().map_err(|e| told(&e))?;
    let domain = from.email.domain().to_owned();
    let mut mail = Mail::builder()
        .from(from)
        .subject(format!("{}: {}", message.title, message.approval))
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .header(ListId(format!("<{}.approvals.{domain}>", notice.name)))
        .header(AutoSubmitted("auto-generated".to_owned()));
    for to in &notice.to {
        mail = mail.to(to.parse().map_err(|e| told(&e))?);
    }
    let body = MultiPart::alternative_plain_html(form::text(message), form::html(message));
    mail.date_now().multipart(body).map_err(|e| told(&e))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::notices::build::Kind;

    #[test]
    fn a_mail_has_these_headers_and_no_other_whatever_is_asked() {
        let notice = config::Notice {
            name: "finance".into(),
            from: Some("Stead <stead@x.example>".into()),
            to: vec!["ann@x.example".into(), "Bob <bob@x.example>".into()],
            ..config::Notice::default()
        };
        let message = Message {
            id: "msg_1".into(),
            kind: Kind::Asked,
            title: "An approval is asked for",
            // Nothing can be called so; if it could, this is what comes of it.
            approval: "run_1.e1\r\nBcc: eve@evil.example".into(),
            rows: vec![("Tool", "x\r\nBcc: eve@evil.example".into())],
            details: None,
            link: "https://s.example/approvals/run_1.e1".into(),
        };
        let text = String::from_utf8(mail(&notice, &message).unwrap().formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        let names: Vec<&str> =
            head.lines().filter(|l| !l.starts_with([' ', '\t'])).filter_map(|l| l.split(':').next()).collect();
        for name in &names {
            let known = [
                "From",
                "To",
                "Subject",
                "Message-ID",
                "List-Id",
                "Auto-Submitted",
                "Date",
                "MIME-Version",
                "Content-Type",
            ];
            assert!(known.contains(name), "{name} in {head}");
        }
        assert!(
            head.contains("Message-ID: <msg_1@x.example>") && head.contains("List-Id: <finance.approvals.x.example>"),
            "{head}"
        );
    }
}
