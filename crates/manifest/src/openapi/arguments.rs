//! The arguments of an operation: one object for the model, whatever place of the request each goes to.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// Longest name of an argument that providers take.
const MAX_NAME: usize = 60;

/// The object under construction.
#[derive(Default)]
pub(super) struct Arguments {
    properties: Map<String, Json>,
    required: Vec<String>,
    taken: BTreeSet<String>,
}

impl Arguments {
    /// Adds an argument, and says how it is called: as on the wire, unless another has that name already or providers
    /// do not take it. `place` tells the later of two apart.
    pub(super) fn add(&mut self, name: &str, place: &str, schema: Json, required: bool) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let mut stem: String = name.chars().take(MAX_NAME - 12).map(plain).collect();
        if stem.is_empty() {
            stem.push('_');
        }
        let mut argument = stem.clone();
        if self.taken.contains(&argument) {
            argument = format!("{stem}_{place}");
        }
        let mut n = 2;
        while self.taken.contains(&argument) {
            argument = format!("{stem}_{place}_{n}");
            n += 1;
        }
        self.taken.insert(argument.clone());
        self.properties.insert(argument.clone(), schema);
        if required {
            self.required.push(argument.clone());
        }
        argument
    }

    /// The schema of the object.
    pub(super) fn schema(self, defs: Map<String, Json>) -> Json {
        let mut schema = json!({
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        });
        if let (Json::Object(map), false) = (&mut schema, defs.is_empty()) {
            map.insert("$defs".into(), defs.into());
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_their_place() {
        let mut arguments = Arguments::default();
        let mut add = |name: &str, place: &str| arguments.add(name, place, Json::Bool(true), true);
        assert_eq!(add("id", "path"), "id");
        assert_eq!(add("id", "query"), "id_query");
        assert_eq!(add("id", "body"), "id_body");
        assert_eq!(add("id", "body"), "id_body_2");
        assert_eq!(add("$top.n", "query"), "_top_n");
        assert_eq!(add("", "query"), "_");
        assert!(add(&"x".repeat(200), "query").len() <= MAX_NAME);
        assert_eq!(arguments.schema(Map::new())["required"].as_array().map(Vec::len), Some(7));
    }
}
