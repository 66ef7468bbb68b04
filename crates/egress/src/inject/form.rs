//! The secret as a field of a form in a request's body.

use stead_ports::secret::Secret;
use zeroize::Zeroizing;

/// The body with that field set to the value, once: fields of that name that the client sent are gone, at the place of the first the
/// new one stands.
pub(crate) fn replace(body: &[u8], field: &str, value: &Secret) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(body.len() + 3 * value.expose().len() + field.len() + 2));
    let put = |out: &mut Vec<u8>, part: &[u8]| {
        if !out.is_empty() {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    };
    let own = Zeroizing::new(format!("{}={}", *escape(field), *escape(value.expose())));
    let mut set = false;
    for part in body.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
        let name = part.split(|b| *b == b'=').next().unwrap_or_default();
        if unescape(name) != field.as_bytes() {
            put(&mut out, part);
        } else if !set {
            set = true;
            put(&mut out, own.as_bytes());
        }
    }
    if !set {
        put(&mut out, own.as_bytes());
    }
    out
}

/// As forms are written (WHATWG URL, `application/x-www-form-urlencoded`).
pub(super) fn escape(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(3 * text.len()));
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |i: usize| text.get(i).and_then(|b| char::from(*b).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(b) = text.get(at) {
        match (b, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*b),
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_set_once_and_the_others_stay() {
        let put = |body: &str| {
            let out = replace(body.as_bytes(), "api key", &Secret::new("a+b &c"));
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(put(""), "api+key=a%2Bb+%26c");
        assert_eq!(put("x=1&y=%20"), "x=1&y=%20&api+key=a%2Bb+%26c");
        assert_eq!(put("x=1&api+key=stead&y=2&api%20key=&%61pi+key"), "x=1&api+key=a%2Bb+%26c&y=2");
    }
}
