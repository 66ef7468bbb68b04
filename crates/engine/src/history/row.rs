//! What is kept of counters: rows that go with appends, and from time to time the counters themselves, in place of the rows.
//! Of values only keyed digests are kept.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use stead_core::{effect::Ended, id::RunId, time::Timestamp};
use stead_policy::{Happened, Kept, Mark};

/// Whether rows and counters are written as this release reads them.
const FORMAT: u32 = 1;

/// What an event is told apart by: the run, the effect, and whether it was let go or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EventId(pub(super) RunId, pub(super) u32, pub(super) u8);

impl EventId {
    pub(super) const fn new(run: RunId, effect: u32, happened: Happened) -> Self {
        let kind = match happened {
            Happened::Sent { .. } => 0,
            Happened::Ended(ended) => match ended {
                Ended::Returned => 1,
                Ended::Refused => 2,
                Ended::NotSent => 3,
                Ended::Unknown => 4,
                Ended::Withdrawn => 5,
                Ended::Denied => 6,
            },
        };
        Self(run, effect, kind)
    }
}

/// A mark with its counter and its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: EventId,
    pub(super) counter: u64,
    pub(super) scope: String,
    pub(super) at: Timestamp,
    pub(super) mark: Mark,
}

/// What one append adds.
#[derive(Clone, Debug, Encode, Decode)]
struct Row {
    #[n(0)]
    format: u32,
    #[n(1)]
    run: RunId,
    #[n(2)]
    at: Timestamp,
    /// Whether the run has ended: counters of it alone are asked no more.
    #[n(3)]
    ended: bool,
    #[n(4)]
    marks: Vec<RowMark>,
}

#[derive(Clone, Debug, Encode, Decode)]
struct RowMark {
    #[n(0)]
    effect: u32,
    #[n(1)]
    kind: u8,
    #[n(2)]
    counter: u64,
    #[n(3)]
    scope: String,
    #[n(4)]
    mark: Mark,
}

/// A row, for an append of a run.
pub(super) fn encode(run: RunId, at: Timestamp, ended: bool, marks: &[Placed]) -> Bytes {
    let mark =
        |p: &Placed| RowMark { effect: p.id.1, kind: p.id.2, counter: p.counter, scope: p.scope.clone(), mark: p.mark };
    let row = Row { format: FORMAT, run, at, ended, marks: marks.iter().map(mark).collect() };
    minicbor::to_vec(row).unwrap_or_default().into()
}

/// What a row says: the run, when it has ended with it, and the marks.
pub(super) fn decode(body: &[u8]) -> Result<(Option<RunId>, Vec<Placed>), String> {
    let row: Row = minicbor::decode(body).map_err(|e| e.to_string())?;
    let Row { format, run, at, ended, marks } = row;
    if format != FORMAT {
        return Err(format!("its format {format} is not known"));
    }
    let placed = |RowMark { effect, kind, counter, scope, mark }| Placed {
        id: EventId(run, effect, kind),
        counter,
        scope,
        at,
        mark,
    };
    Ok((ended.then_some(run), marks.into_iter().map(placed).collect()))
}

/// The counters of a tenant as they are kept.
#[derive(Clone, Debug, Default, Encode, Decode)]
pub(super) struct KeptBook {
    #[n(0)]
    format: u32,
    #[n(1)]
    pub(super) counters: Vec<KeptCounter>,
}

/// One of them: it has what rows up to `upto` say.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct KeptCounter {
    #[n(0)]
    pub(super) upto: u64,
    #[n(1)]
    pub(super) tally: Kept,
}

impl KeptBook {
    pub(super) const fn new(counters: Vec<KeptCounter>) -> Self {
        Self { format: FORMAT, counters }
    }

    pub(super) fn encode(&self) -> Bytes {
        minicbor::to_vec(self).unwrap_or_default().into()
    }

    /// `None` when it is not this release's, or damaged: then the journals are read again.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        minicbor::decode(body).ok().filter(|kept: &Self| kept.format == FORMAT)
    }
}
