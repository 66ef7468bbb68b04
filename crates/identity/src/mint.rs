//! Tokens of runs: short-lived JWTs that say who a run is, for whom the token is meant (RFC 8707) and on whose behalf it acts, with the
//! chain of agents above it as actors (RFC 8693, section 4.1).

use aws_lc_rs::rand::SystemRandom;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    keys::{KeyError, Signer},
    workload::{TrustDomain, Workload},
};

/// How long a token holds, in seconds.
pub const TTL: u64 = 600;
/// Longest audience, in bytes.
pub const MAX_AUDIENCE: usize = 500;

/// What a token says.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// Who vouches: the URL under which the keys are published.
    pub issuer: &'a str,
    /// The name of the installation.
    pub domain: &'a TrustDomain,
    /// The run.
    pub workload: &'a Workload,
    /// The runs above it, the nearest first.
    pub above: &'a [Workload],
    /// The person on whose behalf it works. Then the token's subject is that person, and the run the actor; without one the run is its
    /// own subject.
    pub user: Option<&'a str>,
    /// For whom it is meant; nobody else may take it.
    pub audience: &'a str,
    /// What it may be used for, when that is less than everything.
    pub scope: Option<&'a str>,
    /// Seconds since 1970.
    pub now: u64,
}

/// A token and when it ends.
#[derive(Clone)]
pub struct Minted {
    /// The token.
    pub token: String,
    /// Seconds since 1970.
    pub expires: u64,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Grant<'_> {
    /// Makes the token.
    ///
    /// # Errors
    /// When the system gives no randomness or the key does not sign.
    pub fn mint(&self, signer: &Signer) -> Result<Minted, KeyError> {
        let expires = self.now.saturating_add(TTL);
        Ok(Minted { token: signer.token("JWT", self.claims(expires)?)?, expires })
    }

    fn claims(&self, expires: u64) -> Result<Map<String, Value>, KeyError> {
        let mut id = [0; 16];
        aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), &mut id).map_err(|_| KeyError::Random)?;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        put("iss", self.issuer.into());
        put("sub", self.user.map_or_else(|| self.workload.id(self.domain), str::to_owned).into());
        put("aud", self.audience.into());
        put("iat", self.now.into());
        put("nbf", self.now.into());
        put("exp", expires.into());
        put("jti", BASE64_URL_SAFE_NO_PAD.encode(id).into());
        if let Some(scope) = self.scope {
            put("scope", scope.into());
        }
        if let Some(act) = self.actors() {
            put("act", act);
        }
        let Workload { tenant, agent, version, run } = self.workload;
        put(
            "stead",
            json!({ "tenant": &**tenant, "agent": &**agent, "version": version.to_string(), "run": run.to_string() }),
        );
        Ok(claims)
    }

    /// The actors, the current one outermost. A run that is its own subject is no actor.
    fn actors(&self) -> Option<Value> {
        let current = self.user.map(|_| self.workload);
        let chain: Vec<&Workload> = current.into_iter().chain(self.above).collect();
        chain.into_iter().rev().fold(None, |inner, workload| {
            let mut act = json!({ "sub": workload.id(self.domain) });
            if let Some(inner) = inner {
                act["act"] = inner;
            }
            Some(act)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::id::{RunId, VersionId};

    use super::*;
    use crate::{
        jwk::Keys,
        keys::SigningKeys,
        token::{ALGORITHMS, Checks, Refused, verify},
    };

    fn workload(agent: &str, run: u128) -> Workload {
        Workload { tenant: "acme".into(), agent: agent.into(), version: VersionId([7; 32]), run: RunId(run) }
    }

    #[test]
    fn a_token_verifies_with_the_published_keys_for_its_audience_alone() {
        let (domain, now) = (TrustDomain::new("stead.example").unwrap(), 1_800_000_000);
        let keys = SigningKeys::fresh(now).unwrap();
        let (me, above) = (workload("desk", 3), [workload("lead", 2), workload("boss", 1)]);
        let grant = Grant {
            issuer: "https://stead.example",
            domain: &domain,
            workload: &me,
            above: &above,
            user: Some("ann"),
            audience: "https://mail.example",
            scope: None,
            now,
        };
        let minted = grant.mint(keys.current(now)).unwrap();
        let published = Keys::read(keys.published(now).to_string().as_bytes()).unwrap();
        let all: Vec<String> = ALGORITHMS.map(str::to_owned).to_vec();
        let audiences = ["https://mail.example".to_owned()];
        let checks = Checks { issuer: "https://stead.example", audiences: &audiences, algorithms: &all, skew: 0, now };
        let claims = verify(&minted.token, &published, &checks).unwrap();
        assert_eq!(claims.text("sub"), Some("ann"));
        assert_eq!(claims.text("act.sub"), Some(&*me.id(&domain)));
        assert_eq!(claims.text("act.act.act.sub"), Some(&*above[1].id(&domain)));
        assert_eq!(claims.text("stead.agent"), Some("desk"));

        let elsewhere = ["https://bank.example".to_owned()];
        let refused = |checks: Checks<'_>| verify(&minted.token, &published, &checks).unwrap_err();
        assert_eq!(refused(Checks { audiences: &elsewhere, ..checks.clone() }), Refused::Audience);
        assert_eq!(refused(Checks { issuer: "https://stead.example/", ..checks.clone() }), Refused::Issuer);
        assert_eq!(refused(Checks { now: minted.expires, ..checks.clone() }), Refused::Expired);
        assert_eq!(refused(Checks { now: now - 1, ..checks.clone() }), Refused::Early);
        let no: [String; 1] = ["RS256".to_owned()];
        assert_eq!(refused(Checks { algorithms: &no, ..checks.clone() }), Refused::Algorithm("ES256".to_owned()));
        let other = SigningKeys::fresh(now).unwrap();
        let other = Keys::read(other.published(now).to_string().as_bytes()).unwrap();
        assert_eq!(verify(&minted.token, &other, &checks).unwrap_err(), Refused::Key);
    }

    #[test]
    fn a_token_whose_bytes_were_changed_anywhere_is_refused() {
        let (domain, now) = (TrustDomain::new("stead.example").unwrap(), 1_800_000_000);
        let keys = SigningKeys::fresh(now).unwrap();
        let me = workload("desk", 3);
        let (issuer, audience) = ("https://stead.example", "https://mail.example");
        let grant =
            Grant { issuer, domain: &domain, workload: &me, above: &[], user: None, audience, scope: None, now };
        let token = grant.mint(keys.current(now)).unwrap().token;
        let published = Keys::read(keys.published(now).to_string().as_bytes()).unwrap();
        let (all, audiences) = (ALGORITHMS.map(str::to_owned).to_vec(), [audience.to_owned()]);
        let checks = Checks { issuer, audiences: &audiences, algorithms: &all, skew: 0, now };
        assert!(verify(&token, &published, &checks).is_ok());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&changed, &published, &checks).is_err(), "{at}");
            assert!(verify(&token[..at], &published, &checks).is_err(), "{at}");
        }
        // Without a signature, or signed with what everybody knows.
        let claims = token.split('.').nth(1).unwrap();
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"typ":"JWT"}"#] {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            for signature in ["", "AAAA"] {
                assert!(verify(&format!("{header}.{claims}.{signature}"), &published, &checks).is_err());
            }
        }
    }
}
