//! `stead policy diff`.

use std::path::Path;

use serde_json::{Value, json};
use stead_policy::{Change, Policies};

use super::folder::{self, Files};
use crate::{
    cli::Global,
    error::Outcome,
    exit::Exit,
    ui::{self, term::clean},
};

pub(super) fn run(global: &Global, before: &Path, after: &Path) -> Outcome {
    let (before, after) = (applied(before)?, applied(after)?);
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(problems), _) | (_, Err(problems)) => {
            folder::refused(global.json, &problems)?;
            return Ok(Exit::Failed);
        }
    };
    let changes = stead_policy::diff(&before, &after);
    if global.json {
        ui::json(&changes.iter().map(for_programs).collect::<Vec<_>>())?;
    } else {
        let told: String = changes.iter().map(|change| format!("{}\n", lines(&change.to_string()))).collect();
        ui::text(if told.is_empty() { "no difference\n" } else { &told })?;
    }
    Ok(Exit::Ok)
}

/// The default policy is in neither: it is the same in both.
fn applied(dir: &Path) -> Outcome<Result<Policies, folder::Refused>> {
    Ok(Files::read(dir)?.apply(false))
}

fn lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn for_programs(change: &Change) -> Value {
    match change {
        Change::Added { policy, text } => json!({ "change": "added", "policy": policy, "after": text }),
        Change::Removed { policy, text } => json!({ "change": "removed", "policy": policy, "before": text }),
        Change::Changed { policy, before, after } => {
            json!({ "change": "changed", "policy": policy, "before": before, "after": after })
        }
        Change::Counter(name) => json!({ "change": "counter", "counter": name }),
    }
}
