//! What is known about a connection, shared between the wire and whoever waits for an answer: which requests have left,
//! which were turned away, and why the connection cannot be used any more.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use rmcp::model::RequestId;
use stead_core::code::{self, Code};
use stead_ports::{delegate::OnBehalf, secret, tool::MaySend};

use super::words::excerpt;
use crate::{http::exchange::parts_of, secret::Secret};

/// Most messages that a server may send without answering anything.
pub(super) const MAX_UNASKED: usize = 10_000;
/// Most delegated tokens of a session that an echo of is looked for; each holds for minutes.
const MAX_SHOWN: usize = 8;
/// Most streams that are opened again without an answer in between.
const MAX_RESUMED: usize = 100;

/// What went wrong, in words for the operator and the model.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) words: String,
}

impl Failure {
    pub(super) fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// The server's (`ST0048`).
    pub(super) fn server(words: impl Into<String>) -> Self {
        Self::new(code::TOOL_SERVER, words)
    }

    /// Whether trying again as it is would end the same way.
    pub(super) fn is_final(&self) -> bool {
        const FINAL: [Code; 5] = [
            code::TOOL_CREDENTIAL,
            code::TOOL_ADDRESS,
            code::DELEGATED_TOKEN,
            code::MCP_UNAUTHORIZED,
            code::MCP_AUTHORIZATION,
        ];
        FINAL.contains(&self.code)
    }
}

/// What became of a request that has no answer.
#[derive(Clone, Debug, Default)]
pub(super) enum Fate {
    /// Not a byte has left.
    #[default]
    Kept,
    /// A part of it may have arrived.
    Left(Option<Failure>),
    /// The server said, or the connection shows, that it was not processed.
    NotSent(Failure),
    /// The server refused it.
    Refused(Failure),
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    entries: Arc<Mutex<Entries>>,
    secrets: Arc<[Secret]>,
    acting: Arc<Mutex<Acting>>,
}

/// For whom requests are sent that are shown a delegated token.
#[derive(Default)]
struct Acting {
    whose: Option<(Arc<OnBehalf>, MaySend)>,
    /// Tokens that were shown, the last ones.
    shown: VecDeque<Secret>,
    /// The last of them, when the server did not take it.
    refused: bool,
}

#[derive(Default)]
struct Entries {
    /// Requests of which at least one byte may have left, until they are settled.
    left: HashMap<RequestId, Fate>,
    /// Why the connection was ended from this side.
    fault: Option<Failure>,
    /// What the last request that is no call came to, when it failed.
    last: Option<Failure>,
    /// The server does not know the session any more.
    expired: bool,
    /// The server can tell that its tools changed.
    watched: bool,
    unasked: usize,
    resumed: usize,
}

impl Ledger {
    /// Nothing is known yet. `secrets` are blotted out of whatever the server says.
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self { entries: Arc::default(), secrets: secrets.into(), acting: Arc::default() }
    }

    /// The beginning of what the server said, without secrets.
    pub(super) fn excerpt(&self, said: &str, max: usize) -> String {
        excerpt(&self.secrets(), said, max)
    }

    /// What is blotted out of whatever the server says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let acting = self.acting.lock();
        self.secrets.iter().cloned().chain(acting.shown.iter().flat_map(parts_of)).collect()
    }

    /// For whom requests are sent from now on.
    pub(super) fn acts_for(&self, whose: Option<(Arc<OnBehalf>, MaySend)>) {
        self.acting.lock().whose = whose;
    }

    /// For whom a request is sent, and the token that the server did not take for the last one.
    pub(super) fn acting(&self) -> (Option<(Arc<OnBehalf>, MaySend)>, Option<secret::Secret>) {
        let acting = self.acting.lock();
        let refused = acting.shown.back().filter(|_| acting.refused);
        (acting.whose.clone(), refused.map(|token| secret::Secret::new(token.reveal())))
    }

    /// A token is about to be shown.
    pub(super) fn shows(&self, token: &Secret) {
        let mut acting = self.acting.lock();
        acting.refused = false;
        if acting.shown.back().is_some_and(|last| last.reveal() == token.reveal()) {
            return;
        }
        acting.shown.push_back(token.clone());
        if acting.shown.len() > MAX_SHOWN {
            acting.shown.pop_front();
        }
    }

    /// Whether whoever decided what is being sent may still send it.
    pub(super) fn may_send(&self) -> bool {
        self.acting.lock().whose.as_ref().is_none_or(|(_, may_send)| may_send.now())
    }

    /// The server did not take the last token.
    pub(super) fn not_taken(&self) {
        self.acting.lock().refused = true;
    }

    /// What became of that request; forgets it.
    pub(super) fn settle(&self, id: &RequestId) -> Fate {
        self.entries.lock().left.remove(id).unwrap_or_default()
    }

    /// A request is about to leave.
    pub(super) fn leaving(&self, id: RequestId) {
        self.entries.lock().left.insert(id, Fate::Left(None));
    }

    /// What is now known about a request, if somebody still waits for it.
    pub(super) fn found(&self, id: &RequestId, fate: Fate) {
        if let Some(known) = self.entries.lock().left.get_mut(id) {
            *known = fate;
        }
    }

    /// What the server did wrong.
    pub(super) fn fault(&self) -> Option<Failure> {
        self.entries.lock().fault.clone()
    }

    pub(super) fn blame(&self, code: Code, words: impl Into<String>) {
        self.entries.lock().fault.get_or_insert_with(|| Failure::new(code, words));
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.entries.lock().last = Some(failure);
    }

    /// Why the last request that is no call failed; forgets it.
    pub(super) fn last_failure(&self) -> Option<Failure> {
        self.entries.lock().last.take()
    }

    pub(super) fn expire(&self) {
        self.entries.lock().expired = true;
    }

    pub(super) fn is_expired(&self) -> bool {
        self.entries.lock().expired
    }

    pub(super) fn watch(&self, open: bool) {
        self.entries.lock().watched = open;
    }

    pub(super) fn is_watched(&self) -> bool {
        self.entries.lock().watched
    }

    /// The server answered a call: what it says besides counts from here again.
    pub(super) fn answered(&self) {
        let mut entries = self.entries.lock();
        (entries.unasked, entries.resumed) = (0, 0);
    }

    /// Whether the server still answers, rather than only talks.
    pub(super) fn hears(&self) -> bool {
        let mut entries = self.entries.lock();
        entries.unasked += 1;
        entries.unasked <= MAX_UNASKED
    }

    /// Whether a stream may be opened again.
    pub(super) fn may_resume(&self) -> bool {
        let mut entries = self.entries.lock();
        entries.resumed += 1;
        entries.fault.is_none() && entries.resumed <= MAX_RESUMED
    }
}
