//! Delegated tokens outward: what a tool of a run shows a service so that it acts there on a person's behalf. The inbound token of that
//! person is no part of it: nobody keeps it.
//!
//! Whether one may be made is said here, for each effect: the operator lists audiences and the hosts that may be shown their tokens, and
//! every grant above the run holds the scopes. A token is kept in memory for its run alone, and never written down.

mod exchange;
mod subject;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use stead_core::{
    code::{self, Code},
    grant::Use,
    id::{Name, RunId},
};
use stead_engine::{Engine, WeakEngine};
use stead_identity::{
    delegated::{Delegated, TTL, client_id},
    workload::Workload,
};
use stead_ports::{
    BoxFuture,
    clock::Clock as _,
    delegate::{Delegates, NoToken, OnBehalf, Sending, Token, Wanted},
    secret::{Secret, Secrets},
};
use stead_tools::reach::Reach;

use self::{exchange::Exchanger, subject::Subjects};
use crate::{
    clock::SystemClock,
    config::{self, Audience},
    identity::Identity,
};

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(60);
/// Tokens that are kept.
const KEPT: usize = 10_000;

/// What is kept of a token.
#[derive(Clone)]
struct Kept {
    value: Secret,
    /// Its `jti`, where this server signed it.
    id: Option<Name>,
    until: Instant,
}

/// The place of a token; its lock is held while one is made.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// Whose a token is, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tenant: Name,
    agent: Name,
    run: Option<RunId>,
    wanted: Wanted,
}

/// See the module.
pub(crate) struct Outward {
    audiences: Vec<Audience>,
    subjects: Subjects,
    exchanger: Option<Exchanger>,
    identity: OnceLock<Arc<Identity>>,
    /// Not kept: the engine's own tools have this.
    engine: OnceLock<WeakEngine>,
    kept: Mutex<HashMap<Key, Slot>>,
}

impl Outward {
    /// Makes no token before [`Self::serve`].
    ///
    /// # Errors
    /// When the token service cannot be asked as it is configured.
    pub(crate) fn new(
        config: &config::Identity,
        oidc: Option<&config::Oidc>,
        secrets: Arc<dyn Secrets>,
        reach: &Reach,
    ) -> Result<Self, String> {
        let exchanger =
            config.exchange.as_deref().map(|exchange| Exchanger::new(exchange, secrets, reach)).transpose()?;
        Ok(Self {
            audiences: config.audiences.clone(),
            subjects: Subjects::new(oidc),
            exchanger,
            identity: OnceLock::new(),
            engine: OnceLock::new(),
            kept: Mutex::default(),
        })
    }

    /// Makes tokens from now on.
    pub(crate) fn serve(&self, identity: Arc<Identity>, engine: &Engine) {
        let _ = self.identity.set(identity);
        let _ = self.engine.set(engine.downgrade());
    }

    async fn give(&self, whose: &OnBehalf, wanted: &Wanted, sending: Sending<'_>) -> Result<Token, NoToken> {
        let audience = self.allowed(whose, wanted, sending.host)?;
        let OnBehalf { tenant, agent, run, .. } = whose;
        let key = Key { tenant: tenant.clone(), agent: agent.clone(), run: *run, wanted: wanted.clone() };
        let slot = self.slot(key);
        // Whoever needs one while it is being made waits for that one.
        let mut kept = slot.lock().await;
        let good = kept.as_ref().filter(|kept| {
            Instant::now() < kept.until
                && sending.refused.is_none_or(|r| *r != kept.value)
                && !self.is_revoked(tenant, kept)
        });
        if let Some(kept) = good {
            return Ok(Token { value: kept.value.clone(), kept: true });
        }
        *kept = None;
        if !sending.may_send.now() {
            return Err(NoToken::Later("what lets this be sent ended before a token was made".to_owned()));
        }
        let made = self.make(whose, wanted, audience).await?;
        let value = made.value.clone();
        *kept = Some(made);
        Ok(Token { value, kept: false })
    }

    /// Whether such a token may be made at all.
    fn allowed(&self, whose: &OnBehalf, wanted: &Wanted, host: &str) -> Result<&Audience, NoToken> {
        let refused = |code: Code, why: String| Err(NoToken::Refused(code, why));
        let Some(audience) = self.audiences.iter().find(|known| known.audience == wanted.audience) else {
            let why = "it is none of `identity.audiences` of the server's configuration";
            return refused(code::AUDIENCE, format!("no token is made for `{}`: {why}", wanted.audience));
        };
        if !audience.leads_to(host) {
            let why = format!("a token for `{}` is not shown to `{host}`", wanted.audience);
            return refused(
                code::AUDIENCE,
                format!("{why}: the server's configuration does not name that host for it"),
            );
        }
        if let Some(known) = &audience.scopes {
            if wanted.scopes.is_empty() {
                let why = "the server's configuration lists the scopes of its tokens, and the manifest names none";
                return refused(code::AUDIENCE, format!("no token is made for `{}`: {why}", wanted.audience));
            }
            if let Some(scope) = wanted.scopes.iter().find(|scope| !known.contains(scope)) {
                let why = "the server's configuration does not list it";
                return refused(code::AUDIENCE, format!("no token with the scope `{scope}` is made: {why}"));
            }
        }
        let now = SystemClock.now();
        // A token without a scope may be good for everything, which no list of scopes holds.
        let unscoped = [String::new()];
        let all: &[String] = if wanted.scopes.is_empty() { &unscoped } else { &wanted.scopes };
        match all.iter().find_map(|scope| whose.behalf.allows(Use::Scope(scope), now).err()) {
            Some(denied) => refused(code::GRANT, denied.to_string()),
            None => Ok(audience),
        }
    }

    async fn make(&self, whose: &OnBehalf, wanted: &Wanted, audience: &Audience) -> Result<Kept, NoToken> {
        let Some(identity) = self.identity.get() else {
            return Err(NoToken::Later("the server is still starting; no token is made yet".to_owned()));
        };
        let OnBehalf { tenant, agent, version, run, behalf } = whose;
        let domain = identity.domain();
        let client = client_id(domain, tenant, agent);
        let own = version.zip(*run);
        let own = own.map(|(version, run)| Workload { tenant: tenant.clone(), agent: agent.clone(), version, run });
        let above = crate::identity::above(tenant, behalf);
        let subject = self.subjects.of(behalf, identity.issuer());
        let subject = subject.map_err(|why| NoToken::Refused(code::DELEGATED_TOKEN, why))?;
        let exchanger = self.exchanger.as_ref().filter(|_| audience.exchange);
        let (meant_for, lasts) = match exchanger {
            Some(exchanger) => (exchanger.audience(), 60),
            None => (&*wanted.audience, TTL),
        };
        let asked = Instant::now();
        let about = |now| Delegated {
            issuer: identity.issuer(),
            domain,
            client: &client,
            run: own.as_ref(),
            above: &above,
            subject: &subject,
            audience: meant_for,
            scopes: &wanted.scopes,
            now,
            lasts,
        };
        let no_key = |_| {
            NoToken::Refused(code::DELEGATED_TOKEN, "no token: this server's signing keys cannot be used".to_owned())
        };
        match exchanger {
            None => {
                let signed = identity.sign(|keys, now| about(now).access_token(keys.current(now))).map_err(no_key)?;
                tracing::debug!(jti = signed.id, audience = wanted.audience, run = ?run, "a delegated token was made");
                let until = asked + Duration::from_secs(TTL) - MARGIN;
                Ok(Kept { value: Secret::new(signed.token), id: Some(signed.id.into()), until })
            }
            Some(exchanger) => {
                let shown = identity.sign(|keys, now| {
                    let (about, signer) = (about(now), keys.current(now));
                    Ok((about.subject_token(signer)?, about.actor_token(signer)?, exchanger.assertion(now, signer)?))
                });
                let (subject, actor, assertion) = shown.map_err(no_key)?;
                let given = exchanger.exchange(wanted, audience, (subject, actor, assertion)).await?;
                tracing::debug!(audience = wanted.audience, run = ?run, "a token was exchanged for a delegated one");
                let until = asked + given.lasts.min(Duration::from_secs(TTL) - MARGIN);
                Ok(Kept { value: given.token, id: None, until })
            }
        }
    }

    fn is_revoked(&self, tenant: &Name, kept: &Kept) -> bool {
        let Some((engine, id)) = self.engine.get().zip(kept.id.as_deref()) else { return false };
        // Nothing is sent any more when it is gone.
        engine.upgrade().is_none_or(|engine| engine.is_revoked(tenant, id))
    }

    fn slot(&self, key: Key) -> Slot {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            // What nobody is about to use and has ended goes; and when nothing has, everything that nobody is about to use.
            let now = Instant::now();
            let ended =
                |slot: &Slot| slot.try_lock().is_ok_and(|kept| kept.as_ref().is_none_or(|kept| kept.until <= now));
            kept.retain(|_, slot| Arc::strong_count(slot) > 1 || !ended(slot));
            if kept.len() >= KEPT {
                kept.retain(|_, slot| Arc::strong_count(slot) > 1);
            }
        }
        Arc::clone(kept.entry(key).or_default())
    }
}

impl Delegates for Outward {
    fn token<'a>(
        &'a self,
        whose: &'a OnBehalf,
        wanted: &'a Wanted,
        sending: Sending<'a>,
    ) -> BoxFuture<'a, Result<Token, NoToken>> {
        Box::pin(self.give(whose, wanted, sending))
    }
}
