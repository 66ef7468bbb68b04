//! What a URL says (libpq, sections "Connection URIs", "Parameter Key Words" and "SSL Support"). Parameters about TLS are
//! read here, because the driver knows no modes that check a certificate; the others are the driver's.

use std::{fmt, net::IpAddr, path::PathBuf};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::{Tls, trust};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Disable,
    /// With TLS if the server has it, whoever that is. Only to this machine; elsewhere it is `Require`.
    Prefer,
    /// With TLS, whoever the server is; a root certificate makes it `VerifyCa`.
    Require,
    /// With TLS, to a server with a certificate of a trusted authority.
    VerifyCa,
    /// The same, and the certificate is for the host's name.
    VerifyFull,
}

impl Mode {
    const ALL: [(&str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those of this host.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

/// Where to connect, and how.
#[derive(Clone)]
pub struct Target {
    /// For the driver; its mode is set.
    pub config: Config,
    /// What the URL comes to.
    pub mode: Mode,
    /// For the driver.
    pub tls: Tls,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A URL that cannot be used. It is not repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub(crate) String);

/// Reads a URL. Without `sslmode`, a connection to this machine uses TLS if it can, and one to anywhere else must reach a
/// server whose certificate is for its name: plain text over a network is only for those who write `disable`.
///
/// # Errors
/// When the URL cannot be read, asks for what does not exist or makes no sense, or its root certificates cannot be read.
pub fn target(url: &str) -> Result<Target, BadUrl> {
    let (rest, said) = split(url)?;
    // The driver's own words could repeat a part of the URL.
    let wrong = |_| BadUrl("cannot be read; write postgres://user@host/database".into());
    let mut config: Config = rest.parse().map_err(wrong)?;
    let local = is_local(&config);
    let mode = mode(said.mode.as_deref(), said.roots.as_ref(), local)?;
    config.ssl_mode(match mode {
        // A socket is this machine's, and the server has no TLS there.
        _ if config.get_hosts().iter().all(|h| matches!(h, Host::Unix(_))) => SslMode::Disable,
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    let tls = Tls::new(trust::config(mode, said.roots.as_ref())?);
    Ok(Target { config, mode, tls })
}

/// Whether an error of the driver is that no protected connection came about.
pub fn is_tls(error: &tokio_postgres::Error) -> bool {
    // The driver tells its kinds apart by nothing else.
    error.to_string().starts_with("error performing TLS handshake")
}

/// What a URL says about TLS.
#[derive(Default)]
struct Said {
    mode: Option<String>,
    roots: Option<Roots>,
}

/// The URL without what the driver does not know, and that.
fn split(url: &str) -> Result<(String, Said), BadUrl> {
    let mut said = Said::default();
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), said)) };
    let mut rest = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => said.mode = Some(decode(value)?),
            Some(("sslrootcert", value)) => {
                said.roots = Some(match decode(value)?.as_str() {
                    "system" => Roots::System,
                    path => Roots::File(path.into()),
                });
            }
            _ => rest.push(parameter),
        }
    }
    let mark = if rest.is_empty() { "" } else { "?" };
    Ok((format!("{place}{mark}{}", rest.join("&")), said))
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(text: &str) -> Result<String, BadUrl> {
    let bad = || BadUrl("has a parameter that is not percent-encoded UTF-8".into());
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
        out.push(high << 4 | low);
    }
    String::from_utf8(out).map_err(|_| bad())
}

fn mode(said: Option<&str>, roots: Option<&Roots>, local: bool) -> Result<Mode, BadUrl> {
    let Some(word) = said else {
        return Ok(match roots {
            // Whoever names authorities wants them asked.
            None if local => Mode::Prefer,
            _ => Mode::VerifyFull,
        });
    };
    let Some((_, mode)) = Mode::ALL.into_iter().find(|(w, _)| *w == word) else {
        let all = Mode::ALL.map(|(word, _)| word).join(", ");
        return Err(BadUrl(format!("has an `sslmode` that is none of {all}")));
    };
    let mode = if mode == Mode::Prefer && !local { Mode::Require } else { mode };
    match (mode, roots) {
        // libpq: a certificate of a public authority proves nothing without the name it is for.
        (Mode::Prefer | Mode::Require | Mode::VerifyCa, Some(Roots::System)) => {
            Err(BadUrl("has `sslrootcert=system`, which goes with `sslmode=verify-full` only".into()))
        }
        (Mode::Require, Some(Roots::File(_))) => Ok(Mode::VerifyCa),
        _ => Ok(mode),
    }
}

/// Whether all hosts are this machine. A name other than `localhost` may be anywhere.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<(Mode, SslMode), String> {
        target(url).map(|t| (t.mode, t.config.get_ssl_mode())).map_err(|e| e.to_string())
    }

    #[test]
    fn plain_text_over_a_network_is_only_for_those_who_write_so() {
        for (place, parameters, mode, driver) in [
            ("127.0.0.1", "", Mode::Prefer, SslMode::Prefer),
            ("localhost", "", Mode::Prefer, SslMode::Prefer),
            ("[::1]:5433", "?sslmode=prefer", Mode::Prefer, SslMode::Prefer),
            ("%2Frun%2Fpostgresql", "", Mode::Prefer, SslMode::Disable),
            ("%2Frun%2Fpostgresql", "?sslmode=require", Mode::Require, SslMode::Disable),
            ("127.0.0.1", "?sslmode=require", Mode::Require, SslMode::Require),
            ("db.example", "", Mode::VerifyFull, SslMode::Require),
            ("10.0.0.1", "", Mode::VerifyFull, SslMode::Require),
            ("db.example", "?sslmode=prefer", Mode::Require, SslMode::Require),
            ("db.example", "?sslmode=verify%2Dfull", Mode::VerifyFull, SslMode::Require),
            ("db.example", "?connect_timeout=3&sslmode=disable&options=-c%20a%3Db", Mode::Disable, SslMode::Disable),
            ("127.0.0.1,db.example", "", Mode::VerifyFull, SslMode::Require),
            ("localhost", "?hostaddr=10.0.0.1", Mode::VerifyFull, SslMode::Require),
        ] {
            assert_eq!(of(&format!("postgres://u@{place}/d{parameters}")), Ok((mode, driver)), "{place}{parameters}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_no_password_is_repeated() {
        for (parameters, why) in [
            ("sslmode=allow", "none of disable"),
            ("sslmode=", "none of disable"),
            ("sslmode=verify-ca&sslrootcert=system", "verify-full` only"),
            ("sslrootcert=%2", "percent-encoded"),
            ("sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("sslcert=me.pem", "cannot be read"),
        ] {
            let e = of(&format!("postgres://u:hunter2@db.example/d?{parameters}")).err().unwrap_or_default();
            assert!(e.contains(why) && !e.contains("hunter2"), "{parameters}: {e}");
        }
    }
}
