//! Sessions of browsers, and the links that begin them. They are in memory: a server that ends signs everybody out.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use stead_core::{id::Name, time::Timestamp};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock;

/// How long a link counts.
pub(crate) const LINK: Duration = Duration::from_secs(120);
/// How long a session counts without a request.
const IDLE: Duration = Duration::from_secs(1_800);
/// Most links that wait, and most sessions, of everybody.
const MAX: usize = 10_000;
/// Most of each of one person; the oldest goes.
const MAX_EACH: usize = 10;

/// What a person signed in with. Whoever holds it is that person.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The hash of a token that the server knows itself.
    Known([u8; 32]),
    /// A token of the identity provider.
    Provider(Zeroizing<String>),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// What a browser is given when it signs in.
pub(crate) struct Entered {
    /// For the cookie.
    pub(crate) cookie: String,
    /// For the page's scripts.
    pub(crate) token: String,
    /// How long it counts at most, in seconds.
    pub(crate) seconds: u64,
}

/// Whose something is, and since when.
struct Held {
    tenant: Name,
    subject: Name,
    credential: Credential,
    since: Timestamp,
    /// The hash of the second half; of a link nothing.
    token: [u8; 32],
    seen: Timestamp,
}

#[derive(Default)]
struct Inner {
    links: HashMap<[u8; 32], Held>,
    sessions: HashMap<[u8; 32], Held>,
}

/// See the module.
pub(crate) struct Sessions {
    life: Duration,
    inner: Mutex<Inner>,
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// 32 random bytes as base64url.
pub(super) fn secret() -> String {
    let mut random = [0; 32];
    clock::fill(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode(random)
}

/// Whether that is less than so long ago. A clock that was set back ends what it would have made last longer.
fn within(since: Timestamp, now: Timestamp, span: Duration) -> bool {
    now.0.checked_sub(since.0).is_some_and(|passed| (0..span.as_micros() as i64).contains(&passed))
}

/// Makes room: what is over goes, and the oldest of one person who has too many. Says whether there is room.
fn room(all: &mut HashMap<[u8; 32], Held>, who: &Held, alive: impl Fn(&Held) -> bool) -> bool {
    all.retain(|_, held| alive(held));
    let mut own: Vec<_> = all.iter().filter(|(_, h)| h.subject == who.subject && h.tenant == who.tenant).collect();
    own.sort_by_key(|(_, held)| held.since);
    let excess = (own.len() + 1).saturating_sub(MAX_EACH);
    let old: Vec<[u8; 32]> = own.into_iter().take(excess).map(|(id, _)| *id).collect();
    old.iter().for_each(|id| drop(all.remove(id)));
    all.len() < MAX
}

impl Sessions {
    pub(super) fn new(life: Duration) -> Self {
        Self { life, inner: Mutex::default() }
    }

    fn alive(&self, held: &Held, now: Timestamp) -> bool {
        within(held.since, now, self.life) && within(held.seen, now, IDLE)
    }

    /// The code of a link with which a browser signs in once, as who brought this credential; `None` when too many wait.
    pub(crate) fn link(&self, tenant: Name, subject: Name, credential: Credential, now: Timestamp) -> Option<String> {
        let code = secret();
        let held = Held { tenant, subject, credential, since: now, token: [0; 32], seen: now };
        let links = &mut self.inner.lock().links;
        room(links, &held, |held| within(held.since, now, LINK)).then(|| links.insert(hash(&code), held))?;
        Some(code)
    }

    /// What the code of a link stands for. It counts once.
    pub(crate) fn redeem(&self, code: &str, now: Timestamp) -> Option<Credential> {
        let held = self.inner.lock().links.remove(&hash(code))?;
        within(held.since, now, LINK).then_some(held.credential)
    }

    /// Signs a browser in; `None` when too many are.
    pub(crate) fn enter(&self, tenant: Name, subject: Name, credential: Credential, now: Timestamp) -> Option<Entered> {
        let (cookie, token) = (secret(), secret());
        let held = Held { tenant, subject, credential, since: now, token: hash(&token), seen: now };
        let sessions = &mut self.inner.lock().sessions;
        room(sessions, &held, |held| self.alive(held, now)).then(|| sessions.insert(hash(&cookie), held))?;
        Some(Entered { cookie, token, seconds: self.life.as_secs() })
    }

    /// What a session stands for, when both its halves are right. A page that only watches is no person who does something.
    pub(crate) fn find(&self, cookie: &str, token: &str, now: Timestamp, watching: bool) -> Option<Credential> {
        let (id, token) = (hash(cookie), hash(token));
        let sessions = &mut self.inner.lock().sessions;
        let held = sessions.get_mut(&id)?;
        if !self.alive(held, now) {
            sessions.remove(&id);
            return None;
        }
        // Who has one half alone learns nothing, and ends nothing.
        if !bool::from(held.token.ct_eq(&token)) {
            return None;
        }
        if !watching {
            held.seen = now;
        }
        Some(held.credential.clone())
    }

    /// When a session ends at the latest.
    pub(crate) fn until(&self, cookie: &str) -> Option<Timestamp> {
        let since = self.inner.lock().sessions.get(&hash(cookie))?.since;
        Some(Timestamp(since.0.saturating_add(i64::try_from(self.life.as_micros()).unwrap_or(i64::MAX))))
    }

    /// Ends a session.
    pub(crate) fn leave(&self, cookie: &str) {
        self.inner.lock().sessions.remove(&hash(cookie));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn later(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 + seconds * 1_000_000)
    }

    fn known() -> Credential {
        Credential::Known([7; 32])
    }

    fn enter(sessions: &Sessions, name: &str, now: Timestamp) -> Entered {
        sessions.enter("default".into(), name.into(), known(), now).unwrap()
    }

    #[test]
    fn a_session_takes_both_halves_and_ends_by_leaving_by_its_time_and_by_idleness() {
        let sessions = Sessions::new(Duration::from_secs(3_600));
        let ann = enter(&sessions, "ann", NOW);
        let bob = enter(&sessions, "bob", NOW);
        assert!(sessions.find(&ann.cookie, &ann.token, NOW, false).is_some());
        for (cookie, token) in [(&ann.cookie, &bob.token), (&ann.token, &ann.cookie), (&ann.cookie, &String::new())] {
            assert!(sessions.find(cookie, token, NOW, false).is_none());
        }
        assert!(
            sessions.find(&bob.cookie, &bob.token, later(1_800), false).is_none(),
            "half an hour without a request"
        );
        let watched = enter(&sessions, "bob", NOW);
        assert!(sessions.find(&watched.cookie, &watched.token, later(1_700), true).is_some());
        assert!(
            sessions.find(&watched.cookie, &watched.token, later(1_800), true).is_none(),
            "a page that only watches"
        );
        assert!(sessions.find(&ann.cookie, &ann.token, later(1_700), false).is_some());
        assert!(sessions.find(&ann.cookie, &ann.token, later(3_400), false).is_some());
        assert!(sessions.find(&ann.cookie, &ann.token, later(3_600), false).is_none(), "its whole time");
        let ann = enter(&sessions, "ann", NOW);
        assert!(sessions.find(&ann.cookie, &ann.token, later(-1), false).is_none(), "a clock that was set back");
        let ann = enter(&sessions, "ann", NOW);
        sessions.leave(&ann.cookie);
        assert!(sessions.find(&ann.cookie, &ann.token, NOW, false).is_none());
    }

    #[test]
    fn a_link_counts_once_and_for_two_minutes() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let link = || sessions.link("default".into(), "ann".into(), known(), NOW).unwrap();
        let code = link();
        assert!(sessions.redeem(&code, later(119)).is_some());
        assert!(sessions.redeem(&code, later(119)).is_none());
        assert!(sessions.redeem(&link(), later(120)).is_none());
        assert!(sessions.redeem("", NOW).is_none());
    }

    #[test]
    fn one_person_has_ten_sessions_and_takes_no_place_of_others() {
        let sessions = Sessions::new(Duration::from_secs(60));
        let bob = enter(&sessions, "bob", NOW);
        let first = enter(&sessions, "ann", NOW);
        let last = (1..=10).map(|n| enter(&sessions, "ann", later(n))).last().unwrap();
        assert!(sessions.find(&first.cookie, &first.token, later(10), false).is_none());
        assert!(sessions.find(&last.cookie, &last.token, later(10), false).is_some());
        assert!(sessions.find(&bob.cookie, &bob.token, later(10), false).is_some());
    }
}
