//! A folder of policies: its files, and the policy set that they are.

use std::{fs, io, path::Path};

use serde::Serialize;
use serde_json::json;
use stead_policy::{CASES, COUNTERS, Case, Policies, Problem, Source, TOOLS_FILE, ToolSpec};

use super::Folder;
use crate::{
    error::{CliError, Outcome},
    ui::{self, term::clean},
};

/// How deep folders are looked into.
const MAX_LEVELS: usize = 4;
/// Most files of a folder.
const MAX_FILES: usize = 1_000;

/// What is in a folder of policies. Names of files are relative to it.
pub(super) struct Files<'a> {
    dir: &'a Path,
    sources: Vec<Source>,
    tools: Option<String>,
    cases: Option<String>,
}

/// A folder that was not applied: everything that is wrong, with its place.
pub(super) type Refused = Vec<Problem>;

impl<'a> Files<'a> {
    /// Reads a folder.
    pub(super) fn read(dir: &'a Path) -> Outcome<Self> {
        let mut names = Vec::new();
        let found = walk(dir, Path::new(""), 0, &mut names);
        found.map_err(|e| CliError::other(format!("{}: {e}", dir.display())))?;
        names.sort();
        let mut files = Self { dir, sources: Vec::new(), tools: None, cases: None };
        for name in names {
            let path = dir.join(&name);
            let text = fs::read_to_string(&path).map_err(|e| CliError::other(format!("{}: {e}", path.display())))?;
            match name.as_str() {
                TOOLS_FILE => files.tools = Some(text),
                CASES => files.cases = Some(text),
                _ => files.sources.push(Source { file: name, text }),
            }
        }
        if files.sources.is_empty() {
            let message = format!("{}: there are no policies", dir.display());
            return Err(CliError::other(message).hint("a folder of policies holds files that end with .cedar"));
        }
        Ok(files)
    }

    /// The tools of the folder; without `tools.yaml` there are none.
    fn tools(&self) -> Result<Vec<ToolSpec>, Refused> {
        self.tools.as_ref().map_or(Ok(Vec::new()), |text| ToolSpec::read(TOOLS_FILE, text))
    }

    /// The policy set.
    pub(super) fn apply(&self, default: bool) -> Result<Policies, Refused> {
        let default = default.then(Source::default_policy);
        let sources: Vec<Source> = default.into_iter().chain(self.sources.iter().cloned()).collect();
        self.tools().and_then(|tools| Policies::apply(&sources, tools, 0)).map_err(|problems| self.named(problems))
    }

    /// The cases.
    pub(super) fn cases(&self) -> Outcome<Result<Vec<Case>, Refused>> {
        let Some(text) = &self.cases else {
            let message = format!("{}: there is no {CASES}", self.dir.display());
            return Err(
                CliError::other(message).hint("write the questions and what the answers must be: docs/policy.md")
            );
        };
        Ok(Case::read(CASES, text).map_err(|problems| self.named(problems)))
    }

    /// Problems with the names of files as the user can open them.
    pub(super) fn named(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let own = |name: &str| [TOOLS_FILE, CASES].contains(&name) || self.sources.iter().any(|s| s.file == name);
        let name = |problem: Problem| {
            let file =
                if own(&problem.file) { self.dir.join(&problem.file).display().to_string() } else { problem.file };
            Problem { file, ..problem }
        };
        problems.into_iter().map(name).collect()
    }
}

impl Folder {
    /// The folder's files, and its set or why there is none.
    pub(super) fn open(&self) -> Outcome<(Files<'_>, Result<Policies, Refused>)> {
        let files = Files::read(&self.dir)?;
        let policies = files.apply(!self.no_default);
        Ok((files, policies))
    }
}

fn walk(dir: &Path, below: &Path, level: usize, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let name = path.to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if level < MAX_LEVELS && !entry.file_name().as_encoded_bytes().starts_with(b".") {
                walk(dir, &path, level + 1, names)?;
            }
        } else if name.ends_with(".cedar") || [TOOLS_FILE, COUNTERS, CASES].contains(&name.as_str()) {
            if names.len() >= MAX_FILES {
                return Err(io::Error::other(format!("has more than {MAX_FILES} files")));
            }
            names.push(name);
        }
    }
    Ok(())
}

/// A problem for programs.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Writes problems for people.
pub(super) fn text(kind: &str, problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{kind}: {}\n", clean(&p.to_string()))).collect()
}

/// Problems for programs.
pub(super) fn json(problems: &[Problem]) -> serde_json::Value {
    json!(problems.iter().map(told).collect::<Vec<_>>())
}

fn told(Problem { file, line, column, message, hint }: &Problem) -> Told<'_> {
    Told { file, line: *line, column: *column, message, hint: hint.as_deref() }
}

/// Tells that a folder is refused.
pub(super) fn refused(as_json: bool, problems: &[Problem]) -> Outcome<()> {
    if as_json {
        ui::json(&json!({ "applied": false, "errors": json(problems) }))?;
    } else {
        ui::text(&text("error", problems))?;
    }
    Ok(())
}
