//! The egress proxy: the only way out of a box whose network is its own loopback.
//!
//! * [`Rules`] say what may be reached, host by host; nothing else is. Made of [`RuleSpec`]s, as manifests write them.
//! * A [`Session`] is one box's proxy: rules that can be changed at any time, placeholders for secrets, an authority for the
//!   hosts that are intercepted, a record of each decision ([`Audit`]).
//! * [`serve_listener`] serves the socket that listens in a box; [`serve_passed`] connections that are handed out one by one, and
//!   [`serve_stream`] one of them.
//!
//! Inside: `wire` reads the box's HTTP/1.1 strictly, `rules` decide, `prepare` and `inject` make the request for the host, `resolve` and `dial`
//! find and pin its address, `upstream` is hyper's client, `answer` and `scrub` give the answer back without echoes of secrets, `tunnel`
//! and `tls` are what `CONNECT` needs. `docs/egress.md` is the text for users, with what the proxy does not promise.
//!
//! Not here: the box and its shim, where values of secrets are kept (the port [`stead_ports::secret::Secrets`]), and where
//! records are kept.

mod answer;
mod audit;
mod calendar;
mod converse;
mod dial;
mod error;
mod exchange;
mod inject;
mod limits;
#[cfg(target_os = "linux")]
mod passed;
mod placeholder;
mod prepare;
mod relay;
mod resolve;
mod rules;
mod screen;
mod scrub;
mod searched;
mod send;
mod serve;
mod session;
mod tls;
mod tunnel;
mod upstream;
mod wire;

pub use audit::{Asked, Audit, Entry, Event, Gone};
pub use error::Refusal;
pub use limits::Limits;
pub use resolve::{Resolve, SystemResolver};
pub use rules::{InjectSpec, Name, Rule, RuleFields, RuleSpec, Rules, Scheme, SecretSpec, Tls};
#[cfg(target_os = "linux")]
pub use serve::serve_passed;
pub use serve::{serve_listener, serve_stream};
pub use session::{Config, Session, Usage};
pub use tls::Trust;
