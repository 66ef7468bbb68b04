//! Who asks, made ready once: a run for as long as it is loaded, an operator for a request. Its entities, and those of the
//! tools that its agent has, need not be built again for each decision.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{Entities, Entity, EntityUid};
use cedar_policy_core::ast::EntityUIDEntry;

use crate::{
    edge::{Edge, OPERATE, TOOLS},
    entity::{Asker, Asking, Operator, Resource, action_entity, entry},
    handed::Handed,
    history::Scope,
    tool::{Risk, ToolSpec},
};

/// What is kept of a tool.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) resource: Arc<Resource>,
    pub(crate) risk: Risk,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Principal {
    pub(crate) uid: EntityUid,
    /// The same as the evaluator takes it.
    pub(crate) entry: EntityUIDEntry,
    pub(crate) kind: &'static str,
    /// Under which its slices are kept: runs of one version share them.
    pub(crate) key: String,
    pub(crate) lasting: BTreeSet<EntityUid>,
    pub(crate) tools: BTreeMap<String, Known>,
    pub(crate) entities: Entities,
    /// What the agent that started a run handed on to it.
    pub(crate) grant: Option<Handed>,
    tenant: String,
    agent: String,
    /// The session that what it does counts in.
    session: String,
    run: String,
}

impl Principal {
    /// A run, and the tools of its version.
    pub fn run(asker: Asker, tools: &[ToolSpec]) -> Self {
        let key = format!("{:?}", [&asker.tenant, &asker.agent, &asker.version]);
        let (tenant, agent) = (asker.tenant.clone(), asker.agent.clone());
        let (session, run, grant) = (asker.session.clone(), asker.run.clone(), asker.grant.clone());
        let known: BTreeMap<String, Known> = tools
            .iter()
            .map(|tool| (tool.name.clone(), Known { resource: Arc::new(Resource::tool(tool)), risk: tool.risk }))
            .collect();
        let asking = asker.into_asking();
        let actions = tools.iter().map(|tool| action_entity(&tool.name, Some(TOOLS)));
        let edges = Edge::ALL.into_iter().filter(|edge| !edge.is_operators() && *edge != Edge::CallTool);
        let actions = actions.chain(edges.map(|edge| action_entity(edge.name(), None)));
        let resources: Vec<Entity> = known.values().flat_map(|k| k.resource.family.entities().cloned()).collect();
        let Asking { uid, kind, lasting, family } = asking;
        let entities = together(family.into_entities().chain(resources).chain(actions));
        let entry = entry(&uid);
        Self { uid, entry, kind, key, lasting, tools: known, entities, grant, tenant, agent, session, run }
    }

    /// An operator.
    pub fn operator(operator: Operator) -> Self {
        let tenant = operator.tenant.clone();
        let Asking { uid, kind, lasting, family } = operator.into_asking();
        let key = format!("{lasting:?}");
        let edges = Edge::ALL.into_iter().filter(|edge| edge.is_operators());
        let actions = edges.map(|edge| action_entity(edge.name(), Some(OPERATE)));
        let entities = together(family.into_entities().chain(actions));
        let nothing = String::new;
        let (agent, session, run) = (nothing(), nothing(), nothing());
        let entry = entry(&uid);
        let (tools, grant) = (BTreeMap::new(), None);
        Self { uid, entry, kind, key, lasting, tools, entities, grant, tenant, agent, session, run }
    }

    /// The same run, working for another session than its own: what it does counts there.
    #[must_use]
    pub fn working_for(self, session: String) -> Self {
        Self { session, ..self }
    }

    /// Where what it does counts.
    pub fn scope(&self) -> Scope<'_> {
        Scope { tenant: &self.tenant, agent: &self.agent, session: &self.session, run: &self.run }
    }

    /// Its entities together with those of a resource and an action, where these are not among them already.
    pub(crate) fn with(&self, resource: &Resource, action: &EntityUid, group: Option<&str>) -> Cow<'_, Entities> {
        let more = resource.family.entities().filter(|e| self.entities.get(&e.uid()).is_none()).cloned();
        let action = self.entities.get(action).is_none().then(|| action_entity(action.id().unescaped(), group));
        let more: Vec<Entity> = more.chain(action).collect();
        if more.is_empty() {
            return Cow::Borrowed(&self.entities);
        }
        Cow::Owned(together(self.entities.iter().cloned().chain(more)))
    }
}

/// One store of entities; of two with one id the first counts.
fn together(entities: impl Iterator<Item = Entity>) -> Entities {
    let mut seen = BTreeSet::new();
    let once = entities.filter(|entity| seen.insert(entity.uid()));
    Entities::from_entities(once, None).expect("each id stands once, and nothing is above itself")
}
