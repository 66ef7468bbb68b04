//! The page of the manual names what is told, and what it names is told.

#![expect(clippy::unwrap_used, reason = "tests")]

use stead_telemetry::names::{ALL, SCHEMA_URL, VERSION, op};

#[test]
fn the_manual_has_every_name_at_the_version_that_is_told() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observability.md")).unwrap();
    for name in ALL {
        let family = name.rsplit_once('.').map(|(family, _)| format!("`{family}.*`")).unwrap_or_default();
        assert!(
            page.contains(&format!("`{name}`")) || page.contains(&family),
            "docs/observability.md does not have `{name}`"
        );
    }
    for op in op::ALL {
        assert!(page.contains(&format!("`{op}")), "docs/observability.md does not have the span `{op}`");
    }
    assert!(page.contains(VERSION) && page.contains(SCHEMA_URL) && SCHEMA_URL.ends_with(VERSION));
}

#[test]
fn no_name_stands_twice() {
    let unique: std::collections::BTreeSet<_> = ALL.iter().collect();
    assert_eq!(unique.len(), ALL.len());
}
