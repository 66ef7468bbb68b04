//! A model's reply on its way to the machine: its calls are looked up, validated and digested. The machine sees control
//! values only; what is wrong with a call becomes a text that lets the model mend it.

use sha2::{Digest, Sha256};
use stead_core::{
    code::{self, Code},
    fact::{CallHead, CallRules},
    id::Name,
    message::{Reply, StopReason, ToolCall},
    record::{Payload, Source},
    run::CallIn,
};
use stead_ports::agent::{Agent, BoundTool};

use crate::gate;

/// Most calls taken from one reply.
pub(crate) const MAX_CALLS: usize = 128;

/// Prepares the calls of a reply.
pub(crate) fn calls(agent: &Agent, reply: &Reply, too_deep: bool) -> Vec<CallIn> {
    reply.calls.iter().map(|call| prepare(agent, call, too_deep)).collect()
}

/// What is wrong with a reply as the agent's final answer, for the model to mend it; `None` when it fits, is not the
/// last, or may be anything.
pub(crate) fn misfit(agent: &Agent, reply: &Reply) -> Option<String> {
    let output = agent.output.as_ref().filter(|_| reply.calls.is_empty())?;
    let problem = (output.check)(&reply.text).err()?;
    let why = match reply.stop {
        StopReason::Length => "\nIt was cut off at the limit of output tokens.",
        StopReason::Filtered => "\nIt was cut off by the provider's filter.",
        StopReason::Refused => "\nThe model declined to answer.",
        StopReason::End | StopReason::ToolCalls => "",
    };
    Some(cut(problem, 4_000) + why)
}

fn prepare(agent: &Agent, call: &ToolCall, too_deep: bool) -> CallIn {
    let arguments = call.arguments.get();
    let Some(tool) = agent.tool(&call.name) else {
        let known: Vec<&str> = agent.tools.iter().map(|t| t.def.name.as_str()).take(50).collect();
        let name: String = call.name.chars().take(64).collect();
        let text = format!("There is no tool `{name}`. The tools are: {}.", known.join(", "));
        let head = CallHead {
            effect: 0,
            tool: name.into(),
            class: stead_core::effect::EffectClass::Irreversible,
            args: digest(arguments.as_bytes()),
            schema: [0; 16],
            key: None,
            rules: CallRules::default(),
        };
        return CallIn { head, invalid: Some(invalid(code::TOOL_UNKNOWN, text)) };
    };
    let (arguments, _) = gate::split(agent, arguments);
    let arguments = &*arguments;
    let mut head = CallHead {
        effect: 0,
        tool: tool.def.name.as_str().into(),
        class: tool.class,
        args: [0; 16],
        schema: tool.schema_digest,
        key: None,
        rules: tool.rules.clone(),
    };
    let refused = if too_deep && tool.rules.child.is_some() {
        Some(invalid(code::HOPS, "Not done: this chain of agents calling agents is too long.".to_owned()))
    } else {
        check(tool, arguments, &mut head).err().map(|text| invalid(code::TOOL_ARGUMENTS, text))
    };
    CallIn { head, invalid: refused }
}

fn invalid(code: Code, text: String) -> (Code, Payload) {
    (code, Payload::inline(cut(text, 4_000), Source::Runtime))
}

/// Validates the arguments, digests them in canonical form, and draws the business key.
fn check(tool: &BoundTool, arguments: &str, head: &mut CallHead) -> Result<(), String> {
    (tool.check)(arguments).map_err(|e| format!("The arguments do not fit the tool's schema: {e}"))?;
    (head.args, head.key) = identity(tool, arguments)?;
    Ok(())
}

/// What arguments are told apart by: a digest of them in canonical form, and their business key.
pub(crate) fn identity(tool: &BoundTool, arguments: &str) -> Result<([u8; 16], Option<Name>), String> {
    // Keys are sorted and white space dropped, so that a call written again is recognised as equal.
    let mut value: serde_json::Value =
        serde_json::from_str(arguments).map_err(|e| format!("The arguments are not JSON: {e}"))?;
    value.sort_all_objects();
    let key = tool.key.as_deref().map(|path| key(&value, path)).transpose()?;
    Ok((digest(value.to_string().as_bytes()), key))
}

/// The value at a path like `$.order_id`, as text.
fn key(value: &serde_json::Value, path: &str) -> Result<Name, String> {
    let pointer = path.trim_start_matches('$').replace('.', "/");
    match value.pointer(&pointer) {
        Some(serde_json::Value::String(s)) if !s.is_empty() && s.len() <= 256 => Ok(s.as_str().into()),
        Some(serde_json::Value::Number(n)) => Ok(n.to_string().into()),
        _ => Err(format!("`{path}` is this tool's key and must be a text of 1 to 256 bytes or a number")),
    }
}

/// The first 16 bytes of the SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(bytes).into();
    let mut out = [0; 16];
    out.copy_from_slice(&full[..16]);
    out
}

/// A text cut to `max` bytes at a character.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
