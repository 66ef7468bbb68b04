//! Reads JSON (RFC 8259), and refuses what readers could differ about.

use super::{BadJson, Number, Value, value::order};

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 32;

/// Reads a text.
///
/// # Errors
/// It is no JSON, or has a name twice, a number that no double has exactly, or a lone surrogate; or it is too long or too
/// deep.
pub fn parse(text: &[u8]) -> Result<Value, BadJson> {
    if text.len() > MAX_BYTES {
        return Err(BadJson { what: "the text is too long", at: MAX_BYTES });
    }
    let text = std::str::from_utf8(text).map_err(|e| BadJson { what: "this is no UTF-8", at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(reader.bad("something follows the value")) } else { Ok(value) }
}

/// Reads a text that must be canonical: what is signed has one form only.
///
/// # Errors
/// As [`parse`], and when the text is not the canonical one.
pub fn parse_canonical(text: &[u8]) -> Result<Value, BadJson> {
    let value = parse(text)?;
    let canonical = value.to_string();
    if canonical.as_bytes() == text {
        return Ok(value);
    }
    let at = canonical.bytes().zip(text).take_while(|(a, b)| a == *b).count();
    Err(BadJson { what: "this is not the canonical form", at })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    const fn bad(&self, what: &'static str) -> BadJson {
        BadJson { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), BadJson> {
        if self.peek() != Some(byte) {
            return Err(self.bad(what));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, BadJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.bad("this is no value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, BadJson> {
        self.space();
        if depth > MAX_DEPTH {
            return Err(self.bad("the nesting is too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.bad("a value is missing")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, BadJson> {
        self.at += 1;
        let mut members: Vec<(String, Value)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            let name = self.string()?;
            let Err(place) = members.binary_search_by(|(known, _)| order(known, &name)) else {
                return Err(BadJson { what: "this name stands twice", at: start });
            };
            self.space();
            self.take(b':', "a colon is missing")?;
            let value = self.value(depth + 1)?;
            members.insert(place, (name, value));
            self.space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Value::Object(members));
            }
            self.take(b',', "a comma is missing")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, BadJson> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Value::List(items));
            }
            self.take(b',', "a comma is missing")?;
        }
    }

    fn number(&mut self) -> Result<Value, BadJson> {
        let start = self.at;
        let digits = |r: &mut Self| {
            let from = r.at;
            while r.peek().is_some_and(|b| b.is_ascii_digit()) {
                r.at += 1;
            }
            r.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = digits(self);
        if whole == 0 || (zero && whole > 1) {
            return Err(self.bad("this is no number"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(self.bad("this is no number"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(self.bad("this is no number"));
            }
        }
        let exact = Number::exact(&self.text[start..self.at]);
        exact.map(Value::Number).ok_or(BadJson { what: "no double has this number exactly", at: start })
    }

    fn string(&mut self) -> Result<String, BadJson> {
        self.take(b'"', "a text is missing")?;
        let mut out = String::new();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= b' ') {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.bad("a text does not end, or has a control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, BadJson> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.bad("there is no such escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, BadJson> {
        let lone = BadJson { what: "a surrogate stands alone", at: self.at };
        let high = self.unit()?;
        if !(0xd800..0xe000).contains(&high) {
            return char::from_u32(high).ok_or(lone);
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Err(lone);
        }
        self.at += 1;
        let low = self.unit()?;
        if high >= 0xdc00 || !(0xdc00..0xe000).contains(&low) {
            return Err(lone);
        }
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(lone)
    }

    /// The four digits after a `u`.
    fn unit(&mut self) -> Result<u32, BadJson> {
        let digits = self.text.get(self.at + 1..self.at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        let unit = unit.ok_or_else(|| self.bad("four hexadecimal digits are missing"))?;
        self.at += 5;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_come_out_as_it_says() {
        // Section 3.2.2, with the one number that no double has left out.
        let text = r#"{"numbers":[1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        assert_eq!(
            parse(text.as_bytes()).unwrap().to_string(),
            "{\"literals\":[null,true,false],\"numbers\":[1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        // Section 3.2.3: the order of names.
        let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let Value::Object(members) = parse(text.as_bytes()).unwrap() else { panic!() };
        let names: Vec<&str> = members.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"]);
    }

    #[test]
    fn what_readers_could_differ_about_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            "0.1000000000000000055",
            "9007199254740993",
            "01",
            "1.",
            "+1",
            "NaN",
            "[1,]",
            "{\"a\":1,}",
            "1 2",
            "\"\u{1}\"",
            "",
            "'a'",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[b'"', 0xff, b'"']).is_err());
        assert!(parse("[".repeat(100).as_bytes()).is_err());
        assert!(parse_canonical(b"{\"a\": 1}").is_err());
        assert!(parse_canonical(b"{\"a\":1}").is_ok());
    }
}
