//! What an adapter hands to the wiring, which joins it with the manifest's rules into a
//! [`stead_ports::agent::BoundTool`].

use std::{collections::HashSet, fmt, sync::Arc};

use stead_core::{effect::EffectClass, message::ToolDef};
use stead_ports::tool::Tool;

/// One operation that an adapter offers.
#[derive(Clone)]
pub struct Offered {
    /// The operation, as the manifest names it under `effects`; unique within the tool.
    pub operation: String,
    /// Name, description and argument schema, as the model sees them.
    pub def: ToolDef,
    /// What performs it.
    pub tool: Arc<dyn Tool>,
    /// Its effect class when the manifest declares none.
    pub default_class: EffectClass,
    /// Whether the adapter can ask the destination if an effect happened.
    pub reconciles: bool,
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered")
            .field("operation", &self.operation)
            .field("name", &self.def.name)
            .field("default_class", &self.default_class)
            .finish_non_exhaustive()
    }
}

/// The usual ending of a file of that media type.
pub(crate) fn ending(media: &str) -> &'static str {
    match media {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/svg+xml" => "svg",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mpeg" => "mp3",
        "audio/ogg" => "ogg",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/gzip" => "gz",
        "application/json" => "json",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/plain" => "txt",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        _ => "bin",
    }
}

/// Longest tool name that model providers take.
pub const MAX_NAME: usize = 64;

/// The model's name of an operation, `<tool>_<operation>`: every character outside `[a-zA-Z0-9_-]` becomes `_`, and the
/// result is cut to [`MAX_NAME`].
pub fn full_name(tool: &str, operation: &str) -> String {
    lone_name(&format!("{tool}_{operation}"))
}

/// The model's name of a tool with one operation: its own, made fit in the same way.
pub fn lone_name(tool: &str) -> String {
    let mut name: String =
        tool.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect();
    // Only ASCII is left, so any cut is a character boundary.
    name.truncate(MAX_NAME);
    name
}

/// A name that no earlier tool has: foreign names may become equal when they are made fit for models.
pub(crate) fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.clone();
    let mut n = 2;
    while !taken.insert(candidate.clone()) {
        let suffix = format!("_{n}");
        let stem = name.len().min(MAX_NAME - suffix.len());
        candidate = format!("{}{suffix}", &name[..stem]);
        n += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_what_providers_take() {
        assert_eq!(full_name("orders", "query"), "orders_query");
        assert_eq!(full_name("files", "read.text/é"), "files_read_text__");
        assert_eq!(full_name("t", &"x".repeat(200)).len(), MAX_NAME);
    }

    #[test]
    fn names_that_become_equal_are_told_apart() {
        let mut taken = HashSet::new();
        let names: Vec<_> = ["a.b", "a/b", "a_b"].iter().map(|op| unique(full_name("t", op), &mut taken)).collect();
        assert_eq!(names, ["t_a_b", "t_a_b_2", "t_a_b_3"]);
        let long = "x".repeat(80);
        assert_eq!(unique(full_name("t", &long), &mut taken).len(), MAX_NAME);
        assert_eq!(unique(full_name("t", &long), &mut taken).len(), MAX_NAME);
    }
}
