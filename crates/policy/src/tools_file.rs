//! The file `tools.yaml` of a policy folder: the tools that the policies are checked against where no server is asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stead_core::effect::EffectClass;

use crate::{
    problem::Problem,
    tool::{Risk, ToolSpec},
};

/// The file of a policy folder with its tools.
pub const TOOLS_FILE: &str = "tools.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    toolset: Option<String>,
    class: Option<EffectClass>,
    #[serde(default)]
    risk: Risk,
    #[serde(default)]
    schema: Value,
}

impl ToolSpec {
    /// Reads a `tools.yaml`: each tool by the name that the model calls it, with its entry in the manifest, its class and
    /// risk, and the JSON Schema of its arguments. A class that is not stated is `irreversible`.
    ///
    /// # Errors
    /// What is no tool, with its place.
    pub fn read(file: &str, text: &str) -> Result<Vec<Self>, Vec<Problem>> {
        let written: BTreeMap<String, Written> = crate::yaml::read(file, text)?;
        let tools = written.into_iter().map(|(name, tool)| {
            let toolset = tool.toolset.unwrap_or_else(|| name.clone());
            let class = tool.class.unwrap_or(EffectClass::Irreversible);
            Self::new(&name, &toolset, class, tool.risk, &tool.schema)
        });
        Ok(tools.collect())
    }
}
