//! How much a model thinks, as its generation takes it; and which generation can be held to a schema.

use serde_json::{Value, json};

use crate::settings::Effort;

/// Least tokens of thought that the API takes.
const MIN_BUDGET: u64 = 1_024;

/// What a request says about thinking.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Thinking {
    /// `thinking`.
    pub(super) thinking: Option<Value>,
    /// `output_config.effort`.
    pub(super) effort: Option<&'static str>,
}

/// Whether a model chooses for itself how long to think.
pub(super) fn adapts(model: &str) -> bool {
    generation(model) >= (4, 6)
}

/// Models from 4.6 on choose for themselves how long to think, within an effort. Those before have a budget, which is a
/// part of the output limit; where the limit leaves no room for the least budget, they do not think.
pub(super) fn thinking(model: &str, effort: Option<Effort>, max_output_tokens: u64) -> Thinking {
    let Some(effort) = effort else { return Thinking::default() };
    if adapts(model) {
        return Thinking { thinking: Some(json!({ "type": "adaptive" })), effort: Some(effort.word()) };
    }
    let percent = match effort {
        Effort::Low => 25,
        Effort::Medium => 50,
        Effort::High => 75,
    };
    let budget = (max_output_tokens.saturating_mul(percent) / 100).max(MIN_BUDGET);
    let fits = budget < max_output_tokens && generation(model) >= (3, 7);
    Thinking { thinking: fits.then(|| json!({ "type": "enabled", "budget_tokens": budget })), effort: None }
}

/// Whether a model takes `output_config.format`.
pub(super) fn takes_schema(model: &str) -> bool {
    let opus_four_one = model.contains("opus-4-1");
    generation(model) >= (4, 5) || opus_four_one
}

/// Major and minor number in a model's name: `claude-3-7-sonnet-20250219`, `claude-opus-4-5`, `claude-sonnet-5`. A name
/// without numbers is of the future.
fn generation(model: &str) -> (u32, u32) {
    // A date or a tag is longer than a number of a version.
    let mut numbers = model.split(['-', '.', '@']).filter(|p| p.len() <= 2).filter_map(|p| p.parse().ok());
    match (numbers.next(), numbers.next()) {
        (None, _) => (u32::MAX, 0),
        (Some(major), minor) => (major, minor.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_read_from_the_name() {
        for (name, expected) in [
            ("claude-3-haiku-20240307", (3, 0)),
            ("claude-3-7-sonnet-latest", (3, 7)),
            ("claude-sonnet-4-20250514", (4, 0)),
            ("claude-opus-4-5@20251101", (4, 5)),
            ("claude-sonnet-5", (5, 0)),
            ("claude-opus-5-5", (5, 5)),
            ("claude-next", (u32::MAX, 0)),
        ] {
            assert_eq!(generation(name), expected, "{name}");
        }
    }

    #[test]
    fn each_generation_is_told_in_its_own_way() {
        let of = |model, effort, limit| thinking(model, Some(effort), limit);
        assert_eq!(thinking("claude-opus-5-5", None, 4_096), Thinking::default());
        let adaptive = Thinking { thinking: Some(json!({ "type": "adaptive" })), effort: Some("low") };
        assert_eq!(of("claude-sonnet-4-6", Effort::Low, 4_096), adaptive);
        let budget = |n: u64| Some(json!({ "type": "enabled", "budget_tokens": n }));
        assert_eq!(of("claude-sonnet-4-5", Effort::High, 8_000).thinking, budget(6_000));
        assert_eq!(of("claude-3-7-sonnet-latest", Effort::Low, 2_000).thinking, budget(1_024));
        assert_eq!(of("claude-haiku-4-5", Effort::High, 1_024), Thinking::default());
        assert_eq!(of("claude-3-5-haiku-latest", Effort::High, 8_000), Thinking::default());
        assert!(takes_schema("claude-opus-4-1-20250805") && takes_schema("claude-haiku-5-5"));
        assert!(!takes_schema("claude-sonnet-4-20250514") && !takes_schema("claude-3-7-sonnet-latest"));
    }
}
