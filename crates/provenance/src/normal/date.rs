//! Dates and times: ISO 8601 / RFC 3339 and common forms. `05/06/2024` may be two dates and is none; a date without a year is none.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A folded text as `2024-05-26`, `2024-05-26 10:00:00` (nobody says where) or `2024-05-26 08:00:00z`.
pub(super) fn of_text(folded: &str) -> Option<String> {
    if folded.len() > 40 || !folded.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(date) = date(folded) {
        return Some(date.to_string());
    }
    let at = folded.find('t').filter(|at| folded.as_bytes().get(at.wrapping_sub(1)).is_some_and(u8::is_ascii_digit));
    let (day, clock) = match at.filter(|_| folded.starts_with(|c: char| c.is_ascii_digit())) {
        Some(at) if date(&folded[..at]).is_some() => (&folded[..at], &folded[at + 1..]),
        _ => split_clock(folded)?,
    };
    let day = date(day)?;
    let (clock, offset) = split_offset(clock);
    let local = PrimitiveDateTime::new(day, time(clock)?);
    match offset {
        None => Some(format!("{} {}", local.date(), hms(local.time()))),
        Some(offset) => {
            let utc: OffsetDateTime = local.assume_offset(parse_offset(offset)?).checked_to_offset(UtcOffset::UTC)?;
            Some(format!("{} {}z", utc.date(), hms(utc.time())))
        }
    }
}

/// A folded text as a time of day: `15:00:00`.
pub(super) fn time_of_text(folded: &str) -> Option<String> {
    time(folded).map(hms)
}

fn hms(t: Time) -> String {
    format!("{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
}

/// `day clock`, where the clock is the last word, or the last two of `3 pm`.
fn split_clock(text: &str) -> Option<(&str, &str)> {
    let (head, last) = text.rsplit_once(' ')?;
    let (day, clock) = if matches!(last, "am" | "pm") {
        (head.rsplit_once(' ')?.0, &text[head.rfind(' ')? + 1..])
    } else {
        (head, last)
    };
    Some((day.strip_suffix(" at").unwrap_or(day), clock))
}

fn split_offset(clock: &str) -> (&str, Option<&str>) {
    match clock.find(['z', '+', '-']) {
        Some(at) => (&clock[..at], Some(&clock[at..])),
        None => (clock, None),
    }
}

fn parse_offset(text: &str) -> Option<UtcOffset> {
    if text == "z" {
        return Some(UtcOffset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    UtcOffset::from_hms(sign * number(hours, 2)? as i8, sign * number(minutes, 2)? as i8, 0).ok()
}

/// `9:30`, `09:30:00`, `09:30:00.000`, `3pm`, `3:30 pm`.
fn time(text: &str) -> Option<Time> {
    let half = text.strip_suffix("am").map(|t| (t, 0)).or_else(|| text.strip_suffix("pm").map(|t| (t, 12)));
    let (clock, half) = half.map_or((text, None), |(t, h)| (t.trim_end(), Some(h)));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2)? as u8;
    let minute = parts.next();
    let second = parts.next().map(|s| s.split_once('.').map_or((s, ""), |(s, f)| (s, f)));
    if parts.next().is_some() || (minute.is_none() && half.is_none()) {
        return None;
    }
    let two = |s: &str| (s.len() == 2).then(|| number(s, 2)).flatten().map(|n| n as u8);
    let minute = minute.map_or(Some(0), two)?;
    let second = match second {
        Some((s, fraction)) if fraction.len() <= 9 && fraction.bytes().all(|b| b == b'0') => two(s)?,
        Some(_) => return None,
        None => 0,
    };
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    Time::from_hms(hour, minute, second).ok()
}

fn date(text: &str) -> Option<Date> {
    for separator in ['-', '/', '.'] {
        let parts: Vec<&str> = text.split(separator).collect();
        let [a, b, c] = parts[..] else { continue };
        if a.len() == 4 && separator != '.' {
            return make(number(a, 4)?, number(b, 2)?, number(c, 2)?);
        }
        if c.len() == 4 && separator != '-' {
            let (a, b, year) = (number(a, 2)?, number(b, 2)?, number(c, 4)?);
            return match separator {
                '.' => make(year, b, a),
                _ if a > 12 || a == b => make(year, b, a),
                _ if b > 12 => make(year, a, b),
                _ => None,
            };
        }
    }
    let words: Vec<&str> = text.split([' ', ',']).filter(|w| !w.is_empty() && !matches!(*w, "of" | "the")).collect();
    let [a, b, year] = words[..] else { return None };
    let year = (year.len() == 4).then(|| number(year, 4)).flatten()?;
    let (day, month) = month(b).map(|m| (a, m)).or_else(|| month(a).map(|m| (b, m)))?;
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|s| day.strip_suffix(s)).unwrap_or(day);
    make(year, month, number(bare.strip_suffix('.').unwrap_or(bare), 2)?)
}

fn month(word: &str) -> Option<u32> {
    let word = word.strip_suffix('.').unwrap_or(word);
    let is = |m: &str| m == word || (word == "sept" && m == "september") || (word.len() == 3 && m.starts_with(word));
    MONTHS.iter().position(|m| is(m)).map(|i| i as u32 + 1)
}

fn make(year: u32, month: u32, day: u32) -> Option<Date> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
}

/// One to `most` digits.
fn number(text: &str, most: usize) -> Option<u32> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}
