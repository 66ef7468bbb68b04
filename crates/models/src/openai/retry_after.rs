//! When the provider wants to be asked again: `retry-after-ms`, or `Retry-After` (RFC 9110 section 10.2.3).

use std::time::SystemTime;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use stead_core::time::Span;

/// Longest wait that is believed.
const MAX: Span = Span::from_secs(24 * 3_600);

/// The wait that the headers ask for, at most a day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms").and_then(|t| t.parse().ok()).and_then(|ms: f64| span(ms / 1_000.0));
    millis.or_else(|| seconds(text(RETRY_AFTER.as_str())?, text(DATE.as_str()))).map(|s| s.min(MAX))
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
    fn nonsense_is_ignored_and_absurd_waits_are_cut() {
        for bad in ["soon", "-1", "NaN", "inf", ""] {
            assert_eq!(of(&[("retry-after", bad)]), None, "{bad}");
        }
        assert_eq!(of(&[("retry-after", "99999999999999999999")]), Some(MAX));
        assert_eq!(of(&[]), None);
    }
}
