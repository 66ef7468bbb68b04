//! What the wrapped server lists, as the door needs it: names, schemas, hints. Asked for by the door itself, so that a
//! call is checked even if the client never asked.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Most tools of a server.
const MAX_TOOLS: usize = 1_024;
/// Most pages of its list.
pub(super) const MAX_PAGES: usize = 64;

/// A tool as the server lists it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) input_schema: Value,
    #[serde(default)]
    pub(super) annotations: Hints,
}

/// What a server says of its tool's behaviour (MCP, "Tools", "Tool annotations"): its word, nothing more.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints {
    #[serde(default)]
    pub(super) read_only_hint: Option<bool>,
}

/// One page of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Listed>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// A list that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading(Vec<Listed>);

impl Reading {
    /// Takes a page; gives the cursor of the next, if there is one.
    pub(super) fn page(&mut self, result: &str) -> Result<Option<String>, String> {
        let page: Page = serde_json::from_str(result).map_err(|e| format!("its list of tools makes no sense: {e}"))?;
        self.0.extend(page.tools);
        if self.0.len() > MAX_TOOLS {
            return Err(format!("it lists more than {MAX_TOOLS} tools"));
        }
        Ok(page.next_cursor)
    }

    /// The whole list.
    pub(super) fn end(self) -> Result<Arc<[Listed]>, String> {
        let mut names = BTreeSet::new();
        match self.0.iter().find(|tool| !names.insert(tool.name.as_str())) {
            Some(twice) => {
                Err(format!("it lists the tool `{}` twice", twice.name.chars().take(100).collect::<String>()))
            }
            None => Ok(self.0.into()),
        }
    }
}

/// The parameters of the door's own request: the place in the list, and what the call that needs it says of its
/// protocol (MCP 2026-07-28: every request names its version in `_meta`).
pub(super) fn list_params(cursor: Option<&str>, meta: Option<&RawValue>) -> Value {
    let mut params = serde_json::Map::new();
    if let Some(cursor) = cursor {
        params.insert("cursor".into(), cursor.into());
    }
    if let Some(Ok(Value::Object(mut meta))) = meta.map(|meta| serde_json::from_str(meta.get())) {
        // Progress of the list is nobody's.
        meta.remove("progressToken");
        if !meta.is_empty() {
            params.insert("_meta".into(), meta.into());
        }
    }
    Value::Object(params)
}
