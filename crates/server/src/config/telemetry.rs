//! `[telemetry]` of `stead.toml`: to whom it is told by OpenTelemetry what runs do, and how much of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::{HeaderName, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;

/// Headers and attributes, each.
const MOST: usize = 32;

/// To whom it is told by OpenTelemetry what runs do.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Telemetry")]
pub struct Telemetry {
    /// Where a collector answers, as `https://collector.example.com:4318`: nothing is told when silent. By `http` the signals are posted to
    /// `/v1/traces`, `/v1/logs` and `/v1/metrics` below it.
    pub endpoint: Option<String>,
    /// How it is told: `http` (OTLP as protobuf over HTTP) or `grpc`.
    pub protocol: Protocol,
    /// An endpoint without TLS that is not on this machine is meant: whoever listens on the way reads what is told, and the headers.
    pub insecure: bool,
    /// Headers of each request, as `{ authorization = "secret://collector" }`: a text, or `secret://NAME` or `env://NAME`.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, String>,
    /// PEM file of certificates that vouch for the collector, instead of this host's; relative to this file.
    pub ca: Option<PathBuf>,
    /// Whether the spans of runs are told.
    pub traces: bool,
    /// Whether the leaves of audit logs are told, as logs.
    pub logs: bool,
    /// Whether the counters of `/metrics` are told.
    pub metrics: bool,
    /// How often they are.
    pub every: Time,
    /// What is told of prompts, arguments, results and answers: `off`, or `redacted`, without the values of secrets and what looks like a
    /// person or a key.
    pub content: Content,
    /// What this server is called (`service.name`).
    #[schemars(length(min = 1, max = 255))]
    pub service: String,
    /// What tells it from other servers of that name (`service.instance.id`).
    pub instance: Option<String>,
    /// Attributes of the resource besides, as `{ "deployment.environment.name" = "production" }`.
    pub attributes: BTreeMap<String, String>,
    /// Whether tools are told the step of the trace that calls them: `traceparent` in requests of HTTP tools, in `_meta` of calls of MCP
    /// servers, and as `TRACEPARENT` in sandboxes. Model providers are not told.
    pub propagate: bool,
}

/// See [`Telemetry::protocol`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Protocol {
    /// OTLP as protobuf over HTTP.
    #[default]
    Http,
    /// OTLP over gRPC.
    Grpc,
}

/// See [`Telemetry::content`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Content {
    /// Nothing.
    #[default]
    Off,
    /// Masked.
    Redacted,
}

// A header's value may be a secret.
impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::default(),
            insecure: false,
            headers: BTreeMap::new(),
            ca: None,
            traces: true,
            logs: true,
            metrics: true,
            every: Time(Duration::from_secs(30)),
            content: Content::default(),
            service: "stead".to_owned(),
            instance: None,
            attributes: BTreeMap::new(),
            propagate: false,
        }
    }
}

impl Telemetry {
    pub(super) fn based(&mut self, base: &Path) {
        self.ca.iter_mut().for_each(|path| *path = base.join(&*path));
    }

    /// What must hold of it.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(url) = &self.endpoint {
            let Some((tls, host)) = parts(url) else {
                return Some(format!(
                    "`telemetry.endpoint` must be an `http` or `https` URL without a user, a query or a fragment: {url:?}"
                ));
            };
            if !tls && !self.insecure && !is_own(&host) {
                return Some(format!(
                    "`telemetry.endpoint`: {host} would be told without TLS; use `https`, or say `insecure = true`"
                ));
            }
            if !tls && self.ca.is_some() {
                return Some("`telemetry.ca` is for an `https` endpoint".into());
            }
            if self.protocol == Protocol::Grpc && url.parse::<Uri>().is_ok_and(|url| !matches!(url.path(), "" | "/")) {
                return Some("`telemetry.endpoint` has no path when `protocol` is `grpc`".into());
            }
        }
        if self.headers.len() > MOST || self.attributes.len() > MOST {
            return Some(format!("`telemetry` has at most {MOST} headers and as many attributes"));
        }
        let own = ["content-type", "content-length", "host", "te", "transfer-encoding", "connection"];
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            let good = HeaderName::from_bytes(lower.as_bytes()).is_ok()
                && !lower.ends_with("-bin")
                && !lower.starts_with("grpc-");
            if !good || own.contains(&lower.as_str()) {
                return Some(format!("`telemetry.headers`: {name:?} is no header that can be set"));
            }
            if value.is_empty() || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                return Some(format!("`telemetry.headers.{name}`: its value is no plain text of one line"));
            }
        }
        if self.service.is_empty() || self.service.len() > 255 {
            return Some("`telemetry.service` must have 1 to 255 bytes".into());
        }
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(3_600));
        (!(least..=most).contains(&self.every.0)).then(|| "`telemetry.every` must be from `1s` to `1h`".into())
    }
}

/// Whether a URL asks for TLS, and its host.
fn parts(url: &str) -> Option<(bool, String)> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let bare = !uri.authority()?.as_str().contains('@') && uri.query().is_none() && !url.contains('#');
    let host = uri.host().filter(|host| bare && !host.is_empty())?;
    Some((tls, host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()))
}

fn is_own(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_reached_with_tls_or_on_this_machine_unless_it_is_said_otherwise() {
        let told = |text: &str| toml::from_str::<Telemetry>(text).map_or_else(|e| Some(e.to_string()), |t| t.wrong());
        for good in [
            "",
            "endpoint = \"http://127.0.0.1:4318\"",
            "endpoint = \"http://[::1]:4317\"\nprotocol = \"grpc\"",
            "endpoint = \"https://c.example/otlp\"\nheaders = { authorization = \"secret://c\" }",
            "endpoint = \"http://collector:4318\"\ninsecure = true",
        ] {
            assert_eq!(told(good), None, "{good}");
        }
        for (bad, why) in [
            ("endpoint = \"http://collector:4318\"", "without TLS"),
            ("endpoint = \"http://127.0.0.1.evil.example\"", "without TLS"),
            ("endpoint = \"collector:4318\"", "must be an"),
            ("endpoint = \"https://u:p@c.example\"", "must be an"),
            ("endpoint = \"https://c.example?x=1\"", "must be an"),
            ("endpoint = \"https://c.example/x\"\nprotocol = \"grpc\"", "has no path"),
            ("protocol = \"udp\"", "unknown variant"),
            ("headers = { host = \"x\" }", "no header"),
            ("headers = { x = \"a\\nb\" }", "no plain text"),
            ("every = \"10ms\"", "telemetry.every"),
            ("content = \"on\"", "unknown variant"),
            ("endpont = \"x\"", "unknown field"),
        ] {
            assert!(told(bad).is_some_and(|said| said.contains(why)), "{bad}: {:?}", told(bad));
        }
    }
}
