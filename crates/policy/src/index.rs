//! Which policies can match a request at all, found by their scopes. What is left out is only what Cedar would find false
//! in the scope, before any condition is looked at: so a slice decides as the whole set does, errors included.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};

use crate::policies::Rule;

/// Types whose entities differ from run to run of one version: policies that name them stay in every slice.
const VARYING: [&str; 2] = ["Run", "Session"];

/// Policies by the narrowest part of their scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    by_resource: BTreeMap<EntityUid, Vec<usize>>,
    by_action: BTreeMap<EntityUid, Vec<usize>>,
    by_principal: BTreeMap<EntityUid, Vec<usize>>,
    others: Vec<usize>,
}

/// What a slice is for.
pub(crate) struct Scope<'a> {
    /// The type of who asks.
    pub(crate) kind: &'a str,
    /// Who asks and all above, as far as a slice is for them.
    pub(crate) principal: &'a BTreeSet<EntityUid>,
    pub(crate) action: &'a EntityUid,
    /// The action's group.
    pub(crate) group: Option<&'a EntityUid>,
    pub(crate) resource: &'a EntityUid,
    pub(crate) resource_kind: &'a str,
    /// All above the resource.
    pub(crate) above: &'a [EntityUid],
}

impl Index {
    pub(crate) fn of(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (n, rule) in rules.iter().enumerate() {
            if let Some(uid) = resource_of(rule) {
                index.by_resource.entry(uid).or_default().push(n);
                continue;
            }
            match rule.policy.action_constraint() {
                ActionConstraint::Eq(action) => {
                    index.by_action.entry(action).or_default().push(n);
                    continue;
                }
                ActionConstraint::In(actions) => {
                    for action in actions.into_iter().collect::<BTreeSet<_>>() {
                        index.by_action.entry(action).or_default().push(n);
                    }
                    continue;
                }
                ActionConstraint::Any => {}
            }
            match principal_of(rule) {
                Some(uid) if !varies(&uid) => index.by_principal.entry(uid).or_default().push(n),
                _ => index.others.push(n),
            }
        }
        index
    }

    /// The policies that may match, in their order.
    pub(crate) fn find(&self, rules: &[Rule], scope: &Scope<'_>) -> Vec<usize> {
        let resources = std::iter::once(scope.resource).chain(scope.above).filter_map(|uid| self.by_resource.get(uid));
        let actions = std::iter::once(scope.action).chain(scope.group).filter_map(|uid| self.by_action.get(uid));
        let principals = scope.principal.iter().filter_map(|uid| self.by_principal.get(uid));
        let found = resources.chain(actions).chain(principals).chain([&self.others]).flatten().copied();
        let found: BTreeSet<usize> = found.filter(|n| scope.may(&rules[*n])).collect();
        found.into_iter().collect()
    }
}

impl Scope<'_> {
    /// Whether a policy's scope may be true.
    fn may(&self, rule: &Rule) -> bool {
        self.principal_may(rule) && self.action_may(rule) && self.resource_may(rule)
    }

    /// Whether the index leaves open if the scope is true of who asks: it names what differs from run to run.
    pub(crate) fn leaves_open(&self, rule: &Rule) -> bool {
        self.kind == "Run" && principal_of(rule).is_some_and(|uid| varies(&uid))
    }

    fn principal_may(&self, rule: &Rule) -> bool {
        let above = |uid: &EntityUid| (self.kind == "Run" && varies(uid)) || self.principal.contains(uid);
        match rule.policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) => above(&uid),
            PrincipalConstraint::Is(kind) => kind.basename() == self.kind,
            PrincipalConstraint::IsIn(kind, uid) => kind.basename() == self.kind && above(&uid),
        }
    }

    fn action_may(&self, rule: &Rule) -> bool {
        match rule.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == *self.action,
            ActionConstraint::In(uids) => uids.iter().any(|uid| uid == self.action || Some(uid) == self.group),
        }
    }

    fn resource_may(&self, rule: &Rule) -> bool {
        let within = |uid: &EntityUid| uid == self.resource || self.above.contains(uid);
        match rule.policy.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) => uid == *self.resource,
            ResourceConstraint::In(uid) => within(&uid),
            ResourceConstraint::Is(kind) => kind.basename() == self.resource_kind,
            ResourceConstraint::IsIn(kind, uid) => kind.basename() == self.resource_kind && within(&uid),
        }
    }
}

fn varies(uid: &EntityUid) -> bool {
    VARYING.contains(&uid.type_name().basename())
}

fn principal_of(rule: &Rule) -> Option<EntityUid> {
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
    }
}

fn resource_of(rule: &Rule) -> Option<EntityUid> {
    match rule.policy.resource_constraint() {
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
    }
}
