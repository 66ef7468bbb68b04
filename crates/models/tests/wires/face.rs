//! What the suite needs to know of a wire: how its provider frames a reply.

use serde_json::Value;
use stead_core::budget::Usage;
use stead_models::{settings::Settings, wire::Bounds};
use stead_ports::model::Model;

/// How a reply ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Done,
    Calls,
    Length,
    Filtered,
}

/// A wire, as its provider speaks it.
pub(crate) trait Face: Send + Sync {
    /// A model of that name behind the wire.
    fn model(&self, url: &str, name: &str, settings: Settings, bounds: Bounds) -> Box<dyn Model>;

    /// Frames before anything is said.
    fn begin(&self) -> Vec<String>;

    /// Frames of the item with that number: text, in pieces.
    fn text(&self, at: usize, pieces: &[&str]) -> Vec<String>;

    /// Frames of the item with that number: a call whose arguments' text comes in pieces, or as a whole where the wire
    /// has none.
    fn call(&self, at: usize, id: &str, name: &str, pieces: &[&str]) -> Vec<String>;

    /// Frames of the item with that number: reasoning, and the bytes that must go back. `None` where the wire has none.
    fn reasoning(&self, at: usize) -> Option<(Vec<String>, String)>;

    /// Frames of the end, with [`Face::usage`].
    fn end(&self, end: End) -> Vec<String>;

    /// What the provider counts at the end.
    fn usage(&self) -> Usage;

    /// A frame that says, in mid-stream, that the provider is overloaded.
    fn overloaded(&self) -> String;

    /// Frames that make no sense on this wire, though each is JSON.
    fn nonsense(&self) -> Vec<String>;

    /// Where the request says how the answer must look, when it says so natively.
    fn schema_at(&self) -> &'static str;

    /// How a schema looks there.
    fn schema_sent(&self, schema: &Value) -> Value;

    /// Whether arguments come in pieces.
    fn has_pieces(&self) -> bool {
        true
    }
}

/// Frames as an event stream.
pub(crate) fn sse(frames: &[String]) -> String {
    frames.iter().map(|f| format!("data: {f}\n\n")).collect()
}

/// A whole reply of that one text.
pub(crate) fn says(face: &dyn Face, pieces: &[&str]) -> Vec<String> {
    [face.begin(), face.text(0, pieces), face.end(End::Done)].concat()
}

/// JSON text of a string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
