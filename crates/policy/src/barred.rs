//! Tools of an agent that no call of it can ever use, because a policy forbids every call without looking at it.

use std::sync::Arc;

use cedar_policy::PrincipalConstraint;

use crate::{
    check::in_scope,
    entity::uid,
    gate::Role,
    lint::resource_admits,
    policies::{Policies, Rule},
    tool::ToolSpec,
};

/// A tool that an agent has for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The tool.
    pub tool: String,
    /// The policy that always forbids it.
    pub policy: Arc<str>,
    /// Where that stands.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
}

impl Policies {
    /// The tools of an agent that a policy without conditions forbids to every run of it. A gate does not: somebody may lift it.
    pub fn barred(&self, tenant: &str, agent: &str, tools: &[ToolSpec]) -> Vec<Barred> {
        let always = |rule: &&Rule| !rule.permits && rule.role == Role::Hard && !rule.conditional;
        let always: Vec<&Rule> =
            self.rules.iter().filter(always).filter(|rule| every_run(rule, tenant, agent)).collect();
        let by = |tool: &ToolSpec| {
            let rule = always.iter().find(|rule| in_scope(rule, tool) && resource_admits(rule, tool))?;
            let (policy, file, line) = (rule.id.clone(), rule.file.clone(), rule.line);
            Some(Barred { tool: tool.name.clone(), policy, file, line })
        };
        tools.iter().filter_map(by).collect()
    }
}

/// Whether a policy's principal admits every run of an agent.
fn every_run(rule: &Rule, tenant: &str, agent: &str) -> bool {
    let above = |named: &cedar_policy::EntityUid| *named == uid("Agent", agent) || *named == uid("Tenant", tenant);
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::In(named) => above(&named),
        PrincipalConstraint::Is(kind) => kind.basename() == "Run",
        PrincipalConstraint::IsIn(kind, named) => kind.basename() == "Run" && above(&named),
        PrincipalConstraint::Eq(_) => false,
    }
}
