//! How often a budget begins anew, and where a window of it begins. Windows are of the calendar in UTC.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Microseconds of an hour and of a day.
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// How often a budget begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Per {
    /// With each hour of the clock.
    #[n(0)]
    Hour,
    /// At midnight.
    #[n(1)]
    Day,
    /// On the first of each month.
    #[n(2)]
    Month,
    /// Never.
    #[default]
    #[n(3)]
    Ever,
}

impl Per {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Month, Self::Ever];

    /// The word for it, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Ever => "ever",
        }
    }

    /// The beginning of the window that an instant is in. All of time is one window for [`Per::Ever`], which begins in 1970.
    pub fn start(self, at: Timestamp) -> Timestamp {
        Timestamp(match self {
            Self::Hour => at.0.div_euclid(HOUR) * HOUR,
            Self::Day => at.0.div_euclid(DAY) * DAY,
            Self::Month => {
                let days = at.0.div_euclid(DAY);
                (days - i64::from(day_of_month(days)) + 1) * DAY
            }
            Self::Ever => 0,
        })
    }

    /// When the window that an instant is in ends; `None` when it never does.
    pub fn end(self, at: Timestamp) -> Option<Timestamp> {
        let start = self.start(at).0;
        match self {
            Self::Hour => Some(Timestamp(start + HOUR)),
            Self::Day => Some(Timestamp(start + DAY)),
            // No month has more than 31 days, and none fewer than 28.
            Self::Month => Some(Self::Month.start(Timestamp(start + 31 * DAY)).max(Timestamp(start + 28 * DAY))),
            Self::Ever => None,
        }
    }
}

/// The day of the month, from 1, of a day counted from 1970: Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`.
fn day_of_month(days: i64) -> u8 {
    let z = days + 719_468;
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    u8::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1)
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Per {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == word)
            .ok_or_else(|| format!("`{word}` is no window: write hour, day, month or ever"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn windows_begin_with_the_hour_the_day_and_the_month_of_the_calendar() {
        // 2024-02-29T13:45:07Z, a leap day.
        let leap = at(1_709_214_307);
        assert_eq!(Per::Hour.start(leap), at(1_709_211_600));
        assert_eq!(Per::Day.start(leap), at(1_709_164_800));
        assert_eq!(Per::Month.start(leap), at(1_706_745_600), "2024-02-01");
        assert_eq!(Per::Month.end(leap), Some(at(1_709_251_200)), "2024-03-01");
        assert_eq!((Per::Ever.start(leap), Per::Ever.end(leap)), (Timestamp(0), None));
        // Before 1970, and the last microsecond of a month: 1969-12-31T23:59:59.999999Z.
        assert_eq!(Per::Month.start(Timestamp(-1)), at(-2_678_400), "1969-12-01");
        assert_eq!(Per::Month.end(Timestamp(-1)), Some(Timestamp(0)));
    }

    #[test]
    fn every_instant_is_in_one_window_and_windows_meet() {
        // Each day of four centuries, which is the whole cycle of the calendar.
        for day in 0..146_097 {
            let now = Timestamp(day * DAY + 12_345);
            for per in [Per::Hour, Per::Day, Per::Month] {
                let (start, end) = (per.start(now), per.end(now).unwrap());
                assert!(start <= now && now < end, "{per} {day}");
                assert_eq!(per.start(Timestamp(end.0 - 1)), start, "{per} {day}");
                assert_eq!(per.start(end), end, "{per} {day}");
            }
        }
    }

    #[test]
    fn a_window_is_read_from_its_word() {
        for per in Per::ALL {
            assert_eq!(per.to_string().parse(), Ok(per));
        }
        assert!("week".parse::<Per>().is_err());
    }
}
