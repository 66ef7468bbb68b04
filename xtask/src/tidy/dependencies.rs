//! `docs/dependencies.md` says why each direct dependency is here, and names none that is not; the workspace's table
//! of dependencies holds none that no crate uses; each crate takes lints and licence from the workspace.

use std::collections::BTreeSet;

use crate::{Fail, repo::Repo, tidy::Findings};

const LIST: &str = "docs/dependencies.md";

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let metadata = repo.metadata()?;
    let packages = metadata.workspace_packages();
    let direct: BTreeSet<String> = packages
        .iter()
        .flat_map(|p| &p.dependencies)
        .filter(|d| d.path.is_none())
        // By the name that our code uses, where that is not the package's own.
        .map(|d| d.rename.clone().unwrap_or_else(|| d.name.as_str().to_owned()))
        .collect();
    let mut found = compare(&direct, &listed(&repo.read(LIST)?));

    let root: toml::Table = repo.read("Cargo.toml")?.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let table = root.get("workspace").and_then(|w| w.get("dependencies")).and_then(|d| d.as_table());
    let ours: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    for name in table.into_iter().flatten().map(|(name, _)| name.as_str()) {
        if !ours.contains(name) && !direct.contains(name) {
            found.push(format!("Cargo.toml: no crate uses {name}"));
        }
    }
    for package in &packages {
        let manifest = package.manifest_path.strip_prefix(repo.root()).unwrap_or(&package.manifest_path);
        let table: toml::Table = repo.read(manifest)?.parse().map_err(|e| format!("{manifest}: {e}"))?;
        for (section, key) in [("lints", "workspace"), ("package", "license"), ("package", "publish")] {
            if table.get(section).and_then(|s| s.get(key)).is_none() {
                found.push(format!("{manifest}: [{section}] must take `{key}` from the workspace"));
            }
        }
    }
    Ok(found)
}

/// Names that open a line of the list: "- `name`: why".
fn listed(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once("`: "))
        .filter(|(_, why)| !why.trim().is_empty())
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn compare(direct: &BTreeSet<String>, listed: &[String]) -> Findings {
    let mut found = Findings::new();
    let mut seen = BTreeSet::new();
    for name in listed {
        if !seen.insert(name.clone()) {
            found.push(format!("{LIST}: {name} stands there twice"));
        } else if !direct.contains(name) {
            found.push(format!("{LIST}: no crate uses {name}"));
        }
    }
    found.extend(direct.difference(&seen).map(|name| format!("{LIST}: does not say why {name} is here")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexplained_and_an_unused_dependency_are_found() {
        let direct = BTreeSet::from(["axum".to_owned(), "tokio".to_owned()]);
        let text = "# Why\n\n- `axum`: the HTTP server.\n- `serde`: data.\n- `tokio`: \n";
        let found = compare(&direct, &listed(text));
        assert_eq!(found, [format!("{LIST}: no crate uses serde"), format!("{LIST}: does not say why tokio is here")]);
        assert!(compare(&direct, &listed("- `axum`: a\n- `tokio`: b\n")).is_empty());
    }
}
