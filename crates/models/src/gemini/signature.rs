//! A thought signature as a reasoning item. It precedes the part that it belongs to; one that came without a part stands
//! alone, as an empty text.

use serde::{Deserialize, Serialize};

/// The item.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signature {
    /// What the provider signed, as it came.
    pub(super) thought_signature: String,
    /// Whether it came without a part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) alone: bool,
}

impl Signature {
    pub(super) fn into_item(self) -> String {
        serde_json::to_string(&self).expect("a string is always written")
    }

    pub(super) fn of_item(item: &str) -> Option<Self> {
        serde_json::from_str(item).ok()
    }
}
