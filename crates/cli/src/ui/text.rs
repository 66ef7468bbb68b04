//! Numbers, money and times as people read them.

use stead_core::{
    budget::{MicroUsd, Spend},
    id::VersionId,
    time::Timestamp,
};

/// A span: `3 ms`, `1.2 s`, `4 min`, `3 h`, `2 d`.
pub(crate) fn span(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        60_000_000..3_600_000_000 => format!("{} min", micros / 60_000_000),
        3_600_000_000..86_400_000_000 => format!("{} h", micros / 3_600_000_000),
        _ => format!("{} d", micros / 86_400_000_000),
    }
}

/// How long ago something was, for lists: `12s`, `3m`, `5h`, `2d`.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(since).0 / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Money: `$0.0123`, `$0`.
pub(crate) fn usd(MicroUsd(micros): MicroUsd) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    if part == 0 {
        return format!("${whole}");
    }
    let part = format!("{part:06}");
    let part = part.trim_end_matches('0');
    // Cents have two digits.
    format!("${whole}.{part:0<2}")
}

/// Tokens and money. What is not known is said to be unknown, never 0.
pub(crate) fn spend(spend: Spend) -> String {
    let money = spend.usd.map_or_else(|| "cost unknown".to_owned(), usd);
    format!("{} · {money}", counted(spend.tokens, "token"))
}

/// `1 turn`, `2 turns`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Bytes as people say them: `512 B`, `4.0 KiB`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let Some((unit, name)) =
        [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")].into_iter().find(|(u, _)| bytes >= *u)
    else {
        return format!("{bytes} B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `12,345`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The first twelve digits of a version.
pub(crate) fn version(version: &VersionId) -> String {
    version.to_string().trim_start_matches("sha256:").chars().take(12).collect()
}

/// An instant as RFC 3339 in UTC, to the millisecond.
pub(crate) fn instant(Timestamp(micros): Timestamp) -> String {
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (rest / 1_000_000, rest / 1_000 % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Eras of 400 years have 146,097
/// days; years begin in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// This moment.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([span(7), span(2_000), span(1_250_000), span(61_000_000)], ["7 µs", "2 ms", "1.2 s", "1 min"]);
        assert_eq!([usd(MicroUsd(0)), usd(MicroUsd(12_300)), usd(MicroUsd(1_500_000))], ["$0", "$0.0123", "$1.50"]);
        assert_eq!(spend(Spend { tokens: 1_234, usd: None }), "1,234 tokens · cost unknown");
        assert_eq!(counted(1, "turn"), "1 turn");
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        assert_eq!(instant(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(Timestamp(951_782_400_000_000)), "2000-02-29T00:00:00.000Z");
        assert_eq!(instant(Timestamp(4_107_542_399_999_000)), "2100-02-28T23:59:59.999Z");
        assert_eq!(instant(Timestamp(-1)), "1969-12-31T23:59:59.999Z");
    }
}
