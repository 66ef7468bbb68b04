//! `/v1/runs/{run}/trace`: the spans of a run and of the runs below it, as one request of OTLP in its JSON encoding. They follow from the
//! journal, so what a collector was told has the same ids.

use axum::{Json as Body, extract::State};
use prost::Message as _;
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
/// Bytes of them all, as OTLP's protobuf writes them.
const MAX_BYTES: usize = 32 << 20;
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
    let (mut runs, mut next, mut found, mut partial) = (vec![run], 0, Found::default(), false);
    while let Some(run) = runs.get(next).copied() {
        next += 1;
        of_run(&app, run, wanted.unfinished, mask.as_ref(), &mut found).await?;
        if partial {
            continue;
        }
        let room = MAX_RUNS.saturating_sub(runs.len());
        // One more than there is room for tells whether any are left out.
        let limit = u32::try_from(room + 1).unwrap_or(u32::MAX);
        let below = RunFilter { tenant: who.tenant.clone(), parent: Some(run), limit, ..RunFilter::default() };
        let mut below: Vec<RunId> = app.runtime.journal().runs(&below).await?.into_iter().map(|row| row.id).collect();
        partial = below.len() > room;
        below.truncate(room);
        below.reverse();
        runs.extend(below);
    }
    let origin = app.telemetry.origin();
    let request = if partial { origin.partial().spans(found.spans) } else { origin.spans(found.spans) };
    let told = serde_json::to_value(&request);
    Ok(Body(told.map_err(|e| Failure::new(code::INTERNAL, format!("spans cannot be told as JSON: {e}")))?))
}

/// Spans, as many as one answer may have.
#[derive(Default)]
struct Found {
    spans: Vec<Span>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, spans: impl IntoIterator<Item = Span>) -> Answer<()> {
        for span in spans {
            self.bytes = self.bytes.saturating_add(span.encoded_len());
            self.spans.push(span);
            let too_much = match (self.spans.len() > MAX_SPANS, self.bytes > MAX_BYTES) {
                (true, _) => format!("the trace has more than {MAX_SPANS} spans"),
                (_, true) => format!("the trace has more than {} MiB", MAX_BYTES >> 20),
                _ => continue,
            };
            return Err(Failure::bad_request(too_much).hint("take the facts with `/v1/runs/{run}/export`"));
        }
        Ok(())
    }
}

async fn of_run(app: &App, run: RunId, unfinished: bool, mask: Option<&Mask>, out: &mut Found) -> Answer<()> {
    let mut tracer = Tracer::default();
    loop {
        let page = app.runtime.engine().traced(run, tracer.next(), PAGE, mask.is_some()).await?;
        let full = page.len() == PAGE as usize;
        for found in &page {
            out.add(tracer.record(&found.record, Texts { all: &found.texts, mask }))?;
        }
        if !full {
            break;
        }
    }
    if unfinished {
        out.add(tracer.unfinished())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_bounded_in_spans_and_in_bytes() {
        let mut found = Found::default();
        assert!(found.add(vec![Span::default(); MAX_SPANS]).is_ok());
        assert!(found.add([Span::default()]).is_err());
        let large = Span { name: "x".repeat(1 << 20), ..Span::default() };
        let mut found = Found::default();
        assert!(found.add(vec![large.clone(); (MAX_BYTES >> 20) - 1]).is_ok());
        assert!(found.add([large]).is_err());
    }
}
