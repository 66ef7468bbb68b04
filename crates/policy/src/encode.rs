//! Arguments as Cedar values, by their shape and never by Cedar's JSON: `{"__entity": …}` in an argument is a record like
//! any other. What cannot be said exactly is an error, and the decision denies.

use std::{borrow::Cow, fmt};

use cedar_policy_core::ast::Value;

use crate::{
    json::{self, Members},
    shape::{Field, Fields, Shape},
    value,
    wanted::Wanted,
};

/// Most bytes of a text that a policy reads; a longer one denies.
pub const MAX_TEXT: usize = 64 << 10;
/// Most elements of an array that a policy reads; a longer one denies.
pub const MAX_ELEMENTS: usize = 1_000;

/// A value that Cedar cannot be given: where it stands, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct Unfit {
    /// The place, as policies name it: `context.args.amount`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Unfit {
    fn new(place: &Place<'_>, problem: impl Into<String>) -> Self {
        Self { path: place.to_string(), problem: problem.into() }
    }
}

/// Where a value stands, for errors.
#[derive(Clone, Copy)]
pub(crate) enum Place<'p> {
    Root(&'p str),
    Below(&'p Place<'p>, &'p str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Below(above, name) => write!(f, "{above}.{name}"),
        }
    }
}

/// An object as a record of the attributes that are wanted.
///
/// # Errors
/// A wanted value that cannot be said, an attribute that must be there and is not, a name that stands twice.
pub(crate) fn record(text: &str, fields: &Fields, wanted: &Wanted, place: &Place<'_>) -> Result<Value, Unfit> {
    let members = Members::of(text).map_err(|problem| Unfit::new(place, problem))?;
    let mut pairs = Vec::new();
    for (name, Field { shape, required }) in fields {
        let Some(wanted) = wanted.of(name) else { continue };
        let place = Place::Below(place, name);
        match members.get(name) {
            None | Some("null") if *required => return Err(Unfit::new(&place, "is missing")),
            None | Some("null") => {}
            Some(text) => pairs.push((name.as_str(), value_of(text, shape, wanted, &place)?)),
        }
    }
    Ok(value::record(pairs))
}

fn value_of(text: &str, shape: &Shape, wanted: &Wanted, place: &Place<'_>) -> Result<Value, Unfit> {
    match shape {
        Shape::Bool => match text {
            "true" => Ok(value::plain(true)),
            "false" => Ok(value::plain(false)),
            _ => Err(Unfit::new(place, "is neither true nor false")),
        },
        Shape::Long => {
            json::scaled(text, 0).map(value::plain).ok_or_else(|| Unfit::new(place, "is no whole number of 64 bits"))
        }
        Shape::Decimal => json::scaled(text, json::PLACES)
            .map(value::decimal)
            .ok_or_else(|| Unfit::new(place, "is no number that a decimal of four places can hold")),
        Shape::Text => {
            // A text in JSON is never shorter than what it says.
            if text.len() > 6 * MAX_TEXT {
                return Err(Unfit::new(place, format!("is longer than {MAX_TEXT} bytes")));
            }
            let said: Cow<'_, str> = read_text(text).ok_or_else(|| Unfit::new(place, "is no text"))?;
            if said.len() > MAX_TEXT {
                return Err(Unfit::new(place, format!("is longer than {MAX_TEXT} bytes")));
            }
            Ok(value::plain(&*said))
        }
        Shape::Set(element) => {
            let elements = json::elements(text).map_err(|problem| Unfit::new(place, problem))?;
            if elements.len() > MAX_ELEMENTS {
                return Err(Unfit::new(place, format!("has more than {MAX_ELEMENTS} elements")));
            }
            // Policies compare elements as a whole.
            let values = elements.iter().map(|raw| value_of(raw.get(), element, &Wanted::All, place));
            Ok(value::set(values.collect::<Result<Vec<_>, _>>()?))
        }
        Shape::Record(fields) => record(text, fields, wanted, place),
    }
}

/// A JSON text; borrowed when it has no escapes.
fn read_text(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains(['\\', '"']) {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Whether the arguments hold something that no policy can name.
///
/// # Errors
/// As [`record`].
pub(crate) fn unseen(text: &str, fields: &Fields, place: &Place<'_>) -> Result<bool, Unfit> {
    let members = Members::of(text).map_err(|problem| Unfit::new(place, problem))?;
    for (name, raw) in &members.0 {
        let Some(field) = fields.get(name.as_ref()) else { return Ok(true) };
        if raw.get() != "null" && unseen_in(raw.get(), &field.shape, &Place::Below(place, name))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unseen_in(text: &str, shape: &Shape, place: &Place<'_>) -> Result<bool, Unfit> {
    match shape {
        Shape::Record(fields) => unseen(text, fields, place),
        Shape::Set(element) if matches!(**element, Shape::Record(_) | Shape::Set(_)) => {
            for raw in json::elements(text).map_err(|problem| Unfit::new(place, problem))? {
                if unseen_in(raw.get(), element, place)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}
