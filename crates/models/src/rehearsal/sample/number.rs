//! Numbers within bounds and steps.

use serde_json::{Map, Number, Value};

/// The integers that may be told apart in every JSON reader (RFC 8259 section 6) are enough for a sample.
const SAFE: i128 = (1 << 53) - 1;

/// The smallest fitting integer from 1 on, or the nearest to it; `salt` steps further.
pub(super) fn integer(flat: &Map<String, Value>, salt: usize) -> Option<Value> {
    let whole = |key: &str| flat.get(key).and_then(Value::as_i64).map(i128::from);
    let bound = |key: &str, round: fn(f64) -> f64| {
        whole(key).or_else(|| flat.get(key).and_then(Value::as_f64).map(|f| round(f) as i128))
    };
    let above = bound("exclusiveMinimum", f64::floor).map(|n| n + 1);
    let below = bound("exclusiveMaximum", f64::ceil).map(|n| n - 1);
    let low = bound("minimum", f64::ceil).max(above);
    let high = [bound("maximum", f64::floor), below].into_iter().flatten().min();
    let step = flat.get("multipleOf").map_or(Some(1), whole_step)?;
    let start = match (low, high) {
        (Some(low), _) if low > 1 => low,
        (_, Some(high)) if high < 1 => low.map_or(high - (step - 1), |low| low.max(high - (step - 1))),
        _ => 1,
    };
    let start = div_ceil(start, step) * step;
    // A step that leads past the upper bound may still have a multiple lower down.
    let start = match high {
        Some(high) if start > high => high.div_euclid(step) * step,
        _ => start,
    };
    let n = start + salt as i128 * step;
    let fits = low.is_none_or(|l| n >= l) && high.is_none_or(|h| n <= h);
    let n = if fits { n } else { start };
    (low.is_none_or(|l| n >= l)).then(|| i64::try_from(n).ok().map(Value::from))?
}

/// The smallest whole multiple of a step that may be a fraction.
fn whole_step(value: &Value) -> Option<i128> {
    if let Some(n) = value.as_i64() {
        return (n > 0).then_some(n.into());
    }
    let step = value.as_f64().filter(|f| *f > 0.0)?;
    (1..=1_000).map(|k| step * f64::from(k)).find(|m| m.fract() == 0.0 && *m <= SAFE as f64).map(|m| m as i128)
}

fn div_ceil(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

/// A fitting number: a whole one where there is room and no `fraction` is asked for, one between the bounds otherwise.
pub(super) fn number(flat: &Map<String, Value>, salt: usize, fraction: bool) -> Option<Value> {
    if let Some(n) = integer(flat, salt).filter(|_| !fraction && flat.get("multipleOf").is_none_or(Value::is_i64)) {
        return Some(n);
    }
    let get = |key: &str| flat.get(key).and_then(Value::as_f64);
    let (min, max) = (get("minimum"), get("maximum"));
    let (above, below) = (get("exclusiveMinimum"), get("exclusiveMaximum"));
    let low = [min, above].into_iter().flatten().reduce(f64::max);
    let high = [max, below].into_iter().flatten().reduce(f64::min);
    let number = match (get("multipleOf").filter(|m| *m > 0.0), low, high) {
        (Some(step), low, high) => {
            let mut k = low.map_or_else(|| high.map_or(1.0, |h| (h / step).floor()), |l| (l / step).ceil());
            if above.is_some_and(|a| k * step <= a) {
                k += 1.0;
            }
            (k + salt as f64) * step
        }
        (None, Some(l), Some(h)) => l + (h - l) / (2.0 + salt as f64),
        (None, Some(l), None) => l + 0.5 + salt as f64,
        (None, None, Some(h)) => h - 0.5 - salt as f64,
        (None, None, None) => 1.5 + salt as f64,
    };
    Number::from_f64(number).map(Value::Number)
}
