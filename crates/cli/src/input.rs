//! What is asked of an agent, as it comes from outside: bounded, and text.

use std::io::Read;

use stead_core::code;

use crate::error::{CliError, Outcome};

/// Most bytes of one input, and of one line of a conversation; the server's bound on a request is the same.
pub(crate) const MAX: usize = 1 << 20;

/// All of a stream, such as stdin.
pub(crate) fn whole(from: impl Read) -> Outcome<String> {
    let mut bytes = Vec::new();
    from.take(MAX as u64 + 1).read_to_end(&mut bytes)?;
    text(bytes)
}

/// Bytes as text, within the bound.
pub(crate) fn text(bytes: Vec<u8>) -> Outcome<String> {
    if bytes.len() > MAX {
        return Err(CliError::new(code::TOO_LARGE, format!("the input is larger than {MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let message = format!("the input is not text: byte {} is not UTF-8", at + 1);
        CliError::new(code::BAD_REQUEST, message).hint("convert it first, for example with `iconv -t utf-8`")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_not_text_or_too_long_is_told_with_its_code() {
        assert_eq!(whole("añb".as_bytes()).unwrap(), "añb");
        assert_eq!(whole(&b"ab\xff"[..]).unwrap_err().code(), Some(code::BAD_REQUEST));
        assert_eq!(whole(vec![b'a'; MAX].as_slice()).unwrap().len(), MAX);
        assert_eq!(whole(vec![b'a'; MAX + 1].as_slice()).unwrap_err().code(), Some(code::TOO_LARGE));
    }
}
