//! Attempts at models, and the plan that some of them draw.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{Span, span::SpanKind},
};
use serde_json::json;
use stead_core::{
    budget::{Spend, Usage},
    fact::{ModelDenied, ModelFailed, ModelReplied, ModelRequested, PlanRejected},
    message::Reply,
    time::Timestamp,
    trace::Step,
};

use super::{Begun, Draft, OfRun, Texts, cost, tokens};
use crate::{
    names::{self, op},
    value::{int, list, text, whole, yes},
};

/// An attempt under way.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    turn: u32,
    attempt: u32,
    model: u8,
    planning: bool,
    at: Timestamp,
    policies: Option<KeyValue>,
}

impl OfRun {
    pub(super) fn asked(&mut self, f: &ModelRequested) {
        let planning = f.planning.is_some();
        if planning && self.plan.is_none() {
            self.plan = Some(Begun::at(self.last));
        }
        let policies = f.ruled.as_ref().filter(|ruled| !ruled.by.is_empty());
        let policies = policies.map(|ruled| list(names::GUARDRAIL_POLICY, ruled.by.iter().map(|by| &**by)));
        self.chat = Some(Chat { turn: f.turn, attempt: f.attempt, model: f.model, planning, at: self.last, policies });
    }

    pub(super) fn replied(&mut self, f: &ModelReplied, texts: Texts<'_>, out: &mut Vec<Span>) {
        let reply = texts.raw(f.payload).and_then(|text| serde_json::from_str::<Reply>(text).ok());
        let chat = self.under_way(f.turn, f.attempt);
        let mut draft = self.chat(&chat).with(tokens(&f.usage)).with(cost(f.spent));
        if let Some(said) = reply.as_ref().and_then(|reply| texts.mask(&reply.text)) {
            let message = json!({ "role": "assistant", "parts": [{ "type": "text", "content": said }] });
            let messages = json!([message]).to_string();
            draft = draft.with([whole(names::OUTPUT_MESSAGES, messages), whole(names::OI_OUTPUT, said.clone())]);
            if f.calls.is_empty() {
                self.answer = Some(said);
            }
        }
        out.push(self.span(draft));
        self.spend(f.usage, f.spent);
        for (n, call) in f.calls.iter().enumerate() {
            let arguments = reply.as_ref().and_then(|reply| reply.calls.get(n));
            let arguments = arguments.and_then(|call| texts.mask(call.arguments.get()));
            self.called(call, f.turn, arguments);
        }
    }

    pub(super) fn model_failed(&mut self, f: &ModelFailed, out: &mut Vec<Span>) {
        let chat = self.under_way(f.turn, f.attempt);
        let mut draft = self.chat(&chat).with(cost(f.spent)).failed(Some((f.code.to_string(), f.code.title().into())));
        if f.estimated {
            draft = draft.with([yes(names::ESTIMATED, true), int(names::OI_TOTAL, f.spent.tokens)]);
        }
        out.push(self.span(draft));
        self.spend(Usage::default(), f.spent);
    }

    pub(super) fn model_denied(&mut self, f: &ModelDenied, out: &mut Vec<Span>) {
        let model = self.model(f.model).0.to_owned();
        let draft = self
            .guardrail("deny", f.ruled.as_deref())
            .with([int(names::TURN, f.turn.into()), text(names::REQUEST_MODEL, names::model(&model))]);
        out.push(self.span(draft));
    }

    /// An attempt that nobody ended.
    pub(super) fn chat_lost(&mut self, out: &mut Vec<Span>) {
        if let Some(chat) = self.chat.take() {
            let draft = self.chat(&chat).failed(Some(("withdrawn".into(), "the run ended".into())));
            out.push(self.span(draft));
        }
    }

    /// The plan is drawn, or there is none.
    pub(super) fn planned(&mut self, failed: Option<(String, String)>, out: &mut Vec<Span>) {
        if let Some(Begun { at, told }) = self.plan.take() {
            out.push(self.span(self.plan_of(at).told(told).failed(failed)));
        }
    }

    pub(super) fn plan_rejected(&mut self, f: &PlanRejected, out: &mut Vec<Span>) {
        if f.again.is_none() {
            return self.planned(Some(("no_plan".into(), "what the planner wrote is no plan".into())), out);
        }
        if let Some(plan) = &mut self.plan {
            plan.told.push(self.last, "rejected", Vec::new());
        }
    }

    pub(super) fn plan_of(&self, at: Timestamp) -> Draft {
        Draft::new(Step::Plan, op::PLAN, &self.agent, at).kind(SpanKind::Internal, "CHAIN")
    }

    fn model(&self, n: u8) -> (&str, u64) {
        self.models.get(usize::from(n)).map_or(("", 0), |(name, most)| (name, *most))
    }

    fn under_way(&mut self, turn: u32, attempt: u32) -> Chat {
        let lost = Chat { turn, attempt, model: 0, planning: false, at: self.last, policies: None };
        self.chat.take().filter(|chat| (chat.turn, chat.attempt) == (turn, attempt)).unwrap_or(lost)
    }

    pub(super) fn chat(&self, chat: &Chat) -> Draft {
        let Chat { turn, attempt, planning, at, policies, .. } = chat;
        let (name, most) = self.model(chat.model);
        let (provider, model) = (names::provider(name), names::model(name));
        let draft = Draft::new(Step::Model(*turn, *attempt), op::CHAT, model, *at).kind(SpanKind::Client, "LLM");
        let draft = if *planning { draft.within(Step::Plan, self.run) } else { draft };
        let draft = draft.with([
            text(names::PROVIDER, provider),
            text(names::OI_PROVIDER, provider),
            text(names::REQUEST_MODEL, model),
            text(names::OI_MODEL, model),
            int(names::TURN, (*turn).into()),
            int(names::ATTEMPT, (*attempt).into()),
        ]);
        let draft = draft.with((most > 0).then(|| int(names::REQUEST_MAX_TOKENS, most)));
        draft.with(policies.clone())
    }

    fn spend(&mut self, usage: Usage, spent: Spend) {
        let sum = &mut self.usage;
        sum.input = sum.input.saturating_add(usage.input);
        sum.output = sum.output.saturating_add(usage.output);
        sum.cached = sum.cached.saturating_add(usage.cached);
        sum.reasoning = sum.reasoning.saturating_add(usage.reasoning);
        sum.cache_write = sum.cache_write.saturating_add(usage.cache_write);
        self.spent = self.spent.plus(spent);
    }
}
