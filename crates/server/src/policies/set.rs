//! A policy set as it is kept: its files, and the tools of the tenant's agents as they were when it was applied. So what it
//! was checked against is known for good, on every server and whatever becomes of an agent.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_api::policy::{PolicyFiles, PolicyTool};
use stead_policy::{
    CASES, Case, MAX_FILE, MAX_FILES, MAX_SET, Policies, Problem, Risk, SetDigest, Source, TOOLS_FILE, ToolSpec,
};

use super::Described;

/// The format of the kept form.
const FORMAT: u32 = 1;
/// Most bytes of the kept form.
const MAX_BODY: usize = 64 << 20;

/// See the module. The one of epoch 0 is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) files: PolicyFiles,
    pub(crate) tools: Vec<PolicyTool>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    files: PolicyFiles,
    tools: Vec<PolicyTool>,
}

impl Set {
    pub(super) fn encode(&self) -> Result<Bytes, String> {
        let kept = Kept { format: FORMAT, files: self.files.clone(), tools: self.tools.clone() };
        let bytes = serde_json::to_vec(&kept).map_err(|e| e.to_string())?;
        match bytes.len() {
            ..=MAX_BODY => Ok(bytes.into()),
            long => {
                Err(format!("the set and the tools that it is checked against have {long} bytes; {MAX_BODY} are kept"))
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|e| format!("its kept form is damaged: {e}"))?;
        match kept.format {
            FORMAT => Ok(Self { files: kept.files, tools: kept.tools }),
            other => Err(format!("its kept form {other} is not known to this release")),
        }
    }

    /// The digest of its files.
    pub(super) fn digest(&self) -> SetDigest {
        by_files(&self.files)
    }

    /// The policies that decide for an agent version; without one those that decide for all alike.
    pub(super) fn compile(&self, version: Option<&Described>, epoch: u64) -> Result<Policies, Vec<Problem>> {
        let mut tools = Vec::new();
        if let Some(text) = self.files.get(TOOLS_FILE) {
            tools.extend(ToolSpec::read(TOOLS_FILE, text)?);
        }
        tools.extend(self.tools.iter().map(spec));
        let mut files = vec![Source::default_policy()];
        files.extend(sources(&self.files).into_iter().filter(|source| ![TOOLS_FILE, CASES].contains(&&*source.file)));
        if let Some(version) = version {
            tools.extend(version.tools.iter().map(spec));
            files.extend(version.own.iter().cloned());
        }
        Policies::apply(&files, tools, epoch)
    }

    /// Its cases whose answer is another.
    pub(super) fn failed(&self, policies: &Policies) -> Result<Vec<Problem>, Vec<Problem>> {
        let Some(text) = self.files.get(CASES) else { return Ok(Vec::new()) };
        let wrong = |case: Case| {
            let result = case.ask(policies);
            (!result.passed()).then(|| Problem::whole(CASES, result.to_string()))
        };
        Ok(Case::read(CASES, text)?.into_iter().filter_map(wrong).collect())
    }

    /// What is wrong with the names and sizes of its files.
    pub(super) fn misnamed(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, text) in &self.files {
            let short: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
            if !Source::belongs(name) {
                let hint = "a set has `NAME.cedar`, `gates/NAME.cedar`, `history.yaml`, `default.yaml`, `tools.yaml` and `tests.yaml`";
                problems.push(Problem::whole(&short, "is no file of a policy set").hint(hint));
            }
            if text.len() > MAX_FILE {
                problems.push(Problem::whole(&short, format!("has more than {MAX_FILE} bytes")));
            }
        }
        if self.files.len() > MAX_FILES {
            problems.push(Problem::whole("the policy set", format!("has more than {MAX_FILES} files")));
        }
        if self.files.values().map(String::len).sum::<usize>() > MAX_SET {
            problems.push(Problem::whole("the policy set", format!("has more than {MAX_SET} bytes")));
        }
        problems.truncate(100);
        problems
    }
}

/// The digest of a set's files.
pub(crate) fn by_files(files: &PolicyFiles) -> SetDigest {
    SetDigest::of(&sources(files))
}

fn sources(files: &BTreeMap<String, String>) -> Vec<Source> {
    files.iter().map(|(file, text)| Source { file: file.clone(), text: text.clone() }).collect()
}

/// A tool as policies are checked against it.
pub(crate) fn spec(tool: &PolicyTool) -> ToolSpec {
    let risk = match tool.risk.as_str() {
        "normal" => Risk::Normal,
        "high" => Risk::High,
        // What is not known is the worst.
        _ => Risk::Critical,
    };
    ToolSpec::new(&tool.name, &tool.toolset, tool.class, risk, &tool.schema)
}
