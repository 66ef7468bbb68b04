//! The model and its fallbacks.

use super::Findings;
use crate::manifest::{Manifest, ModelSource};

pub(super) fn check(findings: &mut Findings<'_>, manifest: &Manifest) {
    for choice in manifest.model.chain() {
        let what = match &choice.source {
            ModelSource::Cassette(_) => "a cassette",
            _ => "a rehearsal script",
        };
        if choice.loose && !matches!(choice.source, ModelSource::Cassette(_)) {
            findings.value(&["model", "loose"], "`loose` is for a cassette", None);
        }
        match &choice.source {
            ModelSource::Script(_) | ModelSource::Cassette(_) => {
                let given = [
                    ("base_url", choice.base_url.is_some()),
                    ("key", choice.key.is_some()),
                    ("temperature", choice.temperature.is_some()),
                    ("reasoning", choice.reasoning.is_some()),
                ];
                for (key, given) in given {
                    if given {
                        findings.value(&["model", key], format!("`{key}` means nothing to {what}"), None);
                    }
                }
            }
            ModelSource::Provider(name) => {
                if name.starts_with("rehearsal:") && name.as_str() != "rehearsal:auto" {
                    let hint = "a script is given as `model: { rehearsal: ./script.yaml }`; the one without is `rehearsal:auto`";
                    findings.value(&["model", "use"], format!("there is no model `{name}`"), Some(hint.into()));
                }
            }
        }
    }
}
