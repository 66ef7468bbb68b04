//! Effects: from the reply that asks for one to its end, with each attempt, each decision about it and each look at what it would do.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{Span, span::SpanKind},
};
use stead_core::{
    effect::{EffectClass, Ended},
    fact::{
        AfterUnknown, CallHead, ChildFinished, ChildStarted, EffectDecided, EffectIntended, EffectNotSent,
        EffectOutcome, EffectReconciled, EffectUnknown, PreviewDecided, Previewed, Verdict,
    },
    id::{EffectId, Name},
    ruling::{PlanMark, Ruled},
    sandbox::Action,
    time::Timestamp,
    trace::Step,
};

use super::{Draft, OfRun, Texts, Told};
use crate::{
    names::{self, op},
    value::{float, int, list, text, whole},
};

/// An effect that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    tool: Name,
    at: Timestamp,
    attributes: Vec<KeyValue>,
    told: Told,
    pub(super) attempt: Option<(u8, Timestamp)>,
    pub(super) look: Option<(Name, Timestamp)>,
}

impl OfRun {
    /// A reply asks for it.
    pub(super) fn called(&mut self, head: &CallHead, turn: u32, arguments: Option<String>) {
        let agent = head.rules.child.is_some();
        let mut attributes = vec![
            text(names::TOOL_TYPE, if agent { "agent" } else { "function" }),
            text(names::CLASS, class(head.class)),
            int(names::TURN, turn.into()),
        ];
        if let Some(arguments) = arguments {
            attributes.push(whole(names::OI_INPUT, arguments.clone()));
            attributes.push(whole(names::TOOL_ARGUMENTS, arguments));
        }
        let (tool, at, told) = (head.tool.clone(), self.last, Told::default());
        self.effects.insert(head.effect, Effect { tool, at, attributes, told, attempt: None, look: None });
    }

    pub(super) fn tool(&self, n: u32) -> &str {
        self.effects.get(&n).map_or("", |effect| &*effect.tool)
    }

    pub(super) fn decided(&mut self, f: &EffectDecided, out: &mut Vec<Span>) {
        let verdict = verdict(f.verdict);
        if f.ruled.is_some() {
            let draft = self.guardrail(verdict, f.ruled.as_deref()).within(Step::Effect(f.effect), self.run);
            let tool = self.tool(f.effect).to_owned();
            let code = f.code.map(|code| text("stead.code", &code.to_string()));
            out.push(self.span(draft.with([text(names::TOOL, &tool)]).with(code)));
        }
        let at = self.last;
        if let Some(effect) = self.effects.get_mut(&f.effect) {
            effect.told.push(at, "decided", vec![text(names::GUARDRAIL_RESULT, verdict)]);
            let mark = f.plan.as_ref().map(|mark| match mark {
                PlanMark::Read(..) => "waits",
                PlanMark::Used { .. } => "slot",
            });
            effect.attributes.extend(mark.map(|mark| text(names::PLAN, mark)));
        }
        match f.verdict {
            Verdict::Ask => {}
            Verdict::Allow => self.asked_no_more(f.effect, "approved", out),
            Verdict::Deny => {
                let code = f.code.map_or_else(|| "denied".to_owned(), |code| code.to_string());
                let words = f.code.map_or("it was denied", stead_core::code::Code::title);
                self.effect_ends(f.effect, "denied", Some((code, words.to_owned())), None, out);
            }
        }
    }

    /// What policies said.
    pub(super) fn guardrail(&self, verdict: &str, ruled: Option<&Ruled>) -> Draft {
        let step = Step::Decision(self.seq, self.fact);
        let draft = Draft::new(step, op::GUARDRAIL, "policy", self.last).kind(SpanKind::Internal, "GUARDRAIL");
        let draft = draft.with([
            text(names::GUARDRAIL, "stead policy"),
            text(names::GUARDRAIL_RESULT_TYPE, "verdict"),
            text(names::GUARDRAIL_RESULT, verdict),
        ]);
        draft.with(ruled.into_iter().flat_map(|ruled| {
            let by = list(names::GUARDRAIL_POLICY, ruled.by.iter().map(|by| &**by));
            [by, text(names::GUARDRAIL_POLICY_VERSION, &ruled.epoch.to_string())]
        }))
    }

    pub(super) fn intended(&mut self, f: &EffectIntended, out: &mut Vec<Span>) {
        self.asked_no_more(f.effect, "approved", out);
        self.attempt_ends(f.effect, "lost", None, out);
        let at = self.last;
        if let Some(effect) = self.effects.get_mut(&f.effect) {
            effect.attempt = Some((f.attempt, at));
        }
    }

    pub(super) fn outcome(&mut self, f: &EffectOutcome, how: &'static str, texts: Texts<'_>, out: &mut Vec<Span>) {
        if f.late && !self.effects.contains_key(&f.effect) {
            let draft = Draft::new(self.moment(), op::LATE, "", self.last).within(Step::Effect(f.effect), self.run);
            out.push(self.span(draft.with([text(names::OUTCOME, how), self.call_id(f.effect)])));
            return;
        }
        self.note_box(f.effect, f.action.as_deref());
        let failed = match how {
            "refused" => Some(("refused".to_owned(), "the destination refused it".to_owned())),
            _ if f.error => Some(("tool_error".to_owned(), "it returned an error".to_owned())),
            _ => None,
        };
        self.effect_ends(f.effect, how, failed, texts.show(f.payload), out);
    }

    pub(super) fn not_sent(&mut self, f: &EffectNotSent, texts: Texts<'_>, out: &mut Vec<Span>) {
        let failed = Some(("not_sent".to_owned(), "nothing was sent".to_owned()));
        if f.retry_at.is_some() {
            return self.attempt_ends(f.effect, "not_sent", failed, out);
        }
        self.effect_ends(f.effect, "not_sent", failed, texts.show(f.payload), out);
    }

    pub(super) fn unknown(&mut self, f: &EffectUnknown, out: &mut Vec<Span>) {
        self.note_box(f.effect, f.action.as_deref());
        let failed = Some(("unknown".to_owned(), "nobody knows whether it happened".to_owned()));
        if matches!(f.then, AfterUnknown::Tell) {
            return self.effect_ends(f.effect, "unknown", failed, None, out);
        }
        self.attempt_ends(f.effect, "unknown", failed, out);
    }

    pub(super) fn reconciled(&mut self, f: &EffectReconciled, out: &mut Vec<Span>) {
        let at = self.last;
        if let Some(effect) = self.effects.get_mut(&f.effect) {
            effect.told.push(at, "reconciled", vec![crate::value::yes("stead.effect.happened", f.happened)]);
        }
        if f.happened {
            self.effect_ends(f.effect, "returned", None, None, out);
        }
    }

    pub(super) fn child(&mut self, f: &ChildStarted) {
        if let Some(effect) = self.effects.get_mut(&f.effect) {
            effect.attributes.push(text(names::CHILD, &f.child.to_string()));
        }
    }

    pub(super) fn child_ended(&mut self, f: &ChildFinished, texts: Texts<'_>, out: &mut Vec<Span>) {
        let how = match f.ended {
            Ended::Returned => "returned",
            Ended::Refused => "refused",
            Ended::NotSent => "not_sent",
            Ended::Unknown => "unknown",
            Ended::Withdrawn => "withdrawn",
            Ended::Denied => "denied",
        };
        let failed = (how != "returned").then(|| (how.to_owned(), "the child run did not answer".to_owned()));
        self.effect_ends(f.effect, how, failed, texts.show(f.payload), out);
    }

    pub(super) fn looks(&mut self, f: &PreviewDecided) {
        let at = self.last;
        if let Some(effect) = self.effects.get_mut(&f.effect)
            && f.verdict == Verdict::Allow
        {
            effect.look = Some((f.tool.clone(), at));
        }
    }

    pub(super) fn looked(&mut self, f: &Previewed, out: &mut Vec<Span>) {
        let Some((tool, at)) = self.effects.get_mut(&f.effect).and_then(|effect| effect.look.take()) else { return };
        out.push(self.span(self.look(f.effect, &tool, at)));
    }

    pub(super) fn look(&self, n: u32, tool: &str, at: Timestamp) -> Draft {
        let draft = Draft::new(Step::Look(n), op::PREVIEW, tool, at).kind(SpanKind::Internal, "TOOL");
        draft.within(Step::Effect(n), self.run).with([text(names::TOOL, tool)])
    }

    fn note_box(&mut self, n: u32, action: Option<&Action>) {
        let Some(effect) = self.effects.get_mut(&n) else { return };
        let Some(used) = action.and_then(|action| action.sandbox.as_ref()) else { return };
        effect.attributes.push(text(names::TIER, &used.tier.to_string()));
        effect.attributes.extend(used.cpu.map(|cpu| float(names::BOX_CPU, cpu.0 as f64 / 1e6)));
        effect.attributes.extend(used.memory_peak.map(|bytes| int(names::BOX_MEMORY, bytes)));
    }

    fn attempt_ends(&mut self, n: u32, how: &str, failed: Option<(String, String)>, out: &mut Vec<Span>) {
        let Some(effect) = self.effects.get_mut(&n) else { return };
        let Some((attempt, at)) = effect.attempt.take() else { return };
        let tool = effect.tool.clone();
        out.push(self.span(self.attempt(n, &tool, attempt, at).with([text(names::OUTCOME, how)]).failed(failed)));
    }

    pub(super) fn attempt(&self, n: u32, tool: &str, attempt: u8, at: Timestamp) -> Draft {
        let draft = Draft::new(Step::Attempt(n, attempt), op::ATTEMPT, tool, at).kind(SpanKind::Client, "CHAIN");
        let draft = draft.within(Step::Effect(n), self.run);
        draft.with([text(names::TOOL, tool), self.call_id(n), int(names::ATTEMPT, attempt.into())])
    }

    pub(super) fn effect_ends(
        &mut self,
        n: u32,
        how: &str,
        failed: Option<(String, String)>,
        result: Option<String>,
        out: &mut Vec<Span>,
    ) {
        self.asked_no_more(n, if how == "denied" { "denied" } else { "withdrawn" }, out);
        self.attempt_ends(n, how, failed.clone(), out);
        let Some(mut effect) = self.effects.remove(&n) else { return };
        if let Some((tool, at)) = effect.look.take() {
            out.push(self.span(self.look(n, &tool, at)));
        }
        let mut draft = self.effect(n, &effect).with([text(names::OUTCOME, how)]).failed(failed);
        if let Some(result) = result {
            draft = draft.with([whole(names::OI_OUTPUT, result.clone()), whole(names::TOOL_RESULT, result)]);
        }
        out.push(self.span(draft));
    }

    pub(super) fn effect(&self, n: u32, effect: &Effect) -> Draft {
        let Effect { tool, at, attributes, told, .. } = effect;
        let draft = Draft::new(Step::Effect(n), op::TOOL, tool, *at).kind(SpanKind::Internal, "TOOL");
        let draft = draft.with([text(names::TOOL, tool), text(names::OI_TOOL, tool), self.call_id(n)]);
        draft.with(attributes.iter().cloned()).told(told.clone())
    }

    fn call_id(&self, n: u32) -> KeyValue {
        text(names::TOOL_CALL, &EffectId { run: self.run, n }.to_string())
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Ask => "ask",
    }
}

fn class(class: EffectClass) -> &'static str {
    match class {
        EffectClass::Pure => "pure",
        EffectClass::Contained => "contained",
        EffectClass::Keyed => "keyed",
        EffectClass::Reconcilable => "reconcilable",
        EffectClass::Compensable => "compensable",
        EffectClass::Irreversible => "irreversible",
    }
}
