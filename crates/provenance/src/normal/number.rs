//! Numbers without a locale: `1,000.00`, `1.000,00` and `1000` are one number; `1,000` may be two and is none.

use serde_json::Number;

/// Digits a number may have in a text.
const MAX_DIGITS: usize = 64;

/// Digits a binary number keeps for sure (IEEE 754 binary64); one that shows more may have been rounded.
const EXACT_DIGITS: usize = 15;

/// Whether a sign of a currency stands before or behind an amount.
pub(super) fn is_currency(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₹' | '₽' | '₩' | '₺' | '₴' | '₿' | '₫' | '₪' | '₦')
}

/// A JSON number in canonical form; `None` when it may have been rounded.
pub(super) fn of_json(n: &Number) -> Option<String> {
    if n.is_i64() || n.is_u64() {
        return canonical(&n.to_string());
    }
    let text = n.to_string();
    let (mantissa, _) = text.split_once(['e', 'E']).unwrap_or((&text, ""));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits > EXACT_DIGITS + 1 {
        return None;
    }
    canonical(&text).filter(|c| c.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count() <= EXACT_DIGITS)
}

/// A folded text as a number in canonical form, with or without a sign of a currency.
pub(super) fn of_text(folded: &str) -> Option<String> {
    let bare = folded.strip_prefix(is_currency).or_else(|| folded.strip_suffix(is_currency)).unwrap_or(folded).trim();
    if bare.len() > MAX_DIGITS * 2 {
        return None;
    }
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", bare),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.contains('e') {
        return canonical(bare);
    }
    canonical(&format!("{sign}{}", plain(digits)?))
}

/// Digits with at most a point, from digits with separators. `None` when they could mean two numbers.
fn plain(text: &str) -> Option<String> {
    let commas = text.matches(',').count();
    let points = text.matches('.').count();
    let (group, point) = match (commas, points, text.contains('\'')) {
        (0, 0, false) => return Some(text.to_owned()),
        (0, 0 | 1, true) => ('\'', '.'),
        (1, 0, true) => ('\'', ','),
        // A single point is JSON's own; three digits behind it could also be a group.
        (0, 1, false) if !grouped_once(text, '.') => return Some(text.to_owned()),
        (1, 0, false) if !grouped_once(text, ',') => return Some(text.replace(',', ".")),
        (2.., 0, false) => (',', '.'),
        (0, 2.., false) => ('.', ','),
        (1.., 1, false) if text.rfind('.') > text.rfind(',') => (',', '.'),
        (1, 1.., false) if text.rfind(',') > text.rfind('.') => ('.', ','),
        _ => return None,
    };
    let (whole, fraction) = text.split_once(point).map_or((text, None), |(w, f)| (w, Some(f)));
    let mut groups = whole.split(group);
    let first = groups.next()?;
    let fits = (1..=3).contains(&first.len()) && !first.starts_with('0') && groups.all(|g| g.len() == 3);
    let whole = whole.replace(group, "");
    fits.then(|| fraction.map_or_else(|| whole.clone(), |f| format!("{whole}.{f}")))
}

/// Whether a single separator stands where one of thousands could: `1,000`, but not `0,500` or `12,50`.
fn grouped_once(text: &str, separator: char) -> bool {
    text.split_once(separator).is_some_and(|(a, b)| b.len() == 3 && (1..=3).contains(&a.len()) && !a.starts_with('0'))
}

/// `[-]digits e exponent` without zeros at the ends, so that equal numbers have equal texts. A zero before other digits makes
/// it an identifier (`007`), not a number.
fn canonical(text: &str) -> Option<String> {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.strip_prefix('+').unwrap_or(e).parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let bare = digits.trim_end_matches('0');
    let exponent = exponent.checked_add(i32::try_from(digits.len() - bare.len()).ok()?)?;
    Some(format!("{sign}{bare}e{exponent}"))
}
