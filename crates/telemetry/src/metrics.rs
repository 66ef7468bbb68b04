//! The counters of a server as metrics of OpenTelemetry, under the names that `/metrics` gives them: made from that very text, so that both tell
//! the same.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric::Data,
        number_data_point::Value,
    },
};

use crate::value::text;

/// Names and values.
type Labels = Vec<(String, String)>;

/// What is known of a family when its samples come.
#[derive(Default)]
struct Family {
    name: String,
    help: String,
    unit: String,
    kind: String,
    numbers: Vec<(Vec<KeyValue>, f64)>,
    histograms: BTreeMap<String, Buckets>,
}

#[derive(Default)]
struct Buckets {
    labels: Vec<KeyValue>,
    /// Upper bounds and how many are at or below them.
    upto: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

/// Metrics of an OpenMetrics text; counters have counted since `start`, and all is as of `now`, both in nanoseconds since 1970.
/// What it does not understand it leaves out: the text is our own.
pub fn of_text(openmetrics: &str, start: u64, now: u64) -> Vec<Metric> {
    let mut families: Vec<Family> = Vec::new();
    for line in openmetrics.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (Some(what), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default();
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name: name.to_owned(), ..Family::default() });
            }
            let Some(family) = families.last_mut() else { continue };
            match what {
                "HELP" => rest.clone_into(&mut family.help),
                "TYPE" => rest.clone_into(&mut family.kind),
                "UNIT" => rest.clone_into(&mut family.unit),
                _ => {}
            }
        } else if let (Some(family), Some((name, labels, value))) = (families.last_mut(), sample(line)) {
            family.take(name, labels, value);
        }
    }
    families.into_iter().filter_map(|family| family.metric(start, now)).collect()
}

impl Family {
    fn take(&mut self, name: &str, labels: Labels, value: f64) {
        let Some(part) = name.strip_prefix(self.name.as_str()) else { return };
        let attributes = |labels: &[(String, String)]| labels.iter().map(|(k, v)| text(k, v)).collect::<Vec<_>>();
        if self.kind != "histogram" {
            if part.is_empty() || part == "_total" {
                self.numbers.push((attributes(&labels), value));
            }
            return;
        }
        let (bound, labels): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(k, _)| k == "le");
        let key = format!("{labels:?}");
        let buckets = self.histograms.entry(key).or_default();
        if buckets.labels.is_empty() {
            buckets.labels = attributes(&labels);
        }
        match part {
            "_bucket" => {
                let bound = bound.first().and_then(|(_, bound)| bound.parse::<f64>().ok());
                buckets.upto.extend(bound.map(|bound| (bound, value as u64)));
            }
            "_sum" => buckets.sum = value,
            "_count" => buckets.count = value as u64,
            _ => {}
        }
    }

    fn metric(self, start: u64, now: u64) -> Option<Metric> {
        let Self { name, help, unit, kind, numbers, histograms } = self;
        let cumulative = AggregationTemporality::Cumulative.into();
        let points = |since: u64| {
            let point = |(attributes, value): (Vec<KeyValue>, f64)| NumberDataPoint {
                attributes,
                start_time_unix_nano: since,
                time_unix_nano: now,
                value: Some(number(value)),
                ..NumberDataPoint::default()
            };
            numbers.into_iter().map(point).collect::<Vec<_>>()
        };
        let (name, data) = match kind.as_str() {
            "gauge" => (name, Data::Gauge(Gauge { data_points: points(0) })),
            "counter" => {
                let sum = Sum { data_points: points(start), aggregation_temporality: cumulative, is_monotonic: true };
                (format!("{name}_total"), Data::Sum(sum))
            }
            "histogram" => {
                let data_points = histograms.into_values().map(|b| b.point(start, now)).collect();
                (name, Data::Histogram(Histogram { data_points, aggregation_temporality: cumulative }))
            }
            _ => return None,
        };
        let unit = if unit == "seconds" { "s".to_owned() } else { unit };
        let description = help.trim_end_matches('.').to_owned();
        Some(Metric { name, description, unit, data: Some(data), ..Metric::default() })
    }
}

impl Buckets {
    /// OpenMetrics counts up to each bound, OTLP between them; the last bucket has no upper bound.
    fn point(self, start: u64, now: u64) -> HistogramDataPoint {
        let (mut bounds, mut counts, mut before) = (Vec::new(), Vec::new(), 0);
        for (bound, upto) in self.upto {
            if bound.is_finite() {
                bounds.push(bound);
                counts.push(upto.saturating_sub(before));
                before = upto;
            }
        }
        counts.push(self.count.saturating_sub(before));
        HistogramDataPoint {
            attributes: self.labels,
            start_time_unix_nano: start,
            time_unix_nano: now,
            count: self.count,
            sum: self.sum.is_finite().then_some(self.sum),
            bucket_counts: counts,
            explicit_bounds: bounds,
            ..HistogramDataPoint::default()
        }
    }
}

fn number(value: f64) -> Value {
    let whole = value.fract() == 0.0 && value.abs() < 9e15;
    if whole { Value::AsInt(value as i64) } else { Value::AsDouble(value) }
}

/// A line `name{label="value",…} number`.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((key.to_owned(), value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// What stands before the next quote, and what behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = "# HELP stead_runs_started Runs started.\n# TYPE stead_runs_started counter\nstead_runs_started_total 3\n\
        # HELP stead_http_requests Requests.\n# TYPE stead_http_requests counter\n\
        stead_http_requests_total{route=\"/v1/\\\"x\\\\\",status=\"200\"} 7\n\
        # HELP stead_runs_loaded Runs in memory.\n# TYPE stead_runs_loaded gauge\nstead_runs_loaded 2\n\
        # HELP stead_run_seconds Time.\n# TYPE stead_run_seconds histogram\n# UNIT stead_run_seconds seconds\n\
        stead_run_seconds_sum{status=\"completed\"} 4.5\nstead_run_seconds_count{status=\"completed\"} 5\n\
        stead_run_seconds_bucket{le=\"0.1\",status=\"completed\"} 2\nstead_run_seconds_bucket{le=\"1.0\",status=\"completed\"} 4\n\
        stead_run_seconds_bucket{le=\"+Inf\",status=\"completed\"} 5\n# EOF\n";

    #[test]
    fn a_text_becomes_the_same_metrics_under_the_same_names() {
        let metrics = of_text(TEXT, 1, 2);
        let names: Vec<_> = metrics.iter().map(|m| m.name.as_str()).collect();
        let all = ["stead_runs_started_total", "stead_http_requests_total", "stead_runs_loaded", "stead_run_seconds"];
        assert_eq!(names, all);
        let Some(Data::Sum(sum)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].attributes[0], text("route", "/v1/\"x\\"));
        assert_eq!(sum.data_points[0].value, Some(Value::AsInt(7)));
        let Some(Data::Histogram(histogram)) = &metrics[3].data else { panic!("{:?}", metrics[3]) };
        let point = histogram.data_points.first().unwrap();
        assert_eq!((point.count, point.sum), (5, Some(4.5)));
        assert_eq!((&point.bucket_counts, &point.explicit_bounds), (&vec![2, 2, 1], &vec![0.1, 1.0]));
        assert_eq!(metrics[3].unit, "s");
    }
}
