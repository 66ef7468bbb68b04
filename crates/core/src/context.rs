//! Working memory: which entries of the conversation the next model call sees.
//!
//! The view is the whole conversation, except that old tool results are cleared once it outgrows the manifest's token
//! budget: their place stays, their text is replaced by [`CLEARED`]. Originals stay in the journal. What was cleared
//! is itself a fact (`ContextCompacted`), so a replay sees what the model saw. Never cleared: what users said, what
//! the model said, errors, notes, and the results of the last turn.

use crate::run::{Entry, EntryKind, State};

/// What the model reads in place of a cleared result.
pub const CLEARED: &str = "[an old result, cleared from view to save space; call the tool again if you need it]";

/// Tokens a cleared result still takes.
const CLEARED_TOKENS: u64 = CLEARED.len() as u64 / 4 + 4;

/// One entry as the model will see it.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// With its text.
    Whole(&'a Entry),
    /// A tool result whose text is cleared.
    Cleared(&'a Entry),
}

impl Seen<'_> {
    /// The entry.
    pub const fn entry(&self) -> &Entry {
        match self {
            Self::Whole(entry) | Self::Cleared(entry) => entry,
        }
    }

    /// Whether its text is cleared.
    pub const fn is_cleared(&self) -> bool {
        matches!(self, Self::Cleared(_))
    }

    /// Tokens it takes in the view, estimated.
    pub fn tokens(&self) -> u64 {
        match self {
            Self::Whole(entry) => entry.tokens(),
            Self::Cleared(_) => CLEARED_TOKENS,
        }
    }
}

/// The model's view of a run's conversation, oldest first.
pub fn view(state: &State) -> impl Iterator<Item = Seen<'_>> {
    let clear_before = state.clear_before as usize;
    state.transcript.iter().enumerate().map(move |(i, entry)| {
        if i < clear_before && clearable(entry) { Seen::Cleared(entry) } else { Seen::Whole(entry) }
    })
}

/// Estimated tokens of the view.
pub(crate) fn view_tokens(state: &State) -> u64 {
    view(state).map(|seen| seen.tokens()).sum()
}

/// Whether an entry's text may be cleared.
fn clearable(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Result { error: false, .. }) && entry.tokens() > CLEARED_TOKENS
}

/// What to clear so that the view fits: the new `clear_before` and the tokens of the view afterwards. `None` when it
/// fits already or nothing more can be cleared.
///
/// Clears down to three quarters of the budget, so that the view's prefix stays the same for many turns.
pub(crate) fn compact(state: &State) -> Option<(u32, u64)> {
    let budget = state.config.context_tokens.saturating_sub(state.config.overhead_tokens);
    if state.view_tokens <= budget {
        return None;
    }
    let target = budget / 4 * 3;
    let after_last_reply = state.transcript.iter().rev().take_while(|e| e.kind != EntryKind::Reply).count();
    let last_reply = state.transcript.len().checked_sub(after_last_reply + 1)?;
    let mut tokens = state.view_tokens;
    let mut before = state.clear_before as usize;
    for (i, entry) in state.transcript.iter().enumerate().take(last_reply).skip(before) {
        if tokens <= target {
            break;
        }
        if clearable(entry) {
            // A sum that an earlier release recorded may have counted less.
            tokens = tokens.saturating_sub(entry.tokens() - CLEARED_TOKENS);
        }
        before = i + 1;
    }
    (before > state.clear_before as usize && tokens < state.view_tokens).then_some((before as u32, tokens))
}
