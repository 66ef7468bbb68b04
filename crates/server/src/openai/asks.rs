//! What a client asks the model of a gateway, in each of the three forms, as [`Relayed`]. What cannot be passed on is refused.

use std::collections::HashMap;

use serde_json::{Map, Value};
use stead_core::message::{OutputSchema, ToolDef};
use stead_models::relay::{Called, Relayed, Turn};

use super::{
    params::refused,
    said::{MAX_MESSAGES, MAX_PARTS},
};
use crate::http::failure::{Answer, Failure};

/// Tools of one request.
const MAX_TOOLS: usize = 512;

type Body = Map<String, Value>;

/// The tools of the calls that were made so far, by the calls' ids.
type Made = HashMap<String, String>;

fn wrong(member: &str, what: impl Into<String>) -> Failure {
    Failure::bad_request(what.into()).about(member)
}

/// A request of `chat/completions`.
///
/// # Errors
/// `ST0201` for what makes no sense, `ST0410` for what cannot be passed on.
pub(crate) fn chat(body: &Body) -> Answer<Relayed> {
    let (mut relayed, mut made) = (begun(body)?, Made::new());
    for message in list(body, "messages", MAX_MESSAGES)? {
        match word(message, "role") {
            "system" | "developer" => instruct(&mut relayed, &text("messages", &message["content"])?)?,
            "user" => relayed.messages.push(Turn::User(text("messages", &message["content"])?)),
            "assistant" => {
                let calls =
                    parts("messages", message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default())?.iter();
                let calls = calls.map(|call| called(&call["id"], &call["function"])).collect::<Answer<Vec<_>>>()?;
                made.extend(calls.iter().map(|call| (call.id.clone(), call.name.clone())));
                let text =
                    if message["content"].is_null() { String::new() } else { text("messages", &message["content"])? };
                relayed.messages.push(Turn::Assistant { text, calls });
            }
            "tool" => {
                let content = text("messages", &message["content"])?;
                result(&mut relayed, &made, word(message, "tool_call_id"), content, false)?;
            }
            _ => return Err(wrong("messages", "a message has a role: system, user, assistant or tool")),
        }
    }
    for tool in maybe(body, "tools", MAX_TOOLS)? {
        if word(tool, "type") != "function" {
            return Err(refused("tools", "a gateway passes functions on, and no tools of a provider"));
        }
        relayed.tools.push(function("tools", &tool["function"], "parameters")?);
    }
    relayed.output = format(&body.get("response_format").map_or(Value::Null, |f| with_schema(f, "json_schema")))?;
    relayed.max_output_tokens = count(body, &["max_completion_tokens", "max_tokens"])?;
    whole(relayed)
}

/// A request of `responses`.
///
/// # Errors
/// As [`chat`].
pub(crate) fn responses(body: &Body) -> Answer<Relayed> {
    let (mut relayed, mut made) = (begun(body)?, Made::new());
    if let Some(Value::String(said)) = body.get("instructions") {
        relayed.instructions.clone_from(said);
    }
    if let Some(Value::String(said)) = body.get("input") {
        relayed.messages.push(Turn::User(said.clone()));
    } else {
        for item in list(body, "input", MAX_MESSAGES)? {
            let said = || text("input", &item["content"]);
            match (word(item, "type"), word(item, "role")) {
                ("" | "message", "system" | "developer") => instruct(&mut relayed, &said()?)?,
                ("" | "message", "user") => relayed.messages.push(Turn::User(said()?)),
                ("" | "message", "assistant") => spoke(&mut relayed, said()?),
                ("function_call", _) => call(&mut relayed, &mut made, called(&item["call_id"], item)?),
                ("function_call_output", _) => {
                    let content = text("input", &item["output"])?;
                    result(&mut relayed, &made, word(item, "call_id"), content, false)?;
                }
                _ => {
                    return Err(refused(
                        "input",
                        "a gateway passes messages, functions and their results on, and no other items",
                    ));
                }
            }
        }
    }
    for tool in maybe(body, "tools", MAX_TOOLS)? {
        if word(tool, "type") != "function" {
            return Err(refused("tools", "a gateway passes functions on, and no tools of a provider"));
        }
        relayed.tools.push(function("tools", tool, "parameters")?);
    }
    relayed.output = format(body.get("text").map_or(&Value::Null, |text| &text["format"]))?;
    relayed.max_output_tokens = count(body, &["max_output_tokens"])?;
    whole(relayed)
}

/// A request of Anthropic's `messages`.
///
/// # Errors
/// As [`chat`].
pub(crate) fn messages(body: &Body) -> Answer<Relayed> {
    let (mut relayed, mut made) = (begun(body)?, Made::new());
    if let Some(system) = body.get("system").filter(|system| !system.is_null()) {
        relayed.instructions = text("system", system)?;
    }
    for message in list(body, "messages", MAX_MESSAGES)? {
        let content = &message["content"];
        let blocks = match content {
            Value::Array(blocks) => parts("messages", blocks)?,
            other => std::slice::from_ref(other),
        };
        for block in blocks {
            match (word(message, "role"), word(block, "type")) {
                ("user", "" | "text") => {
                    let said = text("messages", block)?;
                    match relayed.messages.last_mut() {
                        // Parts of one message.
                        Some(Turn::User(before)) if !std::ptr::eq(block, &blocks[0]) => join(before, &said),
                        _ => relayed.messages.push(Turn::User(said)),
                    }
                }
                ("user", "tool_result") => {
                    let said =
                        if block["content"].is_null() { String::new() } else { text("messages", &block["content"])? };
                    let error = match &block["is_error"] {
                        Value::Null => false,
                        Value::Bool(error) => *error,
                        _ => return Err(wrong("messages", "`is_error` is true or false")),
                    };
                    result(&mut relayed, &made, word(block, "tool_use_id"), said, error)?;
                }
                ("assistant", "" | "text") => spoke(&mut relayed, text("messages", block)?),
                ("assistant", "tool_use") => {
                    let (id, name) = (word(block, "id").to_owned(), word(block, "name").to_owned());
                    call(&mut relayed, &mut made, Called { id, name, arguments: block["input"].to_string() });
                }
                // What a model of another turn thought is not sent by anybody here.
                ("assistant", "thinking" | "redacted_thinking") => {}
                _ => {
                    return Err(refused(
                        "messages",
                        "a gateway passes text, calls of tools and their results on, and no other blocks",
                    ));
                }
            }
        }
    }
    for tool in maybe(body, "tools", MAX_TOOLS)? {
        if !matches!(word(tool, "type"), "" | "custom") {
            return Err(refused("tools", "a gateway passes tools of the client on, and no tools of a provider"));
        }
        relayed.tools.push(function("tools", tool, "input_schema")?);
    }
    relayed.max_output_tokens = count(body, &["max_tokens"])?;
    whole(relayed)
}

fn begun(body: &Body) -> Answer<Relayed> {
    let model = body.get("model").and_then(Value::as_str).ok_or_else(|| wrong("model", "`model` names the model"))?;
    Ok(Relayed { model: model.to_owned(), ..Relayed::default() })
}

fn whole(relayed: Relayed) -> Answer<Relayed> {
    match relayed.messages.last() {
        Some(Turn::User(_) | Turn::Tool { .. }) => Ok(relayed),
        Some(Turn::Assistant { .. }) => {
            Err(refused("messages", "the last message must be the user's or a tool's: an answer is not begun here"))
        }
        None => Err(wrong("messages", "there is no message")),
    }
}

/// Instructions stand before everything else; those that come later would be moved there.
fn instruct(relayed: &mut Relayed, said: &str) -> Answer<()> {
    if !relayed.messages.is_empty() {
        return Err(refused("messages", "a system message stands before all others"));
    }
    if !relayed.instructions.is_empty() {
        relayed.instructions.push_str("\n\n");
    }
    relayed.instructions.push_str(said);
    Ok(())
}

/// The model said that; text and calls that follow on each other are one message.
fn spoke(relayed: &mut Relayed, said: String) {
    match relayed.messages.last_mut() {
        Some(Turn::Assistant { text, calls }) if calls.is_empty() => join(text, &said),
        _ => relayed.messages.push(Turn::Assistant { text: said, calls: Vec::new() }),
    }
}

fn join(text: &mut String, more: &str) {
    text.push('\n');
    text.push_str(more);
}

fn call(relayed: &mut Relayed, made: &mut Made, call: Called) {
    made.insert(call.id.clone(), call.name.clone());
    match relayed.messages.last_mut() {
        Some(Turn::Assistant { calls, .. }) => calls.push(call),
        _ => relayed.messages.push(Turn::Assistant { text: String::new(), calls: vec![call] }),
    }
}

/// A result belongs to a call that was made before it.
fn result(relayed: &mut Relayed, made: &Made, id: &str, content: String, error: bool) -> Answer<()> {
    let name = made.get(id).cloned();
    let name = name.ok_or_else(|| wrong("messages", "a tool's result names a call that was not made before it"))?;
    relayed.messages.push(Turn::Tool { id: id.to_owned(), name, content, error });
    Ok(())
}

fn called(id: &Value, function: &Value) -> Answer<Called> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let made = text(id).zip(text(&function["name"])).zip(text(&function["arguments"]));
    let ((id, name), arguments) = made.ok_or_else(|| wrong("messages", "a call has an id, a name and arguments"))?;
    let arguments = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
    if serde_json::from_str::<serde::de::IgnoredAny>(&arguments).is_err() {
        return Err(wrong("messages", "the arguments of a call are a JSON text"));
    }
    Ok(Called { id, name, arguments })
}

fn function(member: &str, tool: &Value, schema: &str) -> Answer<ToolDef> {
    let name = word(tool, "name").to_owned();
    let fits =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !fits {
        return Err(wrong(member, "a tool's name is 1 to 64 letters, digits, `_` and `-`"));
    }
    let schema = match &tool[schema] {
        Value::Null => serde_json::json!({ "type": "object", "properties": {} }),
        schema @ Value::Object(_) => schema.clone(),
        _ => return Err(wrong(member, "the parameters of a tool are a JSON Schema")),
    };
    Ok(ToolDef { name, description: word(tool, "description").to_owned(), schema })
}

/// A `response_format` whose schema is one level deeper, as `text.format` has it.
fn with_schema(format: &Value, inner: &str) -> Value {
    let mut flat = format[inner].clone();
    match (&mut flat, format.get("type")) {
        (Value::Object(flat), Some(kind)) => drop(flat.insert("type".to_owned(), kind.clone())),
        _ => flat = format.clone(),
    }
    flat
}

fn format(format: &Value) -> Answer<Option<OutputSchema>> {
    match word(format, "type") {
        "" if format.is_null() => Ok(None),
        "text" => Ok(None),
        "json_schema" if format["schema"].is_object() => {
            let name: String = word(format, "name")
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
                .take(64)
                .collect();
            let name = if name.is_empty() { "answer".to_owned() } else { name };
            Ok(Some(OutputSchema { name, schema: format["schema"].clone() }))
        }
        _ => Err(refused("response_format", "an answer is text, or has a JSON Schema")),
    }
}

/// The text of a message: a string, a part, or parts of text.
fn text(member: &str, content: &Value) -> Answer<String> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Object(part) => match part.get("text").and_then(Value::as_str) {
            Some(text) if matches!(word(content, "type"), "text" | "input_text" | "output_text") => Ok(text.to_owned()),
            _ => Err(refused(member, "a gateway passes text on, and no pictures, sounds or files")),
        },
        Value::Array(list) => {
            Ok(parts(member, list)?.iter().map(|part| text(member, part)).collect::<Answer<Vec<_>>>()?.join("\n"))
        }
        _ => Err(wrong(member, "the content of a message is a text or a list of parts")),
    }
}

/// The parts of a message, or its calls.
fn parts<'v>(member: &str, list: &'v [Value]) -> Answer<&'v [Value]> {
    if list.len() > MAX_PARTS {
        return Err(wrong(member, format!("a message has at most {MAX_PARTS} parts")));
    }
    Ok(list)
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn list<'b>(body: &'b Body, name: &str, most: usize) -> Answer<&'b [Value]> {
    match body.get(name) {
        Some(Value::Array(list)) if list.len() <= most => Ok(list),
        Some(Value::Array(_)) => Err(wrong(name, format!("`{name}` has at most {most} entries"))),
        _ => Err(wrong(name, format!("`{name}` must be a list"))),
    }
}

fn maybe<'b>(body: &'b Body, name: &str, most: usize) -> Answer<&'b [Value]> {
    if body.get(name).is_none_or(Value::is_null) { Ok(&[]) } else { list(body, name, most) }
}

fn count(body: &Body, names: &[&str]) -> Answer<Option<u64>> {
    let Some((name, value)) = names.iter().find_map(|n| body.get(*n).filter(|v| !v.is_null()).map(|v| (*n, v))) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(n) if n > 0 => Ok(Some(n)),
        _ => Err(wrong(name, format!("`{name}` is a number of tokens"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> Body {
        value.as_object().unwrap().clone()
    }

    /// The same conversation in the three forms.
    #[test]
    fn three_forms_ask_the_same() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let in_chat = chat(&body(json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": "Wait.", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"city\":\"Ulm\"}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "rain"},
        ], "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": schema}}]}))).unwrap();
        let in_responses =
            responses(&body(json!({"model": "m", "max_output_tokens": 9, "instructions": "Be kind.", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{\"city\":\"Ulm\"}"},
            {"type": "function_call_output", "call_id": "a", "output": "rain"},
        ], "tools": [{"type": "function", "name": "look", "description": "Looks.", "parameters": schema}]})))
            .unwrap();
        let in_messages = messages(&body(json!({"model": "m", "max_tokens": 9, "system": "Be kind.", "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "text", "text": "Wait."}, {"type": "tool_use", "id": "a", "name": "look", "input": {"city": "Ulm"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "rain"}]}]},
        ], "tools": [{"name": "look", "description": "Looks.", "input_schema": schema}]}))).unwrap();
        assert_eq!(in_chat, in_responses);
        assert_eq!(in_chat, in_messages);
        assert_eq!(in_chat.messages.len(), 3);
    }

    #[test]
    fn a_conversation_has_bounds() {
        let said = |n: usize, content: Value| json!(vec![json!({"role": "user", "content": content}); n]);
        let text = |n: usize| json!(vec![json!({"type": "text", "text": "x"}); n]);
        let ask = |read: fn(&Body) -> Answer<Relayed>, messages: Value| {
            read(&body(json!({"model": "m", "max_tokens": 9, "messages": messages, "input": messages})))
        };
        for read in [chat, responses, messages] {
            assert_eq!(ask(read, said(MAX_MESSAGES, json!("x"))).unwrap().messages.len(), MAX_MESSAGES);
            assert!(ask(read, said(MAX_MESSAGES + 1, json!("x"))).is_err());
            let relayed = ask(read, said(1, text(MAX_PARTS))).unwrap();
            assert_eq!(relayed.messages, [Turn::User(["x"; MAX_PARTS].join("\n"))]);
            assert!(ask(read, said(1, text(MAX_PARTS + 1))).is_err());
        }
    }

    #[test]
    fn a_tool_that_failed_is_told_as_one_that_failed() {
        let said = |more: Value| {
            let mut result = json!({"type": "tool_result", "tool_use_id": "a", "content": "no such city"});
            result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            messages(&body(json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
                {"role": "user", "content": [result]},
            ]})))
        };
        for (more, failed) in
            [(json!({"is_error": true}), true), (json!({"is_error": false}), false), (json!({}), false)]
        {
            let relayed = said(more).unwrap();
            assert!(matches!(relayed.messages.last(), Some(Turn::Tool { error, .. }) if *error == failed));
        }
        assert!(said(json!({"is_error": "yes"})).is_err());
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        for wrong in [
            json!({"model": "m", "messages": []}),
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "late"}, {"role": "user", "content": "y"}]}),
            json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": "none", "content": "x"}]}),
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]}),
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}),
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "a b"}}]}),
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "begin"}]}),
            json!({"messages": [{"role": "user", "content": "x"}]}),
        ] {
            assert!(chat(&body(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
