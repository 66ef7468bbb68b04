//! What the names of a plan stand for, and whether a call is one that the plan writes.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use stead_core::id::Name;

use super::{
    NOW, Plan,
    ast::{Binding, Call, Expr, Read, Source},
    datum::{Datum, Kind},
    error::place,
    eval::{self, Fault, Names},
    moment::Moment,
    state::{MAX_EACH, PlanState},
};
use crate::{
    declare::Tool,
    json::short,
    trace::Traced,
    trust::{Label, Trust},
};

/// A call that is held against what a plan writes.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) tool: &'a Tool,
    pub(super) values: &'a Map<String, Value>,
    /// Who said its arguments; of a call that was let go before, nobody asks again.
    pub(super) traced: Option<&'a Traced>,
}

/// The values of all names, as far as they are there.
pub(super) fn names(plan: &Plan, state: &PlanState, steps: &mut u32) -> Names {
    let mut names = Names::new();
    let now = state.began.and_then(Moment::at).map(|at| {
        // The runtime says it.
        Datum::new(Kind::Text(at.text().into()), Label::nothing())
    });
    let fault = || Fault { at: 0..0, why: "when the run began is not known".to_owned() };
    names.insert(NOW.into(), now.ok_or_else(fault));
    for (i, let_) in plan.0.lets.iter().enumerate() {
        let missing = |why: String| Fault { at: let_.name.at.clone(), why };
        let value = match &let_.source {
            Source::Value(expr) => eval::eval(expr, &names, steps),
            Source::Done(slot) => {
                let done = state.done(*slot).cloned();
                done.ok_or_else(|| missing(format!("`{}` is not there: its call has not returned", let_.name.text)))
            }
            Source::Read(Read { calls, each: None }) => {
                let found = state.reads(i).find_map(|effect| state.answer(effect)).map(|answer| answer.value.clone());
                found.ok_or_else(|| missing(unread(&let_.name.text, calls)))
            }
            Source::Read(Read { calls, each: Some((name, list)) }) => {
                eval::eval(list, &names, steps).and_then(|list_value| {
                    let mut rows = Vec::new();
                    for (_, element) in elements(&list_value).map_err(|why| Fault { at: list.at.clone(), why })? {
                        let mut inner = names.clone();
                        inner.insert(name.text.clone(), Ok(element.clone()));
                        let Some(value) = answered(plan, state, i, calls, &inner, steps) else {
                            let of = short(&element.to_value().to_string());
                            return Err(missing(format!("{}, for {of}", unread(&let_.name.text, calls))));
                        };
                        let fields = [(Arc::from("key"), element.clone()), (Arc::from("value"), value)];
                        rows.push(Datum::new(Kind::Record(Arc::new(fields.into())), element.own()));
                    }
                    Ok(Datum::new(Kind::List(rows.into()), list_value.own()))
                })
            }
        };
        names.insert(let_.name.text.clone(), value);
    }
    names
}

fn unread(name: &str, calls: &[Call]) -> String {
    let tools: Vec<String> = calls.iter().map(|call| format!("`{}`", call.tool.text)).collect();
    format!("`{name}` has not been read: no call of {} as the plan writes it has returned", tools.join(" or "))
}

/// What came back from the first call of a `let` that these names make.
fn answered(
    plan: &Plan,
    state: &PlanState,
    let_: usize,
    calls: &[Call],
    names: &Names,
    steps: &mut u32,
) -> Option<Datum> {
    state.reads(let_).filter_map(|effect| state.answer(effect)).find_map(|answer| {
        let written = calls.iter().filter(|call| *call.tool.text == *answer.tool).any(|call| {
            let tool = plan.0.tool(&call.tool.text);
            tool.is_some_and(|tool| {
                let made = Made { tool, values: &answer.arguments, traced: None };
                bound(plan, call, made, names, steps).is_ok()
            })
        });
        written.then(|| answer.value.clone())
    })
}

/// The `let` that waits for a call.
pub(super) fn waits(plan: &Plan, state: &PlanState, made: Made<'_>, names: &Names, steps: &mut u32) -> Option<u16> {
    let mut waits = |i: usize, read: &Read| {
        let calls: Vec<&Call> = read.calls.iter().filter(|call| *call.tool.text == *made.tool.name).collect();
        let Some((name, list)) = &read.each else {
            return state.reads(i).next().is_none() && calls.iter().any(|c| bound(plan, c, made, names, steps).is_ok());
        };
        if calls.is_empty() {
            return false;
        }
        let list = eval::eval(list, names, steps).map_err(|fault| fault.why).and_then(|list| elements(&list));
        list.into_iter().flatten().any(|(_, element)| {
            let mut inner = names.clone();
            inner.insert(name.text.clone(), Ok(element));
            calls.iter().any(|call| bound(plan, call, made, &inner, steps).is_ok())
                && answered(plan, state, i, &read.calls, &inner, steps).is_none()
        })
    };
    let found = plan.0.lets.iter().enumerate().find(|(i, let_)| match &let_.source {
        Source::Read(read) => waits(*i, read),
        Source::Value(_) | Source::Done(_) => false,
    });
    found.map(|(i, _)| i as u16)
}

/// The different elements of a list, each with the name that its use has.
pub(super) fn elements(list: &Datum) -> Result<Vec<(Name, Datum)>, String> {
    let Kind::List(items) = list.kind() else { return Err("here must be a list".to_owned()) };
    if items.len() > MAX_EACH {
        return Err(format!("the list has more than {MAX_EACH} elements"));
    }
    let mut seen = BTreeSet::new();
    let all = items.iter().map(|item| (digest(item), item.clone().under(&list.own())));
    Ok(all.filter(|(digest, _)| seen.insert(digest.clone())).collect())
}

/// The name of an element: the first 16 bytes of the SHA-256 of its JSON with sorted keys, in hexadecimal digits.
fn digest(item: &Datum) -> Name {
    let mut value = item.to_value();
    value.sort_all_objects();
    let full = Sha256::digest(value.to_string());
    let hex: String = full.iter().take(16).map(|b| format!("{b:02x}")).collect();
    Name(Arc::from(hex.as_str()))
}

/// Whether every argument that steers is bound, and to the value that the call has.
pub(super) fn bound(plan: &Plan, call: &Call, made: Made<'_>, names: &Names, steps: &mut u32) -> Result<(), String> {
    for (name, value) in made.values {
        let binding = call.arguments.iter().find(|(n, _)| *n.text == **name).map(|(_, b)| b);
        match binding {
            None | Some(Binding::Any) if made.tool.effect && !made.tool.steers(name) => {}
            // What is left out and what is given as it would be without it are one call.
            None if left_out(made.tool, name).is_some_and(|default| same(value, default)) => {}
            Some(Binding::Any) if !made.tool.effect => open(made, name)?,
            None if !made.tool.steers(name) => {}
            None | Some(Binding::Any) => {
                return Err(format!("`{name}` steers the call, and the plan does not bind it"));
            }
            Some(binding) => holds(plan, binding, made.tool, (name, value), names, steps)?,
        }
    }
    let missing = call.arguments.iter().filter(|(name, _)| !made.values.contains_key(&*name.text));
    for (name, binding) in missing.filter(|(_, binding)| *binding != Binding::Any) {
        let absent = format!("`{}` is bound, and the call does not have it", name.text);
        let Some(default) = left_out(made.tool, &name.text) else { return Err(absent) };
        holds(plan, binding, made.tool, (&name.text, default), names, steps).map_err(|_| absent)?;
    }
    Ok(())
}

/// What a call is that leaves an argument out; nothing where it may not.
fn left_out<'a>(tool: &'a Tool, name: &str) -> Option<&'a Value> {
    let required = tool.input.get("required").and_then(Value::as_array);
    if required.is_some_and(|list| list.iter().any(|r| r == name)) {
        return None;
    }
    let property = tool.input.get("properties")?.get(name)?;
    Some(property.get("default").unwrap_or(&Value::Null))
}

fn same(a: &Value, b: &Value) -> bool {
    Datum::of_value(a, &Label::nothing()).is(&Datum::of_value(b, &Label::nothing()))
}

/// Whether what a read leaves open may be what it is: what other people's words chose is no answer to the plan's question.
fn open(made: Made<'_>, name: &str) -> Result<(), String> {
    let argument = made.traced.and_then(|traced| traced.argument(name));
    match argument {
        Some(argument) if argument.label.is_tainted() => {
            Err(format!("`{name}` is left open, and what it is here depends on {}", argument.label.origins))
        }
        _ => Ok(()),
    }
}

fn holds(
    plan: &Plan,
    binding: &Binding,
    tool: &Tool,
    (name, value): (&str, &Value),
    names: &Names,
    steps: &mut u32,
) -> Result<(), String> {
    let given = Datum::of_value(value, &Label::nothing());
    let told = |wanted: &Datum| short(&wanted.to_value().to_string());
    match binding {
        Binding::Any => Ok(()),
        Binding::To(expr) => {
            let wanted = counting(plan, expr, names, steps)?;
            let reads = tool.recipients.as_ref().is_some_and(|readers| readers.iter().any(|reader| **reader == *name));
            if given.is(&wanted) || (reads && same_elements(&given, &wanted)) {
                return Ok(());
            }
            Err(format!("`{name}` must be {}, and is {}", told(&wanted), short(&value.to_string())))
        }
        Binding::Between(least, most) => {
            let (least, most) = (counting(plan, least, names, steps)?, counting(plan, most, names, steps)?);
            if within(&given, &least, &most) {
                return Ok(());
            }
            let (least, most) = (told(&least), told(&most));
            Err(format!("`{name}` must be between {least} and {most}, and is {}", short(&value.to_string())))
        }
    }
}

/// Whether two lists have the same elements: in which order readers are named does not matter.
fn same_elements(a: &Datum, b: &Datum) -> bool {
    let (Kind::List(a), Kind::List(b)) = (a.kind(), b.kind()) else { return false };
    let mut left: Vec<&Datum> = b.iter().collect();
    let mut taken = |element: &Datum| match left.iter().position(|other| element.is(other)) {
        Some(at) => {
            left.swap_remove(at);
            true
        }
        None => false,
    };
    a.len() == b.len() && a.iter().all(&mut taken)
}

/// Whether a value lies between two others: numbers, or dates and times. Other texts lie between nothing.
fn within(value: &Datum, least: &Datum, most: &Datum) -> bool {
    let measure = |datum: &Datum| match datum.kind() {
        Kind::Number(_) => true,
        Kind::Text(text) => Moment::read(text).is_some(),
        _ => false,
    };
    [value, least, most].into_iter().all(measure)
        && eval::compare(value, least).is_ok_and(std::cmp::Ordering::is_ge)
        && eval::compare(value, most).is_ok_and(std::cmp::Ordering::is_le)
}

/// The value of an expression, if it counts enough to decide by.
pub(super) fn counting(plan: &Plan, expr: &Expr, names: &Names, steps: &mut u32) -> Result<Datum, String> {
    let value = eval::eval(expr, names, steps).map_err(|fault| placed(plan, &fault))?;
    let label = value.label();
    if label.trust < Trust::Attested {
        let why = format!("this depends on what {} says, which is untrusted", label.origins);
        return Err(told(plan, expr, &why));
    }
    Ok(value)
}

/// What is wrong with an expression, with its place.
pub(super) fn told(plan: &Plan, expr: &Expr, why: &str) -> String {
    placed(plan, &Fault { at: expr.at.clone(), why: why.to_owned() })
}

fn placed(plan: &Plan, fault: &Fault) -> String {
    let (line, column) = place(&plan.0.text, fault.at.start);
    format!("{}:{line}:{column}: {}", plan.0.file, fault.why)
}
