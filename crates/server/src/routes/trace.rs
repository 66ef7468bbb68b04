//! `/v1/runs/{run}/trace`: the spans of a run and of the runs below it, as one request of OTLP in its JSON encoding. They follow from the
//! journal, so what a collector was told has the same ids.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use serde_json::Value;
use stead_core::{code, id::RunId};
use stead_ports::journal::RunFilter;
use stead_telemetry::{Span, Texts, Tracer, content::Mask};

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::{Answer, Failure},
        input::{At, Params},
    },
};

/// Runs of one answer: of a larger family the others are asked for by themselves.
const MAX_RUNS: usize = 256;
/// Spans of one answer.
const MAX_SPANS: usize = 50_000;
/// Records read at once.
const PAGE: u32 = 256;

/// What of it is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Also what has begun and not ended.
    #[serde(default)]
    unfinished: bool,
}

pub(super) async fn trace(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(wanted): Params<Wanted>,
) -> Answer<Body<Value>> {
    views::own_run(&app, &who, run).await?;
    let mask = app.telemetry.mask().await;
    let (mut runs, mut next, mut spans) = (vec![run], 0, Vec::new());
    while let Some(run) = runs.get(next).copied() {
        next += 1;
        spans.extend(of_run(&app, run, wanted.unfinished, mask.as_ref()).await?);
        if spans.len() > MAX_SPANS {
            let hint = "take the facts with `/v1/runs/{run}/export`";
            return Err(Failure::bad_request(format!("the trace has more than {MAX_SPANS} spans")).hint(hint));
        }
        let room = u32::try_from(MAX_RUNS.saturating_sub(runs.len())).unwrap_or(0);
        if room > 0 {
            let below =
                RunFilter { tenant: who.tenant.clone(), parent: Some(run), limit: room, ..RunFilter::default() };
            let mut below: Vec<RunId> =
                app.runtime.journal().runs(&below).await?.into_iter().map(|row| row.id).collect();
            below.reverse();
            runs.extend(below);
        }
    }
    let request = app.telemetry.origin().spans(spans);
    let told = serde_json::to_value(&request);
    Ok(Body(told.map_err(|e| Failure::new(code::INTERNAL, format!("spans cannot be told as JSON: {e}")))?))
}

async fn of_run(app: &App, run: RunId, unfinished: bool, mask: Option<&Mask>) -> Answer<Vec<Span>> {
    let (mut tracer, mut out) = (Tracer::default(), Vec::new());
    loop {
        let page = app.runtime.engine().traced(run, tracer.next(), PAGE, mask.is_some()).await?;
        let full = page.len() == PAGE as usize;
        for found in &page {
            out.extend(tracer.record(&found.record, Texts { all: &found.texts, mask }));
        }
        if !full || out.len() > MAX_SPANS {
            break;
        }
    }
    if unfinished {
        out.extend(tracer.unfinished());
    }
    Ok(out)
}
