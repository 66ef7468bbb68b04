//! What stands in the box for a secret: a word that nobody can guess, of no value outside of its session.
//!
//! A program that wants a key gets the placeholder, and may send it at the place where the key goes; there it is replaced. Anywhere
//! else it is a sign that something is wrong, and the request is refused.

use stead_core::code;

use crate::error::Refusal;

/// How each begins.
const PREFIX: &[u8] = b"stead-secret-";
/// Hexadecimal digits after it.
const DIGITS: usize = 32;
const LENGTH: usize = PREFIX.len() + DIGITS;

/// A fresh one.
///
/// # Errors
/// `ST0256` when the system gives no randomness.
pub(crate) fn fresh() -> Result<String, Refusal> {
    let mut bytes = [0; DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|_| {
        Refusal::new(
            code::EGRESS_SECRET,
            "the system gives no random bytes",
            "look at the host's log: `getrandom` failed",
        )
    })?;
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}{digits}", String::from_utf8_lossy(PREFIX)))
}

/// Refuses to send one on.
pub(crate) fn misplaced(where_: &str) -> Refusal {
    Refusal::new(
        code::EGRESS_PLACEHOLDER,
        format!("the placeholder of a secret stands in {where_}, where the secret does not go"),
        "send it to the secret's own host and in its own place; see `inject` of the egress rule",
    )
}

/// Whether the text holds one, of whichever session.
pub(crate) fn is_in(text: &[u8]) -> bool {
    let mut scan = Scan::default();
    scan.push(text, |_| {}).is_err()
}

/// Looks for one in a stream, and lets none through whole.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What may be the beginning of one.
    held: Vec<u8>,
}

/// There is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found;

impl Scan {
    /// Takes a piece; hands on what is no beginning of a placeholder.
    pub(crate) fn push(&mut self, piece: &[u8], mut give: impl FnMut(&[u8])) -> Result<(), Found> {
        if self.held.is_empty() && !piece.iter().any(|b| b.eq_ignore_ascii_case(&PREFIX[0])) {
            give(piece);
            return Ok(());
        }
        let mut out = Vec::with_capacity(self.held.len() + piece.len());
        for byte in piece {
            self.held.push(*byte);
            while !begins(&self.held) {
                out.push(self.held.remove(0));
            }
            if self.held.len() == LENGTH {
                return Err(Found);
            }
        }
        give(&out);
        Ok(())
    }

    /// The rest, when the stream has ended.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn begins(text: &[u8]) -> bool {
    let fits = |(i, b): (usize, &u8)| match PREFIX.get(i) {
        Some(p) => b.eq_ignore_ascii_case(p),
        None => b.is_ascii_hexdigit(),
    };
    text.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_differ_and_are_found() {
        let (a, b) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(a, b);
        assert!(is_in(format!("?key={a}&x").as_bytes()) && is_in(a.to_uppercase().as_bytes()));
        assert!(!is_in(&a.as_bytes()[..a.len() - 1]) && !is_in(b"stead-secret-name"));
        assert!(is_in(format!("stead-stead-secret-{a}").as_bytes()));
    }

    proptest! {
        #[test]
        fn none_goes_through_however_it_is_cut(before in "[ste-]{0,20}", after in ".{0,20}", cut in 1usize..60) {
            let text = format!("{before}{}{after}", fresh().unwrap());
            let (mut scan, mut out) = (Scan::default(), Vec::new());
            let found = text.as_bytes().chunks(cut).any(|piece| scan.push(piece, |p| out.extend_from_slice(p)).is_err());
            prop_assert!(found && !is_in(&out));
            let (mut scan, mut out) = (Scan::default(), Vec::new());
            for piece in before.as_bytes().chunks(cut) {
                scan.push(piece, |p| out.extend_from_slice(p)).unwrap();
            }
            out.extend(scan.end());
            prop_assert_eq!(out, before.into_bytes());
        }
    }
}
