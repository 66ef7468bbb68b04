//! How sure a model says it is, and how bad it thinks a mistake would be: two arguments that the runtime adds to each tool
//! and takes out again, so that no tool sees them. Both only tighten.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};
use stead_policy::{Confidence, Risk};
use stead_ports::agent::Agent;

/// The argument with the model's confidence, from 0 to 1.
const CONFIDENCE: &str = "stead_confidence";
/// The argument with the risk that the model sees.
const RISK: &str = "stead_risk";

/// What a model says beside a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sureness {
    pub(crate) confidence: Option<Confidence>,
    pub(crate) risk: Option<Risk>,
    /// Whether anything was taken out of the arguments.
    pub(crate) stripped: bool,
}

/// The schema of a tool as a model is offered it, when its manifest asks for confidence. What is no object's schema stays as
/// it is: its calls then state no confidence, and count as unsure.
pub fn offered(mut schema: Value) -> Value {
    let properties = schema.as_object_mut().map(|s| s.entry("properties").or_insert_with(|| json!({})));
    if let Some(Value::Object(properties)) = properties {
        properties.insert(
            CONFIDENCE.into(),
            json!({ "type": "number", "minimum": 0, "maximum": 1,
                "description": "How sure you are that this call is right and wanted: 0 not at all, 1 certain." }),
        );
        properties.insert(
            RISK.into(),
            json!({ "type": "string", "enum": ["normal", "high", "critical"],
                "description": "How bad it would be if this call were a mistake." }),
        );
    }
    schema
}

/// The arguments as the tool gets them, and what the model said beside. The bytes of every value stay as they were.
pub(crate) fn split<'a>(agent: &Agent, arguments: &'a str) -> (Cow<'a, str>, Sureness) {
    match agent.ask_below {
        Some(_) => strip(arguments),
        None => (Cow::Borrowed(arguments), Sureness::default()),
    }
}

/// Arguments without what a model says beside, whatever the manifest asks for.
pub(crate) fn stripped(arguments: &str) -> Cow<'_, str> {
    strip(arguments).0
}

fn strip(arguments: &str) -> (Cow<'_, str>, Sureness) {
    let plain = (Cow::Borrowed(arguments), Sureness::default());
    if !arguments.contains("stead_") {
        return plain;
    }
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(arguments) else { return plain };
    let (mut sure, mut lowest) = (Sureness::default(), None);
    let mut rest = String::with_capacity(arguments.len());
    for (name, value) in &members {
        match name.as_ref() {
            // Said twice, the lower counts.
            CONFIDENCE => {
                let share = serde_json::from_str::<f64>(value.get()).ok().and_then(Confidence::new);
                // No confidence is less than any.
                lowest = Some(lowest.map_or(share, |before: Option<Confidence>| before.min(share)));
                sure.stripped = true;
            }
            RISK => {
                // What is no risk at all is the worst: it only tightens.
                let risk = serde_json::from_str::<Risk>(value.get()).unwrap_or(Risk::Critical);
                sure.risk = sure.risk.max(Some(risk));
                sure.stripped = true;
            }
            other => {
                rest.push(if rest.is_empty() { '{' } else { ',' });
                rest.push_str(&Value::from(other).to_string());
                rest.push(':');
                rest.push_str(value.get());
            }
        }
    }
    if !sure.stripped {
        return plain;
    }
    sure.confidence = lowest.flatten();
    if rest.is_empty() {
        rest.push('{');
    }
    rest.push('}');
    (Cow::Owned(rest), sure)
}

/// The members of an object in their order, each value as it is written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    members.push((name.0, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(Visit)
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
