//! What a model is told of the operations.

use std::sync::Arc;

use serde_json::{Value, json};
use stead_core::{effect::EffectClass, message::ToolDef, sandbox::Access};
use stead_tools::{
    config::FilesConfig,
    error::ToolSetupError,
    offer::{Offered, full_name},
};

use super::{FilesTool, Operation, look, search};
use crate::workshop::Workshop;

/// Bytes of a path.
const PATH: usize = 4095;
/// Bytes of a text that is written.
const TEXT: usize = 512 << 10;

impl Workshop {
    /// The operations on the workspace's files: those that read are `pure`, those that write `contained`.
    ///
    /// # Errors
    /// An `only` that names an operation that there is not, or one that writes where nothing may be written (`ST0103`).
    pub fn files(&self, tool: &str, config: &FilesConfig) -> Result<Vec<Offered>, ToolSetupError> {
        let fail = |why: String| ToolSetupError::value(format!("{tool}: {why}"));
        let may = |op: &Operation| match config.workspace {
            Access::None => false,
            Access::Read => !op.writes(),
            Access::Write => true,
        };
        if config.workspace == Access::None {
            return Err(fail(
                "`workspace` must be `ro` or `rw`: there is nothing else that this tool could look at".into(),
            ));
        }
        let names = || Operation::ALL.iter().filter(|op| may(op)).map(|op| op.name());
        for name in config.only.iter().flatten() {
            if !names().any(|n| n == name) {
                let list = names().collect::<Vec<_>>().join(", ");
                return Err(fail(format!("`only` names `{name}`, and with this `workspace` there are {list}")));
            }
        }
        let wanted = |op: &Operation| config.only.as_ref().is_none_or(|only| only.iter().any(|n| n == op.name()));
        let offered = Operation::ALL.into_iter().filter(|op| may(op) && wanted(op)).map(|op| Offered {
            operation: op.name().into(),
            def: ToolDef { name: full_name(tool, op.name()), description: description(op), schema: schema(op) },
            tool: Arc::new(FilesTool { work: self.0.workspaces.clone(), op }),
            default_class: if op.writes() { EffectClass::Contained } else { EffectClass::Pure },
            reconciles: false,
        });
        Ok(offered.collect())
    }
}

fn description(op: Operation) -> String {
    match op {
        Operation::List => format!(
            "Lists a directory of the workspace: each name with its size, directories with `/`. At most {} entries.",
            look::ENTRIES
        ),
        Operation::Read => format!(
            "Reads a text file of the workspace, by default its first {} lines. `offset` is the first line to read, \
             counting from 1.",
            look::LINES
        ),
        Operation::Search => format!(
            "Searches the text files below a path of the workspace, line by line, and gives each line that matches as \
             `path:number: line`. At most {} lines; files above {} MiB are left out.",
            search::MATCHES,
            search::FILE >> 20
        ),
        Operation::Write => {
            "Writes a text file to the workspace, in the place of one that is there, and makes the directories on the way. To \
             change a part of a long file, use edit."
                .into()
        }
        Operation::Edit => {
            "Replaces a piece of text in a file of the workspace by another. `old` must be in the file exactly once, every \
             space and line end as it is: give enough of its surroundings."
                .into()
        }
        Operation::Move => "Moves or renames a file of the workspace. Nothing may be at the new path.".into(),
        Operation::Remove => "Removes a file of the workspace, or a directory with all that is in it.".into(),
    }
}

fn schema(op: Operation) -> Value {
    let path = |about: &str| json!({"type": "string", "maxLength": PATH, "description": about});
    let text = |about: &str| json!({"type": "string", "maxLength": TEXT, "description": about});
    let number =
        |most: u64, about: &str| json!({"type": "integer", "minimum": 1, "maximum": most, "description": about});
    let file = || path("The path from the top of the workspace, as `src/main.py`.");
    let (properties, required) = match op {
        Operation::List => (
            json!({
                "path": path("The directory; the top when left out."),
                "recursive": {"type": "boolean", "description": "Whether to list what is below it too."}
            }),
            json!([]),
        ),
        Operation::Read => (
            json!({
                "path": file(),
                "offset": number(u64::from(u32::MAX), "The first line; 1 when left out."),
                "limit": number(look::LINES as u64, "How many lines.")
            }),
            json!(["path"]),
        ),
        Operation::Search => (
            json!({
                "pattern": {"type": "string", "minLength": 1, "maxLength": search::PATTERN, "description": "What to search for."},
                "regex": {"type": "boolean", "description": "Whether the pattern is a regular expression (Rust's syntax)."},
                "path": path("Where to search; everywhere when left out.")
            }),
            json!(["pattern"]),
        ),
        Operation::Write => {
            (json!({"path": file(), "content": text("The whole content.")}), json!(["path", "content"]))
        }
        Operation::Edit => (
            json!({"path": file(), "old": text("The text to replace."), "new": text("What stands there instead.")}),
            json!(["path", "old", "new"]),
        ),
        Operation::Move => (json!({"path": file(), "to": path("The new path.")}), json!(["path", "to"])),
        Operation::Remove => (json!({"path": file()}), json!(["path"])),
    };
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}
