//! Sandboxes themselves.

use std::{sync::Arc, time::Duration};

use axum::{Json as Body, extract::State, http::StatusCode};
use serde_json::Value;
use stead_api::{
    page::Page,
    sandbox::{
        self as told, ChangeSandbox, CreateSandbox, ResourceLimits, SandboxPressure, SandboxUsage, TakeSnapshot,
    },
};
use stead_core::{id::SandboxId, time::Span};
use stead_egress::RuleSpec;
use stead_ports::{clock::Clock as _, erasure::KeptTree};
use stead_sandboxes::{Ask, Change, Limits, Sandbox, Used};

use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::{Json, MaybeJson},
        failure::{Answer, Failure},
        guard,
        input::At,
    },
    sandboxes::{rules, written},
};

/// How long a snapshot is kept unless asked otherwise.
const HOLD: Duration = Duration::from_secs(24 * 3600);

/// The caller's sandbox.
pub(super) fn own(app: &App, who: &Principal, id: SandboxId) -> Answer<Arc<Sandbox>> {
    Ok(app.sandboxes.all.get(&who.tenant, id)?)
}

pub(super) async fn create(
    State(app): State<Shared>,
    who: Principal,
    MaybeJson(asked): MaybeJson<CreateSandbox>,
) -> Answer<(StatusCode, Body<told::Sandbox>)> {
    let ask = Ask {
        template: asked.template,
        tree: asked.tree,
        ttl: asked.ttl.map(duration),
        limits: limits(asked.limits),
        egress: egress(asked.egress)?,
        env: asked.env,
        label: asked.label,
    };
    let sandbox = app.sandboxes.all.create(&who.tenant, &who.subject, ask).await?;
    Ok((StatusCode::CREATED, Body(view(&sandbox, None))))
}

pub(super) async fn list(State(app): State<Shared>, who: Principal) -> Answer<Body<Page<told::Sandbox>>> {
    let all = app.sandboxes.all.list(&who.tenant);
    Ok(Body(Page { items: all.iter().map(|s| view(s, None)).collect(), next: None }))
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
) -> Answer<Body<told::Sandbox>> {
    let sandbox = own(&app, &who, id)?;
    let used = sandbox.usage().await?;
    Ok(Body(view(&sandbox, Some(used))))
}

pub(super) async fn change(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Json(asked): Json<ChangeSandbox>,
) -> Answer<Body<told::Sandbox>> {
    let sandbox = own(&app, &who, id)?;
    let change = Change { ttl: asked.ttl.map(duration), limits: limits(asked.limits), egress: egress(asked.egress)? };
    sandbox.change(change).await?;
    Ok(Body(view(&sandbox, None)))
}

pub(super) async fn remove(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
) -> Answer<Body<told::Sandbox>> {
    let sandbox = own(&app, &who, id)?;
    // One that has just ended has told all it can.
    let used = sandbox.usage().await.ok();
    app.sandboxes.all.remove(&who.tenant, id).await?;
    Ok(Body(view(&sandbox, used)))
}

pub(super) async fn snapshot(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    MaybeJson(asked): MaybeJson<TakeSnapshot>,
) -> Answer<Body<told::Snapshot>> {
    let _place = guard::place(&app)?;
    let sandbox = own(&app, &who, id)?;
    let kept = sandbox.snapshot(asked.hold.map_or(HOLD, duration)).await?;
    // No fact names it, so this says whose it is: it is erased with their texts.
    let (tenant, owner, until) = (who.tenant.clone(), sandbox.owner.clone(), kept.held_until);
    let tree = KeptTree { tenant, tree: kept.tree, owner, until };
    app.runtime.erasures().store().keep_tree(tree, SystemClock.now()).await?;
    Ok(Body(told::Snapshot {
        tree: kept.tree,
        entries: kept.entries,
        bytes: kept.bytes,
        added: kept.added,
        changed: kept.changed,
        removed: kept.removed,
        left_out: kept.left_out,
        held_until: kept.held_until,
    }))
}

pub(super) fn duration(span: Span) -> Duration {
    Duration::from_micros(span.0)
}

pub(super) fn span(duration: Duration) -> Span {
    Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn limits(asked: ResourceLimits) -> Limits {
    Limits { memory: asked.memory, cpu_milli: asked.cpu_milli, pids: asked.pids, disk: asked.disk }
}

fn egress(asked: Option<Vec<Value>>) -> Answer<Option<Vec<RuleSpec>>> {
    asked.map(|asked| rules(&asked)).transpose().map_err(|wrong| Failure::new(wrong.0, wrong.1))
}

fn view(sandbox: &Sandbox, used: Option<Used>) -> told::Sandbox {
    let state = sandbox.state();
    let limits = state.limits;
    told::Sandbox {
        id: sandbox.id,
        label: sandbox.label.clone(),
        template: sandbox.template.clone(),
        tier: sandbox.evidence.tier,
        owner: sandbox.owner.clone(),
        created: sandbox.created,
        expires: state.expires,
        tree: sandbox.tree,
        limits: ResourceLimits {
            memory: limits.memory,
            cpu_milli: limits.cpu_milli,
            pids: limits.pids,
            disk: Some(limits.disk),
        },
        egress: state.egress.iter().map(written).collect(),
        held: sandbox.evidence.held.clone(),
        not_held: sandbox.evidence.not_held.clone(),
        usage: used.map(usage),
    }
}

fn usage(used: Used) -> SandboxUsage {
    SandboxUsage {
        cpu: used.sandbox.cpu.map(span),
        memory: used.sandbox.memory,
        memory_peak: used.sandbox.memory_peak,
        pids: used.sandbox.pids,
        pressure: used.sandbox.pressure.map(|p| SandboxPressure { cpu: p.cpu, memory: p.memory, io: p.io }),
        allowed: used.egress.allowed,
        denied: used.egress.denied,
        sent: used.egress.sent,
        received: used.egress.received,
    }
}
