//! Whether a set could be applied: it must fit the tools of all agent versions that have an alias, and so must their own
//! policies beside it; and what deserves a second look.

use std::collections::BTreeSet;

use stead_api::{policy::PolicyFiles, problem::Place};
use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_policy::{DEFAULT_FILE, Policies, Problem, ToolSpec};
use stead_ports::journal::LIVE;

use super::{
    Described, PolicyError, PolicySets,
    fits::apart,
    set::{Set, spec},
};

/// Warnings that are told.
const MAX_WARNINGS: usize = 200;
/// What to do about an agent that has nothing traced.
const TRACE: &str = "take `provenance: off` out of its manifest, or say by `trust` what its tools' results count; where the manifest says nothing of \
     provenance, the version is of a release that traced nothing then: apply it again";

/// A set that could be applied.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) set: Set,
    pub(crate) policies: Policies,
    pub(crate) warnings: Vec<Place>,
}

/// An agent version that some alias names.
struct Aliased {
    live: bool,
    described: Described,
}

impl PolicySets {
    /// Checks a set of these files.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] with everything that is wrong.
    pub(crate) async fn check(&self, tenant: &Name, files: PolicyFiles) -> Result<Checked, PolicyError> {
        let (aliased, mut warnings) = self.aliased(tenant).await?;
        let mut tools = Vec::new();
        for tool in aliased.iter().flat_map(|version| &version.described.tools) {
            if !tools.contains(tool) {
                tools.push(tool.clone());
            }
        }
        let (set, tenant) = (Set { files, tools }, tenant.clone());
        apart(move || {
            let wrong = set.misnamed();
            if !wrong.is_empty() {
                return Err(PolicyError::Refused(wrong));
            }
            let policies = set.compile(None, 0).map_err(PolicyError::Refused)?;
            warnings.extend(policies.lint().into_iter().filter(|p| p.file != DEFAULT_FILE).map(place));
            for Aliased { live, described } in &aliased {
                warnings.extend(described.untraced.iter().filter(|_| *live).map(|untraced| {
                    let agent = &described.name;
                    let message = format!("agent `{agent}` is on its own with other people's words: {untraced}");
                    place(Problem::whole(&format!("{agent}/agent.yaml"), message).hint(TRACE))
                }));
                let specs: Vec<ToolSpec> = described.tools.iter().map(spec).collect();
                let own = match described.own.is_empty() {
                    true => None,
                    false => Some(set.compile(Some(described), 0).map_err(PolicyError::Refused)?),
                };
                let barred = own.as_ref().unwrap_or(&policies).barred(&tenant, &described.name, &specs);
                warnings.extend(barred.into_iter().filter(|_| *live).map(|barred| {
                    let agent = &described.name;
                    let message = format!(
                        "agent `{agent}` can never use its tool `{}`: `{}` always forbids it",
                        barred.tool, barred.policy
                    );
                    let problem = Problem { line: barred.line, column: 1, ..Problem::whole(&barred.file, message) };
                    place(problem.hint("give the policy a condition, or take the tool from the agent"))
                }));
            }
            warnings.truncate(MAX_WARNINGS);
            Ok(Checked { set, policies, warnings })
        })
        .await?
    }

    /// The versions behind the tenant's aliases, and what is to be said of those that cannot be loaded: nobody knows their tools.
    async fn aliased(&self, tenant: &Name) -> Result<(Vec<Aliased>, Vec<Place>), PolicyError> {
        let journal = self.agents.journal();
        let (mut found, mut warnings) = (Vec::new(), Vec::new());
        for agent in journal.versions(tenant, None).await?.into_iter().map(|row| row.agent).collect::<BTreeSet<_>>() {
            let aliases = journal.aliases(tenant, &agent).await?;
            let live = aliases.iter().find(|a| a.alias.as_str() == LIVE).map(|a| a.version);
            let versions: BTreeSet<VersionId> = aliases.iter().map(|a| a.version).collect();
            for version in versions {
                match self.agents.described(tenant, version).await {
                    Ok(described) => found.push(Aliased { live: live == Some(version), described }),
                    Err(e) => {
                        let message = format!("{version} cannot be loaded, so its tools are not known: {}", e.detail);
                        warnings.push(place(Problem::whole(&agent, message)));
                    }
                }
            }
        }
        Ok((found, warnings))
    }
}

/// A problem of a policy, as problem documents have places.
pub(crate) fn place(problem: Problem) -> Place {
    let Problem { file, line, column, message, hint } = problem;
    Place { code: code::POLICY_REFUSED, file, line, column, key: String::new(), message, hint }
}
