//! Values as Cedar's evaluator has them, made without its parser and without an expression that would be evaluated first.

use std::sync::{Arc, LazyLock};

use cedar_policy_core::{
    ast::{Context, Literal, Name, PartialValue, Value, ValueKind},
    extensions::Extensions,
};
use stead_core::time::Timestamp;

use crate::{gate::Approver, json::decimal_text};

/// The functions of Cedar that make the two types which are no literals.
static DECIMAL: LazyLock<Name> = LazyLock::new(|| "decimal".parse().expect("an identifier"));
static DATETIME: LazyLock<Name> = LazyLock::new(|| "datetime".parse().expect("an identifier"));

/// A `Bool`, a `Long`, a `String` or an entity.
pub(crate) fn plain(literal: impl Into<Literal>) -> Value {
    literal.into().into()
}

/// A `decimal` from its ten-thousandths.
pub(crate) fn decimal(ten_thousandths: i64) -> Value {
    made(&DECIMAL, &decimal_text(ten_thousandths))
}

/// A `datetime`, to the millisecond.
pub(crate) fn datetime(at: Timestamp) -> Value {
    made(&DATETIME, &crate::datetime::text(at))
}

/// A set: order and repetitions say nothing.
pub(crate) fn set(elements: impl IntoIterator<Item = Value>) -> Value {
    Value::set(elements, None)
}

/// A record; its names are different ones.
pub(crate) fn record<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::record(fields, None)
}

/// A record as the context of a request.
pub(crate) fn context<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Context {
    match record(fields).value {
        ValueKind::Record(fields) => Context::Value(fields),
        _ => Context::empty(),
    }
}

/// An entity of a type.
pub(crate) fn entity(kind: &str, id: &str) -> Value {
    plain(Arc::new(crate::entity::uid(kind, id).as_ref().clone()))
}

/// The entity of an approver.
pub(crate) fn approver(approver: &Approver) -> Value {
    match approver {
        Approver::User(name) => entity("User", name),
        Approver::Role(name) => entity("Role", name),
    }
}

fn made(function: &Name, text: &str) -> Value {
    let function =
        Extensions::all_available().func(function).expect("the features of Cedar are those of the workspace");
    match function.call(&[plain(text)]).expect("the text is written as Cedar reads it") {
        PartialValue::Value(value) => value,
        PartialValue::Residual(_) => unreachable!("a text is known"),
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::EvalResult;

    use super::*;

    /// Every number and every time can be said, the ends of their ranges too.
    #[test]
    fn decimals_and_times_are_said_up_to_the_ends_of_their_ranges() {
        for n in [0, 1, -1, 12_300, -9_999, i64::MAX, i64::MIN] {
            let said = EvalResult::from(decimal(n)).to_string();
            assert_eq!(said, format!("decimal(\"{}\")", decimal_text(n)));
        }
        for micros in [0, -1, 1_709_164_800_123_456, i64::MAX, i64::MIN] {
            let said = EvalResult::from(datetime(Timestamp(micros))).to_string();
            assert!(said.contains("datetime(\""), "{said}");
        }
    }
}
