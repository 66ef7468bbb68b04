//! What the engine counts, read when `/metrics` is asked for. Labels have few values: providers, kinds of tools, codes and ways
//! to end.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use stead_engine::{Durations, Engine, ProviderStats, Stats};

/// How runs end, in the order in which the engine counts that.
const HOW: [&str; 3] = ["completed", "failed", "cancelled"];

/// Reads the engine's counters when they are asked for.
pub(super) struct OfEngine(pub(super) Engine);

impl std::fmt::Debug for OfEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfEngine")
    }
}

impl Collector for OfEngine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let gauges = [
            ("runs_loaded", "Runs in memory", stats.loaded),
            ("runs_backlog", "Runs waiting for memory", stats.backlog),
            ("model_calls_under_way", "Model calls under way", stats.model_calls),
            ("tool_calls_under_way", "Tool calls under way", stats.tool_calls),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("runs_started", "Runs started", stats.runs_started),
            ("records", "Records appended", stats.records),
            ("model_replies", "Model calls that replied", stats.model_replies),
            ("model_failures", "Model attempts that failed", stats.model_failures),
            ("answers_rejected", "Answers that did not satisfy their output's schema", stats.answers_rejected),
            ("effects_returned", "Effects that returned", stats.effects_returned),
            ("effects_unknown", "Effects whose outcome stayed unknown", stats.effects_unknown),
            ("tokens", "Model tokens used", stats.spent.tokens),
            ("budget_slices", "Slices of budgets that runs took", stats.slices),
            (
                "budget_slices_refused",
                "Slices that there was no room for any more, so that it was decided again",
                stats.slices_refused,
            ),
            ("approvals_asked", "Questions put to people", stats.asked[0]),
            ("approvals_reminded", "Reminders of questions that nobody had answered", stats.asked[1]),
            ("approvals_escalated", "Steps of escalation: others were let in to answer", stats.asked[2]),
            ("approvals_refused", "Questions that a run might not put to people any more", stats.asked[3]),
            ("budget_blocked", "Runs that a budget of their tenant or of an agent stopped or made ask", stats.blocked),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        // Absent once a call of unknown price is in the sum: unknown is never 0.
        if let Some(usd) = stats.spent.usd {
            let counter = ConstCounter::new(usd.0);
            let help = "Money used, in millionths of a US dollar; absent when it is not known";
            counter.encode(encoder.encode_descriptor("spent_micro_usd", help, None, counter.metric_type())?)?;
        }
        providers(&mut encoder, &stats.providers)?;
        spent_by(&mut encoder, &stats)?;
        let ended = HOW.into_iter().zip(stats.runs_ended);
        family(&mut encoder, "runs_ended", "Runs ended, by how", ended.map(|(how, n)| ([("status", how)], n)))?;
        let ended = stats.effects_ended.iter().map(|(how, n)| ([("outcome", *how)], *n));
        family(&mut encoder, "effects_ended", "Effects ended, by how", ended)?;
        let errors = stats.tool_errors.iter().map(|((kind, how), n)| ([("kind", *kind), ("outcome", *how)], *n));
        let help =
            "Attempts at calls of tools that came to something else than an answer, by the kind of tool and by what";
        family(&mut encoder, "tool_errors", help, errors)?;
        let effects = stats.effects_ended.iter().map(|(_, n)| n).sum();
        let steps =
            [("model", stats.model_replies), ("effect", effects)].into_iter().map(|(kind, n)| ([("kind", kind)], n));
        family(&mut encoder, "steps", "Steps that runs made: replies of models, and effects that ended", steps)?;
        let failures =
            stats.failures.iter().map(|((of, code), n)| ([("of", of.to_string()), ("code", code.to_string())], *n));
        family(&mut encoder, "failures", "Attempts at models and runs that failed, by code", failures)?;
        let attempts = stats.attempts.iter().map(|(provider, took)| (("provider", provider.as_str()), took));
        seconds(&mut encoder, "model_attempt", "Time of an attempt at a model, by provider", attempts)?;
        let calls = stats.calls.iter().map(|(kind, took)| (("kind", *kind), took));
        seconds(&mut encoder, "tool_call", "Time of an attempt at a tool's call, by the kind of tool", calls)?;
        let lasted = HOW.into_iter().zip(&stats.lasted).map(|(how, took)| (("status", how), took));
        seconds(&mut encoder, "run", "Time of a run from its start to its end, by how it ended", lasted)?;
        let info = ConstGauge::new(1_i64);
        let mut family = encoder.encode_descriptor("build", "The release", None, info.metric_type())?;
        info.encode(family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)
    }
}

/// What the engine counts of each provider.
fn providers(encoder: &mut DescriptorEncoder<'_>, stats: &[ProviderStats]) -> Result<(), std::fmt::Error> {
    type Of = fn(&ProviderStats) -> u64;
    let gauges: [(&str, &str, Of); 2] = [
        ("provider_calls_under_way", "Model calls under way, by provider", |p| p.under_way),
        ("provider_calls_waiting", "Model calls that wait in line for their provider", |p| p.waiting),
    ];
    for (name, help, of) in gauges {
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for p in stats {
            let gauge = ConstGauge::new(i64::try_from(of(p)).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("provider", p.provider.as_str())])?)?;
        }
    }
    let counters: [(&str, &str, Of); 5] = [
        ("provider_calls", "Model calls that passed their provider's limits", |p| p.passed),
        ("provider_calls_waited", "Of these, calls that had to wait first", |p| p.waited),
        ("provider_wait_micros", "Microseconds that they waited in line", |p| p.waited_micros),
        ("provider_calls_refused", "Model calls that the provider refused because it had had enough", |p| p.refused),
        ("provider_calls_deferred", "Model calls given back because the wait would have been long", |p| p.deferred),
    ];
    for (name, help, of) in counters {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for p in stats {
            ConstCounter::new(of(p)).encode(family.encode_family(&[("provider", p.provider.as_str())])?)?;
        }
    }
    Ok(())
}

/// Tokens and money by provider. Money is absent for a provider of which it is not known.
fn spent_by(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> Result<(), std::fmt::Error> {
    let by = |(provider, n)| ([("provider", provider)], n);
    let tokens = stats.spent_by.iter().map(|(provider, spent)| (provider.as_str(), spent.tokens));
    family(encoder, "provider_tokens", "Model tokens used, by provider", tokens.map(by))?;
    let usd = stats.spent_by.iter().filter_map(|(provider, spent)| Some((provider.as_str(), spent.usd?.0)));
    let help = "Money used, in millionths of a US dollar, by provider; absent when it is not known";
    family(encoder, "provider_spent_micro_usd", help, usd.map(by))
}

/// A family of counters.
fn family<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = (L, u64)>,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A family of histograms, in seconds.
fn seconds<'d>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = ((&'d str, &'d str), &'d Durations)>,
) -> Result<(), std::fmt::Error> {
    let in_seconds = |micros: u64| if micros == u64::MAX { f64::INFINITY } else { micros as f64 / 1e6 };
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (label, took) in samples {
        let buckets: Vec<(f64, u64)> = took.buckets.iter().map(|(bound, n)| (in_seconds(*bound), *n)).collect();
        let labels = [label];
        let mut histogram = family.encode_family(&labels)?;
        histogram.encode_histogram::<NoLabelSet>(in_seconds(took.micros), took.count(), &buckets, None)?;
    }
    Ok(())
}
