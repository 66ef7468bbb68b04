//! Arguments as the model wrote them, taken apart without loss: numbers stay the text they are, and a key that stands
//! twice is refused, since a tool may read the other one.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Most members of an object that is looked into; one with more denies.
pub const MAX_MEMBERS: usize = 1_000;

/// Members that are compared with each other.
const FEW: usize = 16;

/// A member's name: borrowed when it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The members of an object, each name once; the error says what is wrong.
    pub(crate) fn of(text: &'a str) -> Result<Self, String> {
        let members: Self = serde_json::from_str(text).map_err(|e| format!("is not a JSON object: {e}"))?;
        if members.0.len() > MAX_MEMBERS {
            return Err(format!("has more than {MAX_MEMBERS} members"));
        }
        match members.twice() {
            Some(name) => Err(format!("has `{name}` twice")),
            None => Ok(members),
        }
    }

    /// A name that stands twice.
    fn twice(&self) -> Option<&str> {
        let names = || self.0.iter().map(|(name, _)| name.as_ref());
        // Of a few names, each is compared with those before it sooner than it is sorted.
        if self.0.len() <= FEW {
            return names()
                .enumerate()
                .find(|(n, name)| names().take(*n).any(|other| other == *name))
                .map(|(_, name)| name);
        }
        let mut seen = BTreeSet::new();
        names().find(|name| !seen.insert(*name))
    }

    /// The text of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, raw)| raw.get())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The elements of an array.
pub(crate) fn elements(text: &str) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(text).map_err(|e| format!("is not a JSON array: {e}"))
}

/// Places of a Cedar `decimal`.
pub(crate) const PLACES: i32 = 4;

/// The value of a JSON number times ten to the power of `places`, exactly; `None` when it has more places than that or
/// leaves 64 bits.
pub(crate) fn scaled(text: &str, places: i32) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if value == 0 {
        return Some(0);
    }
    let mut power = exponent.checked_add(places)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    while power < 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        power += 1;
    }
    while power > 0 {
        value = value.checked_mul(10)?;
        power -= 1;
    }
    i64::try_from(if negative { -value } else { value }).ok()
}

/// A scaled number as Cedar writes a `decimal`.
pub(crate) fn decimal_text(ten_thousandths: i64) -> String {
    let sign = if ten_thousandths < 0 { "-" } else { "" };
    let value = ten_thousandths.unsigned_abs();
    format!("{sign}{}.{:04}", value / 10_000, value % 10_000)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_not_at_all() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("1", Some(10_000)),
            ("1.2300", Some(12_300)),
            ("-0.0001", Some(-1)),
            ("1e3", Some(10_000_000)),
            ("12345e-3", Some(123_450)),
            ("1.00001", None),
            ("1e400", None),
            ("1e-400", None),
            ("0e999999999", Some(0)),
            ("922337203685477.5807", Some(i64::MAX)),
            ("922337203685477.5808", None),
            ("-922337203685477.5808", Some(i64::MIN)),
            ("1000.00000000000000001", None),
        ] {
            assert_eq!(scaled(text, PLACES), value, "{text}");
        }
        assert_eq!(scaled("9223372036854775807", 0), Some(i64::MAX));
        assert_eq!(scaled("9223372036854775808", 0), None);
        assert_eq!(scaled("1.0", 0), Some(1));
        assert_eq!(scaled("1.5", 0), None);
    }

    #[test]
    fn a_decimal_is_written_as_cedar_reads_it() {
        assert_eq!(decimal_text(-1), "-0.0001");
        assert_eq!(decimal_text(i64::MIN), "-922337203685477.5808");
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_even_escaped() {
        assert!(Members::of(r#"{"a":1,"\u0061":2}"#).is_err());
        let many = |last: &str| {
            let members: String = (0..2 * FEW).map(|n| format!("\"m{n}\":{n},")).collect();
            Members::of(&format!("{{{members}\"{last}\":0}}")).is_ok()
        };
        assert_eq!([many("m3"), many("other")], [false, true]);
        let members = Members::of(r#"{"a":1,"b":[1e400]}"#).unwrap();
        assert_eq!(members.get("b"), Some("[1e400]"));
    }
}
