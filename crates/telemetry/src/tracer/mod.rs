//! The records of one run, folded into spans. A span is told once, with the record that ends it. What is under way is in memory and nowhere
//! else, so that a tracer that is made anew from the first record on goes on as the one before would have.

mod effect;
mod model;
mod open;
mod question;
mod run;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{
        Span, Status,
        span::{Event, SpanKind},
        status::StatusCode,
    },
};
use stead_core::{
    budget::{Spend, Usage},
    fact::{Fact, PayloadIx},
    id::{Name, RunId},
    record::Record,
    time::Timestamp,
    trace::{Place, SpanId, Step},
};

use crate::{
    content::Mask,
    names,
    value::{int, text, yes},
};

/// Events of one span; of more it is told how many they were.
const EVENTS_MAX: usize = 128;

/// The texts of a record, as far as they may be shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// Each payload's, in their order; `None` for one that is erased.
    pub all: &'a [Option<String>],
    /// What masks them. Without one nothing is shown.
    pub mask: Option<&'a Mask>,
}

impl Texts<'_> {
    /// A text as it is; only to be shown masked.
    fn raw(&self, ix: PayloadIx) -> Option<&str> {
        self.mask?;
        self.all.get(usize::from(ix))?.as_deref()
    }

    fn mask(&self, text: &str) -> Option<String> {
        Some(self.mask?.show(text))
    }

    fn show(&self, ix: PayloadIx) -> Option<String> {
        self.mask(self.raw(ix)?)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tracer {
    run: Option<OfRun>,
    next: u64,
}

/// A run of which the first record was seen.
#[derive(Debug)]
struct OfRun {
    run: RunId,
    place: Place,
    tenant: Name,
    agent: Name,
    version: String,
    session: String,
    models: Vec<(Name, u64)>,
    began: Timestamp,
    last: Timestamp,
    seq: u64,
    fact: u16,
    told: Told,
    ended: bool,
    input: Option<String>,
    answer: Option<String>,
    usage: Usage,
    spent: Spend,
    chat: Option<model::Chat>,
    plan: Option<Begun>,
    effects: BTreeMap<u32, effect::Effect>,
    questions: BTreeMap<u32, question::Question>,
    pause: Option<(u64, Timestamp)>,
}

/// What happened within a span that goes on.
#[derive(Clone, Debug, Default)]
struct Told {
    events: Vec<Event>,
    dropped: u32,
}

impl Told {
    fn push(&mut self, at: Timestamp, name: &str, attributes: Vec<KeyValue>) {
        if self.events.len() >= EVENTS_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.events.push(Event { time_unix_nano: nanos(at), name: name.to_owned(), attributes, ..Event::default() });
    }
}

/// Something that goes on, and what happened within it.
#[derive(Clone, Debug)]
struct Begun {
    at: Timestamp,
    told: Told,
}

impl Begun {
    fn at(at: Timestamp) -> Self {
        Self { at, told: Told::default() }
    }
}

/// Nanoseconds since 1970; what was before is 1970.
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000)
}

/// What a span is, before it is put in its place.
struct Draft {
    step: Step,
    parent: Option<SpanId>,
    op: &'static str,
    name: String,
    kind: SpanKind,
    began: Timestamp,
    told: Told,
    attributes: Vec<KeyValue>,
    /// `error.type`, and what that is in words.
    failed: Option<(String, String)>,
}

impl Draft {
    fn new(step: Step, op: &'static str, of: &str, began: Timestamp) -> Self {
        let name = if of.is_empty() { op.to_owned() } else { format!("{op} {of}") };
        let (kind, told, attributes) = (SpanKind::Internal, Told::default(), Vec::new());
        Self { step, parent: None, op, name, kind, began, told, attributes, failed: None }
    }

    fn with(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    fn within(mut self, step: Step, run: RunId) -> Self {
        self.parent = Some(step.span(run));
        self
    }

    fn kind(mut self, kind: SpanKind, openinference: &str) -> Self {
        self.kind = kind;
        self.attributes.push(text(names::OI_KIND, openinference));
        self
    }

    fn told(mut self, told: Told) -> Self {
        self.told = told;
        self
    }

    fn failed(mut self, failed: Option<(String, String)>) -> Self {
        self.failed = failed;
        self
    }
}

impl Tracer {
    /// The position of the record that it takes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether the run has ended. An answer may still come late.
    pub fn ended(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.ended)
    }

    /// Takes the run's next record, and tells what ended with it. A record that is not the next one is passed over.
    pub fn record(&mut self, record: &Record, texts: Texts<'_>) -> Vec<Span> {
        let mut out = Vec::new();
        if record.header.seq != self.next {
            return out;
        }
        self.next += 1;
        if self.run.is_none()
            && let Some(Fact::RunStarted(start)) = record.facts.first()
        {
            self.run = Some(OfRun::new(record, start, texts));
        }
        let Some(run) = &mut self.run else { return out };
        (run.last, run.seq) = (record.header.at, record.header.seq);
        for (n, fact) in (0..).zip(&record.facts) {
            run.fact = n;
            run.take(fact, texts, &mut out);
        }
        out
    }

    /// What has begun and not ended, as if it ended with the last record.
    pub fn unfinished(&self) -> Vec<Span> {
        let Some(run) = &self.run else { return Vec::new() };
        let mut out = run.unfinished();
        for span in &mut out {
            span.attributes.push(yes(names::UNFINISHED, true));
        }
        out
    }
}

impl OfRun {
    fn take(&mut self, fact: &Fact, texts: Texts<'_>, out: &mut Vec<Span>) {
        match fact {
            Fact::ModelRequested(f) => self.asked(f),
            Fact::ModelReplied(f) => self.replied(f, texts, out),
            Fact::ModelFailed(f) => self.model_failed(f, out),
            Fact::ModelDenied(f) => self.model_denied(f, out),
            Fact::PlanDrawn(_) => self.planned(None, out),
            Fact::PlanRejected(f) => self.plan_rejected(f, out),
            Fact::EffectDecided(f) => self.decided(f, out),
            Fact::ApprovalRequested(f) => self.question(f, out),
            Fact::ApprovalGiven(f) => self.answered(f, out),
            Fact::ApprovalExpired(f) => self.asked_no_more(f.effect, "expired", out),
            Fact::ApprovalReminded(f) => self.while_asking(f.effect, "reminded"),
            Fact::ApprovalEscalated(f) => self.while_asking(f.effect, "escalated"),
            Fact::DelegationRenewed(f) => self.renewed(f, out),
            Fact::EffectIntended(f) => self.intended(f, out),
            Fact::EffectReturned(f) => self.outcome(f, "returned", texts, out),
            Fact::EffectRefused(f) => self.outcome(f, "refused", texts, out),
            Fact::EffectNotSent(f) => self.not_sent(f, texts, out),
            Fact::EffectUnknown(f) => self.unknown(f, out),
            Fact::EffectReconciled(f) => self.reconciled(f, out),
            Fact::EffectWithdrawn(f) => self.effect_ends(f.effect, "withdrawn", None, None, out),
            Fact::PreviewDecided(f) => self.looks(f),
            Fact::Previewed(f) => self.looked(f, out),
            Fact::ChildStarted(f) => self.child(f),
            Fact::ChildFinished(f) => self.child_ended(f, texts, out),
            Fact::RunStarted(_)
            | Fact::BudgetMoved(_)
            | Fact::HistoryRead(_)
            | Fact::ApprovalsUsed(_)
            | Fact::TimerFired(_) => {}
            other => self.life(other, out),
        }
    }

    /// Puts a span in its place. It ends with the record that is being taken.
    fn span(&self, draft: Draft) -> Span {
        let Draft { step, parent, op, name, kind, began, told, attributes, failed } = draft;
        let mut all = vec![
            text(names::OPERATION, op),
            text(names::RUN, &self.run.to_string()),
            text(names::TENANT, &self.tenant),
            text(names::AGENT, &self.agent),
            text(names::CONVERSATION, &self.session),
            text(names::OI_SESSION, &self.session),
        ];
        all.extend(attributes);
        let status = failed.map(|(kind, message)| {
            all.push(text(names::ERROR_TYPE, &kind));
            Status { code: StatusCode::Error.into(), message }
        });
        let id = step.span(self.run);
        let (parent, remote) = match (step, parent) {
            (Step::Run, _) => (self.place.above, self.place.remote),
            (_, Some(parent)) => (Some(parent), false),
            (_, None) => (Some(Step::Run.span(self.run)), false),
        };
        // The flags of W3C, then whether the parent is known to be remote (bits 8 and 9).
        let flags = u32::from(self.place.flags & 1) | 0x100 | if remote { 0x200 } else { 0 };
        Span {
            trace_id: self.place.trace.0.to_vec(),
            span_id: id.0.to_vec(),
            trace_state: self.place.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
            flags,
            name: crate::value::cut(&name, crate::value::TEXT_MAX).to_owned(),
            kind: kind.into(),
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(self.last).max(nanos(began)),
            attributes: all,
            events: told.events,
            dropped_events_count: told.dropped,
            status,
            ..Span::default()
        }
    }

    /// A step of its own for something that takes no time.
    fn moment(&self) -> Step {
        Step::Moment(self.seq, self.fact)
    }
}

/// Tokens, as both vocabularies name them.
fn tokens(usage: &Usage) -> Vec<KeyValue> {
    let mut out = vec![
        int(names::INPUT_TOKENS, usage.input),
        int(names::OUTPUT_TOKENS, usage.output),
        int(names::CACHED_TOKENS, usage.cached),
        int(names::OI_PROMPT, usage.input),
        int(names::OI_COMPLETION, usage.output),
        int(names::OI_TOTAL, usage.input.saturating_add(usage.output)),
    ];
    if usage.cache_write > 0 {
        out.push(int(names::CACHE_WRITE_TOKENS, usage.cache_write));
    }
    if usage.reasoning > 0 {
        out.push(int(names::REASONING_TOKENS, usage.reasoning));
    }
    out
}

/// Money, when it is known.
fn cost(spent: Spend) -> Option<KeyValue> {
    Some(crate::value::float(names::COST, spent.usd?.0 as f64 / 1e6))
}
