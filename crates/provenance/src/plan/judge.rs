//! Whether a slot of a plan allows a call.

use stead_core::id::Name;

use super::{
    Plan,
    ast::{Binding, Call, OverKind, Slot},
    datum::Kind,
    eval::Names,
    names::{Made, bound, counting, elements, told},
    state::{MAX_EACH, PlanState, Use},
};
use crate::{
    declare::Tool,
    entitle::Entitlements,
    json::short,
    trace::{Argument, Traced},
};

pub(super) struct Judge<'a> {
    pub(super) plan: &'a Plan,
    pub(super) state: &'a PlanState,
    pub(super) tool: &'a Tool,
    pub(super) call: &'a Traced,
    pub(super) names: Names,
    pub(super) entitled: &'a Entitlements,
}

impl Judge<'_> {
    /// The use that the call would be of a slot, or why it is none.
    pub(super) fn slot(&self, number: u16, slot: &Slot, steps: &mut u32) -> Result<Use, String> {
        let calls: Vec<&Call> = slot.calls.iter().filter(|call| *call.tool.text == *self.tool.name).collect();
        let mut first = None;
        for (element, names) in self.choices(slot, steps)? {
            let used = Use { slot: number, element };
            for call in &calls {
                match self.choice(&used, slot, call, &names, steps) {
                    Ok(()) => return Ok(used),
                    Err(why) => first = first.or(Some(why)),
                }
            }
        }
        Err(first.unwrap_or_else(|| "its list is empty".to_owned()))
    }

    /// What a slot may be used for: with `each`, each element has a use of its own; with `one`, all have the same.
    fn choices(&self, slot: &Slot, steps: &mut u32) -> Result<Vec<(Option<Name>, Names)>, String> {
        let mut out = vec![(None::<Name>, self.names.clone())];
        for over in &slot.overs {
            let mut next = Vec::new();
            for (used, names) in out {
                let list = counting(self.plan, &over.list, &names, steps)?;
                for (digest, element) in elements(&list).map_err(|why| told(self.plan, &over.list, &why))? {
                    if next.len() == MAX_EACH {
                        let why = format!("there are more than {MAX_EACH} ways to choose");
                        return Err(told(self.plan, &over.list, &why));
                    }
                    let used = match (over.kind, &used) {
                        (OverKind::One, used) => used.clone(),
                        (OverKind::Each, None) => Some(digest),
                        (OverKind::Each, Some(before)) => Some(format!("{before}.{digest}").as_str().into()),
                    };
                    let mut names = names.clone();
                    names.insert(over.name.text.clone(), Ok(element));
                    next.push((used, names));
                }
            }
            out = next;
        }
        Ok(out)
    }

    fn choice(&self, used: &Use, slot: &Slot, call: &Call, names: &Names, steps: &mut u32) -> Result<(), String> {
        let made = Made { tool: self.tool, values: &self.call.values, traced: Some(self.call) };
        bound(self.plan, call, made, names, steps)?;
        if let Some(condition) = &slot.condition {
            match counting(self.plan, condition, names, steps)?.kind() {
                Kind::Bool(true) => {}
                Kind::Bool(false) => return Err(told(self.plan, condition, "its condition does not hold")),
                other => {
                    let why = format!("here must be a truth value, and this is {}", other.name());
                    return Err(told(self.plan, condition, &why));
                }
            }
        }
        self.readers(slot, call, names, steps)?;
        let count = self.state.count(used);
        if count >= slot.times as usize {
            return Err(match slot.times {
                1 => "it is used".to_owned(),
                times => format!("it is used {times} times, as often as it may be"),
            });
        }
        Ok(())
    }

    /// Whether whoever reads the content may read all that can be in it. Content that the plan binds to a value is that value, whoever
    /// wrote it down in the call: nothing untrusted is in it.
    fn readers(&self, slot: &Slot, call: &Call, names: &Names, steps: &mut u32) -> Result<(), String> {
        let written = |name: &str| call.arguments.iter().any(|(n, b)| *n.text == *name && matches!(b, Binding::To(_)));
        let carried = |a: &&Argument| !a.steers && a.label.is_tainted() && !written(&a.name);
        let content: Vec<&Argument> = self.call.arguments.iter().filter(carried).collect();
        let Some(first) = content.first() else { return Ok(()) };
        let mut readers = Vec::new();
        match (&self.tool.recipients, &slot.readers) {
            (Some(named), _) => {
                for value in named.iter().filter_map(|r| self.call.values.get(&**r)) {
                    leaves(value, &mut readers);
                }
            }
            (None, Some(expr)) => {
                counting(self.plan, expr, names, steps)?.leaves(&mut readers);
                if readers.is_empty() {
                    return Err(told(self.plan, expr, "this names no reader"));
                }
            }
            (None, None) => {
                return Err(format!(
                    "`{}` is untrusted content, and `{}` does not say who reads it",
                    first.name, self.tool.name
                ));
            }
        }
        for argument in content {
            for reader in &readers {
                if let Some(what) = self.entitled.keeps_out(&argument.label, reader) {
                    return Err(format!("{} may not read {what}, which can be in `{}`", short(reader), argument.name));
                }
            }
        }
        Ok(())
    }
}

/// Texts and numbers of a value, as texts.
fn leaves(value: &serde_json::Value, out: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::Array(list) => list.iter().for_each(|v| leaves(v, out)),
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            out.push(k.clone());
            leaves(v, out);
        }),
        Value::String(s) => out.push(s.clone()),
        other => out.push(other.to_string()),
    }
}
