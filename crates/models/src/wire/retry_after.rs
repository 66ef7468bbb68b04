//! When the provider wants to be asked again: `retry-after-ms`, or `Retry-After` (RFC 9110 section 10.2.3), or when the
//! spent part of a rate limit is filled up again (`x-ratelimit-*`, as OpenAI and Groq tell it), or Google's `RetryInfo`.

use std::time::SystemTime;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;
use stead_core::time::Span;

/// Longest wait that is believed.
pub(crate) const MAX: Span = Span::from_secs(24 * 3_600);

/// The wait that the headers ask for, at most a day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms").and_then(|t| t.parse().ok()).and_then(|ms: f64| span(ms / 1_000.0));
    millis
        .or_else(|| seconds(text(RETRY_AFTER.as_str())?, text(DATE.as_str())))
        .or_else(|| {
            ["requests", "tokens"]
                .into_iter()
                .filter(|what| text(&format!("x-ratelimit-remaining-{what}")) == Some("0"))
                .filter_map(|what| duration(text(&format!("x-ratelimit-reset-{what}"))?))
                .max()
        })
        .map(|s| s.min(MAX))
}

/// The wait that the body of Google's error asks for, at most a day (`google.rpc.RetryInfo`).
pub(super) fn retry_info(error: &Value) -> Option<Span> {
    let details = error.get("details")?.as_array()?;
    let delay = details
        .iter()
        .filter(|d| d.get("@type").and_then(Value::as_str).is_some_and(|t| t.ends_with("/google.rpc.RetryInfo")))
        .find_map(|d| d.get("retryDelay")?.as_str())?;
    duration(delay).map(|s| s.min(MAX))
}

/// A duration such as `1s`, `6m0s`, `1h2m`, `20ms` or `37.5s`.
fn duration(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total = Span(0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = Span(total.0.saturating_add(span(value.parse::<f64>().ok()? * scale)?.0));
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

fn seconds(value: &str, server_date: Option<&str>) -> Option<Span> {
    if let Ok(seconds) = value.parse::<f64>() {
        return span(seconds);
    }
    let at = httpdate::parse_http_date(value).ok()?;
    // The server's own clock where it tells it: ours may differ.
    let now = server_date.and_then(|d| httpdate::parse_http_date(d).ok()).unwrap_or_else(SystemTime::now);
    let wait = at.duration_since(now).unwrap_or_default();
    Some(Span(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
}

fn span(seconds: f64) -> Option<Span> {
    // The cast saturates, so that an absurd number becomes the longest wait.
    (seconds.is_finite() && seconds >= 0.0).then_some(Span((seconds * 1e6) as u64))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Option<Span> {
        retry_after(&headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect())
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        assert_eq!(of(&[("retry-after", "7")]), Some(Span::from_secs(7)));
        assert_eq!(of(&[("retry-after", "1.5")]), Some(Span::from_millis(1_500)));
        assert_eq!(of(&[("retry-after-ms", "250"), ("retry-after", "7")]), Some(Span::from_millis(250)));
        let date = [("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT"), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")];
        assert_eq!(of(&date), Some(Span::from_secs(30)));
        assert_eq!(of(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(Span(0)));
    }

    #[test]
    fn a_spent_rate_limit_says_when_it_is_filled_again() {
        let spent = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0.5s"),
            ("x-ratelimit-remaining-tokens", "12"),
            ("x-ratelimit-reset-tokens", "6h"),
        ];
        assert_eq!(of(&spent), Some(Span::from_millis(60_500)));
        assert_eq!(of(&[&spent[..], &[("retry-after", "7")]].concat()), Some(Span::from_secs(7)));
        assert_eq!(of(&spent[1..]), None);
        for (text, millis) in [("20ms", 20), ("1h2m3s", 3_723_000), ("37.5s", 37_500), ("0s", 0)] {
            assert_eq!(duration(text), Some(Span::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "1x", "1..2s", "-1s", "1 s", "ü"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_hint_of_a_google_error_is_read() {
        let error = serde_json::json!({ "code": 429, "details": [
            { "@type": "type.googleapis.com/google.rpc.Help", "retryDelay": "1s" },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s" },
        ] });
        assert_eq!(retry_info(&error), Some(Span::from_millis(37_500)));
        assert_eq!(retry_info(&serde_json::json!({ "details": "none" })), None);
    }

    #[test]
    fn nonsense_is_ignored_and_absurd_waits_are_cut() {
        for bad in ["soon", "-1", "NaN", "inf", ""] {
            assert_eq!(of(&[("retry-after", bad)]), None, "{bad}");
        }
        assert_eq!(of(&[("retry-after", "99999999999999999999")]), Some(MAX));
        assert_eq!(of(&[]), None);
    }
}
