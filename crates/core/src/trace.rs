//! Traces: where a run stands among the steps of whoever caused it (W3C Trace Context, level 1), and the ids of everything that is told of
//! it. Each id follows from the run, so who tells it again, or elsewhere, tells the same.
//!
//! Not here: what is told of a run (`stead-telemetry`), and to whom.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    fact::Parent,
    id::{Name, RunId},
    ruling::Behalf,
};

/// Bytes of a `tracestate` that is kept; a longer one is dropped (W3C Trace Context, section 3.3.1.5).
pub const STATE_MAX: usize = 512;
/// Members of one.
const STATE_MEMBERS: usize = 32;

/// Text that is no id of a trace or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id of a trace or a span is lower-case hexadecimal, and not all zeros")]
pub struct BadTrace;

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
        #[cbor(transparent)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(#[n(0)] #[cbor(with = "minicbor::bytes")] pub [u8; $n]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = BadTrace;
            fn from_str(text: &str) -> Result<Self, BadTrace> {
                let mut out = [0; $n];
                hex(text.as_bytes(), &mut out).filter(|()| out != [0; $n]).ok_or(BadTrace)?;
                Ok(Self(out))
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadTrace;
            fn try_from(text: String) -> Result<Self, BadTrace> {
                text.parse()
            }
        }
    };
}

hex_id!(
    /// A trace.
    TraceId, 16
);
hex_id!(
    /// A step of a trace.
    SpanId, 8
);

/// Lower-case hexadecimal digits, exactly as many as `out` takes.
fn hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != out.len() * 2 {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *to = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// A step of somebody's trace, as it is handed on: `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace.
    #[n(0)]
    pub trace: TraceId,
    /// The step that asks.
    #[n(1)]
    pub span: SpanId,
    /// Whether it is recorded there (bit 0), as they say.
    #[n(2)]
    pub flags: u8,
    /// What their tools have added, as it came; handed on unchanged.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Name>,
}

impl TraceContext {
    /// Reads the two headers. `None` when `traceparent` is wrong, and then neither counts; a wrong `tracestate` is left out (W3C Trace
    /// Context, sections 3.2 and 3.3).
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let bytes = parent.as_bytes();
        let mut version = [0];
        hex(bytes.get(..2)?, &mut version)?;
        let longer = bytes.len() > 55;
        let known = match version[0] {
            0 => !longer,
            0xff => false,
            // What a later version adds comes behind another dash.
            _ => !longer || bytes[55] == b'-',
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !known || !dashes {
            return None;
        }
        let mut flags = [0];
        hex(bytes.get(53..55)?, &mut flags)?;
        let state = state.map(str::trim).filter(|state| is_state(state)).map(Name::from);
        let (trace, span) = (parent.get(3..35)?.parse().ok()?, parent.get(36..52)?.parse().ok()?);
        Some(Self { trace, span, flags: flags[0], state })
    }

    /// The header `traceparent`, of version 0. Of the flags only the one that is known is handed on.
    pub fn parent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags & 1)
    }
}

fn is_state(text: &str) -> bool {
    let key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
    let member = |member: &str| match member.split_once('=') {
        Some((k, v)) => {
            !k.is_empty() && k.len() <= 256 && k.bytes().all(key) && !v.is_empty() && v.bytes().all(|b| b != b'=')
        }
        None => member.is_empty(),
    };
    let plain = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let members = text.split(',').map(|m| m.trim_matches([' ', '\t']));
    !text.is_empty()
        && text.len() <= STATE_MAX
        && plain
        && members.clone().count() <= STATE_MEMBERS
        && members.clone().all(member)
}

/// What a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The run.
    Run,
    /// An effect, from the reply that asked for it to its end.
    Effect(u32),
    /// An attempt at it, from 1.
    Attempt(u32, u8),
    /// An attempt at a model: the turn and the attempt.
    Model(u32, u32),
    /// The drawing of the run's plan.
    Plan,
    /// A decision of policies: the record, and which fact of it.
    Decision(u64, u16),
    /// A question to people: the record that asked it, and which fact of it.
    Question(u64, u16),
    /// A look at what an effect would do.
    Look(u32),
    /// A pause: the record that began it.
    Pause(u64),
    /// Something that took no time: the record, and which fact of it.
    Moment(u64, u16),
}

impl Step {
    /// The id of its span: the first bytes of `SHA-256("stead/span/v1" || run || kind || two numbers (8 bytes each, big-endian))`.
    pub fn span(self, run: RunId) -> SpanId {
        let (kind, a, b): (u8, u64, u64) = match self {
            Self::Run => (0, 0, 0),
            Self::Effect(n) => (1, n.into(), 0),
            Self::Attempt(n, attempt) => (2, n.into(), attempt.into()),
            Self::Model(turn, attempt) => (3, turn.into(), attempt.into()),
            Self::Plan => (4, 0, 0),
            Self::Decision(seq, n) => (5, seq, n.into()),
            Self::Question(seq, n) => (6, seq, n.into()),
            Self::Look(n) => (7, n.into(), 0),
            Self::Pause(seq) => (8, seq, 0),
            Self::Moment(seq, n) => (9, seq, n.into()),
        };
        let h = Sha256::new().chain_update(b"stead/span/v1").chain_update(run.0.to_be_bytes());
        let h = h.chain_update([kind]).chain_update(a.to_be_bytes()).chain_update(b.to_be_bytes()).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&h[..8]);
        // All zeros is no id; once in 2^64.
        id[7] |= u8::from(id == [0; 8]);
        SpanId(id)
    }
}

/// Where a run stands in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The trace: that of whoever asked for the first run of its chain, or one that follows from that run.
    pub trace: TraceId,
    /// The step above the run, when there is one.
    pub above: Option<SpanId>,
    /// Whether that step is somebody else's.
    pub remote: bool,
    /// What their tools have added.
    pub state: Option<Name>,
    /// Whether it is to be recorded, as they say.
    pub flags: u8,
}

impl Place {
    /// Where a run stands.
    pub fn of(run: RunId, parent: Option<Parent>, behalf: &Behalf) -> Self {
        let root = behalf.above.first().map(|above| above.run).or(parent.map(|parent| parent.run)).unwrap_or(run);
        let joined = behalf.trace.as_deref();
        let within = parent.map(|parent| Step::Effect(parent.effect).span(parent.run));
        Self {
            trace: joined.map_or_else(|| own(root), |joined| joined.trace),
            above: within.or(joined.map(|joined| joined.span)),
            remote: within.is_none() && joined.is_some(),
            state: joined.and_then(|joined| joined.state.clone()),
            flags: joined.map_or(1, |joined| joined.flags),
        }
    }

    /// The same place, as it is handed on by a step of the run.
    pub fn context(&self, run: RunId, step: Step) -> TraceContext {
        TraceContext { trace: self.trace, span: step.span(run), flags: self.flags, state: self.state.clone() }
    }
}

/// The trace of a run that nobody's trace asked for: the first bytes of `SHA-256("stead/trace/v1" || run)`.
fn own(root: RunId) -> TraceId {
    let h = Sha256::new().chain_update(b"stead/trace/v1").chain_update(root.0.to_be_bytes()).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&h[..16]);
    id[15] |= u8::from(id == [0; 16]);
    TraceId(id)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_as_the_specification_says_and_written_as_it_came() {
        let read = TraceContext::parse(GOOD, Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")).unwrap();
        assert_eq!(read.parent(), GOOD);
        assert_eq!(read.state.as_deref(), Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
        // A later version may be longer, and what it adds is not handed on.
        let later = TraceContext::parse(&format!("cc{}-what-the-future-brings", &GOOD[2..]), None).unwrap();
        assert_eq!(later.parent(), GOOD);
    }

    #[test]
    fn what_is_no_context_is_none() {
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-x");
        let later = format!("cc{}.x", &GOOD[2..]);
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &longer,
            &later,
            &upper,
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad:?}");
        }
        let long = format!("a={}", "x".repeat(STATE_MAX));
        for bad in ["", "a", "A=1", "a=1\r\nb: 2", "=x", &long, &"a=1,".repeat(40)] {
            assert_eq!(TraceContext::parse(GOOD, Some(bad)).unwrap().state, None, "{bad:?}");
        }
    }

    #[test]
    fn each_step_of_each_run_has_an_id_of_its_own_and_always_the_same() {
        let (one, two) = (RunId(1), RunId(2));
        let steps = [
            Step::Run,
            Step::Effect(1),
            Step::Effect(2),
            Step::Attempt(1, 1),
            Step::Model(1, 1),
            Step::Model(1, 2),
            Step::Plan,
            Step::Decision(1, 0),
            Step::Question(1, 0),
            Step::Look(1),
            Step::Pause(1),
            Step::Moment(1, 0),
        ];
        let ids: std::collections::BTreeSet<_> =
            steps.iter().flat_map(|step| [step.span(one), step.span(two)]).collect();
        assert_eq!(ids.len(), steps.len() * 2);
        // Written down: what somebody's tools keep must be found again by a later release.
        assert_eq!(Step::Effect(1).span(one).to_string(), "d556cb2210d525cf");
        let place = Place::of(one, None, &Behalf::default());
        assert_eq!(place.trace.to_string(), "2af23fc658083ed52c947478c4e652b7");
        let child = Place::of(two, Some(Parent { run: one, effect: 3 }), &Behalf::default());
        assert_eq!((child.trace, child.above), (place.trace, Some(Step::Effect(3).span(one))));
        let joined = TraceContext::parse(GOOD, None).map(Box::new);
        let place = Place::of(one, None, &Behalf { trace: joined, ..Behalf::default() });
        assert_eq!(place.context(one, Step::Run).trace.to_string(), &GOOD[3..35]);
        assert_eq!(place.above.unwrap().to_string(), &GOOD[36..52]);
    }
}
