//! A rule as it is written: the text `api.example.com:443`, or a mapping with more.
//!
//! Not here: what it means (`super::rule`), nor where the list comes from (the manifest, an API).

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

impl Scheme {
    /// The port that goes without saying.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As URLs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What is done with TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Intercepted where the rule needs to see requests, or the host is known to be shared; passed through otherwise.
    #[default]
    Auto,
    /// Passed through after its hello was checked; the proxy sees no request.
    Pass,
    /// Ended at the proxy with a certificate of the session's authority.
    Intercept,
}

/// One rule, as a manifest or an API carries it. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleSpec(pub RuleFields);

/// The keys of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFields {
    /// `api.example.com`, or `*.example.com` for all names below.
    pub host: String,
    /// Ports; the scheme's own when none is named.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The scheme; `http` when the only port is 80, else `https`.
    #[serde(default)]
    pub scheme: Option<Scheme>,
    /// Methods, in capitals; any when none is named.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Patterns of paths; any when none is named.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What is done with TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Ranges of internal addresses that the name may lead to.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Whether a connection may become a WebSocket.
    #[serde(default)]
    pub websocket: bool,
    /// Whether a passed tunnel may hold anything: TLS without a name or with an encrypted hello, or no TLS.
    #[serde(default)]
    pub opaque: bool,
    /// Whether the host is one of many at the same front, where a passed tunnel could reach a neighbour.
    #[serde(default)]
    pub shared: Option<bool>,
    /// Whether credentials and cookies of the client's own are let through.
    #[serde(default)]
    pub client_credentials: bool,
    /// Whether secrets may go over plain `http`.
    #[serde(default)]
    pub secrets_in_clear: bool,
    /// Secrets that are put into each request.
    #[serde(default)]
    pub secrets: Vec<SecretSpec>,
}

/// A secret and how it is put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// Its name at the port of secrets.
    pub secret: String,
    /// The injector. There is no other way in.
    pub inject: InjectSpec,
}

/// The injectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InjectSpec {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// `NAME: PREFIXVALUE`.
    Header {
        /// The field's name.
        name: String,
        /// What stands before the value.
        #[serde(default)]
        prefix: String,
    },
    /// `Authorization: Basic …`, the value being the password.
    Basic {
        /// The user.
        user: String,
    },
    /// A field of a body in `application/x-www-form-urlencoded`.
    Form {
        /// The field's name.
        field: String,
    },
    /// AWS Signature Version 4, the value being the secret access key.
    Sigv4 {
        /// The id of the access key. It is sent, and is no secret.
        access_key_id: String,
        /// The region of the signature, `eu-central-1`.
        region: String,
        /// The service of the signature, `s3`.
        service: String,
        /// The name of the secret that holds a session token, for temporary keys.
        #[serde(default)]
        session_token: Option<String>,
    },
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4), the value being the client's secret.
    Oauth {
        /// Where tokens are given; `https`, and a host that may be reached.
        token_url: String,
        /// The client's id.
        client_id: String,
        /// The scopes that are asked for, separated by spaces.
        #[serde(default)]
        scope: String,
    },
}

impl RuleSpec {
    /// A rule from its short form: `[http://|https://]HOST[:PORT]`.
    pub fn short(text: &str) -> Self {
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (Some(Scheme::Https), rest),
            (_, Some(rest)) => (Some(Scheme::Http), rest),
            _ => (None, text),
        };
        // What is no port stays with the host, and is refused there.
        let plain = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        let split = rest.rsplit_once(':').filter(|(_, p)| plain(p)).and_then(|(h, p)| Some((h, p.parse().ok()?)));
        let (host, ports) = split.map_or((rest, Vec::new()), |(host, port)| (host, vec![port]));
        Self(RuleFields { host: host.to_owned(), ports, scheme, ..RuleFields::default() })
    }
}

impl<'de> Deserialize<'de> for RuleSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RuleSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule: `host:port`, or a mapping with `host`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RuleSpec, E> {
                Ok(RuleSpec::short(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RuleSpec, A::Error> {
                RuleFields::deserialize(MapAccessDeserializer::new(map)).map(RuleSpec)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
