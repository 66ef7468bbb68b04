//! YAML beside policies: counters and cases. Numbers of nodes and levels are bounded, so no alias blows up.

use serde::de::DeserializeOwned;
use serde_saphyr::Location;
use stead_core::time::Span;

use crate::problem::Problem;

/// Most bytes of a file of policies, counters or cases.
pub const MAX_FILE: usize = 1 << 20;
/// Most levels of a YAML file.
const MAX_LEVELS: usize = 32;
/// Most nodes of a YAML file.
const MAX_NODES: usize = 100_000;

/// Reads a YAML text.
pub(crate) fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Vec<Problem>> {
    if text.len() > MAX_FILE {
        return Err(vec![Problem::whole(file, format!("has more than {MAX_FILE} bytes"))]);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_LEVELS, max_nodes: MAX_NODES },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        let message = first.rfind(" at line ").map_or(first, |i| first[..i].trim_end_matches([',', ':']));
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        vec![Problem { line: place(at.line()), column: place(at.column()), ..Problem::whole(file, message) }]
    })
}

/// A span as `90s`, `15m`, `12h` or `7d`; never zero.
pub(crate) fn span(text: &str) -> Option<Span> {
    let unit = text.chars().last()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - unit.len_utf8()];
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = number.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000)?;
    // Beyond, times would leave the calendar.
    (micros > 0 && i64::try_from(micros).is_ok()).then_some(Span(micros))
}
