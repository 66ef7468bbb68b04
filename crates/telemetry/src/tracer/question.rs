//! Questions to people: how long they waited, and what came of it. Who answered is in the journal, not here.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{Span, span::SpanKind},
};
use stead_core::{
    fact::{ApprovalGiven, ApprovalRequested, AskReason, DelegationRenewed},
    time::Timestamp,
    trace::Step,
};

use super::{Draft, OfRun, Told};
use crate::{
    names::{self, op},
    value::{int, text, yes},
};

/// A question that is open.
#[derive(Clone, Debug)]
pub(super) struct Question {
    step: Step,
    at: Timestamp,
    tool: String,
    attributes: Vec<KeyValue>,
    told: Told,
}

impl OfRun {
    pub(super) fn question(&mut self, f: &ApprovalRequested, out: &mut Vec<Span>) {
        // Asked anew, the question before it is no more.
        self.asked_no_more(f.effect, "asked_again", out);
        let quorum = f.asked.as_ref().map_or(1, |asked| asked.quorum);
        let attributes = vec![text(names::ASK_REASON, reason(f.reason)), int(names::ASK_QUORUM, quorum.max(1).into())];
        let (step, tool) = (Step::Question(self.seq, self.fact), self.tool(f.effect).to_owned());
        let question = Question { step, at: self.last, tool, attributes, told: Told::default() };
        self.questions.insert(f.effect, question);
    }

    pub(super) fn answered(&mut self, f: &ApprovalGiven, out: &mut Vec<Span>) {
        let at = self.last;
        let Some(question) = self.questions.get_mut(&f.effect) else { return };
        question.told.push(at, "answered", vec![yes(names::ASK_APPROVED, f.approved)]);
        if !f.approved {
            self.asked_no_more(f.effect, "denied", out);
        } else if !self.effects.contains_key(&f.effect) {
            // About a limit: one yes is enough, and no decision follows.
            self.asked_no_more(f.effect, "approved", out);
        }
    }

    pub(super) fn renewed(&mut self, f: &DelegationRenewed, out: &mut Vec<Span>) {
        self.told.push(self.last, "delegation_renewed", Vec::new());
        if let Some(effect) = f.effect {
            self.asked_no_more(effect, "approved", out);
        }
    }

    pub(super) fn while_asking(&mut self, effect: u32, what: &'static str) {
        let at = self.last;
        if let Some(question) = self.questions.get_mut(&effect) {
            question.told.push(at, what, Vec::new());
        }
    }

    pub(super) fn asked_no_more(&mut self, effect: u32, outcome: &str, out: &mut Vec<Span>) {
        let Some(question) = self.questions.remove(&effect) else { return };
        out.push(self.span(self.waited(effect, &question).with([text(names::ASK_OUTCOME, outcome)])));
    }

    pub(super) fn waited(&self, effect: u32, question: &Question) -> Draft {
        let Question { step, at, tool, attributes, told } = question;
        let draft = Draft::new(*step, op::APPROVAL, tool, *at).kind(SpanKind::Internal, "CHAIN");
        let draft =
            if self.effects.contains_key(&effect) { draft.within(Step::Effect(effect), self.run) } else { draft };
        draft.with(attributes.iter().cloned()).told(told.clone())
    }
}

fn reason(reason: AskReason) -> &'static str {
    match reason {
        AskReason::Manifest => "manifest",
        AskReason::EqualUnknown => "equal_unknown",
        AskReason::OutcomeUnknown => "outcome_unknown",
        AskReason::Restored => "restored",
        AskReason::Policy => "policy",
        AskReason::Budget => "budget",
        AskReason::Delegation => "delegation",
    }
}
