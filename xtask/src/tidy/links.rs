//! Relative links of the Markdown files point at files that exist.

use std::path::Path;

use crate::{Fail, repo::Repo, tidy::Findings};

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let mut found = Findings::new();
    for file in repo.files()?.iter().filter(|f| f.ends_with(".md")) {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        for target in targets(&repo.read(file)?) {
            if !repo.root().join(folder).join(&target).exists() {
                found.push(format!("{file}: the link to {target} leads nowhere"));
            }
        }
    }
    Ok(found)
}

/// The files that `[text](path#anchor)` names; links with a scheme and anchors alone are left out.
fn targets(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose = text.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced
    });
    prose
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found_and_others_left_alone() {
        let text = "[a](docs/x.md#part) [b](https://example.com) [c](#here)\n```\n[d](code.md)\n```\n[e](y.md)";
        assert_eq!(targets(text), ["docs/x.md", "y.md"]);
    }
}
