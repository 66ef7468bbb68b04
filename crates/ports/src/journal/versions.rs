//! The words for agent versions, and for the names (`live`, `canary`, …) that move from one version to another.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_core::{
    id::{Name, VersionId},
    time::Timestamp,
};

/// The alias that new runs use when nobody names another.
pub const LIVE: &str = "live";
/// Most aliases of one agent.
pub const MAX_ALIASES: u32 = 100;

/// A stored agent version.
#[derive(Clone, Debug)]
pub struct VersionRow {
    /// The tenant.
    pub tenant: Name,
    /// The agent's name.
    pub agent: Name,
    /// The version.
    pub version: VersionId,
    /// The bundle (manifest, files, pinned tools), as the wiring encodes it.
    pub body: Bytes,
    /// When it was first applied.
    pub created: Timestamp,
    /// Whether new runs use it.
    pub live: bool,
}

/// Why an alias moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovedBy {
    /// A version was applied.
    Apply,
    /// Somebody set or removed it.
    Set,
    /// Somebody took it back to a version that it had named before.
    Rollback,
}

impl MovedBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Apply, Self::Set, Self::Rollback];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Set => "set",
            Self::Rollback => "rollback",
        }
    }

    /// The word that stores keep of a step with this reason.
    pub const fn kept(self, step: Step) -> &'static str {
        match (step, self) {
            (Step::Moved, _) => self.as_str(),
            (Step::Proposed, Self::Apply) => "propose apply",
            (Step::Proposed, Self::Set) => "propose set",
            (Step::Proposed, Self::Rollback) => "propose rollback",
            (Step::Confirmed, Self::Apply) => "confirm apply",
            (Step::Confirmed, Self::Set) => "confirm set",
            (Step::Confirmed, Self::Rollback) => "confirm rollback",
        }
    }

    /// The reason and the step of a kept word.
    pub fn parse(word: &str) -> Option<(Self, Step)> {
        let steps = [Step::Moved, Step::Proposed, Step::Confirmed];
        let all = Self::ALL.into_iter().flat_map(|why| steps.into_iter().map(move |step| (why, step)));
        all.into_iter().find(|(why, step)| why.kept(*step) == word)
    }
}

/// Whether an alias moves at once, or takes two people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It moves.
    #[default]
    Moved,
    /// Somebody proposes that it moves. It does not, and the history says so.
    Proposed,
    /// Somebody else confirms what was proposed since it moved last, and it moves, for the reason of the proposal.
    Confirmed,
}

impl Step {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Proposed => "proposed",
            Self::Confirmed => "confirmed",
        }
    }
}

/// An alias is to name another version, or none.
#[derive(Clone, Debug)]
pub struct AliasMove {
    /// The tenant.
    pub tenant: Name,
    /// The agent's name.
    pub agent: Name,
    /// The alias.
    pub alias: Name,
    /// What it names from now on; `None` removes it.
    pub to: Option<VersionId>,
    /// Refuse unless it names this now (`Some(None)`: unless it does not exist).
    pub expect: Option<Option<VersionId>>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Name,
    /// Why. Of a confirmation the proposal's counts.
    pub why: MovedBy,
    /// Whether it moves.
    pub step: Step,
}

/// What became of an [`AliasMove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasMoved {
    /// It was moved, and the history says so.
    Done,
    /// It named that version already; nothing was written.
    Same,
    /// It names this now and not what was expected; nothing was written.
    Elsewhere(Option<VersionId>),
    /// The version is not one of the agent's; nothing was written.
    NoVersion,
    /// It does not exist, and the agent has [`MAX_ALIASES`] others; nothing was written.
    TooMany,
    /// It is proposed, and names what it named before.
    Proposed,
    /// Nobody has proposed that since it moved last; nothing was written.
    NotProposed,
    /// Nobody else has proposed that; nothing was written.
    Own,
}

/// A line of an agent's history: an alias moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasEvent {
    /// The alias.
    pub alias: Name,
    /// What it named before; `None` when it was made.
    pub was: Option<VersionId>,
    /// What it names since; `None` when it was removed.
    pub version: Option<VersionId>,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Name,
    /// Why.
    pub why: MovedBy,
    /// Whether it moved.
    pub step: Step,
}

/// An alias as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasRow {
    /// The alias.
    pub alias: Name,
    /// What it names.
    pub version: VersionId,
}
