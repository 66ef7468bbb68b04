//! What an event is to a counter: one call more, an amount, a value, an end. It has all that a counter remembers of it, so that
//! whoever keeps marks needs no arguments to fold them again.

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use stead_core::effect::Ended;

use super::{
    counter::{Counter, Measure, When},
    fold::{Event, Happened},
};
use crate::json::{self, Members, decimal_text, scaled};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Mark {
    /// A call, with what it adds to a sum.
    #[n(0)]
    Call(#[n(0)] i64),
    /// The digest of a value.
    #[n(1)]
    Value(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        [u8; 16],
    ),
    /// A value that cannot be read any more.
    #[n(2)]
    Unknown,
    /// How a call ended.
    #[n(3)]
    Ended(#[n(0)] Ended),
}

impl Counter {
    /// What an event is to this counter; `None` when it does not count.
    pub fn mark(&self, event: &Event<'_>) -> Option<Mark> {
        if !self.counts(event) {
            return None;
        }
        match (&self.measure, event.happened, event.arguments) {
            (Measure::Count, ..) => Some(Mark::Call(0)),
            // What cannot be read adds all there is.
            (Measure::Sum { .. }, _, None) => Some(Mark::Call(i64::MAX)),
            (Measure::Sum { argument, decimal }, _, Some(arguments)) => {
                Some(Mark::Call(amount_at(arguments, argument, *decimal)))
            }
            (Measure::Seen { .. }, _, None) => Some(Mark::Unknown),
            (Measure::Seen { argument }, _, Some(arguments)) => value_at(arguments, argument).map(Mark::Value),
            (Measure::Last, Happened::Ended(ended), _) => Some(Mark::Ended(ended)),
            (Measure::Last, ..) => None,
        }
    }

    /// The digest of the value that a `seen` asks about, of a call with these arguments.
    pub fn value(&self, arguments: &str) -> Option<[u8; 16]> {
        match &self.measure {
            Measure::Seen { argument } => value_at(arguments, argument),
            _ => None,
        }
    }

    fn counts(&self, event: &Event<'_>) -> bool {
        let happened = match (&self.measure, event.happened) {
            (Measure::Last, happened) => matches!(happened, Happened::Ended(_)),
            (_, Happened::Sent { approved }) => self.when == When::Sent || (self.when == When::Approved && approved),
            (_, Happened::Ended(Ended::Returned)) => self.when == When::Returned,
            (_, Happened::Ended(Ended::Denied)) => self.when == When::Denied,
            (_, Happened::Ended(_)) => false,
        };
        happened && (self.tools.is_empty() || self.tools.iter().any(|tool| tool == event.tool))
    }
}

/// The text of an argument.
fn text_at<'a>(arguments: &'a str, path: &[String]) -> Option<&'a str> {
    let mut text = arguments;
    for name in path {
        text = Members::of(text).ok()?.get(name)?;
    }
    Some(text)
}

/// What a call adds to a sum: what is left out or negative adds nothing, what cannot be read adds all there is.
fn amount_at(arguments: &str, path: &[String], decimal: bool) -> i64 {
    match text_at(arguments, path) {
        None | Some("null") => 0,
        Some(text) => scaled(text, if decimal { json::PLACES } else { 0 }).map_or(i64::MAX, |amount| amount.max(0)),
    }
}

/// A digest of an argument by what it says, not by how it is written.
fn value_at(arguments: &str, path: &[String]) -> Option<[u8; 16]> {
    let text = text_at(arguments, path)?;
    let said = match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(|said| format!("\"{said}"))?,
        b't' | b'f' => text.to_owned(),
        b'-' | b'0'..=b'9' => decimal_text(scaled(text, json::PLACES)?),
        _ => return None,
    };
    Sha256::digest(said.as_bytes())[..16].try_into().ok()
}
