//! The values that made a policy match: what each attribute that it reads was in a request.

use cedar_policy::{Context, Entities, EntityUid, EvalResult};

use crate::{
    decision::{Reason, written},
    policies::Rule,
    wanted::Path,
};

/// Most characters of a value that are told.
pub const MAX_VALUE: usize = 200;

/// What a request was to a policy.
pub(crate) struct Sight<'a> {
    pub(crate) principal: &'a EntityUid,
    pub(crate) action: &'a EntityUid,
    pub(crate) resource: &'a EntityUid,
    pub(crate) context: Context,
    pub(crate) entities: &'a Entities,
}

impl Sight<'_> {
    /// A policy that decided, with its values.
    pub(crate) fn reason(&self, rule: &Rule) -> Reason {
        let value = |path: &Path| self.value(path).map_or_else(|| "not there".to_owned(), |v| told(&v));
        let values = rule.mentions.paths.iter().map(|path| (written(path), value(path))).collect();
        Reason { values, ..plain(rule) }
    }

    fn value(&self, path: &Path) -> Option<EvalResult> {
        let (root, rest) = path.split_first()?;
        let (mut value, rest) = match root.as_str() {
            "principal" => (EvalResult::EntityUid(self.principal.clone()), rest),
            "action" => (EvalResult::EntityUid(self.action.clone()), rest),
            "resource" => (EvalResult::EntityUid(self.resource.clone()), rest),
            _ => {
                let (first, rest) = rest.split_first()?;
                (self.context.get(first)?, rest)
            }
        };
        for name in rest {
            value = match value {
                EvalResult::Record(record) => record.get(name)?.clone(),
                EvalResult::EntityUid(uid) => self.entities.get(&uid)?.attr(name)?.ok()?,
                _ => return None,
            };
        }
        Some(value)
    }
}

/// A policy that decided, without its values.
pub(crate) fn plain(rule: &Rule) -> Reason {
    Reason { policy: rule.id.clone(), said: rule.reason.clone(), values: Vec::new(), error: None }
}

fn told(value: &EvalResult) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
