//! What has begun and not ended, for whoever looks at a run that goes on.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use stead_core::trace::Step;

use super::{Draft, OfRun};
use crate::names::op;

impl OfRun {
    pub(super) fn unfinished(&self) -> Vec<Span> {
        let mut out = Vec::new();
        if self.ended {
            return out;
        }
        out.push(self.span(self.whole("running").told(self.told.clone())));
        if let Some(plan) = &self.plan {
            out.push(self.span(self.plan_of(plan.at).told(plan.told.clone())));
        }
        out.extend(self.chat.as_ref().map(|chat| self.span(self.chat(chat))));
        for (n, effect) in &self.effects {
            out.push(self.span(self.effect(*n, effect)));
            let attempt = effect.attempt.map(|(attempt, at)| self.attempt(*n, self.tool(*n), attempt, at));
            let look = effect.look.as_ref().map(|(tool, at)| self.look(*n, tool, *at));
            out.extend(attempt.into_iter().chain(look).map(|draft| self.span(draft)));
        }
        out.extend(self.questions.iter().map(|(n, question)| self.span(self.waited(*n, question))));
        if let Some((seq, at)) = self.pause {
            out.push(self.span(Draft::new(Step::Pause(seq), op::PAUSE, "", at).kind(SpanKind::Internal, "CHAIN")));
        }
        out
    }
}
