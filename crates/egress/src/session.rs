//! One box's proxy: its rules, its secrets, its authority and its record. Nothing of one session is in another.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use stead_core::code;
use stead_ports::{
    connect::{Connects, Ruled, To},
    secret::{Secret, Secrets},
};
use tokio::sync::{Semaphore, watch};

use crate::{
    audit::{Asked, Audit, Entry, Event, Gone},
    dial::NoDial,
    error::Refusal,
    inject::oauth::Tokens,
    limits::{Limits, SEARCHED, SECRET_BYTES, UNPACKERS, WHOLE_BODIES},
    placeholder,
    resolve::Resolve,
    rules::Rules,
    scrub::Patterns,
    searched::{Searched, Source},
    tls::{Authority, Trust},
};

/// Secrets that a session's rules may name: fewer than are searched for, so that none in use is ever forgotten.
const SECRETS: usize = SEARCHED / 2;

/// What a session is made of.
pub struct Config {
    /// What may be reached at first.
    pub rules: Rules,
    /// Where values of secrets come from.
    pub secrets: Arc<dyn Secrets>,
    /// Who is asked about each request and tunnel that the rules allow.
    pub connects: Connects,
    /// Where decisions are told.
    pub audit: Arc<dyn Audit>,
    /// How names are resolved.
    pub resolver: Arc<dyn Resolve>,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// The bounds.
    pub limits: Limits,
}

/// A session. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) audit: Arc<dyn Audit>,
    connects: Connects,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) trust: Trust,
    pub(crate) limits: Limits,
    pub(crate) authority: Authority,
    pub(crate) tokens: Tokens,
    state: watch::Sender<State>,
    placeholders: Mutex<BTreeMap<String, String>>,
    searched: Mutex<Searched>,
    /// Places for bodies that are held whole.
    pub(crate) bodies: Arc<Semaphore>,
    /// Places for answers that are unpacked.
    pub(crate) unpackers: Arc<Semaphore>,
    exchanges: AtomicU64,
    /// Bytes of all exchanges, those under way too.
    moved: AtomicU64,
    pub(crate) usage: Counters,
}

#[derive(Clone, Default)]
struct State {
    rules: Rules,
    closed: bool,
    /// Whether [`Limits::traffic`] is used up.
    spent: bool,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) allowed: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// What a session has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests and tunnels that were allowed.
    pub allowed: u64,
    /// Those that were refused, for whatever reason.
    pub denied: u64,
    /// Bytes of bodies and tunnels to hosts, of exchanges that have ended.
    pub sent: u64,
    /// And from them.
    pub received: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a session.
    ///
    /// # Errors
    /// `ST0256`, `ST0258` or `ST0261`: placeholders or keys cannot be made, or the rules name too many secrets.
    pub fn new(config: Config) -> Result<Self, Refusal> {
        let Config { rules, secrets, connects, audit, resolver, trust, limits } = config;
        let session = Self(Arc::new(Inner {
            secrets,
            audit,
            connects,
            resolver,
            trust,
            limits,
            authority: Authority::new()?,
            tokens: Tokens::default(),
            state: watch::Sender::default(),
            placeholders: Mutex::default(),
            searched: Mutex::default(),
            bodies: Arc::new(Semaphore::new(WHOLE_BODIES)),
            unpackers: Arc::new(Semaphore::new(UNPACKERS)),
            exchanges: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            usage: Counters::default(),
        }));
        session.set_rules(rules)?;
        Ok(session)
    }

    /// Puts other rules in force, at once: for new connections, for the next request of open ones, and for what is under
    /// way to hosts that they do not allow, which is cut.
    ///
    /// # Errors
    /// `ST0261` when they name too many secrets, `ST0256` when no placeholder can be made; the old ones stay.
    pub fn set_rules(&self, rules: Rules) -> Result<(), Refusal> {
        let mut names: Vec<&str> = rules.secrets().collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > SECRETS {
            let what = format!("egress names {} secrets, and {SECRETS} are the most of a session", names.len());
            return Err(Refusal::rule(what, "give each agent the secrets that it needs"));
        }
        let mut placeholders = self.0.placeholders.lock();
        for name in names {
            if !placeholders.contains_key(name) {
                placeholders.insert(name.to_owned(), placeholder::fresh()?);
            }
        }
        drop(placeholders);
        self.0.state.send_modify(|state| state.rules = rules);
        Ok(())
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.0.state.borrow().rules.clone()
    }

    /// What stands in the box for each secret, by the secret's name.
    pub fn placeholders(&self) -> BTreeMap<String, String> {
        self.0.placeholders.lock().clone()
    }

    /// The certificate that the box must trust where hosts are intercepted, as PEM.
    pub fn authority_pem(&self) -> &str {
        self.0.authority.pem()
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        let Counters { allowed, denied, sent, received } = &self.0.usage;
        let get = |n: &AtomicU64| n.load(Relaxed);
        Usage { allowed: get(allowed), denied: get(denied), sent: get(sent), received: get(received) }
    }

    /// Ends the session: everything under way is cut, and nothing begins any more.
    pub fn close(&self) {
        self.0.state.send_modify(|state| *state = State { rules: Rules::default(), closed: true, ..state.clone() });
    }

    /// Counts bytes before they are handed on, in `count` and for the session. `false` when they are beyond what the session may move: then
    /// they must not be, and everything is cut.
    pub(crate) fn spend(&self, count: &AtomicU64, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let within = |moved: u64| self.0.limits.traffic.is_none_or(|most| moved <= most);
        if within(self.0.moved.fetch_add(bytes, Relaxed).saturating_add(bytes)) {
            count.fetch_add(bytes, Relaxed);
            return true;
        }
        self.0.state.send_if_modified(|state| !std::mem::replace(&mut state.spent, true));
        false
    }

    /// Why nothing is allowed any more that was, in words for whoever asked.
    pub(crate) fn revocation(&self) -> Refusal {
        let (what, hint) = if self.0.state.borrow().spent {
            (
                "the traffic that this run may have is used up",
                "ask for less; whoever started the run can give it more (`budget.traffic`)",
            )
        } else {
            ("the rules were changed, and do not allow this any more", "ask whoever changed them")
        };
        Refusal::new(code::EGRESS_REVOKED, what, hint)
    }

    /// Refuses everything once the session has moved as much as it may.
    ///
    /// # Errors
    /// `ST0257`.
    pub(crate) fn unspent(&self) -> Result<(), Refusal> {
        if self.0.state.borrow().spent { Err(self.revocation()) } else { Ok(()) }
    }

    /// Asks policies about what the rules allow. The policies that let it through; none when no run is behind the session.
    ///
    /// # Errors
    /// `ST0057`.
    pub(crate) async fn judge(&self, to: To<'_>) -> Result<Option<Ruled>, NoDial> {
        self.0.connects.may(to).await.map_err(|barred| {
            let hint = "ask for something else; whoever applies policies can allow it";
            NoDial { policies: Some(barred.ruled), ..Refusal::new(code::POLICY, barred.why, hint).into() }
        })
    }

    /// Returns once the session is closed.
    pub async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.state.subscribe().wait_for(|state| state.closed).await;
    }

    /// Returns once the rules do not allow something any more, or nothing is allowed.
    pub(crate) async fn revoked(&self, allowed: impl Fn(&Rules) -> bool) {
        let _ = self.0.state.subscribe().wait_for(|state| state.spent || !allowed(&state.rules)).await;
    }

    pub(crate) fn exchange(&self) -> u64 {
        self.0.exchanges.fetch_add(1, Relaxed)
    }

    pub(crate) async fn record(&self, exchange: u64, asked: &Asked, event: Event) -> Result<(), Gone> {
        let usage = &self.0.usage;
        match &event {
            Event::Allowed { .. } => usage.allowed.fetch_add(1, Relaxed),
            Event::Denied { .. } => usage.denied.fetch_add(1, Relaxed),
            Event::Ended { sent, received, .. } => {
                usage.sent.fetch_add(*sent, Relaxed);
                usage.received.fetch_add(*received, Relaxed)
            }
        };
        self.0.audit.record(Entry { exchange, asked: asked.clone(), event }).await
    }

    /// The value of a secret now, and from now on searched for in every answer.
    ///
    /// # Errors
    /// `ST0256`, without anything of the value.
    pub(crate) async fn reveal(&self, name: &str) -> Result<Secret, Refusal> {
        let wrong = |what: &str, hint: &str| Err(unusable(name, what, hint));
        let Some(value) = self.look_up(name).await? else {
            return wrong("is not there", "set it with `stead secrets set`");
        };
        if !SECRET_BYTES.contains(&value.expose().len()) {
            let hint = format!(
                "it must have {} to {} bytes, so that echoes of it can be told from other text",
                SECRET_BYTES.start(),
                SECRET_BYTES.end()
            );
            return wrong("is too short or too long to be put in", &hint);
        }
        if !value.expose().is_ascii() {
            return wrong("has other characters than ASCII", "use one whose echoes can be found in every encoding");
        }
        let mut searched = self.0.searched.lock();
        searched.hide(&value, Source::Secret);
        searched.known.insert(name.to_owned());
        drop(searched);
        Ok(value)
    }

    /// Has the secrets of all rules searched for, before any is used: a host may know one from another session, and hand it to
    /// whoever asks first.
    ///
    /// # Errors
    /// `ST0256` when one cannot be had now, for then its echoes could not be told.
    pub(crate) async fn search_for_all(&self) -> Result<(), Refusal> {
        let rules = self.rules();
        for name in rules.secrets() {
            if self.0.searched.lock().known.contains(name) {
                continue;
            }
            // One that is not there has no echo, and one that cannot be used is sent to nobody.
            let Some(value) = self.look_up(name).await? else { continue };
            let mut searched = self.0.searched.lock();
            if SECRET_BYTES.contains(&value.expose().len()) && value.expose().is_ascii() {
                searched.hide(&value, Source::Secret);
                searched.known.insert(name.to_owned());
            }
        }
        Ok(())
    }

    async fn look_up(&self, name: &str) -> Result<Option<Secret>, Refusal> {
        let found = self.0.secrets.get(name).await.map_err(|error| {
            unusable(name, "cannot be had now", &format!("look up {} (`stead errors {0}`)", error.code))
        })?;
        Ok(found.map(|value| Secret::new(value.expose().trim())))
    }

    /// Has a token searched for in every answer from now on.
    pub(crate) fn hide_token(&self, token: &Secret) {
        self.0.searched.lock().hide(token, Source::Token);
    }

    /// What answers are searched for, if anything.
    pub(crate) fn patterns(&self) -> Option<Patterns> {
        self.0.searched.lock().patterns()
    }
}

fn unusable(name: &str, what: &str, hint: &str) -> Refusal {
    Refusal::new(code::EGRESS_SECRET, format!("the secret `{name}` {what}"), hint)
}
