//! Delegated tokens: what a run shows a service so that it acts there on a person's behalf. A JWT of the profile for access tokens
//! (RFC 9068) whose subject is the person and whose actors are the run and those above it, the nearest outermost (RFC 8693, section 4.1),
//! for one audience (RFC 8707). The same key signs what a token service is shown when it is asked to exchange (RFC 8693, section 2.1) and
//! the assertion by which a client says who it is (RFC 7523, section 2.2).

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    keys::{KeyError, Signer},
    workload::{TrustDomain, Workload},
};

/// Longest life of any of them, in seconds.
pub const TTL: u64 = 600;

/// Who a token is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person, by the name that the audience knows, and who gave them that name.
    Person {
        /// The name (`sub`).
        name: String,
        /// The issuer by whom it counts (RFC 9493, `iss_sub`).
        of: String,
    },
    /// Nobody: the workload itself.
    Workload,
}

/// What a delegated token says.
#[derive(Clone, Debug)]
pub struct Delegated<'a> {
    /// Who vouches: the URL under which the keys are published.
    pub issuer: &'a str,
    /// The name of the installation.
    pub domain: &'a TrustDomain,
    /// The id of the agent: the client to which the token was given.
    pub client: &'a str,
    /// The run; `None` where an agent is only being made ready.
    pub run: Option<&'a Workload>,
    /// The runs above it, the nearest first.
    pub above: &'a [Workload],
    /// The person.
    pub subject: &'a Subject,
    /// For whom it is meant; nobody else may take it.
    pub audience: &'a str,
    /// What it allows.
    pub scopes: &'a [String],
    /// Seconds since 1970.
    pub now: u64,
    /// How long it holds, at most [`TTL`] seconds.
    pub lasts: u64,
}

/// A token, its id and its end.
#[derive(Clone)]
pub struct Signed {
    /// The token.
    pub token: String,
    /// Its `jti`.
    pub id: String,
    /// Seconds since 1970.
    pub expires: u64,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The id of an agent, without a version: the client that its runs are.
pub fn client_id(domain: &TrustDomain, tenant: &str, agent: &str) -> String {
    let (tenant, agent) = (crate::workload::segment(tenant), crate::workload::segment(agent));
    format!("spiffe://{domain}/tenant/{tenant}/agent/{agent}")
}

impl Delegated<'_> {
    /// The access token itself (RFC 9068).
    ///
    /// # Errors
    /// When the system gives no randomness or the key does not sign.
    pub fn access_token(&self, signer: &Signer) -> Result<Signed, KeyError> {
        let mut claims = self.about();
        claims.insert("client_id".into(), self.client.into());
        if !self.scopes.is_empty() {
            claims.insert("scope".into(), self.scopes.join(" ").into());
        }
        if let Some(act) = self.actors() {
            claims.insert("act".into(), act);
        }
        if let Some(Workload { tenant, agent, version, run }) = self.run {
            let (version, run) = (version.to_string(), run.to_string());
            let stead = json!({ "tenant": &**tenant, "agent": &**agent, "version": version, "run": run });
            claims.insert("stead".into(), stead);
        }
        self.sign("at+jwt", claims, signer)
    }

    /// What tells a token service whom the wanted token is about: nothing that anybody ever sent to this server.
    ///
    /// # Errors
    /// As [`Self::access_token`].
    pub fn subject_token(&self, signer: &Signer) -> Result<Signed, KeyError> {
        self.sign("JWT", self.about(), signer)
    }

    /// What tells it who acts: the run, below those above it. `None` when it acts for nobody but itself, and the subject's token says so.
    ///
    /// # Errors
    /// As [`Self::access_token`].
    pub fn actor_token(&self, signer: &Signer) -> Result<Option<Signed>, KeyError> {
        let (Subject::Person { .. }, Some(run)) = (self.subject, self.run) else { return Ok(None) };
        let mut claims = self.about_workload(&run.id(self.domain));
        if let Some(act) = chain(self.above.iter().map(|above| above.id(self.domain)).collect()) {
            claims.insert("act".into(), act);
        }
        self.sign("JWT", claims, signer).map(Some)
    }

    fn about(&self) -> Map<String, Value> {
        match self.subject {
            Subject::Person { name, of } => {
                let mut claims = self.about_workload(name);
                claims.insert("sub_id".into(), json!({ "format": "iss_sub", "iss": of, "sub": name }));
                claims
            }
            Subject::Workload => {
                let own = self.run.map_or_else(|| self.client.to_owned(), |run| run.id(self.domain));
                self.about_workload(&own)
            }
        }
    }

    fn about_workload(&self, subject: &str) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), subject.into());
        claims
    }

    /// The actors, the current one outermost. A run that is its own subject is no actor.
    fn actors(&self) -> Option<Value> {
        let current = self.run.filter(|_| matches!(self.subject, Subject::Person { .. }));
        chain(current.into_iter().chain(self.above).map(|workload| workload.id(self.domain)).collect())
    }

    fn sign(&self, kind: &str, mut claims: Map<String, Value>, signer: &Signer) -> Result<Signed, KeyError> {
        claims.insert("iss".into(), self.issuer.into());
        claims.insert("aud".into(), self.audience.into());
        signed(kind, claims, (self.now, self.lasts), signer)
    }
}

/// The assertion by which a client of a token service says who it is (RFC 7523, section 3): issuer and subject are the client.
///
/// # Errors
/// As [`Delegated::access_token`].
pub fn client_assertion(client: &str, audience: &str, now: u64, signer: &Signer) -> Result<Signed, KeyError> {
    let claims = json!({ "iss": client, "sub": client, "aud": audience });
    let Value::Object(claims) = claims else { return Err(KeyError::Random) };
    signed("JWT", claims, (now, 60), signer)
}

fn chain(ids: Vec<String>) -> Option<Value> {
    ids.into_iter().rev().fold(None, |inner, id| {
        let mut act = json!({ "sub": id });
        if let Some(inner) = inner {
            act["act"] = inner;
        }
        Some(act)
    })
}

fn signed(
    kind: &str,
    mut claims: Map<String, Value>,
    (now, lasts): (u64, u64),
    signer: &Signer,
) -> Result<Signed, KeyError> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| KeyError::Random)?;
    let (id, expires) = (BASE64_URL_SAFE_NO_PAD.encode(random), now.saturating_add(lasts.min(TTL)));
    for (name, value) in [("iat", json!(now)), ("nbf", json!(now)), ("exp", json!(expires)), ("jti", json!(id))] {
        claims.insert(name.to_owned(), value);
    }
    Ok(Signed { token: signer.token(kind, claims)?, id, expires })
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
    fn a_delegated_token_names_the_person_and_every_actor_and_one_audience() {
        let (domain, now) = (TrustDomain::new("stead.example").unwrap(), 1_800_000_000);
        let keys = SigningKeys::fresh(now).unwrap();
        let published = Keys::read(keys.published(now).to_string().as_bytes()).unwrap();
        let (me, above) = (workload("desk", 3), [workload("lead", 2), workload("boss", 1)]);
        let ann = Subject::Person { name: "ann".into(), of: "https://id.example".into() };
        let client = client_id(&domain, "acme", "desk");
        let delegated = Delegated {
            issuer: "https://stead.example",
            domain: &domain,
            client: &client,
            run: Some(&me),
            above: &above,
            subject: &ann,
            audience: "https://mail.example",
            scopes: &["mail.send".to_owned(), "mail.read".to_owned()],
            now,
            lasts: 3_600,
        };
        let signer = keys.current(now);
        let all = ALGORITHMS.map(str::to_owned).to_vec();
        let audiences = ["https://mail.example".to_owned()];
        let checks = Checks { issuer: "https://stead.example", audiences: &audiences, algorithms: &all, skew: 0, now };
        let token = delegated.access_token(signer).unwrap();
        assert_eq!(token.expires, now + TTL, "nobody gets a longer one");
        let claims = verify(&token.token, &published, &checks).unwrap();
        let text = |name: &str| claims.text(name).map(str::to_owned);
        assert_eq!((text("sub"), text("sub_id.iss")), (Some("ann".into()), Some("https://id.example".into())));
        assert_eq!(text("client_id").as_deref(), Some("spiffe://stead.example/tenant/acme/agent/desk"));
        assert_eq!(text("scope").as_deref(), Some("mail.send mail.read"));
        assert_eq!(text("act.sub"), Some(me.id(&domain)));
        assert_eq!(text("act.act.sub"), Some(above[0].id(&domain)));
        assert_eq!(text("act.act.act.sub"), Some(above[1].id(&domain)));
        assert_eq!(text("jti"), Some(token.id));
        let elsewhere = ["https://bank.example".to_owned()];
        let bank = Checks { audiences: &elsewhere, ..checks.clone() };
        assert_eq!(verify(&token.token, &published, &bank).unwrap_err(), Refused::Audience);

        let actor = delegated.actor_token(signer).unwrap().unwrap();
        let claims = verify(&actor.token, &published, &checks).unwrap();
        assert_eq!(claims.text("sub"), Some(&*me.id(&domain)));
        assert_eq!(claims.text("act.act.sub"), Some(&*above[1].id(&domain)));
        let about = verify(&delegated.subject_token(signer).unwrap().token, &published, &checks).unwrap();
        assert_eq!((about.text("sub"), about.text("act.sub")), (Some("ann"), None));

        // On nobody's behalf a run is its own subject.
        let alone = Delegated { subject: &Subject::Workload, above: &[], ..delegated };
        assert!(alone.actor_token(signer).unwrap().is_none());
        let claims = verify(&alone.access_token(signer).unwrap().token, &published, &checks).unwrap();
        assert_eq!((claims.text("sub"), claims.text("act.sub")), (Some(&*me.id(&domain)), None));
    }
}
