//! Dates, moments and times of day, as far as plans reckon with them. A moment that says no place is that of whoever speaks, and is
//! never compared with one that does.

use std::cmp::Ordering;

use stead_core::time::Timestamp;
use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::normal;

/// The units of `later`, as they are mostly written; each may stand without its `s`.
pub(super) const UNITS: &[&str] = &["minutes", "hours", "days", "weeks", "months", "years"];

/// Whether a word is one of [`UNITS`].
pub(super) fn is_unit(word: &str) -> bool {
    UNITS.iter().any(|unit| *unit == word || unit.strip_suffix('s') == Some(word))
}

/// A text that is a date or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Date(Date),
    /// Of a place that is not told.
    Local(PrimitiveDateTime),
    /// In UTC.
    Instant(PrimitiveDateTime),
    Clock(Time),
}

impl Moment {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > 40 || !text.bytes().any(|b| b.is_ascii_digit()) {
            return None;
        }
        let keys = normal::of_text(text);
        let key = keys.iter().find_map(normal::Key::moment)?;
        let (day, clock) = match key.split_once(' ') {
            Some((day, clock)) => (day, Some(clock)),
            None if key.contains(':') => return time_of(key).map(Self::Clock),
            None => (key, None),
        };
        let day = date_of(day)?;
        let Some(clock) = clock else { return Some(Self::Date(day)) };
        let of = |clock: &str| time_of(clock).map(|time| PrimitiveDateTime::new(day, time));
        match clock.strip_suffix('z') {
            Some(clock) => of(clock).map(Self::Instant),
            None => of(clock).map(Self::Local),
        }
    }

    /// The moment of a timestamp, in UTC and to the second.
    pub(super) fn at(time: Timestamp) -> Option<Self> {
        let it = OffsetDateTime::from_unix_timestamp(time.0.div_euclid(1_000_000)).ok()?;
        Some(Self::Instant(PrimitiveDateTime::new(it.date(), it.time())))
    }

    /// Its date.
    pub(super) const fn day(self) -> Option<Date> {
        match self {
            Self::Date(day) => Some(day),
            Self::Local(at) | Self::Instant(at) => Some(at.date()),
            Self::Clock(_) => None,
        }
    }

    /// Its time of day.
    pub(super) const fn clock(self) -> Option<Time> {
        match self {
            Self::Date(_) => None,
            Self::Local(at) | Self::Instant(at) => Some(at.time()),
            Self::Clock(time) => Some(time),
        }
    }

    /// Which of two is later; nothing where that cannot be told. A date is its beginning.
    pub(super) fn order(self, other: Self) -> Option<Ordering> {
        Some(self.since(other)?.cmp(&Duration::ZERO))
    }

    /// How long ago `earlier` was.
    pub(super) fn since(self, earlier: Self) -> Option<Duration> {
        match (self, earlier) {
            (Self::Clock(a), Self::Clock(b)) => Some(a - b),
            (Self::Instant(a), Self::Instant(b)) => Some(a - b),
            (Self::Date(_) | Self::Local(_), Self::Date(_) | Self::Local(_)) => {
                Some(self.begins()? - earlier.begins()?)
            }
            _ => None,
        }
    }

    fn begins(self) -> Option<PrimitiveDateTime> {
        match self {
            Self::Date(day) => Some(day.midnight()),
            Self::Local(at) => Some(at),
            Self::Instant(_) | Self::Clock(_) => None,
        }
    }

    /// So many units later; nothing where there is no such moment. The last days of a month become the last of a shorter one.
    pub(super) fn later(self, n: i64, unit: &str) -> Option<Self> {
        let span = match unit.strip_suffix('s').unwrap_or(unit) {
            "minute" => Duration::minutes(n),
            "hour" => Duration::hours(n),
            "day" => Duration::days(n),
            "week" => Duration::weeks(n),
            "month" => return self.months_later(n),
            "year" => return self.months_later(n.checked_mul(12)?),
            _ => return None,
        };
        match self {
            // A date has no hours.
            Self::Date(_) if span.whole_seconds() % 86_400 != 0 => None,
            Self::Date(day) => day.checked_add(span).map(Self::Date),
            Self::Local(at) => at.checked_add(span).map(Self::Local),
            Self::Instant(at) => at.checked_add(span).map(Self::Instant),
            Self::Clock(time) => {
                // Of any one day, which it must not leave.
                let day = Date::from_ordinal_date(2000, 1).ok()?;
                let at = PrimitiveDateTime::new(day, time).checked_add(span)?;
                (at.date() == day).then(|| Self::Clock(at.time()))
            }
        }
    }

    fn months_later(self, n: i64) -> Option<Self> {
        let day = self.day()?;
        let months = i64::from(day.year()) * 12 + i64::from(u8::from(day.month())) - 1 + n;
        let (year, month) = (i32::try_from(months.div_euclid(12)).ok()?, months.rem_euclid(12) + 1);
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let day = Date::from_calendar_date(year, month, day.day().min(month.length(year))).ok()?;
        Some(match self {
            Self::Local(at) => Self::Local(at.replace_date(day)),
            Self::Instant(at) => Self::Instant(at.replace_date(day)),
            _ => Self::Date(day),
        })
    }

    /// As a text that reads as the same moment.
    pub(super) fn text(self) -> String {
        match self {
            Self::Date(day) => day.to_string(),
            Self::Clock(time) => clock(time),
            Self::Local(at) => format!("{} {}", at.date(), clock(at.time())),
            Self::Instant(at) => {
                let (hour, minute, second) = at.as_hms();
                format!("{}T{hour:02}:{minute:02}:{second:02}Z", at.date())
            }
        }
    }
}

/// `2024-05-26`, as a key has it.
fn date_of(key: &str) -> Option<Date> {
    let mut parts = key.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    Date::from_calendar_date(year.parse().ok()?, Month::try_from(month.parse::<u8>().ok()?).ok()?, day.parse().ok()?)
        .ok()
}

/// `10:00:00`, as a key has it.
fn time_of(key: &str) -> Option<Time> {
    let mut parts = key.split(':').map(|part| part.parse::<u8>().ok());
    Time::from_hms(parts.next()??, parts.next()??, parts.next()??).ok()
}

/// `10:00`, and seconds if there are any.
pub(super) fn clock(time: Time) -> String {
    let (hour, minute, second) = time.as_hms();
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(text: &str, n: i64, unit: &str) -> Option<String> {
        Moment::read(text)?.later(n, unit).map(Moment::text)
    }

    #[test]
    fn moments_are_reckoned_with_in_the_form_that_they_have() {
        for (text, n, unit, then) in [
            ("2024-01-31", 1, "months", Some("2024-02-29")),
            ("2024-02-29", 1, "year", Some("2025-02-28")),
            ("2024-05-15", -1, "days", Some("2024-05-14")),
            ("2024-05-15T23:30", 45, "minutes", Some("2024-05-16 00:15")),
            ("2024-05-15 10:00:30", 2, "weeks", Some("2024-05-29 10:00:30")),
            ("2024-05-15T10:00:00+02:00", 1, "hour", Some("2024-05-15T09:00:00Z")),
            ("10:00", 90, "minutes", Some("11:30")),
            ("23:00", 90, "minutes", None),
            ("2024-05-15", 1, "hour", None),
            ("10:00", 1, "month", None),
            ("2024-05-15", 1, "fortnight", None),
            ("9999-12-31", 1, "day", None),
            ("soon", 1, "day", None),
        ] {
            assert_eq!(later(text, n, unit).as_deref(), then, "{text} {n} {unit}");
        }
    }

    #[test]
    fn every_unit_that_is_one_can_be_reckoned_with() {
        for unit in UNITS {
            for word in [*unit, unit.trim_end_matches('s')] {
                assert!(is_unit(word) && later("2024-05-15 10:00", 1, word).is_some(), "{word}");
            }
        }
        for word in ["", "s", "dayz", "dayss", "Days", "fortnight"] {
            assert!(!is_unit(word) && later("2024-05-15 10:00", 1, word).is_none(), "{word}");
        }
    }

    #[test]
    fn only_what_can_be_compared_is() {
        let order = |a: &str, b: &str| Moment::read(a)?.order(Moment::read(b)?);
        assert_eq!(order("2024-05-15T09:00", "2024-05-15 10:00"), Some(Ordering::Less));
        assert_eq!(order("May 16th, 2024", "2024-05-15 10:00"), Some(Ordering::Greater));
        assert_eq!(order("9:30", "10:00"), Some(Ordering::Less));
        assert_eq!(order("2024-05-15T10:00Z", "2024-05-15 10:00"), None);
        assert_eq!(order("2024-05-15", "10:00"), None);
    }
}
