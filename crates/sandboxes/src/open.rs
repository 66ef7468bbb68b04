//! Making one sandbox: checked against its template before anything is made, and nothing is left when a step fails.

use std::sync::Arc;

use stead_core::id::Name;
use stead_egress::Rules;
use stead_workshop::{Stay, Staying};
use stead_workspace::WorkspaceError;

use crate::{
    Ask, Sandbox, SandboxId, Sandboxes, SandboxesError, env,
    limits::BEGINNING,
    sandbox::{Made, span},
};

/// Where the workspace stands, inside.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Bytes of a label.
const LABEL: usize = 200;

pub(crate) async fn open(
    all: &Sandboxes,
    tenant: &Name,
    owner: &Name,
    ask: Ask,
) -> Result<Arc<Sandbox>, SandboxesError> {
    let parts = &all.0.parts;
    let (name, template) = all.template(ask.template.as_ref())?;
    let (ttl, limits) = (template.ttl(ask.ttl)?, template.limits(ask.limits)?);
    let egress = template.egress(ask.egress)?;
    if let Some(label) = ask.label.as_ref().filter(|l| l.len() > LABEL || l.chars().any(char::is_control)) {
        return Err(SandboxesError::Refused(format!(
            "a label is at most {LABEL} bytes without control characters, not {} bytes",
            label.len()
        )));
    }
    let mut variables = Staying::variables();
    variables.extend(template.env.clone());
    variables.extend(ask.env);
    env::check(&variables)?;
    let rules = Rules::new(&egress)?;
    env::bound(&variables, &rules)?;
    let id = SandboxId(parts.clock.new_ulid());
    let workshop = (parts.workshop)().await?;
    let workspaces = workshop.workspaces();
    let tree = match ask.tree {
        Some(tree) => {
            // Whatever held it until now may end in the middle.
            let until = parts.clock.now().after(span(BEGINNING));
            match workspaces.hold(tenant, tree, until).await {
                Err(WorkspaceError::Missing(_)) => return Err(SandboxesError::NoTree(tree)),
                held => held?,
            }
            tree
        }
        None => workspaces.empty(tenant).await?.tree,
    };
    let asked = Stay {
        id,
        tenant: tenant.clone(),
        tier: template.tier,
        requires: template.requires.clone(),
        root: template.root(),
        limits,
        rules,
        secrets: Arc::clone(&parts.secrets),
        tree,
    };
    let made = Made {
        id,
        tenant: tenant.clone(),
        owner: owner.clone(),
        label: ask.label,
        template: name,
        tree,
        created: parts.clock.now(),
        env: variables,
        egress,
        limits,
        ttl,
        staying: workshop.stay(asked).await?,
        workspaces: workspaces.clone(),
    };
    Ok(Sandbox::start(made, all.clone()))
}
