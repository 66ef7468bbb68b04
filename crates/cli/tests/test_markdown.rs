//! `docs/cli.md` is what the grammar says.

use crate::common::{TestEnvironment, root};

#[test]
fn the_reference_is_that_of_this_command_line() {
    let page = TestEnvironment::new().stead("markdown").succeeds().stdout;
    let path = root().join("docs/cli.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is stale: cargo run -q -- markdown > docs/cli.md");
}
