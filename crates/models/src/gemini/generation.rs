//! What a model's generation can be asked.

use serde_json::{Value, json};

use crate::settings::Effort;

/// Major number in a name such as `gemini-2.5-flash`; a name without one (`gemini-flash-latest`, other families) is taken for
/// the newest.
fn major(model: &str) -> u32 {
    let after = model.rsplit('/').next().unwrap_or(model).strip_prefix("gemini-").unwrap_or_default();
    after.split(['.', '-']).next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX)
}

/// Whether a schema of the answer may stand beside tools.
pub(super) fn takes_schema_beside_tools(model: &str) -> bool {
    major(model) >= 3
}

/// Whether a call without a signature is refused.
pub(super) fn wants_signatures(model: &str) -> bool {
    model.rsplit('/').next().unwrap_or(model).starts_with("gemini-") && major(model) >= 3
}

/// `thinkingConfig`: a level from Gemini 3 on, a budget of tokens in 2.5, nothing before.
pub(super) fn thinking(model: &str, effort: Option<Effort>) -> Option<Value> {
    let effort = effort?;
    match major(model) {
        0..=1 => None,
        2 if !model.contains("gemini-2.5") => None,
        2 => {
            let budget = match effort {
                Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High => 24_576,
            };
            Some(json!({ "thinkingBudget": budget }))
        }
        _ => Some(json!({ "thinkingLevel": effort.word() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_is_told_in_its_own_way() {
        assert_eq!(thinking("gemini-3.1-pro-preview", Some(Effort::Low)), Some(json!({ "thinkingLevel": "low" })));
        assert_eq!(thinking("gemini-flash-latest", Some(Effort::High)), Some(json!({ "thinkingLevel": "high" })));
        assert_eq!(thinking("gemini-2.5-flash", Some(Effort::High)), Some(json!({ "thinkingBudget": 24_576 })));
        assert_eq!(thinking("gemini-2.0-flash", Some(Effort::High)), None);
        assert_eq!(thinking("gemini-3-flash-preview", None), None);
        assert!(takes_schema_beside_tools("gemini-4-argon") && !takes_schema_beside_tools("gemini-2.5-pro"));
        assert!(wants_signatures("gemini-3-pro-preview") && wants_signatures("models/gemini-flash-latest"));
        assert!(!wants_signatures("gemini-2.5-pro") && !wants_signatures("gemma-3-27b-it"));
    }
}
