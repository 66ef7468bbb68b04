//! What a request of this face may ask besides its messages. A parameter that would change what is done, and that is not done here, is
//! refused and not passed over; those that change nothing are taken. A parameter that nobody here has heard of is refused, too.

use serde_json::{Map, Value};
use stead_core::code;

use crate::http::failure::{Answer, Failure};

/// What is taken of a parameter.
#[derive(Clone, Copy)]
enum Takes {
    /// Any value; the handler reads it.
    Read,
    /// Any value; it changes nothing here.
    Passed,
    /// These values alone, which is what is done anyway.
    Only(fn(&Value) -> bool, &'static str),
    /// An agent has its own.
    Tools,
}

const OWN: &str = "an agent has its own settings, from its version";

fn is(value: &Value, word: &str) -> bool {
    value.as_str() == Some(word)
}

/// Parameters that both ways of asking an agent have in common.
const COMMON: &[(&str, Takes)] = &[
    ("model", Takes::Read),
    ("stream", Takes::Read),
    ("stream_options", Takes::Read),
    ("user", Takes::Passed),
    ("safety_identifier", Takes::Passed),
    ("prompt_cache_key", Takes::Passed),
    ("prompt_cache_retention", Takes::Passed),
    (
        "service_tier",
        Takes::Only(|v| is(v, "auto") || is(v, "default"), "the provider's tier is not the caller's to choose"),
    ),
    ("parallel_tool_calls", Takes::Passed),
    (
        "store",
        Takes::Only(|v| *v == Value::Bool(true), "every run is kept in the journal; what keeps texts short is erasure"),
    ),
    ("metadata", Takes::Only(|v| v.as_object().is_some_and(Map::is_empty), "metadata is not kept with a run")),
    ("temperature", Takes::Only(|v| v.as_f64() == Some(1.0), OWN)),
    ("top_p", Takes::Only(|v| v.as_f64() == Some(1.0), OWN)),
    ("tools", Takes::Tools),
    ("tool_choice", Takes::Only(|v| is(v, "auto"), "an agent chooses its tools itself")),
];

/// Those of `chat/completions`.
const CHAT: &[(&str, Takes)] = &[
    ("messages", Takes::Read),
    ("n", Takes::Only(|v| v.as_u64() == Some(1), "a run gives one answer")),
    ("functions", Takes::Tools),
    ("frequency_penalty", Takes::Only(|v| v.as_f64() == Some(0.0), OWN)),
    ("presence_penalty", Takes::Only(|v| v.as_f64() == Some(0.0), OWN)),
    ("logprobs", Takes::Only(|v| *v == Value::Bool(false), "no probabilities are kept")),
    ("modalities", Takes::Only(|v| *v == serde_json::json!(["text"]), "an agent answers with text")),
    (
        "response_format",
        Takes::Only(|v| is(&v["type"], "text"), "an agent's answer has the form that its `output` says"),
    ),
];

/// Those of `responses`.
const RESPONSES: &[(&str, Takes)] = &[
    ("input", Takes::Read),
    ("background", Takes::Read),
    ("previous_response_id", Takes::Read),
    ("conversation", Takes::Read),
    ("include", Takes::Passed),
    (
        "truncation",
        Takes::Only(|v| is(v, "disabled") || is(v, "auto"), "what leaves the model's view follows from the agent"),
    ),
    ("text", Takes::Only(is_text, "an agent's answer has the form that its `output` says")),
];

fn is_text(value: &Value) -> bool {
    value.as_object().is_some_and(|text| text.keys().all(|key| key == "format"))
        && (value["format"].is_null() || is(&value["format"]["type"], "text"))
}

const PROVIDER: &str = "a gateway cannot pass it on";

/// Parameters of a request to the model of a gateway, in all forms.
const RELAYED: &[(&str, Takes)] = &[
    ("model", Takes::Read),
    ("stream", Takes::Read),
    ("stream_options", Takes::Read),
    ("tools", Takes::Read),
    ("max_tokens", Takes::Read),
    ("user", Takes::Passed),
    ("safety_identifier", Takes::Passed),
    ("prompt_cache_key", Takes::Passed),
    ("prompt_cache_retention", Takes::Passed),
    ("metadata", Takes::Passed),
    (
        "service_tier",
        Takes::Only(|v| is(v, "auto") || is(v, "default"), "the provider's tier is not the caller's to choose"),
    ),
    ("parallel_tool_calls", Takes::Only(|v| *v == Value::Bool(true), PROVIDER)),
    (
        "store",
        Takes::Only(|v| *v == Value::Bool(true), "every run is kept in the journal; what keeps texts short is erasure"),
    ),
    ("temperature", Takes::Only(|v| v.as_f64() == Some(1.0), OWN)),
    ("top_p", Takes::Only(|v| v.as_f64() == Some(1.0), OWN)),
    (
        "tool_choice",
        Takes::Only(
            |v| is(v, "auto") || is(&v["type"], "auto") && v.get("disable_parallel_tool_use").is_none(),
            PROVIDER,
        ),
    ),
];

/// Those of `chat/completions` there.
const RELAYED_CHAT: &[(&str, Takes)] = &[
    ("messages", Takes::Read),
    ("max_completion_tokens", Takes::Read),
    ("response_format", Takes::Read),
    ("n", Takes::Only(|v| v.as_u64() == Some(1), PROVIDER)),
    ("frequency_penalty", Takes::Only(|v| v.as_f64() == Some(0.0), PROVIDER)),
    ("presence_penalty", Takes::Only(|v| v.as_f64() == Some(0.0), PROVIDER)),
    ("logprobs", Takes::Only(|v| *v == Value::Bool(false), PROVIDER)),
];

/// Those of `responses` there. Who has the loop has the conversation, too.
const RELAYED_RESPONSES: &[(&str, Takes)] = &[
    ("input", Takes::Read),
    ("instructions", Takes::Read),
    ("max_output_tokens", Takes::Read),
    ("text", Takes::Only(|v| v.as_object().is_some_and(|text| text.keys().all(|key| key == "format")), PROVIDER)),
    ("include", Takes::Passed),
    ("background", Takes::Only(|v| *v == Value::Bool(false), "a model's call is waited for")),
    ("truncation", Takes::Only(|v| is(v, "disabled"), PROVIDER)),
];

/// Those of Anthropic's `messages` there.
const RELAYED_MESSAGES: &[(&str, Takes)] = &[("messages", Takes::Read), ("system", Takes::Read)];

/// Which request it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `chat/completions`.
    Chat,
    /// `responses`.
    Responses,
    /// Anthropic's `messages`, which only a gateway has.
    Messages,
}

/// Looks at all parameters of a request to the model of a gateway.
///
/// # Errors
/// `ST0410` for one that is not taken.
pub(crate) fn of_gateway(body: &Map<String, Value>, kind: Kind) -> Answer<()> {
    let own = match kind {
        Kind::Chat => RELAYED_CHAT,
        Kind::Responses => RELAYED_RESPONSES,
        Kind::Messages => RELAYED_MESSAGES,
    };
    look(body, RELAYED, own)
}

/// Looks at all parameters of a request to an agent. `null` is silence.
///
/// # Errors
/// `ST0410` for one that is not taken, `ST0411` for tools.
pub(crate) fn of_agent(body: &Map<String, Value>, kind: Kind) -> Answer<()> {
    let own = match kind {
        Kind::Chat => CHAT,
        Kind::Responses => RESPONSES,
        Kind::Messages => &[],
    };
    look(body, COMMON, own)
}

fn look(body: &Map<String, Value>, common: &[(&str, Takes)], own: &[(&str, Takes)]) -> Answer<()> {
    for (name, value) in body.iter().filter(|(_, value)| !value.is_null()) {
        let takes = common.iter().chain(own).find(|(known, _)| known == name);
        match takes.map(|(_, takes)| *takes) {
            Some(Takes::Read | Takes::Passed) => {}
            Some(Takes::Only(fits, _)) if fits(value) => {}
            Some(Takes::Only(_, why)) => return Err(refused(name, why)),
            Some(Takes::Tools) if value.as_array().is_some_and(Vec::is_empty) => {}
            Some(Takes::Tools) => {
                return Err(Failure::new(
                    code::FACE_TOOLS,
                    "an agent has its own tools, and takes none from its caller",
                )
                .hint("declare them in agent.yaml, or name a provider's model to run them yourself")
                .about(name));
            }
            None => return Err(refused(name, "nothing here is asked with it")),
        }
    }
    Ok(())
}

/// The failure of a parameter that is not taken.
pub(crate) fn refused(name: &str, why: &str) -> Failure {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Failure::new(code::FACE_PARAMETER, format!("`{name}` is not taken here: {why}"))
        .hint("docs/openai.md has all parameters")
        .about(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(body: Value) -> bool {
        of_agent(body.as_object().unwrap_or(&Map::new()), Kind::Chat).is_ok()
    }

    #[test]
    fn what_would_change_something_is_refused_and_what_would_not_is_taken() {
        for fine in [
            json!({"model": "a", "messages": [], "temperature": 1, "n": 1, "tools": [], "store": null, "user": "x"}),
            json!({"tool_choice": "auto", "response_format": {"type": "text"}, "stream": true, "stop": null}),
        ] {
            assert!(chat(fine.clone()), "{fine}");
        }
        for refused in [
            json!({"temperature": 0.2}),
            json!({"n": 2}),
            json!({"store": false}),
            json!({"tools": [{"type": "function"}]}),
            json!({"max_tokens": 10}),
            json!({"invented": 1}),
            json!({"response_format": {"type": "json_object"}}),
            json!({"metadata": {"a": "b"}}),
        ] {
            assert!(!chat(refused.clone()), "{refused}");
        }
    }
}
