//! Making one sandbox: checked against its template before anything is made, and nothing is left when a step fails.

use std::{path::PathBuf, sync::Arc};

use stead_core::id::Name;
use stead_ports::sandbox::{Command, Content, Mount, Spec};
use stead_workspace::WorkspaceError;

use crate::{
    Ask, Sandbox, SandboxId, Sandboxes, SandboxesError, limits::PORT, sandbox::Made, template::check_env, way_out,
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
    let mut env = way_out::variables();
    env.extend(template.env.clone());
    env.extend(ask.env);
    check_env(&env)?;
    let id = SandboxId(parts.clock.new_ulid());
    let proxy = way_out::open(&all.0, id, &egress)?;
    // A variable that names no secret of the rules is refused now, and not at the first command.
    way_out::filled(&env, &proxy)?;
    let unavailable = || stead_ports::sandbox::BoxError::Unavailable {
        tier: template.tier,
        why: "this server has no boxes of that tier".to_owned(),
    };
    let boxes = parts.tiers.get(&template.tier).ok_or_else(unavailable)?;
    // First of all: without boxes nothing else is of use.
    boxes.offer().await?;
    let workspaces = (parts.workspaces)().await?;
    let tree = match ask.tree {
        Some(tree) => tree,
        None => workspaces.empty(tenant).await?.tree,
    };
    let base = match workspaces.materialise(tenant, tree).await {
        Err(WorkspaceError::Missing(_)) if ask.tree.is_some() => return Err(SandboxesError::NoTree(tree)),
        made => made?,
    };
    let spec = Spec {
        command: Command::default(),
        root: template.root(),
        mounts: vec![Mount { at: PathBuf::from(WORKSPACE), content: Content::Layered(base.path().to_owned()) }],
        limits,
        requires: template.requires.clone(),
        egress: Some(PORT),
        ..Spec::default()
    };
    let mut kept = boxes.open(spec).await?;
    if let Some(listener) = kept.egress.take() {
        way_out::serve(&proxy, listener)?;
    }
    let made = Made {
        id,
        tenant: tenant.clone(),
        owner: owner.clone(),
        label: ask.label,
        template: name,
        tree,
        created: parts.clock.now(),
        env,
        egress,
        limits,
        ttl,
        kept,
        proxy,
        base,
        workspaces,
    };
    let sandbox = Sandbox::start(made, all.clone());
    if let Err(error) = way_out::trust(&sandbox.files(), sandbox.proxy()).await {
        sandbox.kill(crate::Gone::Died);
        return Err(error);
    }
    Ok(sandbox)
}
