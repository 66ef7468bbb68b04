//! What differs from run to run in what the binary writes.

/// The text with names in square brackets for ids, versions, times and places.
pub(crate) fn filtered(text: &str, place: &str) -> String {
    let text = if place.is_empty() { text.to_owned() } else { text.replace(place, "[folder]") };
    text.lines().map(|line| line_filtered(line) + "\n").collect()
}

fn line_filtered(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    // Where a replacement was made, the number of blanks after it depends on what was replaced.
    while !rest.is_empty() {
        let (len, name) = PATTERNS.iter().find_map(|p| p(rest, &out)).unwrap_or((0, ""));
        if len == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        out.push_str(name);
        rest = &rest[len..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        if blanks > 1 {
            out.push_str("  ");
            rest = &rest[blanks..];
        }
    }
    out
}

type Pattern = fn(&str, &str) -> Option<(usize, &'static str)>;

const PATTERNS: &[Pattern] = &[
    |text, _| prefixed(text, "run_", 26, |b| b.is_ascii_alphanumeric(), "[run]"),
    |text, _| prefixed(text, "ses_", 26, |b| b.is_ascii_alphanumeric(), "[session]"),
    |text, _| prefixed(text, "sbx_", 26, |b| b.is_ascii_alphanumeric(), "[sandbox]"),
    |text, _| prefixed(text, "tree:", 64, |b| b.is_ascii_hexdigit(), "[tree]"),
    |text, _| prefixed(text, "sha256:", 64, |b| b.is_ascii_hexdigit(), "[version]"),
    |text, _| prefixed(text, "leaf:", 64, |b| b.is_ascii_hexdigit(), "[leaf]"),
    |text, _| prefixed(text, "stead-", 12, |b| b.is_ascii_hexdigit(), "[log]"),
    |text, _| key(text),
    |text, before| at_word(before).then(|| tree_hash(text)).flatten(),
    |text, before| at_word(before).then(|| hex(text)).flatten(),
    |text, before| at_word(before).then(|| instant(text)).flatten(),
    |text, before| at_word(before).then(|| span(text)).flatten(),
    |text, before| at_word(before).then(|| age(text)).flatten(),
    |text, _| {
        ["127.0.0.1:", "localhost:"]
            .iter()
            .find_map(|host| text.strip_prefix(host))
            .map(digits)
            .filter(|n| *n > 1)
            .map(|n| (10 + n, "[address]"))
    },
    |text, _| text.strip_prefix("(stead-").map(digits).filter(|n| *n > 0).map(|n| (7 + n, "(stead-[pid]")),
    |text, _| text.strip_prefix("process ").map(digits).filter(|n| *n > 0).map(|n| (8 + n, "process [pid]")),
];

fn at_word(before: &str) -> bool {
    before.chars().next_back().is_none_or(|c| !c.is_alphanumeric())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn prefixed(
    text: &str,
    prefix: &str,
    len: usize,
    fits: fn(&u8) -> bool,
    name: &'static str,
) -> Option<(usize, &'static str)> {
    let rest = text.strip_prefix(prefix)?;
    (rest.bytes().take_while(fits).count() == len).then_some((prefix.len() + len, name))
}

/// A short version: twelve hexadecimal digits by themselves.
fn hex(text: &str) -> Option<(usize, &'static str)> {
    (text.bytes().take_while(u8::is_ascii_hexdigit).count() == 12
        && text.as_bytes().get(12).is_none_or(|b| !b.is_ascii_alphanumeric()))
    .then_some((12, "[version]"))
}

/// The id and the base64 of a key, behind its name.
fn key(text: &str) -> Option<(usize, &'static str)> {
    let (id, rest) = text.strip_prefix('+')?.split_at_checked(9)?;
    let fits = id.ends_with('+') && id.bytes().take(8).all(|b| b.is_ascii_hexdigit());
    (fits && base64(rest) == 44).then_some((54, "+[key]"))
}

/// A hash of the audit log: the base64 of 32 bytes.
fn tree_hash(text: &str) -> Option<(usize, &'static str)> {
    (base64(text) == 44 && text.as_bytes()[43] == b'=').then_some((44, "[hash]"))
}

fn base64(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).count()
}

/// `2026-01-02T03:04:05.678Z`
fn instant(text: &str) -> Option<(usize, &'static str)> {
    let shape = "dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = text.len() >= shape.len()
        && shape.bytes().zip(text.bytes()).all(|(s, b)| if s == b'd' { b.is_ascii_digit() } else { s == b });
    fits.then_some((shape.len(), "[time]"))
}

/// `12 ms`, `1.2 s`
fn span(text: &str) -> Option<(usize, &'static str)> {
    let number = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let rest = text[number..].strip_prefix(' ').filter(|_| number > 0)?;
    let unit = ["µs", "ms", "s"]
        .into_iter()
        .find(|u| rest.strip_prefix(u).is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric())))?;
    Some((number + 1 + unit.len(), "[took]"))
}

/// `0s`, `12s` in a list.
fn age(text: &str) -> Option<(usize, &'static str)> {
    let number = digits(text);
    let after = text[number..].strip_prefix('s').filter(|_| number > 0)?;
    (after.is_empty() || after.starts_with(' ')).then_some((number + 1, "[age]"))
}

#[test]
fn only_what_differs_is_replaced() {
    let line = "run_01M7Y5Z2Z48QY2QNWKEQN3FNRV  abc  12s   x 3 ms 0a1b2c3d4e5f $0.50 order 1042 /tmp/x/.stead";
    assert_eq!(filtered(line, "/tmp/x"), "[run]  abc  [age]  x [took] [version] $0.50 order 1042 [folder]/.stead\n");
}
