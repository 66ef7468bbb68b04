//! An agent whose loop runs elsewhere has nothing that only a loop here could use.

use super::Findings;
use crate::manifest::{Manifest, Tracing};

pub(super) fn check(findings: &mut Findings<'_>, manifest: &Manifest) {
    if !manifest.gateway {
        return;
    }
    let given = [
        ("tools", !manifest.tools.is_empty()),
        ("input", manifest.input.is_some()),
        ("output", manifest.output.is_some()),
        ("include", !manifest.include.is_empty()),
        ("confidence", manifest.confidence.is_some()),
        ("provenance", manifest.provenance == Some(Tracing::Plan)),
    ];
    for (key, given) in given {
        if given {
            let hint = "its client has the loop and runs the tools; remove this, or `gateway`";
            findings.value(&[key], format!("`{key}` means nothing to a gateway"), Some(hint.to_owned()));
        }
    }
}
