//! The spans of a run: as a tree to read, as they are, or handed to a collector.

use std::collections::BTreeMap;

use serde_json::Value;
use stead_client::Client;
use stead_core::id::RunId;

use crate::{
    cli::Global,
    error::Outcome,
    ui::{self, term::clean, text},
};

/// Levels of a tree that are indented further.
const DEEPEST: usize = 32;

/// A span, as much of it as a tree shows.
struct Shown<'a> {
    name: &'a str,
    start: u64,
    end: u64,
    says: Vec<String>,
}

pub(super) async fn tell(
    global: &Global,
    client: &Client,
    run: RunId,
    otlp: bool,
    endpoint: Option<&str>,
) -> Outcome<()> {
    if let Some(endpoint) = endpoint {
        let request = client.trace(run, false).await?;
        say_partial(global, &request);
        stead_client::tell_collector(endpoint, &request).await?;
        if !global.quiet {
            let count = spans(&request).count();
            ui::say(&format!("{count} {} told to {endpoint}", if count == 1 { "span" } else { "spans" }));
        }
        return Ok(());
    }
    let request = client.trace(run, !otlp).await?;
    say_partial(global, &request);
    if otlp {
        ui::json_line(&request)?;
    } else if global.json {
        ui::json(&request)?;
    } else {
        ui::text(&tree(&request))?;
    }
    Ok(())
}

/// The server leaves out runs of a large family, and says so in the resource.
fn say_partial(global: &Global, request: &Value) {
    let each = request["resourceSpans"].as_array().into_iter().flatten();
    let mut attributes = each.flat_map(|of| of["resource"]["attributes"].as_array().into_iter().flatten());
    if attributes.any(|attribute| attribute["key"] == "stead.trace.partial") && !global.quiet {
        ui::say("runs below this one are left out: ask for their traces by themselves");
    }
}

fn spans(request: &Value) -> impl Iterator<Item = &Value> {
    let each = request["resourceSpans"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let each = each.flat_map(|of| of["scopeSpans"].as_array().map(Vec::as_slice).unwrap_or_default());
    each.flat_map(|of| of["spans"].as_array().map(Vec::as_slice).unwrap_or_default())
}

fn tree(request: &Value) -> String {
    let mut known = BTreeMap::new();
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut trace = "";
    for span in spans(request) {
        let (id, parent) = (word(span, "spanId"), word(span, "parentSpanId"));
        trace = word(span, "traceId");
        known.insert(id, shown(span));
        below.entry(parent).or_default().push(id);
    }
    for ids in below.values_mut() {
        ids.sort_by_key(|id| known.get(id).map(|span| (span.start, u64::MAX - span.end)));
    }
    // What has no parent here is at the top: the run itself, below whatever asked for it.
    let tops: Vec<&str> =
        below.iter().filter(|(parent, _)| !known.contains_key(*parent)).flat_map(|(_, ids)| ids.clone()).collect();
    let mut out = format!("trace {trace}\n");
    let begin = tops.iter().filter_map(|id| known.get(id)).map(|span| span.start).min().unwrap_or(0);
    let mut left: Vec<(&str, usize)> = tops.into_iter().rev().map(|id| (id, 0)).collect();
    while let Some((id, depth)) = left.pop() {
        let Some(span) = known.remove(id) else { continue };
        let indent = "  ".repeat(depth.min(DEEPEST));
        let (at, took) = (micros(span.start, begin), micros(span.end, span.start));
        let mut line = format!("{indent}{}  +{} {}", clean(span.name), text::span(at), text::span(took));
        for says in &span.says {
            line.push_str(" · ");
            line.push_str(&clean(says));
        }
        out.push_str(&line);
        out.push('\n');
        left.extend(below.get(id).into_iter().flatten().rev().map(|id| (*id, depth + 1)));
    }
    out
}

fn micros(later: u64, earlier: u64) -> u64 {
    later.saturating_sub(earlier) / 1_000
}

fn word<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

fn shown(span: &Value) -> Shown<'_> {
    let nanos = |key| word(span, key).parse().unwrap_or(0);
    let attributes = span["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |key: &str| {
        let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
        let said = value["stringValue"].as_str().or(value["intValue"].as_str()).map(str::to_owned);
        said.or_else(|| value["doubleValue"].as_f64().map(|n| n.to_string()))
    };
    let mut says = Vec::new();
    says.extend(of("gen_ai.guardrail.result.value"));
    says.extend(of("stead.approval.outcome"));
    says.extend(of("stead.effect.outcome"));
    says.extend(of("stead.status"));
    if let (Some(input), Some(output)) = (of("gen_ai.usage.input_tokens"), of("gen_ai.usage.output_tokens")) {
        says.push(format!("{input} in, {output} out"));
    }
    says.extend(of("error.type"));
    if attributes.iter().any(|attribute| attribute["key"] == "stead.unfinished") {
        says.push("not ended".to_owned());
    }
    Shown { name: word(span, "name"), start: nanos("startTimeUnixNano"), end: nanos("endTimeUnixNano"), says }
}
