//! Values with units on the command line, as manifests write them.

use stead_core::time::Span;
use stead_manifest::scalar;

/// Bytes such as `256Mi`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    scalar::size(text).ok_or_else(|| "not a size such as `64Ki`, `256Mi` or `1Gi`".to_owned())
}

/// A span such as `90s`.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    scalar::duration(text).map(Span).ok_or_else(|| "not a time such as `500ms`, `30s`, `10m` or `2h`".to_owned())
}

/// Processors such as `0.5`, in thousandths.
pub(crate) fn processors(text: &str) -> Result<u32, String> {
    let wrong = || "not a number of processors such as `0.5` or `2`, with at most three decimals".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let part: u32 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000).and_then(|n| n.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_to_a_thousandth_and_nothing_else_is() {
        assert_eq!(processors("2"), Ok(2_000));
        assert_eq!(processors("0.5"), Ok(500));
        assert_eq!(processors("1.125"), Ok(1_125));
        for bad in ["", ".5", "1.", "1.0001", "-1", "1e3", "5000000000"] {
            assert!(processors(bad).is_err(), "{bad}");
        }
    }
}
