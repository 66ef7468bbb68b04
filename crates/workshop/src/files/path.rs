//! Paths as a model writes them.

use stead_workspace::{TreePath, WorkspaceError};

/// What no workspace has at its top: Stead's own state, which a person's tools would believe.
const RESERVED: &[u8] = b".stead";

/// A path of the workspace. `/workspace/…` is what commands call the same file.
pub(super) fn parse(text: &str) -> Result<TreePath, WorkspaceError> {
    let inside = match text.strip_prefix(crate::place::WORKSPACE) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('/').unwrap_or(text),
        None => text,
    };
    let path = TreePath::parse(inside.as_bytes())?;
    if path.names().first().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(RESERVED)) {
        return Err(WorkspaceError::Path {
            path: path.to_string(),
            what: "`.stead` is Stead's own name, and no part of a workspace",
        });
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_stay_in_the_workspace() {
        for (text, is) in [("a/b", "a/b"), ("./a//b", "a/b"), ("/workspace/a", "a"), ("/workspace", "."), ("", ".")] {
            assert_eq!(parse(text).unwrap().to_string(), is);
        }
        for bad in
            ["/etc/passwd", "../a", "a/../../b", "/workspaces/a", ".stead/agents", "/workspace/.stead", "./.stead"]
        {
            parse(bad).unwrap_err();
        }
        parse("a/.stead").unwrap();
    }
}
