//! Durations and sizes as `stead.toml` writes them: the same forms as in `agent.yaml`.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A span of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A number of bytes: a whole number and maybe `k`, `M`, `G`, `Ki`, `Mi` or `Gi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl Time {
    /// Reads `30s`; `None` if it is no duration or longer than a century.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        const CENTURY: u64 = 100 * 366 * 86_400_000;
        number.checked_mul(ms).filter(|ms| *ms <= CENTURY).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl Size {
    /// Reads `1Mi`; `None` if it is no size.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "" => 1,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(factor).and_then(|n| usize::try_from(n).ok()).map(Self)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Reads text or, for sizes, a plain number.
struct Scalar<T>(fn(&str) -> Option<T>, &'static str);

impl<T> de::Visitor<'_> for Scalar<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.0)(&number.to_string()).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.0)(&number.to_string()).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Scalar(Self::parse, "a duration such as \"500ms\", \"30s\" or \"2m\""))
    }
}
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Scalar(Self::parse, "a size such as 65536, \"64Ki\" or \"1Mi\""))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["30s", "2m"] })
    }
}
impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]+(k|M|G|Ki|Mi|Gi)?$",
            "examples": ["1Mi", 65536] })
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        match ms % 1_000 {
            0 => s.collect_str(&format_args!("{}s", ms / 1_000)),
            _ => s.collect_str(&format_args!("{ms}ms")),
        }
    }
}
impl serde::Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_the_manifest_reads_them() {
        assert_eq!(Time::parse("90s"), Some(Time(Duration::from_secs(90))));
        assert_eq!(Size::parse("1Mi"), Some(Size(1 << 20)));
        assert_eq!(Size::parse("7"), Some(Size(7)));
        for bad in ["", "s", "-1s", "1.5s", "10", "99999999999999d"] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
        for bad in ["", "Mi", "1MiB", "99999999999999999999", "9999999999999Gi"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }
}
