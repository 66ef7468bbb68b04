//! One rule, checked and ready: what it allows, and what it does with it.

use stead_ports::address::Range;

use super::{
    name::{HostPattern, Name},
    path::PathPattern,
    shared::is_shared,
    spec::{RuleSpec, Scheme, Tls},
};
use crate::{error::Refusal, inject::Binding, limits::PARTS};

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How audits name it: its place in the list from 1 on, and its host.
    pub(crate) label: String,
    pub(crate) host: HostPattern,
    pub(crate) ports: Vec<u16>,
    pub(crate) scheme: Scheme,
    methods: Vec<String>,
    paths: Vec<PathPattern>,
    /// Whether the proxy sees requests.
    pub(crate) inspect: bool,
    pub(crate) addresses: Vec<Range>,
    pub(crate) websocket: bool,
    pub(crate) opaque: bool,
    pub(crate) client_credentials: bool,
    pub(crate) secrets: Vec<Binding>,
}

impl Rule {
    /// Checks a rule as it was written; `place` is its place in the list, from 1 on.
    ///
    /// # Errors
    /// `ST0261`, with what is wrong and what to write instead.
    pub(super) fn new(place: usize, spec: &RuleSpec) -> Result<Self, Refusal> {
        let RuleSpec(s) = spec;
        let wrong =
            |what: &str, hint: &str| Err(Refusal::rule(format!("egress rule {place} (`{}`) {what}", s.host), hint));
        let parts = [s.ports.len(), s.methods.len(), s.paths.len(), s.addresses.len(), s.secrets.len()];
        if parts.iter().any(|n| *n > PARTS) {
            return wrong(&format!("has more than {PARTS} parts of a kind"), "make several rules of it");
        }
        let host = HostPattern::parse(&s.host)?;
        let scheme = s.scheme.unwrap_or(if s.ports == [80] { Scheme::Http } else { Scheme::Https });
        let ports = if s.ports.is_empty() { vec![scheme.port()] } else { s.ports.clone() };
        if ports.contains(&0) {
            return wrong("names port 0", "name the port that the host listens on");
        }
        let token =
            |m: &String| !m.is_empty() && m.len() <= 32 && m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if !s.methods.iter().all(token) || s.methods.iter().any(|m| m == "CONNECT") {
            return wrong(
                "has a method that is none",
                "write methods in capitals, `GET`; `CONNECT` is no request of its own",
            );
        }
        let paths = s.paths.iter().map(|p| PathPattern::parse(p)).collect::<Result<Vec<_>, _>>()?;
        let addresses = s.addresses.iter().map(|a| a.parse()).collect::<Result<Vec<Range>, _>>();
        let addresses =
            addresses.map_err(|e| Refusal::rule(format!("egress rule {place}: {e}"), "correct the range"))?;
        let secrets = s.secrets.iter().map(Binding::new).collect::<Result<Vec<_>, _>>()?;
        if !secrets.is_empty() {
            if matches!(host, HostPattern::Below(_)) {
                return wrong("binds a secret to a whole suffix", "name the one host that the secret is for");
            }
            if scheme == Scheme::Http && !s.secrets_in_clear {
                return wrong("would send a secret over plain http", "use https, or write `secrets_in_clear: true`");
            }
            if secrets.iter().enumerate().any(|(i, b)| secrets[..i].iter().any(|other| other.collides(b))) {
                return wrong("puts two secrets into one place", "leave one of them out");
            }
        }
        let sees = !s.methods.is_empty() || !paths.is_empty() || !secrets.is_empty() || s.websocket;
        let shared = s.shared.unwrap_or_else(|| is_shared(&host));
        let inspect = match s.tls {
            _ if scheme == Scheme::Http => true,
            Tls::Intercept => true,
            Tls::Auto => sees || (shared && !s.opaque),
            Tls::Pass if sees => {
                return wrong(
                    "passes TLS through and yet wants to see requests",
                    "write `tls: intercept`, or only host and port",
                );
            }
            Tls::Pass if shared => {
                return wrong(
                    "passes TLS through to a host of many tenants, any of which could then be reached",
                    "leave `tls` out to have it intercepted, or write `shared: false` to take that on",
                );
            }
            Tls::Pass => false,
        };
        if s.opaque && inspect {
            return wrong(
                "is opaque and inspected at once",
                "`opaque` is for tunnels that are passed through as they are",
            );
        }
        Ok(Self {
            label: format!("{place}: {}", s.host),
            host,
            ports,
            scheme,
            methods: s.methods.clone(),
            paths,
            inspect,
            addresses,
            websocket: s.websocket,
            opaque: s.opaque,
            client_credentials: s.client_credentials,
            secrets,
        })
    }

    /// Whether it is about that host, port and scheme.
    pub(super) fn covers(&self, scheme: Scheme, host: &Name, port: u16) -> bool {
        self.scheme == scheme && self.ports.contains(&port) && self.host.matches(host)
    }

    /// Whether both are one rule, wherever in a list they stand.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || *self == Self { label: self.label.clone(), ..other.clone() }
    }

    /// Whether it allows that request to a host that it covers.
    pub(super) fn allows(&self, method: &str, path: &str) -> bool {
        let method = self.methods.is_empty() || self.methods.iter().any(|m| m == method);
        method && (self.paths.is_empty() || self.paths.iter().any(|p| p.matches(path)))
    }
}
