//! What can be a secret: bounds of names, values, and of the file that holds them.

use stead_core::code;
use stead_ports::secret::{Secret, SecretError};

/// Bytes of a name.
pub const MAX_NAME: usize = 128;
/// Bytes of a value.
pub const MAX_VALUE: usize = 64 << 10;
/// Secrets of a file.
pub const MAX_COUNT: usize = 1_000;
/// Bytes of a file.
pub const MAX_FILE: u64 = 4 << 20;

/// Whether that is a name: letters, digits, `_`, `-` and `.`, a letter or `_` first. Every name of an environment variable is
/// one. `/` and `#` are no part of it: what stands after them in a reference is not the name.
pub fn is_name(text: &str) -> bool {
    let head = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    head && text.len() <= MAX_NAME && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Refuses what is no name.
pub(crate) fn check_name(name: &str) -> Result<(), SecretError> {
    if is_name(name) {
        return Ok(());
    }
    // The text is not repeated: it may be a value where its name belongs.
    Err(SecretError::new(
        code::SECRET_VALUE,
        format!(
            "that is no name of a secret: letters, digits, `_`, `-` and `.`, a letter or `_` first, at most {MAX_NAME} bytes"
        ),
    ))
}

/// Refuses a value that nothing could use.
pub(crate) fn check_value(value: &Secret) -> Result<(), SecretError> {
    let wrong = |why: String| Err(SecretError::new(code::SECRET_VALUE, why));
    let text = value.expose();
    if text.trim().is_empty() {
        return wrong("the value is empty".to_owned());
    }
    if text.len() > MAX_VALUE {
        return wrong(format!("the value is longer than {MAX_VALUE} bytes"));
    }
    if text.contains('\0') {
        return wrong("the value holds a zero byte, which neither a header nor a variable can carry".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_and_every_variable_is_one() {
        for good in ["payments", "OPENAI_API_KEY", "_x", "a.b-c", &"a".repeat(MAX_NAME)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "a/b", "a#b", "a b", "é", "../x", "-a", "a\n", &"a".repeat(MAX_NAME + 1)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_repeats_neither_name_nor_value() {
        let error = check_name("sk live/secret").map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| !e.contains("sk live")));
        for bad in ["", " \n", "a\0b", &"x".repeat(MAX_VALUE + 1)] {
            assert!(check_value(&Secret::new(bad)).is_err());
        }
        assert!(check_value(&Secret::new("x".repeat(MAX_VALUE))).is_ok());
    }
}
