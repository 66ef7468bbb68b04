//! The folder of a policy set: `*.cedar`, `gates/*.cedar`, `history.yaml`, `default.yaml`, `tools.yaml`, `tests.yaml`. What else is there is
//! left alone.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use stead_api::policy::{PolicyFiles, PolicyTool};
use stead_core::code;
use stead_policy::{CASES, DEFAULT_FILE, MAX_FILE, MAX_FILES, Policies, Problem, Risk, Source, TOOLS_FILE, ToolSpec};

use crate::error::{CliError, Outcome};

/// A policy set that this process looks at itself.
pub(crate) struct Folder {
    /// As it was named.
    pub(crate) path: PathBuf,
    /// Its files, by their names below it.
    pub(crate) files: PolicyFiles,
    /// Tools beside those of its `tools.yaml`.
    pub(crate) tools: Vec<ToolSpec>,
}

impl Folder {
    /// Reads it, and further files of tools.
    pub(crate) fn read(path: &Path, tools: &[PathBuf]) -> Outcome<Self> {
        let mut files = BTreeMap::new();
        for part in ["", "gates"] {
            let dir = path.join(part);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) if !part.is_empty() && e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(unread(&dir, &e).hint("give the folder of a policy set, with its `*.cedar`")),
            };
            for entry in entries {
                let entry = entry.map_err(|e| unread(&dir, &e))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = if part.is_empty() { name } else { format!("{part}/{name}") };
                if Source::belongs(&name) {
                    files.insert(name.clone(), text(&path.join(&name))?);
                } else if name.ends_with(".cedar") {
                    let error = CliError::new(
                        code::POLICY_REFUSED,
                        format!("{}: is no name of a policy file", path.join(&name).display()),
                    );
                    return Err(error.hint("letters, digits, `.`, `_`, `-` and spaces; it does not begin with a dot"));
                }
                if files.len() > MAX_FILES {
                    let error = format!("{}: has more than {MAX_FILES} files", path.display());
                    return Err(CliError::new(code::POLICY_REFUSED, error));
                }
            }
        }
        if !files.keys().any(|name| name.ends_with(".cedar")) {
            let error = format!("{}: there is no `*.cedar` in it", path.display());
            return Err(CliError::new(code::POLICY_REFUSED, error).hint("give the folder of a policy set"));
        }
        let mut more = Vec::new();
        for file in tools {
            let name = file.display().to_string();
            more.extend(ToolSpec::read(&name, &text(file)?).map_err(CliError::from)?);
        }
        Ok(Self { path: path.to_owned(), files, tools: more })
    }

    /// An entry of a server.
    pub(crate) fn of_server(name: &str, files: PolicyFiles, tools: &[PolicyTool]) -> Self {
        Self { path: name.into(), files, tools: tools.iter().map(spec).collect() }
    }

    /// The set, with the default policy.
    pub(crate) fn compile(&self) -> Outcome<Policies> {
        let mut tools = Vec::new();
        if let Some(text) = self.files.get(TOOLS_FILE) {
            tools.extend(ToolSpec::read(TOOLS_FILE, text).map_err(|problems| self.refused(problems))?);
        }
        tools.extend(self.tools.iter().cloned());
        let unknown = tools.is_empty();
        let mut sources = vec![Source::default_policy()];
        let decides = |name: &str| name != TOOLS_FILE && name != CASES;
        sources.extend(
            self.files
                .iter()
                .filter(|(name, _)| decides(name))
                .map(|(file, text)| Source { file: file.clone(), text: text.clone() }),
        );
        Policies::apply(&sources, tools, 0).map_err(|problems| {
            let error = self.refused(problems);
            match unknown {
                true => error.hint(format!(
                    "no tools are known here: write `{TOOLS_FILE}`, give one with --tools, or ask a server with --server"
                )),
                false => error,
            }
        })
    }

    /// What is wrong, with files as this machine names them.
    pub(crate) fn refused(&self, problems: Vec<Problem>) -> CliError {
        self.here(problems).into()
    }

    pub(crate) fn here(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let named = |p: Problem| match self.files.contains_key(&p.file) {
            true => Problem { file: self.path.join(&p.file).display().to_string(), ..p },
            false => p,
        };
        problems.into_iter().filter(|p| p.file != DEFAULT_FILE).map(named).collect()
    }
}

fn spec(tool: &PolicyTool) -> ToolSpec {
    let risk = match tool.risk.as_str() {
        "normal" => Risk::Normal,
        "high" => Risk::High,
        _ => Risk::Critical,
    };
    ToolSpec::new(&tool.name, &tool.toolset, tool.class, risk, &tool.schema)
}

/// The text of a file that may be anybody's.
fn text(file: &Path) -> Outcome<String> {
    let fail = |e: io::Error| unread(file, &e);
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(unread(file, &io::Error::other("not a regular file")));
    }
    let mut text = String::new();
    File::open(file).map_err(fail)?.take(MAX_FILE as u64 + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() > MAX_FILE {
        return Err(CliError::new(code::POLICY_REFUSED, format!("{}: has more than {MAX_FILE} bytes", file.display())));
    }
    Ok(text)
}

fn unread(path: &Path, e: &io::Error) -> CliError {
    CliError::new(code::POLICY_REFUSED, format!("{} cannot be read: {e}", path.display()))
}
