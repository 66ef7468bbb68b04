//! The run itself: its start, what happens to it as a whole, its end.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::json;
use stead_core::{
    budget::{MicroUsd, Spend, Usage},
    fact::{Fact, RunStarted},
    record::Record,
    trace::{Place, Step},
};

use super::{Draft, OfRun, Texts, Told, cost, tokens};
use crate::{
    names::{self, op},
    value::{int, text, whole},
};

impl OfRun {
    pub(super) fn new(record: &Record, start: &RunStarted, texts: Texts<'_>) -> Self {
        let behalf = start.behalf.as_deref().cloned().unwrap_or_default();
        let header = &record.header;
        Self {
            run: header.run,
            place: Place::of(header.run, start.parent, &behalf),
            tenant: header.tenant.clone(),
            agent: start.agent.clone(),
            version: start.version.to_string(),
            session: start.session.to_string(),
            models: start.config.models.iter().map(|m| (m.name.clone(), m.max_output_tokens)).collect(),
            began: header.at,
            last: header.at,
            seq: header.seq,
            fact: 0,
            told: Told::default(),
            ended: false,
            input: texts.show(start.input),
            answer: None,
            usage: Usage::default(),
            spent: Spend { tokens: 0, usd: Some(MicroUsd(0)) },
            chat: None,
            plan: None,
            effects: std::collections::BTreeMap::new(),
            questions: std::collections::BTreeMap::new(),
            pause: None,
        }
    }

    /// What happens to a run as a whole.
    pub(super) fn life(&mut self, fact: &Fact, out: &mut Vec<Span>) {
        let (at, now) = (self.last, self.seq);
        match fact {
            Fact::RunAdmitted(f) => {
                let base = f.base.map(|base| text(names::BASE, &base.to_string()));
                self.told.push(at, "admitted", base.into_iter().collect());
            }
            Fact::ContextCompacted(f) => {
                let draft = Draft::new(self.moment(), op::COMPACT, "", at).kind(SpanKind::Internal, "CHAIN");
                out.push(self.span(draft.with([int("stead.view.tokens", f.tokens)])));
            }
            Fact::Paused => self.pause = Some(self.pause.unwrap_or((now, at))),
            Fact::Resumed => self.resumed(out),
            Fact::CancelRequested(_) => self.told.push(at, "stop_requested", Vec::new()),
            Fact::Restored(f) => self.told.push(at, "restored", vec![int("stead.generation", f.generation.into())]),
            Fact::AnswerRejected(f) => {
                self.told.push(at, "answer_rejected", vec![int(names::TURN, f.turn.into())]);
            }
            Fact::SandboxLimited(_) => self.told.push(at, "sandbox_limited", Vec::new()),
            Fact::RunCompleted(_) => self.ends("completed", None, out),
            Fact::RunFailed(f) => {
                self.ends("failed", Some((f.code.to_string(), f.code.title().to_owned())), out);
            }
            Fact::RunCancelled => self.ends("cancelled", Some(("cancelled".into(), "the run was stopped".into())), out),
            _ => {}
        }
    }

    fn resumed(&mut self, out: &mut Vec<Span>) {
        if let Some((seq, at)) = self.pause.take() {
            let draft = Draft::new(Step::Pause(seq), op::PAUSE, "", at).kind(SpanKind::Internal, "CHAIN");
            out.push(self.span(draft));
        }
    }

    /// The run ends, and with it what is under way.
    fn ends(&mut self, status: &'static str, failed: Option<(String, String)>, out: &mut Vec<Span>) {
        self.resumed(out);
        for effect in self.questions.keys().copied().collect::<Vec<_>>() {
            self.asked_no_more(effect, "withdrawn", out);
        }
        self.chat_lost(out);
        if self.plan.is_some() {
            self.planned(Some(("withdrawn".into(), "the run ended".into())), out);
        }
        for effect in self.effects.keys().copied().collect::<Vec<_>>() {
            self.effect_ends(effect, "withdrawn", None, None, out);
        }
        self.ended = true;
        let told = std::mem::take(&mut self.told);
        out.push(self.span(self.whole(status).told(told).failed(failed)));
        // Nothing of these is told again.
        (self.input, self.answer) = (None, None);
    }

    pub(super) fn whole(&self, status: &str) -> Draft {
        let kind = if self.place.remote { SpanKind::Server } else { SpanKind::Internal };
        let mut draft = Draft::new(Step::Run, op::AGENT, &self.agent, self.began).kind(kind, "AGENT");
        draft = draft.with([text(names::AGENT_VERSION, &self.version), text(names::STATUS, status)]);
        draft = draft.with(tokens(&self.usage)).with(cost(self.spent));
        if let Some(input) = &self.input {
            let messages = json!([{ "role": "user", "parts": [{ "type": "text", "content": input }] }]);
            draft =
                draft.with([whole(names::INPUT_MESSAGES, messages.to_string()), whole(names::OI_INPUT, input.clone())]);
        }
        if let Some(answer) = &self.answer {
            let message = json!({ "role": "assistant", "parts": [{ "type": "text", "content": answer }], "finish_reason": "stop" });
            let messages = json!([message]).to_string();
            draft = draft.with([whole(names::OUTPUT_MESSAGES, messages), whole(names::OI_OUTPUT, answer.clone())]);
        }
        draft
    }
}
