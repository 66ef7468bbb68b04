//! What has become of a plan in a run: which of its reads have returned, which of its slots are used. A fold of events.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use minicbor::{Decode, Encode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use stead_core::id::Name;

use super::{
    Plan,
    ast::{Binding, Call, Expr, Slot, Source},
    datum::{Datum, Kind},
    error::place,
    eval::{self, Fault, MAX_STEPS, Names},
};
use crate::{
    declare::Tool,
    entitle::Entitlements,
    json::short,
    trace::Traced,
    trust::{Label, Trust},
};

/// Elements that one `each` gives leave for.
pub const MAX_EACH: usize = 1_000;

/// One use of a slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Use {
    /// The slot, from 0 in the order of the plan.
    #[n(0)]
    pub slot: u16,
    /// Of a slot with `each`, the digest of the element.
    #[n(1)]
    pub element: Option<Name>,
}

/// Something that happens to a plan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Event {
    /// A call was made that `let` number `read` waits for. Only the first counts.
    #[n(0)]
    Read {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
        /// The `let`, from 0 in the order of the plan.
        #[n(1)]
        read: u16,
    },
    /// An effect is let through by a slot.
    #[n(1)]
    Used {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
        /// The slot.
        #[n(1)]
        used: Use,
    },
    /// That effect was never sent, or that read failed: the slot, or the name, is free again.
    #[n(2)]
    Returned {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
    },
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanState {
    reads: BTreeMap<u16, u32>,
    read: BTreeMap<u32, Datum>,
    used: BTreeMap<u32, Use>,
}

/// How a call stands to the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It asks nothing of a plan: it does nothing outside, or nothing untrusted has been read.
    Free {
        /// The `let` that it is the call of.
        read: Option<u16>,
    },
    /// A slot allows it, and is used by it.
    Planned(Use),
    /// No slot allows it: a human must.
    Unplanned(Vec<Why>),
}

/// Why a slot does not allow a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The slot, from 1; `None` when it is about none.
    pub slot: Option<u16>,
    /// In words.
    pub why: String,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "slot {slot}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl PlanState {
    /// Folds an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Read { effect, read } => {
                self.reads.entry(*read).or_insert(*effect);
            }
            Event::Used { effect, used } => {
                self.used.insert(*effect, used.clone());
            }
            Event::Returned { effect } => {
                self.used.remove(effect);
                self.reads.retain(|_, e| e != effect);
                self.read.remove(effect);
            }
        }
    }

    /// An effect has returned: what it read is kept if a name waits for it. The first answer stays.
    pub fn returned(&mut self, effect: u32, value: &Datum) {
        if self.reads.values().any(|e| *e == effect) {
            self.read.entry(effect).or_insert_with(|| value.clone());
        }
    }

    /// How often slots were used.
    pub fn uses(&self) -> usize {
        self.used.len()
    }

    fn count(&self, of: &Use) -> usize {
        self.used.values().filter(|used| *used == of).count()
    }

    /// How a call stands to the plan.
    pub fn judge(&self, plan: Option<&Plan>, tool: &Tool, call: &Traced, entitled: &Entitlements) -> Standing {
        let Some(plan) = plan else {
            return if tool.effect && call.window.is_tainted() {
                Standing::Unplanned(vec![Why { slot: None, why: "the run has no plan".to_owned() }])
            } else {
                Standing::Free { read: None }
            };
        };
        let mut steps = MAX_STEPS;
        let names = self.names(plan, &mut steps);
        let judge = Judge { plan, state: self, tool, call, names };
        if !tool.effect {
            return Standing::Free { read: judge.read(&mut steps) };
        }
        let mut why = Vec::new();
        for (number, slot) in plan.0.slots.iter().enumerate().filter(|(_, s)| *s.call.tool.text == *tool.name) {
            match judge.slot(number as u16, slot, entitled, &mut steps) {
                Ok(used) => return Standing::Planned(used),
                Err(words) => why.push(Why { slot: Some(number as u16 + 1), why: words }),
            }
        }
        if !call.window.is_tainted() {
            return Standing::Free { read: None };
        }
        if why.is_empty() {
            why.push(Why { slot: None, why: format!("the plan has no slot for `{}`", tool.name) });
        }
        Standing::Unplanned(why)
    }

    /// The values of all names, as far as they are there.
    fn names(&self, plan: &Plan, steps: &mut u32) -> Names {
        let mut names = Names::new();
        for (i, let_) in plan.0.lets.iter().enumerate() {
            let value = match &let_.source {
                Source::Value(expr) => eval::eval(expr, &names, steps),
                Source::Read(call) => {
                    let found = self.reads.get(&(i as u16)).and_then(|effect| self.read.get(effect));
                    let why = || {
                        format!(
                            "`{}` has not been read: no call of `{}` as the plan writes it has returned",
                            let_.name.text, call.tool.text
                        )
                    };
                    found.cloned().ok_or_else(|| Fault { at: let_.name.at.clone(), why: why() })
                }
            };
            names.insert(let_.name.text.clone(), value);
        }
        names
    }
}

struct Judge<'a> {
    plan: &'a Plan,
    state: &'a PlanState,
    tool: &'a Tool,
    call: &'a Traced,
    names: Names,
}

impl Judge<'_> {
    /// The `let` that waits for this call.
    fn read(&self, steps: &mut u32) -> Option<u16> {
        let waits = |(i, let_): (usize, &super::Let)| match &let_.source {
            Source::Read(call) if *call.tool.text == *self.tool.name && !self.state.reads.contains_key(&(i as u16)) => {
                self.bound(call, &self.names, steps).is_ok().then_some(i as u16)
            }
            _ => None,
        };
        self.plan.0.lets.iter().enumerate().find_map(waits)
    }

    fn slot(&self, number: u16, slot: &Slot, entitled: &Entitlements, steps: &mut u32) -> Result<Use, String> {
        let mut elements: Vec<(Option<Name>, Names)> = Vec::new();
        match &slot.each {
            None => elements.push((None, self.names.clone())),
            Some((name, list)) => {
                let value = self.counting(list, &self.names, steps)?;
                let Kind::List(items) = value.kind() else { return Err(self.told(list, "here must be a list")) };
                if items.len() > MAX_EACH {
                    return Err(self.told(list, &format!("the list has more than {MAX_EACH} elements")));
                }
                for item in items.iter() {
                    let mut names = self.names.clone();
                    names.insert(name.text.clone(), Ok(item.clone().under(&value.own())));
                    elements.push((Some(digest(item)), names));
                }
            }
        }
        let mut first = None;
        let mut seen = BTreeSet::new();
        for (element, names) in elements {
            // The same element twice in a list is one.
            if !seen.insert(element.clone()) {
                continue;
            }
            match self.element(Use { slot: number, element }, slot, &names, entitled, steps) {
                Ok(used) => return Ok(used),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(|| "its list is empty".to_owned()))
    }

    fn element(
        &self,
        used: Use,
        slot: &Slot,
        names: &Names,
        entitled: &Entitlements,
        steps: &mut u32,
    ) -> Result<Use, String> {
        self.bound(&slot.call, names, steps)?;
        if let Some(condition) = &slot.condition {
            match self.counting(condition, names, steps)?.kind() {
                Kind::Bool(true) => {}
                Kind::Bool(false) => return Err(self.told(condition, "its condition does not hold")),
                other => {
                    return Err(
                        self.told(condition, &format!("here must be a truth value, and this is {}", other.name()))
                    );
                }
            }
        }
        self.readers(entitled)?;
        let count = self.state.count(&used);
        if count >= slot.times as usize {
            return Err(match slot.times {
                1 => "it is used".to_owned(),
                times => format!("it is used {times} times, as often as it may be"),
            });
        }
        Ok(used)
    }

    /// Whether every argument that steers is bound, and to the value that the call has.
    fn bound(&self, call: &Call, names: &Names, steps: &mut u32) -> Result<(), String> {
        for (name, value) in &self.call.values {
            let binding = call.arguments.iter().find(|(n, _)| *n.text == **name).map(|(_, b)| b);
            match binding {
                None | Some(Binding::Any) if !self.tool.steers(name) => {}
                None | Some(Binding::Any) => {
                    return Err(format!("`{name}` steers the call, and the plan does not bind it"));
                }
                Some(Binding::To(expr)) => {
                    let wanted = self.counting(expr, names, steps)?;
                    let given = Datum::of_value(value, &Label::nothing());
                    if !given.is(&wanted) {
                        let (wanted, given) = (wanted.to_value().to_string(), value.to_string());
                        return Err(format!("`{name}` must be {}, and is {}", short(&wanted), short(&given)));
                    }
                }
            }
        }
        let missing = call
            .arguments
            .iter()
            .find(|(n, b)| matches!(b, Binding::To(_)) && !self.call.values.contains_key(&*n.text));
        missing.map_or(Ok(()), |(n, _)| Err(format!("`{}` is bound, and the call does not have it", n.text)))
    }

    /// The value of an expression, if it counts enough to decide by.
    fn counting(&self, expr: &Expr, names: &Names, steps: &mut u32) -> Result<Datum, String> {
        let value = eval::eval(expr, names, steps).map_err(|fault| self.place(&fault))?;
        let label = value.label();
        if label.trust < Trust::Attested {
            let why = format!("this depends on what {} says, which is untrusted", label.origins);
            return Err(self.told(expr, &why));
        }
        Ok(value)
    }

    /// Whether whoever reads the content may read all that can be in it.
    fn readers(&self, entitled: &Entitlements) -> Result<(), String> {
        let content = self.call.arguments.iter().filter(|a| !a.steers && a.label.is_tainted());
        for argument in content {
            let Some(readers) = &self.tool.recipients else {
                return Err(format!(
                    "`{}` is untrusted content, and `{}` does not say who reads it",
                    argument.name, self.tool.name
                ));
            };
            for reader in readers.iter().filter_map(|r| self.call.values.get(&**r)) {
                let mut all = Vec::new();
                leaves(reader, &mut all);
                for reader in all {
                    if let Some(what) = entitled.keeps_out(&argument.label, &reader) {
                        return Err(format!(
                            "{} may not read {what}, which can be in `{}`",
                            short(&reader),
                            argument.name
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn told(&self, expr: &Expr, why: &str) -> String {
        self.place(&Fault { at: expr.at.clone(), why: why.to_owned() })
    }

    fn place(&self, fault: &Fault) -> String {
        let (line, column) = place(&self.plan.0.text, fault.at.start);
        format!("{}:{line}:{column}: {}", self.plan.0.file, fault.why)
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

/// The name of an element: the first 16 bytes of the SHA-256 of its JSON with sorted keys, in hexadecimal digits.
fn digest(item: &Datum) -> Name {
    let mut value = item.to_value();
    value.sort_all_objects();
    let full = Sha256::digest(value.to_string());
    let hex: String = full.iter().take(16).map(|b| format!("{b:02x}")).collect();
    Name(Arc::from(hex.as_str()))
}
