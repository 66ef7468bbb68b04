//! List prices of well-known models, as of [`AS_OF`]. Providers change them without notice and give discounts, so a
//! manifest or the server's configuration can name another price; this table is the start, not the truth.
//!
//! What is not in the table costs `None`: unknown is never 0, and never the price of a similar name. `gpt-4o` does not
//! stand for `gpt-4o-audio-preview`. An id matches a row when it is equal, or has only a date or a revision after it
//! (`gpt-5-mini-2025-08-07`, `claude-sonnet-4-5@20250929`, `gemini-2.5-pro-002`, `claude-3-5-haiku-latest`).
//!
//! Not in it: surcharges for long prompts (Gemini Pro over 200,000 tokens, OpenAI over 272,000, Claude Haiku 5.5 over
//! 100,000), for keeping a cache longer than its shortest time, for priority tiers, images, audio and search. Nor
//! providers whose prices differ by host or change by the week; `price` in a manifest says what is paid there.
//!
//! Sources: Anthropic's price list (platform.claude.com/docs/en/about-claude/pricing), and for OpenAI and Google
//! (developers.openai.com/api/docs/pricing, ai.google.dev/gemini-api/docs/pricing) what open price tables and release
//! notes took from those pages between June and November 2026.

use stead_core::budget::Price;

/// The day up to which the prices are known to have held.
pub const AS_OF: &str = "2026-11-24";

/// Where the prices come from.
pub const SOURCE: &str = "public list prices of the providers (standard tier, text), which may have changed since";

/// `(provider, model, input, cached input, output, cache write)` in micro-dollars per million tokens. Where a provider has
/// no known price for cached input, it is that of input; 0 for writing to the cache means that it is charged as input.
type Row = (&'static str, &'static str, u64, u64, u64, u64);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("openai", "gpt-6.2-sol",             2_000_000,    100_000,  10_000_000,  2_500_000),
    ("openai", "gpt-6.2-astra",           8_000_000,    400_000,  40_000_000, 10_000_000),
    ("openai", "gpt-6.1-sol",             2_000_000,    100_000,  10_000_000,  2_500_000),
    ("openai", "gpt-6.1-terra",           1_000_000,     50_000,   5_000_000,  1_250_000),
    ("openai", "gpt-6-sol",               2_000_000,    200_000,  10_000_000,  2_500_000),
    ("openai", "gpt-6-luna",                100_000,     10_000,     500_000,    125_000),
    ("openai", "gpt-5.6-sol",            5_000_000,    500_000,  30_000_000,  6_250_000),
    ("openai", "gpt-5.6-terra",          2_000_000,    200_000,  12_000_000,  2_500_000),
    ("openai", "gpt-5.6-luna",             200_000,     20_000,   1_200_000,    250_000),
    ("openai", "gpt-5.5",                 5_000_000,    500_000,  30_000_000,          0),
    ("openai", "gpt-5.5-pro",            30_000_000, 30_000_000, 180_000_000,          0),
    ("openai", "gpt-5.4",                 2_500_000,    250_000,  15_000_000,          0),
    ("openai", "gpt-5.4-mini",              750_000,     75_000,   4_500_000,          0),
    ("openai", "gpt-5.4-nano",              200_000,     20_000,   1_250_000,          0),
    ("openai", "gpt-5.4-pro",            30_000_000, 30_000_000, 180_000_000,          0),
    ("openai", "gpt-5.2",                 1_750_000,    175_000,  14_000_000,          0),
    ("openai", "gpt-5.1",                 1_250_000,    125_000,  10_000_000,          0),
    ("openai", "gpt-5.1-codex",           1_250_000,    125_000,  10_000_000,          0),
    ("openai", "gpt-5.1-codex-mini",        250_000,     25_000,   2_000_000,          0),
    ("openai", "gpt-5",                   1_250_000,    125_000,  10_000_000,          0),
    ("openai", "gpt-5-chat",              1_250_000,    125_000,  10_000_000,          0),
    ("openai", "gpt-5-codex",             1_250_000,    125_000,  10_000_000,          0),
    ("openai", "gpt-5-mini",                250_000,     25_000,   2_000_000,          0),
    ("openai", "gpt-5-nano",                 50_000,      5_000,     400_000,          0),
    ("openai", "gpt-5-pro",              15_000_000, 15_000_000, 120_000_000,          0),
    ("openai", "gpt-4.1",                 2_000_000,    500_000,   8_000_000,          0),
    ("openai", "gpt-4.1-mini",              400_000,    100_000,   1_600_000,          0),
    ("openai", "gpt-4.1-nano",              100_000,     25_000,     400_000,          0),
    // The first release kept its higher price.
    ("openai", "gpt-4o-2024-05-13",       5_000_000,  5_000_000,  15_000_000,          0),
    ("openai", "gpt-4o",                  2_500_000,  1_250_000,  10_000_000,          0),
    ("openai", "gpt-4o-mini",               150_000,     75_000,     600_000,          0),
    ("openai", "o1",                     15_000_000,  7_500_000,  60_000_000,          0),
    ("openai", "o3",                      2_000_000,    500_000,   8_000_000,          0),
    ("openai", "o3-mini",                 1_100_000,    550_000,   4_400_000,          0),
    ("openai", "o4-mini",                 1_100_000,    275_000,   4_400_000,          0),
    ("openai", "gpt-4-turbo",            10_000_000, 10_000_000,  30_000_000,          0),
    ("openai", "gpt-3.5-turbo",             500_000,    500_000,   1_500_000,          0),

    ("anthropic", "claude-fable-5-1",       10_000_000,    250_000,  50_000_000, 12_500_000),
    ("anthropic", "claude-fable-5",         10_000_000,  1_000_000,  50_000_000, 12_500_000),
    ("anthropic", "claude-opus-5-5",         4_000_000,    200_000,  20_000_000,  5_000_000),
    ("anthropic", "claude-opus-5",           5_000_000,    500_000,  25_000_000,  6_250_000),
    ("anthropic", "claude-opus-4-8",         5_000_000,    500_000,  25_000_000,  6_250_000),
    ("anthropic", "claude-opus-4-7",         5_000_000,    500_000,  25_000_000,  6_250_000),
    ("anthropic", "claude-opus-4-6",         5_000_000,    500_000,  25_000_000,  6_250_000),
    ("anthropic", "claude-sonnet-5-5",       2_000_000,    100_000,  10_000_000,  2_500_000),
    ("anthropic", "claude-sonnet-5",         2_000_000,    200_000,  10_000_000,  2_500_000),
    ("anthropic", "claude-sonnet-4-6",       3_000_000,    300_000,  15_000_000,  3_750_000),
    ("anthropic", "claude-haiku-5-5",          100_000,     10_000,     500_000,    125_000),
    ("anthropic", "claude-opus-4-5",         5_000_000,    500_000,  25_000_000,  6_250_000),
    ("anthropic", "claude-opus-4-1",        15_000_000,  1_500_000,  75_000_000, 18_750_000),
    ("anthropic", "claude-opus-4",          15_000_000,  1_500_000,  75_000_000, 18_750_000),
    ("anthropic", "claude-sonnet-4-5",       3_000_000,    300_000,  15_000_000,  3_750_000),
    ("anthropic", "claude-sonnet-4",         3_000_000,    300_000,  15_000_000,  3_750_000),
    ("anthropic", "claude-haiku-4-5",        1_000_000,    100_000,   5_000_000,  1_250_000),
    ("anthropic", "claude-3-7-sonnet",       3_000_000,    300_000,  15_000_000,  3_750_000),
    ("anthropic", "claude-3-5-sonnet",       3_000_000,    300_000,  15_000_000,  3_750_000),
    ("anthropic", "claude-3-5-haiku",          800_000,     80_000,   4_000_000,  1_000_000),
    ("anthropic", "claude-3-haiku",            250_000,     30_000,   1_250_000,    312_500),

    ("gemini", "gemini-4-neon",           3_000_000,    150_000,  15_000_000,          0),
    // Half of this until 2026-11-30.
    ("gemini", "gemini-4-argon",          4_000_000,    200_000,  20_000_000,          0),
    ("gemini", "gemini-4-hydrogen",       1_500_000,     75_000,   7_500_000,          0),
    ("gemini", "gemini-3.5-flash",        1_500_000,  1_500_000,   9_000_000,          0),
    ("gemini", "gemini-3.1-pro-preview",  2_000_000,    200_000,  12_000_000,          0),
    ("gemini", "gemini-3.1-flash-lite",     250_000,    250_000,   1_500_000,          0),
    ("gemini", "gemini-3-flash-preview",    500_000,     50_000,   3_000_000,          0),
    ("gemini", "gemini-3-pro-preview",    2_000_000,    200_000,  12_000_000,          0),
    ("gemini", "gemini-2.5-pro",          1_250_000,    125_000,  10_000_000,          0),
    ("gemini", "gemini-2.5-flash",          300_000,     30_000,   2_500_000,          0),
    ("gemini", "gemini-2.5-flash-lite",     100_000,     10_000,     400_000,          0),
    ("gemini", "gemini-2.0-flash",          100_000,     25_000,     400_000,          0),
];

/// The list price of a model, or `None` when it is not known. A scripted model costs nothing.
pub fn price(provider: &str, model: &str) -> Option<Price> {
    if provider == "rehearsal" {
        return Some(crate::rehearsal::Rehearsal::PRICE);
    }
    let rows = || TABLE.iter().filter(|r| r.0 == provider);
    let row = rows().find(|r| r.1 == model).or_else(|| rows().find(|r| is_release_of(model, r.1)))?;
    Some(Price { input: row.2, cached: row.3, output: row.4, cache_write: (row.5 > 0).then_some(row.5) })
}

/// Whether `model` is `family` with nothing but a date, a revision or `latest` after it.
fn is_release_of(model: &str, family: &str) -> bool {
    let Some(suffix) = model.strip_prefix(family).and_then(|s| s.strip_prefix(['-', '@'])) else { return false };
    let digits: Vec<usize> =
        suffix.split('-').map(|p| if p.bytes().all(|b| b.is_ascii_digit()) { p.len() } else { 0 }).collect();
    suffix == "latest" || matches!(digits.as_slice(), [4, 2, 2] | [8] | [3])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_release_has_the_price_of_its_family() {
        let mini = Some(Price { input: 250_000, cached: 25_000, output: 2_000_000, cache_write: None });
        assert_eq!(price("openai", "gpt-5-mini"), mini);
        assert_eq!(price("openai", "gpt-5-mini-2025-08-07"), mini);
        assert_eq!(price("anthropic", "claude-sonnet-4-5@20250929"), price("anthropic", "claude-sonnet-4-5"));
        assert_eq!(price("anthropic", "claude-opus-5-5").and_then(|p| p.cache_write), Some(5_000_000));
        assert_ne!(price("anthropic", "claude-opus-5-5"), price("anthropic", "claude-opus-5"));
        assert_eq!(price("gemini", "gemini-2.0-flash-001"), price("gemini", "gemini-2.0-flash"));
        assert_eq!(price("openai", "gpt-4o-2024-05-13").map(|p| p.input), Some(5_000_000));
        assert_eq!(price("openai", "gpt-4o-2024-08-06").map(|p| p.input), Some(2_500_000));
    }

    #[test]
    fn what_is_not_known_has_no_price() {
        for (provider, model) in [
            ("openai", "gpt-4o-audio-preview"),
            ("openai", "gpt-5-mini-turbo"),
            ("anthropic", "claude-opus-9"),
            ("openai", "gpt-5-"),
            ("openai", "gpt-55"),
            ("ollama", "gpt-5"),
            ("openai", ""),
        ] {
            assert_eq!(price(provider, model), None, "{provider}:{model}");
        }
        assert_eq!(price("rehearsal", "auto"), Some(Price { input: 0, cached: 0, output: 0, cache_write: None }));
    }

    #[test]
    fn the_table_has_no_row_twice_and_no_cached_price_above_the_fresh_one() {
        let names: BTreeSet<_> = TABLE.iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.iter().all(|r| r.3 <= r.2 && r.2 < r.4 && (r.5 == 0 || r.5 > r.2)));
    }
}
