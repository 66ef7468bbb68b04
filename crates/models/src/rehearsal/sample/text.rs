//! Strings: by format, by pattern, by length.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value};

/// Longest string made.
const MAX_LENGTH: usize = 4_000;
/// Largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 18;

/// A string that satisfies the keywords; `salt` asks for another one.
pub(super) fn string(flat: &Map<String, Value>, salt: usize) -> Option<String> {
    let size = |key: &str| flat.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let least = size("minLength").unwrap_or(0);
    let most = size("maxLength").unwrap_or(MAX_LENGTH).min(MAX_LENGTH);
    if least > most {
        return None;
    }
    if let Some(pattern) = flat.get("pattern").and_then(Value::as_str) {
        let pattern = Pattern::new(pattern)?;
        // More repetitions make longer strings; the first that fits is the shortest.
        return (salt..salt + 32)
            .chain((32..=least).step_by(8))
            .filter_map(|extra| pattern.example(extra))
            .find(|s| (least..=most).contains(&s.chars().count()));
    }
    if let Some(text) = flat.get("format").and_then(Value::as_str).and_then(|f| formatted(f, salt)) {
        return Some(text);
    }
    let mut text = if salt == 0 { "example".to_owned() } else { format!("{salt} example") };
    while text.chars().count() < least {
        text.push_str(" example");
    }
    let length = text.chars().count().min(most).max(least);
    Some(text.chars().take(length).collect())
}

/// A string of that format (JSON Schema Validation 2020-12, section 7.3), or `None` for one not known here.
fn formatted(format: &str, salt: usize) -> Option<String> {
    let n = salt % 28 + 1;
    Some(match format {
        "date-time" => format!("2025-01-{n:02}T12:00:00Z"),
        "date" => format!("2025-01-{n:02}"),
        "time" => format!("12:{:02}:00Z", salt % 60),
        "duration" => format!("P{n}D"),
        "email" | "idn-email" => format!("example{n}@example.com"),
        "hostname" | "idn-hostname" => format!("host{n}.example.com"),
        "ipv4" => format!("192.0.2.{n}"),
        "ipv6" => format!("2001:db8::{n:x}"),
        "uri" | "iri" | "url" => format!("https://example.com/{n}"),
        "uri-reference" | "iri-reference" => format!("/{n}"),
        "uri-template" => format!("https://example.com/{{id}}/{n}"),
        "uuid" => format!("00000000-0000-4000-8000-{n:012x}"),
        "json-pointer" => format!("/{n}"),
        "relative-json-pointer" => format!("{n}/a"),
        "regex" => format!("^a{{{n}}}$"),
        _ => return None,
    })
}

/// A compiled pattern; `None` when it is too large or not of this dialect (ECMA-262 has look-around, this has not).
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN).nest_limit(50).build().ok()
}

/// A pattern that can be written as well as read.
pub(super) struct Pattern {
    reads: Regex,
    writes: Hir,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let reads = compile(pattern)?;
        let writes = regex_syntax::ParserBuilder::new().nest_limit(50).build().parse(pattern).ok()?;
        Some(Self { reads, writes })
    }

    /// A string that the pattern matches, with up to `extra` repetitions more than needed.
    pub(super) fn example(&self, extra: usize) -> Option<String> {
        let mut out = String::new();
        write(&self.writes, extra, &mut out)?;
        self.reads.is_match(&out).then_some(out)
    }
}

fn write(hir: &Hir, extra: usize, out: &mut String) -> Option<()> {
    if out.len() > MAX_LENGTH {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(()),
        HirKind::Literal(l) => {
            out.push_str(std::str::from_utf8(&l.0).ok()?);
            Some(())
        }
        HirKind::Class(class) => {
            out.push(pick(class)?);
            Some(())
        }
        HirKind::Capture(c) => write(&c.sub, extra, out),
        HirKind::Concat(all) => all.iter().try_for_each(|h| write(h, extra, out)),
        HirKind::Alternation(some) => write(some.get(extra % some.len().max(1))?, extra, out),
        HirKind::Repetition(r) => {
            let least = r.min as usize;
            let times = (least + extra).min(r.max.map_or(usize::MAX, |m| m as usize));
            if times > MAX_LENGTH {
                return None;
            }
            (0..times).try_for_each(|_| write(&r.sub, extra, out))
        }
    }
}

/// A readable member of a class: a small letter, a digit, a capital, anything printable.
fn pick(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(c) => c.ranges().iter().map(|r| (r.start(), r.end())).collect(),
        Class::Bytes(c) => c.ranges().iter().map(|r| (char::from(r.start()), char::from(r.end()))).collect(),
    };
    let overlap = |low: char, high: char| ranges.iter().map(|r| (r.0.max(low), r.1.min(high))).find(|(a, b)| a <= b);
    overlap('a', 'z')
        .or_else(|| overlap('1', '9'))
        .or_else(|| overlap('0', '9'))
        .or_else(|| overlap('A', 'Z'))
        .or_else(|| overlap('!', '~'))
        .or_else(|| ranges.first().copied())
        .map(|(a, _)| a)
}
