//! Applying: pin what can change, build it once to see that it works, store it, make it live.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use stead_api::version::AgentRef;
use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_manifest::{Bundle, BundleError, manifest::Kind};
use stead_ports::{
    agent::{Agent, AgentError},
    clock::Clock as _,
    journal::{AliasMove, AliasMoved, LIVE, MovedBy, Step, VersionRow},
};

use super::{
    AgentStore, ApplyError,
    alias::{Found, Naming, find},
    build, tools,
    wired::Wired,
};
use crate::{clock::SystemClock, policies::Described};

/// An agent that was applied.
#[derive(Clone)]
pub struct Applied {
    /// Its stored version, with an empty body.
    pub row: VersionRow,
    /// The agent, ready to run.
    pub agent: Arc<Agent>,
    /// Whether this version was not known before.
    pub new: bool,
    /// Whether the alias waits for a second person.
    pub proposed: bool,
}

impl AgentStore {
    /// Makes a version of a bundle and lets an alias name it. Its MCP servers are asked for their tools, whatever the
    /// bundle says they are; agents of its folder are applied with it, named `parent/name`,
    /// under the same alias.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing of this agent is stored then (agents of its folder may be).
    pub async fn apply(&self, tenant: &Name, bundle: Bundle, naming: &Naming) -> Result<Applied, ApplyError> {
        let name = bundle.manifest.name.clone();
        Box::pin(self.apply_as(tenant, name, bundle, naming)).await
    }

    async fn apply_as(
        &self,
        tenant: &Name,
        name: Name,
        mut bundle: Bundle,
        naming: &Naming,
    ) -> Result<Applied, ApplyError> {
        // Before anything is started that would see a variable.
        self.keys.environment.admit(&bundle.manifest)?;
        bundle.settle();
        let dir = bundle.dir.clone();
        let unkept = |e: std::io::Error| AgentError { code: code::DATA_READONLY, detail: e.to_string() };
        let children = self.children(tenant, &name, &mut bundle, naming).await?;
        let places = self.places(tenant, &name, &bundle.manifest).await?;
        let base = dir.clone().unwrap_or_else(|| places.data.clone());
        bundle.pinned = tools::discover(self, tenant, &bundle.placed(&places)?, &bundle, &base).await?;

        let told = |why: String| ApplyError::Bundle(BundleError::Format(why));
        let wired = Wired::new(name.clone(), children, &bundle).map_err(told)?;
        let version = wired.version(&bundle).map_err(told)?;
        let agent = Arc::new(build::agent(self, tenant, version, &wired, &bundle).await?);

        self.policies.fits(tenant, Described::of(&agent, &bundle)).await?;

        let known = self.journal.version(tenant, version).await?;
        let row = VersionRow {
            tenant: tenant.clone(),
            agent: name.clone(),
            version,
            body: wired.encode().map_err(told)?,
            created: known.as_ref().map_or_else(|| SystemClock.now(), |row| row.created),
            live: false,
        };
        let alias = AliasMove {
            tenant: tenant.clone(),
            agent: name.clone(),
            alias: naming.alias.clone(),
            to: Some(version),
            expect: None,
            at: SystemClock.now(),
            by: naming.by.clone(),
            why: MovedBy::Apply,
            step: naming.step,
        };
        let moved = match naming.step {
            // What runs now keeps its folder until somebody else has confirmed.
            Step::Proposed => {
                self.site.propose_dir(tenant, &name, version, dir.as_deref()).map_err(unkept)?;
                self.journal.put_version(row.clone(), alias).await?
            }
            Step::Moved | Step::Confirmed => {
                // The folder first: a version that is live can be loaded whatever happens in between.
                let before = self.site.dir(tenant, &name);
                self.site.set_dir(tenant, &name, dir.as_deref()).map_err(unkept)?;
                let moved = self.journal.put_version(row.clone(), alias).await;
                if !matches!(moved, Ok(AliasMoved::Done | AliasMoved::Same)) {
                    self.site.set_dir(tenant, &name, before.as_deref()).map_err(unkept)?;
                }
                moved?
            }
        };
        if moved == AliasMoved::TooMany {
            return Err(ApplyError::Aliases(name));
        }
        let live = self.journal.aliased(tenant, &name, &LIVE.into()).await?.is_some_and(|live| live.version == version);
        if naming.step == Step::Moved {
            self.forget(&name);
            self.keep((tenant.clone(), version), agent.clone());
        }
        let (new, proposed) = (known.is_none(), moved == AliasMoved::Proposed);
        Ok(Applied { row: VersionRow { body: bytes::Bytes::new(), live, ..row }, agent, new, proposed })
    }

    /// The versions behind the tools that are agents: those of its folder are applied; of others it is what they name now,
    /// the live one unless they name another.
    fn children<'a>(
        &'a self,
        tenant: &'a Name,
        parent: &'a Name,
        bundle: &'a mut Bundle,
        naming: &'a Naming,
    ) -> BoxFuture<'a, Result<BTreeMap<String, VersionId>, ApplyError>> {
        // Boxed: agents nest, as deep as the manifest crate lets them.
        async move {
            let mut versions = BTreeMap::new();
            for (tool, config) in &bundle.manifest.tools {
                let Kind::Agent(named) = &config.kind else { continue };
                let version = match bundle.agents.get(named) {
                    Some(nested) => {
                        let name = Name::from(format!("{parent}/{}", nested.manifest.name));
                        Box::pin(self.apply_as(tenant, name, nested.clone(), naming)).await?.row.version
                    }
                    None => {
                        let AgentRef { name, version } = AgentRef::of(named);
                        match find(&*self.journal, tenant, &name.into(), version.unwrap_or(LIVE)).await? {
                            Found::Version(row) => row.version,
                            Found::Several(_) | Found::Nothing => return Err(not_applied(tool, named).into()),
                        }
                    }
                };
                versions.insert(tool.clone(), version);
            }
            Ok(versions)
        }
        .boxed()
    }
}

fn not_applied(tool: &str, named: &str) -> AgentError {
    AgentError {
        code: code::MANIFEST_FILE,
        detail: format!("the tool `{tool}` is the agent `{named}`, which is not known here; apply that agent first"),
    }
}
