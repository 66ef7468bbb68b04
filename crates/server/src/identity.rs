//! Who the runs of this installation are to others: their tokens, and the keys that sign them, which are published under the issuer's
//! URL. The keys are in the file `keys/identity.json` of the data folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use stead_core::{code, id::Name, ruling::Behalf};
use stead_engine::Lineage;
use stead_identity::{
    keys::{KeyError, SigningKeys},
    mint::{Grant, MAX_AUDIENCE, Minted},
    workload::{TrustDomain, Workload},
};
use stead_ports::clock::Clock as _;

use crate::{clock::SystemClock, config, http::failure::Failure};

/// The keys' file, in the data folder.
pub fn keys_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("identity.json")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    u64::try_from(SystemClock.now().0 / 1_000_000).unwrap_or(0)
}

/// Keys as they were read.
struct Read {
    keys: SigningKeys,
    changed: Option<SystemTime>,
}

/// See the module.
pub(crate) struct Identity {
    issuer: String,
    domain: TrustDomain,
    path: PathBuf,
    read: Mutex<Read>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the keys, or makes the first.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub(crate) fn open(data_dir: &Path, config: &config::Identity, url: &str) -> io::Result<Self> {
        let path = keys_path(data_dir);
        let keys = SigningKeys::open(&path, now()).map_err(told)?;
        let read = Mutex::new(Read { keys, changed: changed(&path) });
        let issuer = config.issuer.as_deref().unwrap_or(url).trim_end_matches('/').to_owned();
        let domain = TrustDomain::new(&config.trust_domain).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "`identity.trust_domain` names no trust domain")
        })?;
        Ok(Self { issuer, domain, path, read })
    }

    /// What verifiers need to know (OpenID Connect Discovery 1.0, section 3, as far as it is about tokens of workloads).
    pub(crate) fn described(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}/.well-known/jwks.json", self.issuer),
            "id_token_signing_alg_values_supported": ["ES256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "introspection_endpoint": format!("{}/v1/introspect", self.issuer),
            "claims_supported":
                ["iss", "sub", "sub_id", "aud", "iat", "nbf", "exp", "jti", "client_id", "scope", "act", "stead"],
        })
    }

    /// The keys to verify with.
    pub(crate) fn published(&self) -> Result<Value, Failure> {
        self.with(|keys, now| Ok(keys.published(now)))
    }

    /// Who vouches for tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The name of the installation.
    pub(crate) fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Signs something with the key of now.
    pub(crate) fn sign<T>(&self, what: impl FnOnce(&SigningKeys, u64) -> Result<T, KeyError>) -> Result<T, Failure> {
        self.with(what)
    }

    /// A token of a run for an audience, and the run's id.
    pub(crate) fn mint(
        &self,
        lineage: &Lineage,
        audience: &str,
        scope: Option<&str>,
    ) -> Result<(Minted, String), Failure> {
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= MAX_AUDIENCE && text.bytes().all(|b| (0x21..0x7f).contains(&b))
        };
        if !plain(audience) {
            return Err(Failure::bad_request(format!(
                "`audience` must be 1 to {MAX_AUDIENCE} visible ASCII characters"
            )));
        }
        let words = |text: &str| text.split(' ').all(plain);
        if scope.is_some_and(|scope| !words(scope) || scope.len() > MAX_AUDIENCE) {
            return Err(Failure::bad_request(format!(
                "`scope` must be words of at most {MAX_AUDIENCE} bytes together"
            )));
        }
        let (workload, above) = chain(lineage);
        let user = lineage.behalf.user.as_ref().map(|person| &*person.name);
        let minted = self.with(|keys, now| {
            let (issuer, domain, workload, above) = (&*self.issuer, &self.domain, &workload, &*above);
            Grant { issuer, domain, workload, above, user, audience, scope, now }.mint(keys.current(now))
        });
        Ok((minted?, workload.id(&self.domain)))
    }

    /// Does something with the keys as they are now: read anew when somebody else changed them, made and forgotten when it is time.
    fn with<T>(&self, what: impl FnOnce(&SigningKeys, u64) -> Result<T, KeyError>) -> Result<T, Failure> {
        let (mut read, now) = (self.read.lock(), now());
        let done = (|| {
            if read.keys.is_due(now) || changed(&self.path) != read.changed {
                read.keys = SigningKeys::open(&self.path, now)?;
                read.changed = changed(&self.path);
            }
            what(&read.keys, now)
        })();
        done.map_err(|e| Failure::new(code::INTERNAL, format!("the signing keys cannot be used: {e}")))
    }
}

/// A run, and those above it, the nearest first.
fn chain(lineage: &Lineage) -> (Workload, Vec<Workload>) {
    let Lineage { tenant, agent, version, run, behalf } = lineage;
    (Workload { tenant: tenant.clone(), agent: agent.clone(), version: *version, run: *run }, above(tenant, behalf))
}

/// The runs above one, the nearest first.
pub(crate) fn above(tenant: &Name, behalf: &Behalf) -> Vec<Workload> {
    let Behalf { callers, above, .. } = behalf;
    let of = |(agent, above): (&stead_core::id::Name, &stead_core::ruling::Above)| Workload {
        tenant: tenant.clone(),
        agent: agent.clone(),
        version: above.version,
        run: above.run,
    };
    callers.iter().zip(above).map(of).rev().collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn told(e: KeyError) -> io::Error {
    match e {
        KeyError::File(e) => e,
        other => io::Error::other(other.to_string()),
    }
}
