//! `stead policy check`.

use serde_json::json;

use super::{Folder, folder};
use crate::{cli::Global, error::Outcome, exit::Exit, ui};

pub(super) fn run(global: &Global, args: &Folder, strict: bool) -> Outcome {
    let (files, applied) = args.open()?;
    let policies = match applied {
        Ok(policies) => policies,
        Err(problems) => {
            folder::refused(global.json, &problems)?;
            return Ok(Exit::Failed);
        }
    };
    let warnings = files.named(policies.lint());
    let (count, tools) = (policies.ids().count(), policies.world().tools().count());
    if global.json {
        let digest = policies.digest().to_string();
        let told = folder::json(&warnings);
        ui::json(&json!({ "applied": true, "digest": digest, "policies": count, "tools": tools, "warnings": told }))?;
    } else {
        let digest: String = policies.digest().to_string().chars().take(16).collect();
        let counted = |n: usize, what: &str| ui::text::counted(n as u64, what);
        let first = format!("{digest} · {} · {}\n", counted_policies(count), counted(tools, "tool"));
        ui::text(&(first + &folder::text("warning", &warnings)))?;
    }
    Ok(if strict && !warnings.is_empty() { Exit::Failed } else { Exit::Ok })
}

fn counted_policies(n: usize) -> String {
    if n == 1 { "1 policy".to_owned() } else { format!("{n} policies") }
}
