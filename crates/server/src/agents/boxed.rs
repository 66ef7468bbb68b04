//! Tools that work in boxes and workspaces: commands, MCP servers over stdio, files.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    id::{Name, RunId},
    sandbox::{Access, BoxLimits, Place, Tier},
    time::Span,
};
use stead_manifest::{
    Bundle, Manifest,
    manifest::{self, Kind, Mcp, Sandbox},
};
use stead_ports::{
    BoxFuture,
    agent::AgentError,
    tool::{Invocation, Output, Tool},
};
use stead_tools::{
    config::{CommandConfig, FilesConfig},
    mcp::{self, Discovered, Hosted, Whose},
    offer::Offered,
    secret::Secret,
};
use stead_workshop::{Settings, Variable, around};

use super::{
    AgentStore, Environment,
    renewed::Make,
    tools::{longest, told, unpin},
};
use crate::shop::{AgentFiles, Asked, BoxHost, environment, settings};

/// Where the agent's files are, inside.
const AGENT: &str = "/opt/agent";
/// How long an MCP server may live when its manifest does not say.
const SERVER: Duration = Duration::from_secs(86_400);
/// How the operations of such a tool are made; `None` for another tool.
pub(super) async fn maker(
    store: &AgentStore,
    manifest: &Manifest,
    (name, tool): (&str, &manifest::Tool),
    bundle: &Bundle,
) -> Result<Option<Make<Arc<[Offered]>>>, AgentError> {
    let name = name.to_owned();
    let made: Make<Arc<[Offered]>> = match (&tool.kind, tool.sandbox_in(manifest)) {
        (Kind::Files(files), _) => {
            let workshop = store.shop.workshop().await?.clone();
            let config = FilesConfig { workspace: files.workspace.into(), only: tool.only.clone() };
            Box::new(move |_| workshop.files(&name, &config).map(Arc::from).map_err(|e| told(&name, e)))
        }
        (Kind::Command(words), Some(sandbox)) => {
            let workshop = store.shop.workshop().await?.clone();
            let (settings, files) = command_box(store, (&name, tool), &sandbox, bundle).await?;
            let config = command(tool, words);
            Box::new(move |_| {
                let offered = workshop.command(&name, &config, &settings).map_err(|e| told(&name, e))?;
                Ok(offered.into_iter().map(|offered| keeping(offered, files.as_ref())).collect())
            })
        }
        (Kind::Mcp(mcp), Some(sandbox)) if sandbox.tier().is_some() => {
            let hosted = server(store, (&name, tool, mcp), &sandbox, bundle).await?;
            let pinned: Vec<Discovered> = bundle.pinned.get(&name).into_iter().flatten().map(unpin).collect();
            let class = if tool.is_contained(manifest) { EffectClass::Contained } else { EffectClass::Irreversible };
            Box::new(move |_| {
                let offered = mcp::offer_hosted(&name, hosted.clone(), &pinned);
                Ok(offered.into_iter().map(|offered| Offered { default_class: class, ..offered }).collect())
            })
        }
        (Kind::Mcp(mcp), Some(_)) if mcp.url.is_none() => {
            unboxed(store, &name)?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    Ok(Some(made))
}

/// A tool whose boxes find files that live as long as it does.
struct Keeping {
    tool: Arc<dyn Tool>,
    _files: Arc<AgentFiles>,
}

fn keeping(offered: Offered, files: Option<&Arc<AgentFiles>>) -> Offered {
    match files {
        Some(files) => {
            let tool = Arc::new(Keeping { tool: offered.tool.clone(), _files: files.clone() });
            Offered { tool, ..offered }
        }
        None => offered,
    }
}

impl Tool for Keeping {
    fn kind(&self) -> &'static str {
        self.tool.kind()
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        self.tool.call(invocation)
    }

    fn around(&self) -> Span {
        self.tool.around()
    }

    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        self.tool.limit(run, limits)
    }

    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        self.tool.release(run)
    }
}

/// Refuses an MCP server that would run as this process's user, unless the operator allows that.
pub(super) fn unboxed(store: &AgentStore, name: &str) -> Result<(), AgentError> {
    if store.shop.config().allow_none {
        return Ok(());
    }
    Err(AgentError {
        code: code::SANDBOX_DENIED,
        detail: format!(
            "`tools.{name}` says `sandbox: none`, so its server would run as the user that runs Stead, with all files and the whole network. \
             Leave `sandbox` out to have it run in a sandbox; or let the operator allow it in stead.toml (for `stead run` and \
             `stead dev`: in the data folder): [sandbox] allow_none = true"
        ),
    })
}

/// The server of a tool, as it is started in a box for each run.
pub(super) async fn server(
    store: &AgentStore,
    (name, tool, mcp): (&str, &manifest::Tool, &Mcp),
    sandbox: &Sandbox,
    bundle: &Bundle,
) -> Result<Hosted, AgentError> {
    admit(store, sandbox).await?;
    let workshop = store.shop.workshop().await?.clone();
    let files = files(store, bundle, true).await?;
    let env = environment(tool, &store.keys.environment);
    let secrets = plain(&env);
    let path = files.as_ref().map(|f| f.path().to_owned());
    let mut settings = settings(Asked { tool: name, sandbox, wall: SERVER, env, files: path }, store.shop.config())?;
    workshop.check(name, &settings).map_err(|e| told(name, e))?;
    settings.dir = files.is_some().then(|| inside(mcp.cwd.as_deref()));
    let mut words = mcp.command.clone();
    if let Some(program) = words.first_mut().filter(|program| program.contains('/') && !program.starts_with('/')) {
        *program = format!("{AGENT}/{}", program.trim_start_matches("./"));
    }
    let called = words.first().and_then(|p| p.rsplit('/').next()).unwrap_or_default().to_owned();
    let host = Arc::new(BoxHost::new(workshop, name, words, settings, files));
    Ok(Hosted { name: called, host, secrets, start_timeout: mcp.start_timeout.to_std() })
}

/// For whom a server is started that only tells its tools.
pub(super) fn nobody(tenant: &Name) -> Whose {
    let connects = stead_ports::connect::Connects::default();
    Whose { run: RunId(0), tenant: tenant.clone(), limits: BoxLimits::default(), connects, on_behalf: None }
}

/// What the machine must know of where a call works.
pub(super) fn place(manifest: &Manifest, tool: &manifest::Tool, offered: &Offered) -> Option<Place> {
    let boxed = tool.sandbox_in(manifest).is_some_and(|sandbox| sandbox.tier().is_some());
    let workspace = match (&tool.kind, tool.workspace()) {
        // Of its operations, those that only look are known by their class.
        (Kind::Files(_), Access::Write) if offered.default_class == EffectClass::Pure => Access::Read,
        (_, access) => access,
    };
    let place = Place { workspace, boxed };
    (place != Place::default()).then_some(place)
}

/// How long the engine waits for a call: longer than its box may live, so that the model is told how it ended.
pub(super) fn timeout(manifest: &Manifest, tool: &manifest::Tool, own: Span) -> Span {
    match (&tool.kind, tool.sandbox_in(manifest)) {
        (Kind::Command(_), Some(sandbox)) => {
            let around = around(sandbox.tier().unwrap_or(Tier::Namespace));
            Span(sandbox.timeout.unwrap_or(own).0.saturating_add(around.0))
        }
        _ => own,
    }
}

async fn admit(store: &AgentStore, sandbox: &Sandbox) -> Result<(), AgentError> {
    match sandbox.tier() {
        Some(tier) => store.shop.admit(tier, sandbox.requires.as_deref().unwrap_or_default()).await,
        None => Ok(()),
    }
}

async fn command_box(
    store: &AgentStore,
    (name, tool): (&str, &manifest::Tool),
    sandbox: &Sandbox,
    bundle: &Bundle,
) -> Result<(Settings, Option<Arc<AgentFiles>>), AgentError> {
    // Doubles need no box; tools that really run do.
    if !store.stand_ins.as_ref().is_some_and(|stand_ins| stand_ins.stands_for_some(name)) {
        admit(store, sandbox).await?;
    }
    let files = files(store, bundle, false).await?;
    let path = files.as_ref().map(|f| f.path().to_owned());
    let env = environment(tool, &store.keys.environment);
    let settings = settings(Asked { tool: name, sandbox, wall: longest(tool), env, files: path }, store.shop.config())?;
    Ok((settings, files))
}

fn command(tool: &manifest::Tool, words: &[String]) -> CommandConfig {
    CommandConfig {
        command: words.to_vec(),
        stdin: tool.stdin.clone(),
        params: tool.params.clone(),
        optional: tool.optional.clone(),
        description: tool.description.clone().unwrap_or_default(),
        workspace: tool.workspace(),
    }
}

/// What a box finds of the agent: what the manifest includes; or for a server, on the user's own machine, its folder. Who may apply agents to
/// somebody else's server names no folder of that host for boxes to see.
async fn files(store: &AgentStore, bundle: &Bundle, folder: bool) -> Result<Option<Arc<AgentFiles>>, AgentError> {
    let below = store.shop.files_dir();
    let included = AgentFiles::included(bundle, &below)?;
    let files = match (&bundle.dir, included) {
        (_, Some(included)) => Some(included),
        (Some(dir), None) if folder && matches!(store.keys.environment, Environment::Open) => {
            let (dir, data_dir) = (dir.clone(), store.shop.data_dir().to_owned());
            // A folder may have thousands of files.
            let mirrored = tokio::task::spawn_blocking(move || AgentFiles::mirrored(&dir, &data_dir, &below));
            let broke = |e: tokio::task::JoinError| AgentError { code: code::INTERNAL, detail: e.to_string() };
            Some(mirrored.await.map_err(broke)??)
        }
        _ => None,
    };
    Ok(files.map(Arc::new))
}

/// A folder of the manifest's, inside.
fn inside(cwd: Option<&str>) -> PathBuf {
    match cwd {
        Some(cwd) => PathBuf::from(AGENT).join(cwd.trim_start_matches("./")),
        None => PathBuf::from(AGENT),
    }
}

/// Values that are inside as they are: blotted out of whatever a server says.
fn plain(env: &BTreeMap<String, Variable>) -> Vec<Secret> {
    let text = |value: &Variable| match value {
        Variable::Text(text) => Some(Secret::new(text)),
        Variable::Secret(_) => None,
    };
    env.values().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_command_is_waited_for_longer_than_its_box_lives_and_places_are_those_of_its_keys() {
        let text = "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\nsandbox: { timeout: 5m }\ntools:\n  sh: { command: [sh, -c], workspace: rw }\n  m: { mcp: { command: [x] } }\n";
        let manifest = stead_manifest::parse(text, "agent.yaml").unwrap();
        let own = Span::from_secs(30);
        assert_eq!(timeout(&manifest, &manifest.tools["sh"], own), Span::from_secs(360));
        assert_eq!(timeout(&manifest, &manifest.tools["m"], own), own);
        let machine = text.replace("{ timeout", "{ tier: microvm, timeout");
        let machine = stead_manifest::parse(&machine, "agent.yaml").unwrap();
        assert_eq!(timeout(&machine, &machine.tools["sh"], own), Span::from_secs(600), "a machine takes its time");
        assert_eq!(inside(Some("./files")), PathBuf::from("/opt/agent/files"));
    }
}
