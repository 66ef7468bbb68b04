//! The approval page: where a person reads what is asked of them in a browser, and answers with a passkey.
//!
//! A browser that has signed in holds a session: a cookie that scripts cannot read, and a second half that only this origin's scripts can.
//! Both together stand for the token that the person signed in with, which stays here and is looked at again at each request; so what becomes
//! of the token becomes of the session. A session reads and answers approvals and does nothing else.
//!
//! Not here: what the page asks for ([`crate::routes`]), and whether a signature counts (`stead-trust`, the engine).

mod guard;
mod login;
mod requests;
mod sessions;

pub(crate) use guard::{cookie, guarded, is_page};
pub(crate) use login::{Attempt, TIME};
pub(crate) use requests::{Pending, Requests};
pub(crate) use sessions::{Credential, LINK, Sessions};

use crate::config::{Approvals, Place};

/// What the pages of a server work with.
pub(crate) struct Pages {
    /// Where they are.
    pub(crate) place: Place,
    /// The browsers that are signed in.
    pub(crate) sessions: Sessions,
    /// Passkeys that wait to be enrolled.
    pub(crate) requests: Requests,
}

impl Pages {
    /// Nobody is signed in yet.
    pub(crate) fn new(place: Place, config: &Approvals) -> Self {
        Self { place, sessions: Sessions::new(config.session.0), requests: Requests::default() }
    }

    /// The name of the cookie of sessions. Hosts share cookies among their ports: on `localhost` there may be several servers.
    pub(crate) fn cookie(&self) -> String {
        self.named("stead_page")
    }

    /// The name of the cookie of a login that has begun.
    pub(crate) fn login_cookie(&self) -> String {
        self.named("stead_login")
    }

    fn named(&self, name: &str) -> String {
        if self.place.is_secure() {
            // RFC 6265bis, section 4.1.3.2: no other host, and no page without TLS, can set it.
            return format!("__Host-{name}");
        }
        let port = self.place.origin.rsplit(':').next().filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
        format!("{name}_{}", port.unwrap_or("80"))
    }

    /// A `Set-Cookie` that lasts for some seconds; none removes it.
    pub(crate) fn set_cookie(&self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.place.is_secure() { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }
}
