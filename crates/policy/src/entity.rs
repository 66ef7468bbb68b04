//! Who asks, and what it is done to, as Cedar entities with what is above them.
#![expect(
    clippy::disallowed_types,
    reason = "Cedar takes attributes and parents in its own maps; nothing reads their order"
)]

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use cedar_policy_core::ast::EntityUIDEntry;
use stead_core::effect::EffectClass;

use crate::{
    edge::ENTITIES,
    handed::Handed,
    tool::{Risk, ToolSpec, class_name},
};

/// The names of types, parsed once.
static TYPES: LazyLock<Vec<(&'static str, EntityTypeName)>> = LazyLock::new(|| {
    let names = ENTITIES.iter().map(|(name, ..)| *name).chain(["Action"]);
    names.map(|name| (name, name.parse().expect("the names of types are Cedar identifiers"))).collect()
});

/// The id of an entity.
pub(crate) fn uid(kind: &str, id: &str) -> EntityUid {
    let (_, name) = TYPES.iter().find(|(name, _)| *name == kind).expect("every type that is used is in the table");
    EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
}

/// An entity as the evaluator takes it: who asks, what is done, what it is done to.
pub(crate) fn entry(uid: &EntityUid) -> EntityUIDEntry {
    EntityUIDEntry::known(uid.as_ref().clone(), None)
}

/// Entities on their way into a decision: each with its parents and attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family(Vec<Entity>);

impl Family {
    fn add(&mut self, uid: EntityUid, parents: impl IntoIterator<Item = EntityUid>) {
        self.0.push(Entity::new_no_attrs(uid, parents.into_iter().collect::<HashSet<_>>()));
    }

    fn add_with<const N: usize>(
        &mut self,
        uid: EntityUid,
        parents: impl IntoIterator<Item = EntityUid>,
        attributes: [(&str, RestrictedExpression); N],
    ) {
        let attributes: HashMap<String, _> = attributes.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        let parents = parents.into_iter().collect::<HashSet<_>>();
        let entity = Entity::new(uid, attributes, parents);
        self.0.push(entity.expect("texts and ids are values in every Cedar"));
    }

    pub(crate) fn into_entities(self) -> impl Iterator<Item = Entity> {
        self.0.into_iter()
    }

    pub(crate) fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.0.iter()
    }
}

/// An action, within its group.
pub(crate) fn action_entity(name: &str, group: Option<&str>) -> Entity {
    let group = group.map(|group| uid("Action", group));
    Entity::new_no_attrs(uid("Action", name), group.into_iter().collect::<HashSet<_>>())
}

/// A person, as the server knows them from their token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The subject.
    pub name: String,
    /// Roles within the tenant.
    pub roles: BTreeSet<String>,
}

impl User {
    fn into_family(self, tenant: &EntityUid, family: &mut Family) -> EntityUid {
        let user = uid("User", &self.name);
        let roles: Vec<EntityUid> = self.roles.iter().map(|role| uid("Role", role)).collect();
        for role in &roles {
            family.add(role.clone(), [tenant.clone()]);
        }
        family.add(user.clone(), roles.into_iter().chain([tenant.clone()]));
        user
    }
}

/// A run that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The tenant.
    pub tenant: String,
    /// The agent's name.
    pub agent: String,
    /// The agent's version, as its digest.
    pub version: String,
    /// The session.
    pub session: String,
    /// The run.
    pub run: String,
    /// The person on whose behalf it works.
    pub user: Option<User>,
    /// The agents above it in the chain of agents that call agents.
    pub callers: BTreeSet<String>,
    /// What the agent that started it handed on to it.
    pub grant: Option<Handed>,
}

/// The entities of who asks, and what is above them for ever.
pub(crate) struct Asking {
    pub(crate) uid: EntityUid,
    pub(crate) kind: &'static str,
    /// Itself and all above it that a version always has; what differs by run is not here.
    pub(crate) lasting: BTreeSet<EntityUid>,
    pub(crate) family: Family,
}

impl Asker {
    pub(crate) fn into_asking(self) -> Asking {
        let mut family = Family::default();
        let tenant = uid("Tenant", &self.tenant);
        let agent = uid("Agent", &self.agent);
        let version = uid("Version", &self.version);
        let session = uid("Session", &self.session);
        let run = uid("Run", &self.run);
        family.add(tenant.clone(), []);
        family.add(agent.clone(), [tenant.clone()]);
        family.add(version.clone(), [agent.clone()]);
        family.add(session.clone(), [tenant.clone()]);
        let callers = RestrictedExpression::new_set(
            self.callers.iter().map(|caller| RestrictedExpression::new_entity_uid(uid("Agent", caller))),
        );
        for caller in self.callers.iter().filter(|caller| **caller != self.agent) {
            family.add(uid("Agent", caller), [tenant.clone()]);
        }
        let parents = [version.clone(), session];
        match self.user {
            Some(user) => {
                let user = RestrictedExpression::new_entity_uid(user.into_family(&tenant, &mut family));
                family.add_with(run.clone(), parents, [("callers", callers), ("user", user)]);
            }
            None => family.add_with(run.clone(), parents, [("callers", callers)]),
        }
        Asking { uid: run, kind: "Run", lasting: BTreeSet::from([tenant, agent, version]), family }
    }
}

/// An operator who asks, through the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The tenant.
    pub tenant: String,
    /// Who.
    pub user: User,
}

impl Operator {
    pub(crate) fn into_asking(self) -> Asking {
        let mut family = Family::default();
        let tenant = uid("Tenant", &self.tenant);
        family.add(tenant.clone(), []);
        let roles: Vec<EntityUid> = self.user.roles.iter().map(|role| uid("Role", role)).collect();
        let user = self.user.into_family(&tenant, &mut family);
        let lasting = roles.into_iter().chain([tenant, user.clone()]).collect();
        Asking { uid: user, kind: "User", lasting, family }
    }
}

/// What something is done to.
#[derive(Clone, Debug)]
pub struct Resource {
    pub(crate) uid: EntityUid,
    /// The same as the evaluator takes it.
    pub(crate) entry: EntityUIDEntry,
    pub(crate) kind: &'static str,
    /// All above it.
    pub(crate) above: Vec<EntityUid>,
    pub(crate) family: Family,
}

impl Resource {
    fn new(kind: &'static str, id: &str, above: Vec<EntityUid>) -> Self {
        let uid = uid(kind, id);
        let mut family = Family::default();
        let mut below = None;
        // Each is below the next.
        for upper in &above {
            family.add(below.replace(upper.clone()).unwrap_or_else(|| uid.clone()), [upper.clone()]);
        }
        family.add(below.unwrap_or_else(|| uid.clone()), []);
        Self { entry: entry(&uid), uid, kind, above, family }
    }

    /// A tool, within the entry of the manifest that it comes from.
    pub fn tool(tool: &ToolSpec) -> Self {
        let uid = uid("Tool", &tool.name);
        let set = self::uid("Toolset", &tool.toolset);
        let mut family = Family::default();
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let attributes = [("class", text(class_name(tool.class))), ("risk", text(tool.risk.name()))];
        family.add_with(uid.clone(), [set.clone()], attributes);
        family.add(set.clone(), []);
        Self { entry: entry(&uid), uid, kind: "Tool", above: vec![set], family }
    }

    /// A tool that is in no manifest: it counts as the worst.
    pub fn unknown_tool(name: &str) -> Self {
        let (class, risk) = (EffectClass::Irreversible, Risk::Critical);
        let schema = crate::shape::Fields::new();
        Self::tool(&ToolSpec { name: name.to_owned(), toolset: String::new(), class, risk, arguments: schema })
    }

    /// A model, as manifests name it: `anthropic:claude-sonnet`.
    pub fn model(name: &str) -> Self {
        let provider = name.split_once(':').map_or(name, |(provider, _)| provider);
        Self::new("Model", name, vec![uid("Provider", provider)])
    }

    /// A collection of a project's memory; its id is `PROJECT/COLLECTION`.
    pub fn memory(project: &str, collection: &str) -> Self {
        Self::new("Memory", &format!("{project}/{collection}"), vec![uid("Project", project)])
    }

    /// Another agent of the tenant.
    pub fn agent(tenant: &str, agent: &str) -> Self {
        Self::new("Agent", agent, vec![uid("Tenant", tenant)])
    }

    /// A box of a tier: `namespace`, `microvm`, `wasm` or `oci`.
    pub fn sandbox(tier: stead_core::sandbox::Tier) -> Self {
        Self::new("Sandbox", &tier.to_string(), Vec::new())
    }

    /// A host, below each domain that it is in: `api.example.com` is in `example.com` and `com`. Case and a dot at the end
    /// say nothing; an address is in no domain.
    pub fn host(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let address = name.contains(':') || name.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let mut domains = Vec::new();
        let mut rest = name.as_str();
        while let Some((_, upper)) = rest.split_once('.').filter(|_| !address) {
            domains.push(uid("Domain", upper));
            rest = upper;
        }
        Self::new("Host", &name, domains)
    }

    /// A secret: `NAME`, or a field of it as `NAME#FIELD`, which is within `NAME`.
    pub fn secret(reference: &str) -> Self {
        let above = reference.split_once('#').map(|(name, _)| uid("Secret", name));
        Self::new("Secret", reference, above.into_iter().collect())
    }

    /// A file that leaves the workspace, by its name.
    pub fn artifact(name: &str) -> Self {
        Self::new("Artifact", name, Vec::new())
    }

    /// The tenant itself.
    pub fn tenant(tenant: &str) -> Self {
        Self::new("Tenant", tenant, Vec::new())
    }

    /// A run, for operators.
    pub fn run(run: Asker) -> Self {
        let session = uid("Session", &run.session);
        let asking = run.into_asking();
        let above = asking.lasting.into_iter().chain([session]).collect();
        Self { entry: entry(&asking.uid), uid: asking.uid, kind: "Run", above, family: asking.family }
    }
}
