//! Arguments on their way back to a provider.

use std::borrow::Cow;

use serde_json::{json, value::RawValue};

/// The arguments as the model wrote them: an object's text, or what a JSON string wraps (see
/// [`Draft`](super::Draft)).
pub(crate) fn unquoted(arguments: &RawValue) -> Cow<'_, str> {
    match serde_json::from_str::<String>(arguments.get()) {
        Ok(text) => text.into(),
        Err(_) => arguments.get().into(),
    }
}

/// The exact bytes of an object; what is none, wrapped in one, for providers that take nothing else.
pub(crate) fn as_object(arguments: &RawValue) -> Cow<'_, RawValue> {
    if arguments.get().starts_with('{') {
        return Cow::Borrowed(arguments);
    }
    let wrapped = json!({ "INVALID_JSON": unquoted(arguments) });
    Cow::Owned(serde_json::value::to_raw_value(&wrapped).expect("a JSON value is always written"))
}
