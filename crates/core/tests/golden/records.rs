//! The records behind the vectors: one chain that uses every kind of fact, every actor, every kind of payload, and each
//! optional field both present and absent. They are frozen with the vectors; a new fact gets a new record at the end.

use stead_core::{
    artifact::Artifact,
    budget::{
        Amounts, AtLimit, Blocked, BudgetId, BudgetMoved, Caps, Level, Limit, Limits, MicroUsd, Per, Price, Raise,
        Spend, Taken, Usage,
    },
    code,
    effect::{EffectClass, Ended, OnUnknown},
    fact::{
        AfterUnknown, AnswerRejected, ApprovalEscalated, ApprovalGiven, ApprovalReminded, ApprovalRequested,
        ApprovalsUsed, AskReason, CallHead, CallRules, CancelRequested, ChildFinished, ChildStarted, ContextCompacted,
        DelegationRenewed, EffectDecided, EffectIntended, EffectNotSent, EffectOutcome, EffectReconciled, EffectRef,
        EffectUnknown, Fact, Held, HistoryRead, ModelConfig, ModelDenied, ModelFailed, ModelReplied, ModelRequested,
        NextAttempt, Parent, PlanDrawn, PlanRejected, Precondition, PreviewDecided, Previewed, Restored, RunAdmitted,
        RunCompleted, RunConfig, RunFailed, RunStarted, Signing, StopMode, TimerFired, Verdict, Waiting,
    },
    grant::{Delegated, Grant, GrantRule, Granted},
    id::{ActivationId, BlobId, EffectId, Name, RunId, SessionId, TreeId, VersionId},
    label::SealedLabel,
    record::{Actor, Body, Header, Payload, Record, Source, VERSION},
    ruling::{
        Asked, Behalf, Counted, CounterRead, Escalate, GateAsks, Nonce, Person, PlanMark, Rewritten, Ruled, Signed,
    },
    sandbox::{
        Access, Action, Begun, BoxLimits, BoxTotals, BoxUse, Evidence, Place, Property, Tier, Traffic, TreeChange,
    },
    time::{Span, Timestamp},
    trace::TraceContext,
};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// The run of the chain; its ULID has that time.
const RUN: RunId = RunId(0x019b_76da_a800_0123_4567_89ab_cdef_0011);
const SESSION: SessionId = SessionId(0x019b_76da_a800_fedc_ba98_7654_3210_0022);

/// Every vector in order of its `seq`: the name of its file, and the record.
pub(crate) fn all() -> Vec<(&'static str, Record)> {
    let parts: [(&'static str, Actor, Vec<Fact>, Vec<Payload>); 28] = [
        ("00-started", Actor::User("user:ada".into()), started(), vec![text("Refund order 1042", Source::User)]),
        ("01-model", Actor::Runtime, model(), model_texts()),
        ("02-approval", Actor::User("user:grace".into()), approval(), vec![text("over the limit", Source::User)]),
        ("03-effects", Actor::Runtime, effects(), bodies()),
        ("04-unknown", Actor::Runtime, unknown(), vec![text("nobody knows", Source::Runtime)]),
        ("05-children", Actor::Run(RunId(RUN.0 + 1)), children(), vec![text("a child's answer", Source::Agent)]),
        ("06-life", Actor::Runtime, life(), vec![]),
        ("07-minimal", Actor::Runtime, minimal(), vec![text("", Source::Operator)]),
        ("08-held", Actor::Runtime, held(), vec![text("not sent", Source::Runtime)]),
        ("09-restored", Actor::Runtime, restored(), vec![]),
        ("10-cache", Actor::Runtime, cache(), vec![text("Refund order 1042", Source::User)]),
        (
            "11-answer",
            Actor::Runtime,
            answer(),
            vec![text("Refund order 1042", Source::User), text("- $.total: no number", Source::Runtime)],
        ),
        ("12-artifacts", Actor::Runtime, artifacts(), files()),
        ("13-actions", Actor::Runtime, actions(), vec![text("exit 0", Source::Tool)]),
        ("14-policies", Actor::User("user:grace".into()), policies(), policy_texts()),
        ("15-plans", Actor::Runtime, plans(), plan_texts()),
        ("16-evidence", Actor::Runtime, evidence(), vec![text("exit 0", Source::Tool)]),
        ("17-budgets", Actor::Runtime, budgets(), vec![text("Refund order 1042", Source::User)]),
        ("18-later", Actor::User("user:grace".into()), later(), vec![]),
        ("19-history", Actor::Runtime, history(), vec![text("no more than 3 mails an hour", Source::Runtime)]),
        ("20-questions", Actor::Runtime, questions(), vec![]),
        ("21-signed", Actor::User("user:grace".into()), signed(), vec![]),
        ("22-passkey", Actor::User("user:grace".into()), passkey(), vec![]),
        ("23-reminded", Actor::Runtime, reminded(), vec![text("Refund order 1042", Source::User)]),
        ("24-previewed", Actor::Runtime, previewed(), preview_texts()),
        ("25-erased", Actor::Runtime, blinded(), blinded_texts()),
        ("26-delegated", Actor::User("oidc:ada".into()), delegated(), vec![text("Refund order 1042", Source::User)]),
        ("27-traced", Actor::User("user:ada".into()), traced(), vec![text("Refund order 1042", Source::User)]),
    ];
    parts
        .into_iter()
        .map(|(file, actor, facts, payloads)| (file[..2].parse::<usize>().unwrap(), file, actor, facts, payloads))
        .map(|(i, file, actor, facts, payloads)| {
            let header = Header {
                v: VERSION,
                run: RUN,
                seq: i as u64,
                at: Timestamp(NEW_YEAR + i as i64 * 1_000),
                activation: ActivationId(7),
                epoch: 300,
                tenant: "default".into(),
                actor,
                salt: std::array::from_fn(|b| (16 * i + b) as u8),
                // Present once; absent trailing fields are not written at all.
                subject_key: (i == 1).then_some(70_000),
            };
            (file, Record { header, facts, payloads })
        })
        .collect()
}

fn text(t: &'static str, source: Source) -> Payload {
    Payload::inline(t, source)
}

fn limits() -> Limits {
    Limits {
        tokens: Some(200_000),
        usd: Some(MicroUsd(500_000)),
        tool_calls: Some(50),
        active: Some(Span::from_secs(600)),
        deadline: Some(Span::from_secs(259_200)),
        children: Some(3),
        ..Limits::default()
    }
}

fn spend(tokens: u64, usd: u64) -> Spend {
    Spend { tokens, usd: Some(MicroUsd(usd)) }
}

fn started() -> Vec<Fact> {
    let config = RunConfig {
        limits: limits(),
        models: vec![
            ModelConfig {
                name: "openai:gpt-5-mini".into(),
                max_output_tokens: 2_000,
                price: Some(Price { input: 250_000, cached: 25_000, output: 2_000_000, cache_write: None }),
            },
            ModelConfig { name: "rehearsal".into(), max_output_tokens: 1_000, price: None },
        ],
        model_attempts: 3,
        backoff: Span::from_millis(500),
        backoff_max: Span::from_secs(30),
        max_turns: 40,
        context_tokens: 100_000,
        approval_ttl: Some(Span::from_secs(86_400)),
        overhead_tokens: 1_234,
        repairs: None,
        plan: None,
        at_limit: AtLimit::Stop,
        max_open_asks: None,
        max_asks: None,
    };
    vec![
        Fact::RunStarted(Box::new(RunStarted {
            agent: "refund-desk".into(),
            version: VersionId([0xa5; 32]),
            session: SESSION,
            parent: Some(Parent { run: RunId(RUN.0 - 1), effect: 2 }),
            hops: 1,
            config,
            input: 0,
            behalf: None,
            label: None,
        })),
        Fact::RunAdmitted(RunAdmitted { base: Some(RunId(RUN.0 - 2)), grant: limits() }),
        Fact::ContextCompacted(ContextCompacted { clear_before: 12, tokens: 40_000 }),
        Fact::ModelRequested(ModelRequested {
            turn: 1,
            attempt: 1,
            model: 0,
            reserved: spend(3_500, 5_000),
            ruled: None,
            planning: None,
        }),
    ]
}

fn head(effect: u32, tool: &str, class: EffectClass, rules: CallRules) -> CallHead {
    let key = (class == EffectClass::Keyed).then(|| Name::from("order-1042"));
    CallHead { effect, tool: tool.into(), class, args: [0x11; 16], schema: [0x22; 16], key, rules }
}

fn model() -> Vec<Fact> {
    let asking = CallRules {
        ask: true,
        on_unknown: OnUnknown::Ask,
        attempts: 5,
        key_ttl: Some(Span::from_secs(86_400)),
        settle: Span::from_secs(2),
        child: Some(Limits { tokens: Some(10_000), ..Limits::default() }),
        place: None,
        preview: None,
        grant: None,
    };
    let plain = CallRules {
        ask: false,
        on_unknown: OnUnknown::Tell,
        attempts: 3,
        key_ttl: None,
        settle: Span(0),
        child: None,
        place: None,
        preview: None,
        grant: None,
    };
    let calls = vec![
        head(1, "orders", EffectClass::Pure, plain.clone()),
        head(2, "shell", EffectClass::Contained, plain.clone()),
        head(3, "payments_refund", EffectClass::Keyed, asking),
        head(4, "ledger", EffectClass::Reconcilable, plain.clone()),
        head(5, "booking", EffectClass::Compensable, plain.clone()),
        head(6, "mail_send", EffectClass::Irreversible, plain),
    ];
    let next = NextAttempt { model: 1, tried: 0, at: Timestamp(NEW_YEAR + 500_000) };
    vec![
        Fact::ModelFailed(ModelFailed {
            turn: 1,
            attempt: 1,
            code: code::MODEL_BUSY,
            spent: spend(3_500, 5_000),
            estimated: true,
            next: Some(next),
            detail: Some(0),
        }),
        Fact::TimerFired(TimerFired { effect: None }),
        Fact::ModelReplied(ModelReplied {
            turn: 1,
            attempt: 2,
            payload: 1,
            usage: Usage { input: 1_500, cached: 1_000, output: 80, reasoning: 30, cache_write: 0 },
            spent: Spend { tokens: 1_580, usd: None },
            calls,
        }),
    ]
}

fn model_texts() -> Vec<Payload> {
    let reply = r#"{"text":"I look it up.","stop":"tool_calls","usage":{"input":1500,"output":80}}"#;
    vec![text("429 Too Many Requests", Source::Runtime), text(reply, Source::Model)]
}

fn approval() -> Vec<Fact> {
    let decided = |effect, verdict, code, payload| {
        Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled: None, rewritten: None, plan: None })
    };
    let asked = |effect, reason, expires| {
        Fact::ApprovalRequested(ApprovalRequested { effect, reason, expires, asked: None, raise: None, signing: None })
    };
    let answered = |effect, approved, note| {
        Fact::ApprovalGiven(ApprovalGiven {
            effect,
            approved,
            by: "user:grace".into(),
            note,
            roles: Vec::new(),
            later: None,
            signed: None,
        })
    };
    vec![
        decided(1, Verdict::Allow, None, None),
        decided(2, Verdict::Deny, Some(code::TOOL_ARGUMENTS), Some(0)),
        decided(3, Verdict::Ask, None, None),
        asked(3, AskReason::Manifest, Some(Timestamp(NEW_YEAR + 86_400_000_000))),
        asked(4, AskReason::EqualUnknown, None),
        asked(6, AskReason::OutcomeUnknown, None),
        answered(3, true, None),
        answered(4, false, Some(0)),
        Fact::ApprovalExpired(EffectRef { effect: 6 }),
    ]
}

fn effects() -> Vec<Fact> {
    let outcome = |effect, payload, late, error| EffectOutcome { effect, payload, late, error, action: None };
    vec![
        Fact::EffectIntended(EffectIntended { effect: 3, activation: ActivationId(7), attempt: 1 }),
        Fact::EffectReturned(outcome(3, 0, false, false)),
        Fact::EffectRefused(outcome(4, 1, true, true)),
        Fact::EffectNotSent(EffectNotSent {
            effect: 5,
            retry_at: Some(Timestamp(NEW_YEAR + 1)),
            payload: 2,
            held: None,
        }),
        Fact::EffectNotSent(EffectNotSent { effect: 5, retry_at: None, payload: 3, held: None }),
        Fact::EffectWithdrawn(EffectRef { effect: 6 }),
    ]
}

/// Of a process that was about to end.
fn held() -> Vec<Fact> {
    let retry_at = Some(Timestamp(NEW_YEAR + 2));
    vec![Fact::EffectNotSent(EffectNotSent { effect: 5, retry_at, payload: 0, held: Some(Held::Draining) })]
}

/// Every kind of body, with and without label and preview.
fn bodies() -> Vec<Payload> {
    let blob = |preview: Option<&'static [u8]>| Body::Blob {
        id: BlobId([0xb1; 32]),
        len: 1_000_000,
        preview: preview.map(Into::into),
    };
    vec![
        Payload::new(blob(Some(b"the first lines")), Some(Source::Tool)),
        Payload::new(blob(None), None),
        Payload::new(Body::Erased { commitment: [0xee; 32] }, Some(Source::User)),
        Payload::new(Body::Inline(vec![0xff; 300].into()), None),
    ]
}

/// An effect that returned with files.
fn artifacts() -> Vec<Fact> {
    let returned = |effect, payload| {
        Fact::EffectReturned(EffectOutcome { effect, payload, late: false, error: false, action: None })
    };
    vec![returned(7, 0), returned(8, 1)]
}

/// Files with a text in the record, and with one in a blob.
fn file(name: &str, media: &str, len: u64) -> Artifact {
    Artifact { name: name.into(), media: media.into(), len, digest: [0xd1; 32], blob: BlobId([0xb2; 32]) }
}

fn files() -> Vec<Payload> {
    let body = Body::Blob { id: BlobId([0xb1; 32]), len: 5_000, preview: None };
    vec![
        Payload { artifacts: vec![file("e7-1.png", "image/png", 70_000)], ..text("[image]", Source::Tool) },
        Payload {
            artifacts: vec![file("Grüße.txt", "text/plain", 0), file("e8-2.pdf", "application/pdf", 1 << 33)],
            ..Payload::new(body, Some(Source::Tool))
        },
    ]
}

fn unknown() -> Vec<Fact> {
    let unknown = |effect, then, payload| Fact::EffectUnknown(EffectUnknown { effect, then, payload, action: None });
    let asked = |effect, happened, payload, again| {
        Fact::EffectReconciled(EffectReconciled { effect, happened, payload, again })
    };
    let later = Timestamp(NEW_YEAR + 2_000_000);
    vec![
        unknown(6, AfterUnknown::Tell, Some(0)),
        unknown(5, AfterUnknown::Ask, None),
        unknown(3, AfterUnknown::Repeat(later), None),
        unknown(4, AfterUnknown::Reconcile(later), None),
        asked(4, false, None, Some(later)),
        asked(4, true, Some(0), None),
        Fact::TimerFired(TimerFired { effect: Some(4) }),
    ]
}

fn children() -> Vec<Fact> {
    let (child, _) = EffectId { run: RUN, n: 8 }.child();
    let mut facts = vec![Fact::ChildStarted(ChildStarted {
        effect: 8,
        child,
        limits: Limits { usd: Some(MicroUsd(200_000)), ..Limits::default() },
        reserved: spend(10_000, 200_000),
        grant: None,
    })];
    let ends = [Ended::Returned, Ended::Refused, Ended::NotSent, Ended::Unknown, Ended::Withdrawn, Ended::Denied];
    facts.extend(ends.map(|ended| {
        Fact::ChildFinished(ChildFinished {
            effect: 8,
            ended,
            payload: 0,
            spent: spend(900, 1),
            boxes: None,
            label: None,
            used: None,
        })
    }));
    facts
}

fn life() -> Vec<Fact> {
    let stopped =
        |limit| Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit: Some(limit), blocked: None });
    let mut facts = vec![Fact::Paused, Fact::Resumed];
    facts.push(Fact::CancelRequested(CancelRequested { mode: StopMode::Kill, limit: None, blocked: None }));
    facts.extend(
        [
            Limit::Tokens,
            Limit::Usd,
            Limit::Unpriced,
            Limit::ToolCalls,
            Limit::Active,
            Limit::Deadline,
            Limit::Children,
            Limit::Turns,
        ]
        .map(stopped),
    );
    facts.extend([
        Fact::RunCompleted(RunCompleted { turns: 4 }),
        Fact::RunFailed(RunFailed { code: code::BUDGET, payload: None }),
        Fact::RunFailed(RunFailed { code: code::MODEL_EXHAUSTED, payload: Some(u16::MAX) }),
        Fact::RunCancelled,
    ]);
    facts
}

/// Every optional field absent.
fn minimal() -> Vec<Fact> {
    let config = RunConfig {
        limits: Limits::default(),
        models: vec![ModelConfig { name: "rehearsal".into(), max_output_tokens: 0, price: None }],
        model_attempts: 1,
        backoff: Span(0),
        backoff_max: Span(0),
        max_turns: 1,
        context_tokens: 0,
        approval_ttl: None,
        overhead_tokens: 0,
        repairs: None,
        plan: None,
        at_limit: AtLimit::Stop,
        max_open_asks: None,
        max_asks: None,
    };
    vec![
        Fact::RunStarted(Box::new(RunStarted {
            agent: "a".into(),
            version: VersionId([0; 32]),
            session: SessionId(0),
            parent: None,
            hops: 0,
            config,
            input: 0,
            behalf: None,
            label: None,
        })),
        Fact::RunAdmitted(RunAdmitted { base: None, grant: Limits::default() }),
        Fact::ModelFailed(ModelFailed {
            turn: 0,
            attempt: 0,
            code: code::MODEL_LOST,
            spent: Spend { tokens: 0, usd: None },
            estimated: false,
            next: None,
            detail: None,
        }),
        Fact::ModelReplied(ModelReplied {
            turn: 1,
            attempt: 1,
            payload: 0,
            usage: Usage::default(),
            spent: Spend::ZERO,
            calls: vec![],
        }),
    ]
}

/// Actions in boxes: what a tool may use, what came out, and an operator's limits.
fn actions() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        start.config.limits = Limits { cpu: Some(Span(60_000_000)), traffic: Some(1 << 20), ..Limits::default() };
    }
    let rules = CallRules { place: Some(Place { workspace: Access::Write, boxed: true }), ..CallRules::default() };
    let head = |effect| CallHead {
        effect,
        tool: "shell".into(),
        class: EffectClass::Contained,
        args: [5; 16],
        schema: [6; 16],
        key: None,
        rules: rules.clone(),
    };
    facts.push(Fact::ModelReplied(ModelReplied {
        turn: 1,
        attempt: 1,
        payload: 0,
        usage: Usage::default(),
        spent: Spend::ZERO,
        calls: vec![head(1), head(2), head(3)],
    }));
    let change = TreeChange { before: None, after: TreeId([7; 32]), added: 3, changed: 2, removed: 1, bytes: 4_096 };
    let full = BoxUse {
        tier: Tier::Namespace,
        held: Property::ALL[..8].to_vec(),
        not_held: vec![Property::MemoryLimit],
        cpu: Some(Span(1_500)),
        memory_peak: Some(9 << 20),
        wall: Span(2_000),
        traffic: Some(Traffic { allowed: 2, denied: 1, sent: 300, received: 4_000 }),
        evidence: vec![],
        begun: None,
    };
    let bare = |tier| BoxUse {
        tier,
        held: vec![],
        not_held: vec![],
        cpu: None,
        memory_peak: None,
        wall: Span(1),
        traffic: None,
        evidence: vec![],
        begun: None,
    };
    let outcome = |effect, action| EffectOutcome { effect, payload: 0, late: false, error: false, action };
    let boxed = |workspace, sandbox| Some(Box::new(Action { workspace, sandbox }));
    facts.extend([
        Fact::EffectReturned(outcome(1, boxed(Some(change), Some(full)))),
        Fact::EffectReturned(outcome(2, boxed(Some(TreeChange { before: Some(change.after), ..change }), None))),
        Fact::EffectUnknown(EffectUnknown {
            effect: 3,
            then: AfterUnknown::Repeat(Timestamp(NEW_YEAR)),
            payload: None,
            action: boxed(None, Some(bare(Tier::Microvm))),
        }),
        Fact::EffectRefused(outcome(3, boxed(None, Some(bare(Tier::Wasm))))),
        Fact::EffectRefused(outcome(3, boxed(None, Some(bare(Tier::Oci))))),
        Fact::SandboxLimited(BoxLimits {
            memory: Some(1 << 30),
            cpu_milli: Some(2_000),
            pids: Some(256),
            disk: Some(1 << 28),
            wall: Some(Span(60_000_000)),
            ..BoxLimits::default()
        }),
        Fact::SandboxLimited(BoxLimits { cpu_milli: Some(500), ..BoxLimits::default() }),
        Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit: Some(Limit::Cpu), blocked: None }),
        Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit: Some(Limit::Traffic), blocked: None }),
        Fact::ChildFinished(ChildFinished {
            effect: 8,
            ended: Ended::Returned,
            payload: 0,
            spent: spend(1, 1),
            boxes: Some(BoxTotals { cpu: Span(9), memory_peak: 10, traffic: 11 }),
            label: None,
            used: None,
        }),
    ]);
    facts
}

/// Actions whose boxes tell what held their promises, and an operator's further limits.
fn evidence() -> Vec<Fact> {
    let said = |property, words: &str| Evidence { property, words: words.into() };
    let used = |evidence, begun| BoxUse {
        tier: Tier::Namespace,
        held: vec![Property::MemoryLimit],
        not_held: vec![Property::FileRules],
        cpu: None,
        memory_peak: None,
        wall: Span(2_000),
        traffic: None,
        evidence,
        begun,
    };
    let both =
        vec![said(Property::MemoryLimit, "control group of version 1"), said(Property::FileRules, "no Landlock")];
    let outcome = |effect, sandbox| EffectOutcome {
        effect,
        payload: 0,
        late: false,
        error: false,
        action: Some(Box::new(Action { workspace: None, sandbox: Some(sandbox) })),
    };
    vec![
        Fact::EffectReturned(outcome(1, used(both, Some(Begun::Forked)))),
        Fact::EffectReturned(outcome(2, used(vec![], Some(Begun::Cold("another LANG".into()))))),
        Fact::EffectReturned(outcome(3, used(vec![said(Property::MemoryLimit, "")], None))),
        Fact::SandboxLimited(BoxLimits {
            inodes: Some(10_000),
            open_files: Some(64),
            output: Some(1 << 22),
            egress: Some(vec!["api.example.com".into(), "*.example.org".into()]),
            ..BoxLimits::default()
        }),
        Fact::SandboxLimited(BoxLimits { egress: Some(vec![]), ..BoxLimits::default() }),
    ]
}

/// A run out of a backup.
fn restored() -> Vec<Fact> {
    vec![
        Fact::Restored(Restored { generation: 2, taken: Timestamp(NEW_YEAR) }),
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 3,
            reason: AskReason::Restored,
            expires: None,
            asked: None,
            raise: None,
            signing: None,
        }),
    ]
}

/// A price and a usage that tell of writing to a provider's cache.
fn cache() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        for model in &mut start.config.models {
            model.price = model.price.map(|price| Price { cache_write: Some(312_500), ..price });
        }
    }
    facts.push(Fact::ModelReplied(ModelReplied {
        turn: 2,
        attempt: 1,
        payload: 0,
        usage: Usage { input: 1_500, cached: 1_000, output: 80, reasoning: 30, cache_write: 400 },
        spent: spend(1_580, 400),
        calls: vec![],
    }));
    facts
}

/// A run whose answers are checked: one is sent back, the next is the last. And an attempt that its provider had no room for.
fn answer() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        start.config.repairs = Some(1);
    }
    facts.extend([
        Fact::AnswerRejected(AnswerRejected { turn: 1, payload: 1, repair: Some(1) }),
        Fact::AnswerRejected(AnswerRejected { turn: 2, payload: 1, repair: None }),
        Fact::RunFailed(RunFailed { code: code::ANSWER_SCHEMA, payload: Some(1) }),
        Fact::ModelFailed(ModelFailed {
            turn: 2,
            attempt: 1,
            code: code::PROVIDER_LIMIT,
            spent: Spend::ZERO,
            estimated: false,
            next: Some(NextAttempt { model: 0, tried: 0, at: Timestamp(NEW_YEAR + 60_000_000) }),
            detail: None,
        }),
    ]);
    facts
}

/// What policies said: a model denied, the next one asked, a call put before two people, another rewritten and let go.
fn policies() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        let grace = Person { name: "user:grace".into(), roles: vec!["support".into()] };
        start.config.plan = Some(2);
        start.label = Some(SealedLabel([0x82, 0x00, 0x80].into()));
        start.behalf =
            Some(Box::new(Behalf { user: Some(grace), callers: vec!["front-desk".into()], ..Behalf::default() }));
    }
    let ruled =
        |by: &[&str], why| Some(Box::new(Ruled { epoch: 12, by: by.iter().map(|id| Name::from(*id)).collect(), why }));
    let gate = GateAsks {
        policy: "large".into(),
        approvers: vec!["finance".into(), "user:carol".into()],
        quorum: 2,
        ..GateAsks::default()
    };
    let decided = |effect, verdict, code, payload, ruled, rewritten| {
        Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan: None })
    };
    let rewritten =
        |key: Option<&str>| Some(Box::new(Rewritten { arguments: 3, args: [0x33; 16], key: key.map(Name::from) }));
    facts.extend([
        Fact::ModelDenied(ModelDenied { turn: 1, model: 0, payload: 1, ruled: ruled(&["no-clouds"], Some(2)) }),
        Fact::ModelDenied(ModelDenied { turn: 1, model: 1, payload: 1, ruled: None }),
        Fact::ModelRequested(ModelRequested {
            turn: 1,
            attempt: 1,
            model: 1,
            reserved: spend(3_500, 5_000),
            ruled: ruled(&["granted"], None),
            planning: None,
        }),
        decided(1, Verdict::Deny, Some(code::POLICY), Some(1), ruled(&["not-granted"], Some(2)), None),
        decided(2, Verdict::Ask, None, None, ruled(&["large"], Some(2)), None),
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 2,
            reason: AskReason::Policy,
            expires: Some(Timestamp(NEW_YEAR + 900_000_000)),
            asked: Some(Box::new(Asked { gates: vec![gate], quorum: 2 })),
            raise: None,
            signing: None,
        }),
        Fact::ApprovalGiven(ApprovalGiven {
            effect: 2,
            approved: true,
            by: "user:grace".into(),
            note: None,
            roles: vec!["finance".into()],
            later: None,
            signed: None,
        }),
        decided(3, Verdict::Allow, None, None, ruled(&["granted"], Some(2)), rewritten(None)),
        decided(4, Verdict::Allow, None, None, ruled(&[], None), rewritten(Some("order-1042"))),
    ]);
    facts
}

/// A yes that nothing could weigh when it was given.
fn later() -> Vec<Fact> {
    vec![Fact::ApprovalGiven(ApprovalGiven {
        effect: 1,
        approved: true,
        by: "user:grace".into(),
        note: None,
        roles: vec!["finance".into()],
        later: Some(true),
        signed: None,
    })]
}

/// A question that signed answers bind, with all that is bound and with the least; an answer, and that it was used.
fn signed() -> Vec<Fact> {
    let strict = GateAsks {
        policy: "large".into(),
        approvers: vec!["finance".into()],
        quorum: 1,
        verified: Some(true),
        channels: Some(true),
        ..GateAsks::default()
    };
    let nonce = Nonce([0x77; 16]);
    vec![
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 1,
            reason: AskReason::Policy,
            expires: Some(Timestamp(NEW_YEAR + 900_000_000)),
            asked: Some(Box::new(Asked { gates: vec![strict], quorum: 1 })),
            raise: None,
            signing: Some(Box::new(Signing { salt: [0x55; 16], epoch: Some(12), why: Some([0x66; 32]) })),
        }),
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 2,
            reason: AskReason::Manifest,
            expires: None,
            asked: None,
            raise: None,
            signing: Some(Box::new(Signing { salt: [0x56; 16], epoch: None, why: None })),
        }),
        Fact::ApprovalGiven(ApprovalGiven {
            effect: 1,
            approved: true,
            by: "user:grace".into(),
            note: None,
            roles: vec!["finance".into()],
            later: None,
            signed: Some(Box::new(Signed { nonce, receipt: "a receipt".into(), page: None })),
        }),
        Fact::ApprovalsUsed(ApprovalsUsed { effect: 1, nonces: vec![nonce] }),
    ]
}

/// Looks at what effects would do: two that find something, which binds and which does not, one that fails, and one that policies deny.
fn previewed() -> Vec<Fact> {
    let rules = CallRules { ask: true, preview: Some("orders_get".into()), ..CallRules::default() };
    let calls = vec![head(1, "payments_refund", EffectClass::Keyed, rules)];
    let replied = ModelReplied { turn: 1, attempt: 1, payload: 0, usage: Usage::default(), spent: Spend::ZERO, calls };
    let gate = GateAsks { policy: "large".into(), approvers: vec!["finance".into()], quorum: 1, ..GateAsks::default() };
    let waiting = Waiting {
        reason: AskReason::Policy,
        asked: Some(Box::new(Asked { gates: vec![gate], quorum: 1 })),
        ttl: Some(Span::from_secs(900)),
        why: Some([0x77; 32]),
        epoch: Some(12),
    };
    let plain = Waiting { reason: AskReason::Manifest, asked: None, ttl: None, why: None, epoch: None };
    let looks = |effect, waiting: Waiting| {
        Fact::PreviewDecided(PreviewDecided {
            effect,
            tool: "orders_get".into(),
            verdict: Verdict::Allow,
            payload: None,
            ruled: Some(Box::new(Ruled { epoch: 12, by: vec!["granted".into()], why: None })),
            call: Some(Box::new(Rewritten { arguments: 1, args: [9; 16], key: None })),
            question: Some(Box::new(waiting)),
        })
    };
    let denied = PreviewDecided {
        effect: 4,
        tool: "orders_get".into(),
        verdict: Verdict::Deny,
        payload: Some(2),
        ruled: None,
        call: None,
        question: None,
    };
    let seen = |effect, payload, failed, precondition, action| {
        Fact::Previewed(Previewed { effect, payload, failed, precondition, action })
    };
    let boxed = Action {
        workspace: None,
        sandbox: Some(BoxUse {
            tier: Tier::Namespace,
            held: vec![Property::ALL[0]],
            not_held: Vec::new(),
            cpu: Some(Span(7)),
            memory_peak: None,
            wall: Span(9),
            traffic: None,
            evidence: Vec::new(),
            begun: None,
        }),
    };
    vec![
        Fact::ModelReplied(replied),
        looks(1, waiting),
        seen(1, 3, false, Some(Precondition::Etag("\"v7\"".into())), None),
        looks(2, plain.clone()),
        seen(2, 3, false, Some(Precondition::Rows(4_000)), Some(Box::new(boxed))),
        looks(3, plain),
        seen(3, 2, true, None, None),
        Fact::PreviewDecided(denied),
    ]
}

fn preview_texts() -> Vec<Payload> {
    vec![
        text("{}", Source::Model),
        text(r#"{"order_id":"1042"}"#, Source::Model),
        text("no data of ours to that tool", Source::Runtime),
        text(r#"{"status":"open"}"#, Source::Tool),
    ]
}

/// A run that may ask little; a question of which people are reminded, and that others may answer too in time.
fn reminded() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        (start.config.max_open_asks, start.config.max_asks) = (Some(2), Some(9));
    }
    let step = |secs, to: &str| Escalate { after: Span::from_secs(secs), to: to.into() };
    let gate = GateAsks {
        policy: "large".into(),
        approvers: vec!["finance".into()],
        quorum: 1,
        remind: Some(Span::from_secs(3_600)),
        escalate: vec![step(1_800, "finance-leads"), step(7_200, "user:carol")],
        ..GateAsks::default()
    };
    facts.extend([
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 1,
            reason: AskReason::Policy,
            expires: Some(Timestamp(NEW_YEAR + 86_400_000_000)),
            asked: Some(Box::new(Asked { gates: vec![gate], quorum: 1 })),
            raise: None,
            signing: None,
        }),
        Fact::ApprovalEscalated(ApprovalEscalated { effect: 1, policy: "large".into(), to: "finance-leads".into() }),
        Fact::ApprovalReminded(ApprovalReminded { effect: 1, reminder: 1 }),
    ]);
    facts
}

/// What a person and an agent hand on: grants with every member and with none, a delegation that ends, is asked about and renewed.
fn delegated() -> Vec<Fact> {
    let mut facts = started();
    let until = Timestamp(NEW_YEAR + 28_800_000_000);
    let rule = GrantRule {
        tools: Some(vec!["payments_*".into()]),
        hosts: Some(vec!["*.example.com".into()]),
        scopes: Some(Vec::new()),
        lasts: Some(Span::from_secs(1_800)),
        depth: Some(1),
    };
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        start.behalf = Some(Box::new(Behalf {
            user: Some("oidc:ada".into()),
            callers: vec!["boss".into(), "lead".into()],
            above: Vec::new(),
            session: None,
            switch: None,
            grants: vec![
                Granted { by: 0, grant: rule.at(Timestamp(NEW_YEAR)) },
                Granted { by: 1, grant: Grant::default() },
            ],
            delegated: Some(Delegated { until, lasts: Span::from_secs(28_800) }),
            trace: None,
        }));
    }
    let child =
        |grant: Option<Box<GrantRule>>| CallRules { child: Some(Limits::default()), grant, ..CallRules::default() };
    let head = |effect, rules| CallHead {
        effect,
        tool: "research".into(),
        class: EffectClass::Keyed,
        args: [7; 16],
        schema: [8; 16],
        key: None,
        rules,
    };
    facts.push(Fact::ModelReplied(ModelReplied {
        turn: 1,
        attempt: 1,
        payload: 0,
        usage: Usage::default(),
        spent: Spend::ZERO,
        calls: vec![head(1, child(Some(Box::new(rule.clone())))), head(2, child(Some(Box::default())))],
    }));
    let (run, _) = EffectId { run: RUN, n: 1 }.child();
    facts.push(Fact::ChildStarted(ChildStarted {
        effect: 1,
        child: run,
        limits: Limits::default(),
        reserved: Spend::ZERO,
        grant: Some(Box::new(rule.at(Timestamp(NEW_YEAR)))),
    }));
    let person = GateAsks {
        policy: "delegation".into(),
        approvers: vec!["user:oidc:ada".into()],
        quorum: 1,
        ..GateAsks::default()
    };
    facts.extend([
        Fact::ApprovalRequested(ApprovalRequested {
            effect: 3,
            reason: AskReason::Delegation,
            expires: None,
            asked: Some(Box::new(Asked { gates: vec![person], quorum: 1 })),
            raise: None,
            signing: None,
        }),
        Fact::DelegationRenewed(DelegationRenewed { by: "oidc:ada".into(), until, effect: Some(3) }),
        Fact::DelegationRenewed(DelegationRenewed { by: "oidc:ada".into(), until, effect: None }),
        Fact::EffectNotSent(EffectNotSent {
            effect: 2,
            retry_at: Some(Timestamp(NEW_YEAR)),
            payload: 0,
            held: Some(Held::Ended),
        }),
    ]);
    facts
}

/// An answer that was signed on a page of the server.
fn passkey() -> Vec<Fact> {
    vec![Fact::ApprovalGiven(ApprovalGiven {
        effect: 1,
        approved: true,
        by: "user:grace".into(),
        note: None,
        roles: vec!["finance".into()],
        later: None,
        signed: Some(Box::new(Signed {
            nonce: Nonce([0x78; 16]),
            receipt: "a receipt of a passkey".into(),
            page: Some(true),
        })),
    })]
}

/// A plan that was drawn at the second try, and another that never was; calls that it lets through.
fn plans() -> Vec<Fact> {
    let asked = |turn, try_| {
        let (reserved, planning) = (spend(3_500, 5_000), Some(try_));
        Fact::ModelRequested(ModelRequested { turn, attempt: 1, model: 0, reserved, ruled: None, planning })
    };
    let decided = |effect, plan| {
        let (code, payload, ruled, rewritten) = (None, None, None, None);
        let verdict = Verdict::Allow;
        Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan: Some(plan) })
    };
    vec![
        asked(1, 0),
        Fact::PlanRejected(PlanRejected { turn: 1, plan: 0, payload: 1, again: Some(1) }),
        asked(2, 1),
        Fact::PlanDrawn(PlanDrawn { turn: 2, payload: 2 }),
        Fact::PlanRejected(PlanRejected { turn: 2, plan: 0, payload: 1, again: None }),
        decided(1, PlanMark::Read(0)),
        decided(2, PlanMark::Used { slot: 1, element: None }),
        decided(3, PlanMark::Used { slot: 2, element: Some("5f36b2".into()) }),
        Fact::ChildFinished(ChildFinished {
            effect: 4,
            ended: Ended::Returned,
            payload: 3,
            spent: spend(1, 1),
            boxes: None,
            label: Some(SealedLabel([0x82, 0x01, 0x80].into())),
            used: None,
        }),
    ]
}

/// What counters said to a model's call, and to a call that was denied.
fn history() -> Vec<Fact> {
    let read = |name: &str, said| CounterRead { name: name.into(), said };
    vec![
        Fact::HistoryRead(HistoryRead { effect: None, read: vec![read("asked", Counted::Number(-1))] }),
        Fact::HistoryRead(HistoryRead {
            effect: Some(5),
            read: vec![
                read("known_payee", Counted::Seen(true)),
                read("mails", Counted::Number(3)),
                read("moved_today", Counted::Sum(10_000_100)),
                read("last_refund", Counted::Last("unknown".into())),
            ],
        }),
        Fact::EffectDecided(EffectDecided {
            effect: 5,
            verdict: Verdict::Deny,
            code: Some(code::POLICY),
            payload: Some(0),
            ruled: None,
            rewritten: None,
            plan: None,
        }),
    ]
}

fn plan_texts() -> Vec<Payload> {
    vec![
        text(r#"{"text":"do mail_sent()"}"#, Source::Model),
        text("plan:1:4: there is no tool `mail_sent`", Source::Runtime),
        text("do mail_send(to: \"ada@example.com\", body: any)", Source::Model),
        text("a child's answer", Source::Agent),
    ]
}

fn policy_texts() -> Vec<Payload> {
    vec![
        text("Refund order 1042", Source::User),
        text("no data of ours to that model", Source::Runtime),
        text(r#"{"forbade":[{"policy":"no-clouds"}]}"#, Source::Runtime),
        text(r#"{"body":"[redacted]"}"#, Source::Model),
    ]
}

/// A run that takes slices of the budgets above it, asks at a limit, and is stopped by one.
fn budgets() -> Vec<Fact> {
    let mut facts = started();
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        start.config.at_limit = AtLimit::Ask;
        start.config.limits.disk = Some(1 << 20);
    }
    let amounts = Amounts {
        tokens: 70_000,
        usd: MicroUsd(300),
        tool_calls: 3,
        active: Span(4),
        cpu: Span(5),
        traffic: 6,
        disk: 7,
        children: 8,
    };
    let level = |budget, agent: Option<&str>, per| Level {
        budget: BudgetId(budget),
        start: Timestamp(NEW_YEAR),
        agent: agent.map(Name::from),
        per,
    };
    let all = Caps::from_array(amounts.to_array().map(Some));
    let taken = |levels, granted| Some(Taken { levels, granted });
    let moved = |settled, taken| Fact::BudgetMoved(Box::new(BudgetMoved { settled, taken }));
    let levels = vec![
        level(1, None, Per::Hour),
        level(2, None, Per::Month),
        level(3, Some("refund-desk"), Per::Day),
        level(70_000, Some("refund-desk"), Per::Ever),
    ];
    let blocked =
        |agent: Option<&str>, per| Blocked { agent: agent.map(Name::from), per, left: 1, need: 300, most: None };
    let ask = |limit, by, blocked| ask_to(Raise { limit, by, blocked, most: None, used: None, need: None });
    let stopped = |limit, blocked: Option<Blocked>| {
        let blocked = blocked.map(Box::new);
        Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit: Some(limit), blocked })
    };
    facts.extend([
        moved(Amounts::default(), taken(levels, all)),
        moved(amounts, taken(vec![level(1, None, Per::Hour)], Caps { usd: Some(MicroUsd(9)), ..Caps::default() })),
        moved(amounts, None),
        ask(Limit::Disk, 1 << 20, None),
        ask(Limit::Usd, 0, Some(blocked(None, Per::Day))),
        Fact::ChildFinished(ChildFinished {
            effect: 8,
            ended: Ended::Returned,
            payload: 0,
            spent: Spend { tokens: 900, usd: Some(MicroUsd(12)) },
            boxes: None,
            label: None,
            used: Some(amounts.counted()),
        }),
        stopped(Limit::Disk, None),
        stopped(Limit::Usd, Some(blocked(Some("refund-desk"), Per::Month))),
    ]);
    facts
}

fn ask_to(raise: Raise) -> Fact {
    Fact::ApprovalRequested(ApprovalRequested {
        effect: 9,
        reason: AskReason::Budget,
        expires: None,
        asked: None,
        raise: Some(Box::new(raise)),
        signing: None,
    })
}

/// Questions about limits that tell what is used and what is needed.
fn questions() -> Vec<Fact> {
    let own = Raise { limit: Limit::ToolCalls, by: 50, blocked: None, most: Some(50), used: Some(50), need: Some(1) };
    let blocked = Blocked { agent: None, per: Per::Month, left: 838, need: 3_069, most: Some(1_000) };
    let above = Raise { limit: Limit::Usd, by: 0, blocked: Some(blocked.clone()), most: None, used: None, need: None };
    let (limit, blocked) = (Some(Limit::Usd), Some(Box::new(blocked)));
    let stopped = Fact::CancelRequested(CancelRequested { mode: StopMode::Cancel, limit, blocked });
    vec![ask_to(own), ask_to(above), stopped]
}

/// What a run wrote whose texts are blinded by bytes of their own: beside one that was erased.
fn blinded() -> Vec<Fact> {
    let returned = |effect, payload| {
        Fact::EffectReturned(EffectOutcome { effect, payload, late: false, error: false, action: None })
    };
    (0..5_u16).map(|n| returned(u32::from(n) + 1, n)).collect()
}

fn blinded_texts() -> Vec<Payload> {
    let blob = |preview: Option<&'static str>| Body::Blob {
        id: BlobId([0xb1; 32]),
        len: 70_000,
        preview: preview.map(|p| bytes::Bytes::from_static(p.as_bytes())),
    };
    let all = [
        text("yes", Source::Tool),
        Payload::new(blob(Some("the beginning")), Some(Source::Tool)),
        Payload::new(blob(None), None),
        Payload { artifacts: vec![file("e4-1.png", "image/png", 70_000)], ..text("[image]", Source::Tool) },
        Payload::new(Body::Erased { commitment: [0xee; 32] }, Some(Source::Tool)),
    ];
    let blind = |(n, p): (usize, Payload)| match p.body {
        Body::Erased { .. } => p,
        _ => Payload { blind: Some([0xa0 + n as u8; 16]), ..p },
    };
    all.into_iter().enumerate().map(blind).collect()
}

/// A run that somebody's trace asked for.
fn traced() -> Vec<Fact> {
    let mut facts = started();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    if let Some(Fact::RunStarted(start)) = facts.first_mut() {
        let trace = TraceContext::parse(parent, Some("shop=1042")).map(Box::new);
        start.behalf = Some(Box::new(Behalf { user: Some("user:ada".into()), trace, ..Behalf::default() }));
    }
    facts
}
