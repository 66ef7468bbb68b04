//! Scalars with units: spans of time, sizes and money, from text to whole numbers without a float in between.

/// A span such as `500ms`, `30s`, `10m`, `2h`, `3d`, in microseconds.
pub fn duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0)?;
    let unit = match &text[digits..] {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The regular expression of [`duration`].
pub(crate) const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// Bytes such as `4096`, `64Ki`, `512Mi`, `1Gi`, `10k`, `10M`.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The regular expression of [`size`].
pub(crate) const SIZE: &str = "^[0-9]+(k|M|G|Ki|Mi|Gi)?$";

/// Dollars such as `0.50`, in millionths; at most six decimals and a billion dollars.
pub(crate) fn usd(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) || whole.len() > 10 || part.len() > 6 {
        return None;
    }
    let micro = whole.parse::<u64>().ok()? * 1_000_000 + part.parse::<u64>().ok()? * 10_u64.pow(6 - part.len() as u32);
    (micro <= 1_000_000_000_000_000).then_some(micro)
}

/// Microseconds as a manifest would write them.
pub(crate) fn show_duration(micros: u64) -> String {
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)]
        .into_iter()
        .find(|(_, unit)| micros > 0 && micros.is_multiple_of(*unit))
        .map_or_else(|| format!("{}ms", micros / 1_000), |(name, unit)| format!("{}{name}", micros / unit))
}

/// Bytes as a manifest would write them.
pub(crate) fn show_size(bytes: u64) -> String {
    [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)]
        .into_iter()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact() {
        assert_eq!(duration("10m"), Some(600_000_000));
        assert_eq!(duration("500ms"), Some(500_000));
        assert_eq!(duration("3d"), Some(259_200_000_000));
        assert_eq!(size("512Mi"), Some(536_870_912));
        assert_eq!(usd("0.50"), Some(500_000));
        assert_eq!(usd("0.1"), Some(100_000));
        assert_eq!(usd("12"), Some(12_000_000));
        assert_eq!((show_duration(600_000_000), show_size(65_536)), ("10m".into(), "64Ki".into()));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for bad in ["", "m", "10", "1.5h", "-1s", "10 m", "99999999999999999999d", "1h30m", "10M"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "Mi", "1Ti", "-1", "1.5Mi", "18446744073709551615Gi"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for bad in ["", ".", "1.", ".5", "1e3", "-1", "0.0000001", "99999999999", "1,5", "NaN", "１"] {
            assert_eq!(usd(bad), None, "{bad}");
        }
    }
}
