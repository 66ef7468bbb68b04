//! The words of a plan's text.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{ast::Span, error::Wrong};

/// A word of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a word of the language; in backquotes always a name.
    Word(Arc<str>),
    Text(Arc<str>),
    Number(Decimal),
    /// `(`, `==` and the like.
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: &[&str] =
    &["==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "<", ">", "+", "-", "*", "/"];

/// Takes a text apart. `#` begins a comment that ends with its line.
pub(super) fn lex(text: &str) -> Result<Vec<(Token, Span)>, Wrong> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, len) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' => string(rest).map_err(|(to, why)| Wrong::new(at..at + to, why))?,
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| Wrong::new(at..at + 1, "this name is not closed"))?;
                (Token::Word(rest[1..=end].into()), end + 2)
            }
            c if c.is_ascii_digit() => {
                let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                // A point belongs to the number only if digits follow it.
                let number = rest[..len].trim_end_matches('.');
                let value = Decimal::from_str_exact(number);
                let value = value.map_err(|_| {
                    Wrong::new(at..at + len, format!("`{number}` is not a number that can be kept exactly"))
                })?;
                (Token::Number(value.normalize()), number.len())
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Word(rest[..len].into()), len)
            }
            _ => match SIGNS.iter().find(|s| rest.starts_with(**s)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => {
                    let wrong = Wrong::new(at..at + c.len_utf8(), format!("`{c}` means nothing here"));
                    return Err(if c == '\'' { wrong.hint("write texts in double quotes") } else { wrong });
                }
            },
        };
        out.push((token, at..at + len));
        at += len;
    }
    out.push((Token::End, text.len()..text.len()));
    Ok(out)
}

/// A text as JSON writes it, and its length with quotes.
fn string(rest: &str) -> Result<(Token, usize), (usize, String)> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes || *c == '\n'
    });
    let Some((end, '"')) = end else { return Err((1, "this text is not closed on its line".to_owned())) };
    let text: String = serde_json::from_str(&rest[..=end]).map_err(|e| (end + 1, format!("not a JSON text: {e}")))?;
    Ok((Token::Text(text.into()), end + 1))
}
