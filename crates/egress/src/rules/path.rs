//! Paths in one form, and patterns over it. What is checked is what is sent: the host gets the path as it was normalised.
//!
//! Normal is: letters, digits, `-`, `.`, `_` and `~` plain, every other escape in upper case, no `.` and `..` segments (RFC 3986
//! sections 6.2.2 and 5.2.4). Servers decode again, take `\` for `/`, cut a segment at `;`, drop spaces at its end and read UTF-8 that is
//! longer than it must be: a path that would climb under any of these readings is refused. Whatever else some server takes for the end
//! of a segment, a `*` does not stand for.

use stead_core::code;

use crate::{error::Refusal, limits::PATH_BYTES};

/// The path and query of a request, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// From the first `/` on, without the query.
    pub(crate) path: String,
    /// With its `?`, or empty. As it came.
    pub(crate) query: String,
}

impl Target {
    /// The origin form: what the host is asked for.
    pub(crate) fn origin(&self) -> String {
        format!("{}{}", self.path, self.query)
    }

    /// Takes the origin form of a target.
    ///
    /// # Errors
    /// `ST0253` for what is no target, `ST0264` for one that can be read in two ways.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > PATH_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
            return Err(Refusal::malformed(format!(
                "the target is longer than {PATH_BYTES} bytes, has a fragment, or bytes that must be escaped"
            )));
        }
        let (path, query) = text.find('?').map_or((text, ""), |at| text.split_at(at));
        if !path.starts_with('/') {
            return Err(Refusal::malformed("the path does not begin with `/`"));
        }
        let path = normal(path)?;
        Ok(Self { path, query: query.to_owned() })
    }
}

fn ambiguous(what: &str) -> Refusal {
    Refusal::new(
        code::EGRESS_PATH,
        format!("the path {what}"),
        "write the path plainly, without `..`, `\\` and double escapes",
    )
}

fn normal(path: &str) -> Result<String, Refusal> {
    if path.contains('\\') {
        return Err(ambiguous("has a backslash"));
    }
    let mut out: Vec<String> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(raw) = segments.next() {
        let segment = unescape_plain(raw)?;
        let last = segments.peek().is_none();
        match segment.as_str() {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                if last {
                    out.push(String::new());
                }
            }
            _ if climbs(&segment) => return Err(ambiguous("climbs when it is decoded once more")),
            _ => out.push(segment),
        }
    }
    Ok(format!("/{}", out.join("/")))
}

/// Escapes of unreserved characters resolved, all others in upper case.
fn unescape_plain(raw: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(char::from(b));
            continue;
        }
        let digits = [bytes.next(), bytes.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
        let [Some(high), Some(low)] = digits else { return Err(ambiguous("has a `%` without two hexadecimal digits")) };
        let byte = (high * 16 + low) as u8;
        match byte {
            0..=0x1f | 0x7f => return Err(ambiguous("holds an escaped control character")),
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    Ok(out)
}

/// Whether a segment, decoded as often as it can be, has a `.` or `..` among the pieces that some server would see.
fn climbs(segment: &str) -> bool {
    let mut text = segment.as_bytes().to_vec();
    // A round makes every escape two bytes shorter, so that this ends.
    loop {
        let pieces = text.split(|b| matches!(b, b'/' | b'\\'));
        let split = text.iter().any(|b| matches!(b, b'/' | b'\\'));
        if overlong(&text) {
            return true;
        }
        for piece in pieces {
            let bare = piece.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
            if matches!(bare, b"." | b"..") && (split || bare.len() < text.len()) {
                return true;
            }
        }
        let next = decoded(&text);
        if next == text {
            return false;
        }
        text = next;
        if matches!(text.as_slice(), b"." | b"..") {
            return true;
        }
    }
}

/// Whether it holds a character in more bytes of UTF-8 than it has (RFC 3629 section 3): `/` and `.` to a careless reader.
fn overlong(text: &[u8]) -> bool {
    text.iter().any(|b| matches!(b, 0xc0 | 0xc1))
        || text.windows(2).any(|w| matches!(w, [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]))
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let digit = |i: usize| text.get(i).and_then(|b| char::from(*b).to_digit(16));
    while let Some(b) = text.get(at) {
        match (b, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*b);
                at += 1;
            }
        }
    }
    out
}

/// What some server takes for the end of a segment, or of the path, in normal form.
const ENDS: [&str; 7] = [";", "%2F", "%5C", "%3B", "%3F", "%23", "%25"];

/// `/v1/items/*` or `/v1/**`: `*` is any bytes of one segment that has some, but none of [`ENDS`]; `**` at the end any rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    segments: Vec<String>,
    rest: bool,
}

impl PathPattern {
    /// Takes a pattern of a rule.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let hint = "write for example `/v1/items`, `/v1/*/items` (one segment) or `/v1/**` (everything below)";
        let wrong = |what: &str| Refusal::rule(format!("egress: the path pattern `{text}` {what}"), hint);
        let (head, rest) = match text.strip_suffix("/**") {
            Some(head) => (head, true),
            None => (text, false),
        };
        if head.contains("**") || text.contains('?') {
            return Err(wrong("has `**` before its end, or a `?`"));
        }
        let probe = if head.is_empty() && rest { "/" } else { head };
        let normal = Target::parse(probe).map_err(|e| wrong(&format!("is none: {}", e.detail)))?.path;
        if normal != probe {
            return Err(wrong(&format!("is not in normal form, which is `{normal}`")));
        }
        let segments = head.strip_prefix('/').map(|s| s.split('/').map(str::to_owned).collect()).unwrap_or_default();
        Ok(Self { segments, rest })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut path = path[1..].split('/');
        for own in &self.segments {
            if !path.next().is_some_and(|segment| fits(own, segment)) {
                return false;
            }
        }
        // `/v1/**` is what lies below `/v1/`, not `/v1` itself.
        if self.rest { path.next().is_some() } else { path.next().is_none() }
    }
}

fn fits(own: &str, segment: &str) -> bool {
    if !own.contains('*') {
        return own == segment;
    }
    // Servers that drop empty segments would see those behind it one place further up.
    let ends = |text: &str| ENDS.map(|end| text.matches(end).count());
    !segment.is_empty() && ends(own) == ends(segment) && glob(own.as_bytes(), segment.as_bytes())
}

/// `*` stands for any bytes. Linear but for the last star's retries.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b) if *b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::rules::name::Name;

    #[test]
    fn a_path_has_one_form() {
        for (from, to) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/%61%2fb%3a", "/a%2Fb%3A"),
            ("/a//b", "/a//b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.", "/a/"),
            ("/a/..b/...", "/a/..b/..."),
            ("/g%2Fname", "/g%2Fname"),
        ] {
            assert_eq!(Target::parse(from).unwrap().path, to, "{from}");
        }
        let target = Target::parse("/a?x=/../y").unwrap();
        assert_eq!((target.path.as_str(), target.query.as_str()), ("/a", "?x=/../y"));
        assert_eq!(target.origin(), "/a?x=/../y");
    }

    #[test]
    fn a_path_that_climbs_for_some_server_is_refused() {
        for path in [
            "/a/..%2fb",
            "/a/%2e%2e%2fb",
            "/a/%252e%252e/b",
            "/a/%25252e%25252e%252fb",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a/%2e%2e;/b",
            "/a\\..\\b",
            "/a/..%5cb",
            "/a/x%2f..%2fb",
            "/a/%00",
            "/a/%0d%0a",
            "/a/%",
            "/a/%4",
            "/a/%zz",
            "/a/..%20/b",
            "/a/.%20/b",
            "/a/%c0%ae%c0%ae/b",
            "/a/%c0%af",
            "/a/%e0%80%ae",
            "/a/%f0%80%80%ae",
            "/a/%25c0%25ae",
        ] {
            assert_eq!(Target::parse(path).expect_err(path).code, code::EGRESS_PATH, "{path}");
        }
        for path in ["", "a", "*", "/a#b", "/a b", "/ä", "/a\u{7f}"] {
            assert_eq!(Target::parse(path).expect_err(path).code, code::EGRESS_MALFORMED, "{path}");
        }
    }

    #[test]
    fn patterns_match_whole_segments() {
        let matches = |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().matches(path);
        for (pattern, path, want) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/v1/items", "/v1/items", true),
            ("/v1/items", "/v1/items/", false),
            ("/v1/items", "/v1/itemsx", false),
            ("/v1/*", "/v1/a", true),
            ("/v1/*", "/v1/a/b", false),
            ("/v1/*/x", "/v1/a/x", true),
            ("/v1/**", "/v1/a/b", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1", false),
            ("/v1/**", "/v10/a", false),
            ("/v1/**", "/V1/a", false),
            ("/f/*.json", "/f/a.json", true),
            ("/f/*.json", "/f/a.jsonx", false),
            ("/f/a*b*c", "/f/a__b_b__c", true),
            ("/v1/*", "/v1/", false),
            ("/*/x", "//x", false),
            ("/v1/*/x", "/v1//x", false),
            ("/f/*.json", "/f/admin;.json", false),
            ("/f/*.json", "/f/admin%3B.json", false),
            ("/f/*.json", "/f/admin%3F.json", false),
            ("/f/*.json", "/f/admin%23.json", false),
            ("/v1/*/x", "/v1/a%2Fb/x", false),
            ("/v1/*/x", "/v1/a%5Cb/x", false),
            ("/v1/*/x", "/v1/a%252Fb/x", false),
            ("/v1/*%2F*/x", "/v1/a%2Fb/x", true),
            ("/v1/*%2F*/x", "/v1/a%2Fb%2Fc/x", false),
            ("/v1/*/x", "/v1/gr%C3%BC%C3%9Fe/x", true),
            ("/v1/**", "/v1/a%2Fb;c", true),
        ] {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
        for pattern in ["", "v1", "/a/../b", "/**/a", "/a**", "/%61", "/a?b", "/a/%2f", "/a b"] {
            assert_eq!(PathPattern::parse(pattern).expect_err(pattern).code, code::EGRESS_RULE, "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is sent, what passes has no way up in it however often a server decodes it, and is its own form.
        #[test]
        fn what_passes_never_climbs(text in "/([a./%2eEfF5cC;\\\\]|\\.\\.|%2[eEfF5]|%5c|%25){0,12}") {
            if let Ok(target) = Target::parse(&text) {
                prop_assert_eq!(Target::parse(&target.path).unwrap().path, target.path.clone());
                let mut bytes = target.path.into_bytes();
                loop {
                    for piece in bytes.split(|b| matches!(b, b'/' | b'\\')) {
                        let bare = piece.split(|b| *b == b';').next().unwrap();
                        prop_assert!(!matches!(bare, b"." | b".."), "{}", String::from_utf8_lossy(&bytes));
                    }
                    let next = decoded(&bytes);
                    if next == bytes {
                        break;
                    }
                    bytes = next;
                }
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,64}", pattern in ".{0,32}") {
            let target = Target::parse(&text);
            if let (Ok(target), Ok(pattern)) = (target, PathPattern::parse(&pattern)) {
                let _ = pattern.matches(&target.path);
            }
            let _ = Name::parse(&text);
        }
    }
}
