//! The forms in which an echo of a secret is looked for, folded: as it is, in base64 at each of its three alignments, in
//! hexadecimal. Escapes (percent, JSON, HTML) are undone by the views, so that they need no form here.
//!
//! Folding makes one of what encodings tell apart without meaning it here: letters of either case, the two alphabets of base64,
//! and a space and the `+` that a form writes for it.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// One byte, folded.
pub(super) fn fold(byte: u8) -> u8 {
    match byte {
        b' ' | b'-' => b'+',
        b'_' => b'/',
        b => b.to_ascii_lowercase(),
    }
}

/// One form of a value.
pub(super) struct Form {
    /// Its bytes, folded.
    pub(super) text: Zeroizing<Vec<u8>>,
    /// How many of them in a row are taken for an echo.
    pub(super) want: u32,
}

/// How many bytes in a row of a secret of that length are taken for an echo: three quarters of it, and 8 at least.
///
/// Whoever can have text of his own come back through the proxy sees which of it is masked. Were a short part enough, he would guess a
/// few bytes behind a beginning that all keys of a kind share (`sk-live_`), see them masked, and go on from there one byte after the
/// other. With this much he has to guess at once what nobody guesses.
pub(super) fn run_length(secret: usize) -> usize {
    (secret * 3).div_ceil(4).max(8)
}

/// All forms of a value.
pub(super) fn forms(value: &[u8]) -> Vec<Form> {
    let mut texts = vec![Zeroizing::new(value.to_vec())];
    // The views leave line ends out, which encoders put in and JSON escapes.
    let flat: Zeroizing<Vec<u8>> = Zeroizing::new(value.iter().copied().filter(|b| !b"\r\n".contains(b)).collect());
    if flat.len() != value.len() {
        texts.push(flat);
    }
    for before in 0..3 {
        texts.push(aligned(value, before));
    }
    let mut hex = Zeroizing::new(Vec::with_capacity(2 * value.len()));
    value.iter().for_each(|b| hex.extend([b >> 4, b & 15].map(|d| b"0123456789abcdef"[usize::from(d)])));
    texts.push(hex);
    let part = |len: usize| (len * run_length(value.len())).div_ceil(value.len()).min(len) as u32;
    texts
        .into_iter()
        .map(|mut text| {
            text.iter_mut().for_each(|b| *b = fold(*b));
            Form { want: part(text.len()), text }
        })
        .collect()
}

/// The characters of base64 that depend on the value alone when `before` bytes (0, 1, 2) stand before it.
fn aligned(value: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(value);
    let text = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
    // The first characters hold bits of what stands before, the last one may hold some of what follows.
    let from = (before * 8).div_ceil(6);
    let to = bytes.len() * 8 / 6;
    Zeroizing::new(text.as_bytes()[from..to].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_of_base64_holds_its_form() {
        let secret = b"s3cr3t/with+odd_length";
        for before in 0..3 {
            for after in 0..4 {
                let text = [&vec![0xa5; before][..], secret, &vec![0x5a; after]].concat();
                let encoded = STANDARD_NO_PAD.encode(text);
                let form = String::from_utf8(aligned(secret, before).to_vec()).expect("ASCII");
                assert!(encoded.contains(&form), "{before} {after}");
                assert!(form.len() >= secret.len() * 8 / 6 - 2);
            }
        }
    }
}
