//! Authorization of a server behind a URL (MCP, "Authorization"; OAuth 2.1): who may ask for a token, where it is kept, when it is
//! renewed. A person authorises once; what comes of it, a [`Grant`], is a secret that outlives this process.
//!
//! The library discovers (RFC 9728, RFC 8414, OpenID Connect), registers (RFC 7591, client id metadata documents) and exchanges (PKCE,
//! RFC 8707, RFC 9207). Here stands what it leaves open: every URL that it meets passes the guard ([`fetch`]), a server without S256 or
//! without metadata is refused, a client's name given to one issuer is shown to no other ([`flow`]), and a server that asks for ever
//! more is answered only so often ([`authority`]).

mod authority;
mod fetch;
mod flow;
mod grant;
mod loopback;
mod redirect;

use std::sync::Arc;

use reqwest::Url;
use stead_ports::BoxFuture;

pub(super) use authority::{Answered, Authority};
pub use grant::Grant;
pub use loopback::Loopback;

use crate::{config::McpUrlConfig, error::ToolSetupError, mcp::remote, reach::Reach, secret::Secret};

/// Where grants are kept. Whoever implements it seals them: they hold a refresh token.
pub trait Grants: Send + Sync + 'static {
    /// The grant for the server at that URL.
    fn load(&self, url: &str) -> BoxFuture<'_, Result<Option<Grant>, String>>;

    /// Keeps it in the place of the last one.
    fn save(&self, url: &str, grant: Grant) -> BoxFuture<'_, Result<(), String>>;
}

/// A person at a browser, or what stands for one.
pub trait Consent: Send + Sync + 'static {
    /// Where the authorization server sends the browser back to: `http://127.0.0.1:PORT/…`, or a URL of an application.
    fn redirect_uri(&self) -> String;

    /// Opens the authorization server's page; the whole URL that the browser was then sent back to.
    fn authorize(&self, page: String) -> BoxFuture<'_, Result<String, String>>;
}

/// How this client says who it is. The first that the authorization server understands is used, in this order.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// A name that the authorization server has given beforehand.
    pub registered: Option<Registered>,
    /// The `https://` URL of a client id metadata document.
    pub metadata_url: Option<String>,
    /// What dynamic registration calls this client; `Stead` when silent.
    pub name: Option<String>,
}

/// A client that was registered beforehand.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its name.
    pub client_id: String,
    /// Its secret, where it has one.
    pub client_secret: Option<Secret>,
    /// The issuer that it is registered with; it is shown to no other. Silent only where there is no secret: the MCP server names the issuer, and
    /// could name one that collects secrets.
    pub issuer: Option<String>,
}

/// How a server's tokens are come by.
#[derive(Clone)]
pub struct Authorization {
    /// Where they are kept.
    pub grants: Arc<dyn Grants>,
    /// Who can say yes; without anybody, what is kept must do.
    pub consent: Option<Arc<dyn Consent>>,
    /// Who this client is.
    pub identity: Identity,
    /// What the token shall allow, and the most that a person is asked for; when silent, what the server asks for.
    pub scopes: Option<Vec<String>>,
    /// Whether the authorization server may be at a private address although the MCP server is not.
    pub private: bool,
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorization").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Has a person authorise the use of a server, and keeps what comes of it: for a command line. A grant that is there is replaced.
///
/// # Errors
/// `ST0431` when the authorization is refused or would not be safe, `ST0430` when nobody can say yes, `ST0048` when a server does not
/// answer, `ST0054` for a guarded address, `ST0103` for a URL that will not do.
pub async fn login(
    config: &McpUrlConfig,
    authorization: Authorization,
    reach: &Reach,
) -> Result<Grant, ToolSetupError> {
    let url: Url = remote::endpoint_of_tokens(config, reach)?;
    let authority = Authority::new(url, reach, authorization).map_err(ToolSetupError::value)?;
    authority.login().await.map_err(|why| ToolSetupError { code: why.code, detail: why.words })
}
