//! Which rule speaks, and what it says: a pure function of the call.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use stead_core::{
    code,
    message::{Reply, StopReason, ToolCall},
};
use stead_ports::model::{ModelCall, ModelError, Retry};

use crate::estimate;

use super::{
    NOTICE,
    compile::{Pace, Rule, When},
    conversation::Conversation,
    expr::Scope,
    fault::Fail,
    model::NAME,
    script::Script,
};

/// What a script has to say to a call.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) pace: Pace,
    pub(super) fail: Option<Fail>,
}

impl Script {
    /// The answer of the first rule that fits, or the list of what can be answered.
    pub(super) fn answer(&self, call: &ModelCall) -> Result<Answer, ModelError> {
        let conversation = Conversation::new(&call.messages);
        let found = self.rules.iter().find_map(|r| Some((r, r.when.fits(&conversation, call.turn)?)));
        let (rule, heard) = match found {
            Some(found) => found,
            None => return Ok(self.nothing(&conversation, call)),
        };
        let scope = Scope {
            conversation: &conversation,
            turn: call.turn,
            result: heard,
            groups: self.groups(rule, &conversation, heard),
        };
        let fail = |e: String| ModelError {
            code: code::REHEARSAL,
            detail: format!("rule in line {} of the script: {e} ({NOTICE})", rule.line),
            retry: Retry::No,
            charged: false,
        };
        let text = rule.say.as_ref().map(|t| t.text(&scope)).transpose().map_err(fail)?.unwrap_or_default();
        let mut calls = Vec::with_capacity(rule.calls.len());
        for (i, c) in rule.calls.iter().enumerate() {
            let json = c.args.as_ref().map_or_else(|| Ok("{}".to_owned()), |a| a.json(&scope)).map_err(fail)?;
            calls.push(tool_call(call.turn, i, &c.tool, json));
        }
        let mut reply = reply(text, calls, call);
        if let Some(usage) = rule.usage {
            reply.usage = usage;
        }
        Ok(Answer { reply, pace: rule.pace, fail: rule.fail.filter(|f| f.strikes(call.attempt)) })
    }

    /// Named groups for templates: those of the rule itself, then those of any other rule whose pattern fits the
    /// latest text of the user, so that a later turn still knows what was asked for.
    fn groups<'a>(
        &'a self,
        rule: &'a Rule,
        conversation: &Conversation<'a>,
        heard: Option<&'a str>,
    ) -> BTreeMap<&'a str, &'a str> {
        let mut groups = BTreeMap::new();
        let mut take = |pattern: &'a regex::Regex, text: &'a str| {
            let Some(found) = pattern.captures(text) else { return };
            for name in pattern.capture_names().flatten() {
                if let Some(m) = found.name(name) {
                    groups.entry(name).or_insert(m.as_str());
                }
            }
        };
        if let (Some(pattern), Some(text)) = (&rule.when.result, heard) {
            take(pattern, text);
        }
        if let Some(pattern) = &rule.when.user {
            take(pattern, conversation.user());
        }
        for pattern in self.rules.iter().filter_map(|r| r.when.user.as_ref()).filter(|p| p.captures_len() > 1) {
            take(pattern, conversation.user());
        }
        groups
    }

    fn nothing(&self, conversation: &Conversation<'_>, call: &ModelCall) -> Answer {
        let about = match conversation.fresh().next() {
            Some(r) => format!("for this result of `{}`", r.name),
            None => "for this input".to_owned(),
        };
        let mut text = format!("This is a {NOTICE}. Its script has no line {about}.");
        if !self.answers.is_empty() {
            text.push_str(" It can answer:");
            self.answers.iter().for_each(|a| {
                text.push_str("\n- ");
                text.push_str(a);
            });
        }
        Answer { reply: reply(text, Vec::new(), call), pace: Pace::default(), fail: None }
    }
}

impl When {
    /// `None` when the rule does not fit; otherwise the content of the tool result that it is about, if any.
    fn fits<'a>(&self, conversation: &Conversation<'a>, turn: u32) -> Option<Option<&'a str>> {
        if self.turn.is_some_and(|t| t != turn) {
            return None;
        }
        if self.user.as_ref().is_some_and(|p| !p.is_match(conversation.user())) {
            return None;
        }
        let Some(tool) = &self.tool else {
            // A rule about the user is silent once tools have answered, or it would call them for ever.
            return (self.user.is_none() || conversation.user_spoke()).then_some(None);
        };
        conversation
            .fresh()
            .find(|r| {
                tool.fits(&r.name)
                    && self.error.is_none_or(|e| e == r.error)
                    && self.result.as_ref().is_none_or(|p| p.is_match(&r.content))
            })
            .map(|r| Some(r.content.as_str()))
    }
}

/// A call whose id follows from the turn and its place, so that asking again gives the same one.
pub(super) fn tool_call(turn: u32, index: usize, tool: &str, json: String) -> ToolCall {
    let arguments = RawValue::from_string(json).expect("written as JSON by this module");
    ToolCall { id: format!("call_{turn}_{index}"), name: tool.to_owned(), arguments }
}

/// A reply within the call's output limit, with estimated usage.
pub(super) fn reply(text: String, calls: Vec<ToolCall>, call: &ModelCall) -> Reply {
    let mut reply = Reply { text, calls, model: NAME.to_owned(), ..Reply::default() };
    let most = usize::try_from(call.max_output_tokens.saturating_mul(4)).unwrap_or(usize::MAX);
    if reply.text.len() > most {
        reply.text.truncate(reply.text.floor_char_boundary(most));
        reply.calls.clear();
        reply.stop = StopReason::Length;
    } else if !reply.calls.is_empty() {
        reply.stop = StopReason::ToolCalls;
    }
    reply.usage = estimate::usage(call, &reply);
    reply
}
