//! What a manifest asks of a model besides its name, in the words of no provider.

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Effort {
    /// The effort of that name: `low`, `medium` or `high`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            _ => return None,
        })
    }

    /// The word for it, which all providers that take a word have in common.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Settings of a model; silence leaves the provider's default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// How freely words are chosen, from 0 to 2.
    pub temperature: Option<f64>,
    /// How much it thinks.
    pub effort: Option<Effort>,
}
