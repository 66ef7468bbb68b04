//! A crate names what it depends on: a dependency that its code does not use is dropped, and one that only its tests use
//! stands among those of tests.

use cargo_metadata::DependencyKind;

use crate::{
    Fail,
    repo::Repo,
    tidy::{
        Findings,
        rust::{self, Code},
    },
};

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let files = repo.files()?;
    let mut found = Findings::new();
    for package in repo.metadata()?.workspace_packages() {
        let folder = package.manifest_path.parent().and_then(|p| p.strip_prefix(repo.root()).ok());
        let folder = folder.ok_or_else(|| format!("{} stands outside the tree", package.name))?;
        let folder = format!("{folder}/");
        let code = rust::read(repo, &files, |file| file.starts_with(&folder))?;
        let normal = |name: &str| {
            package
                .dependencies
                .iter()
                .any(|d| d.kind == DependencyKind::Normal && d.rename.as_deref().unwrap_or(&d.name) == name)
        };
        for dependency in &package.dependencies {
            let name = dependency.rename.as_deref().unwrap_or(&dependency.name);
            let verdict = match dependency.kind {
                DependencyKind::Normal => judge(&code, name),
                // For its features, beside the same one of the crate itself.
                DependencyKind::Development if normal(name) => {
                    dependency.features.is_empty().then_some("stands among the crate's own already")
                }
                DependencyKind::Development => {
                    (!rust::names(&code.tests, &ident(name))).then_some("is not used by the tests")
                }
                _ => None,
            };
            found.extend(verdict.map(|what| format!("{folder}Cargo.toml: {name} {what}")));
        }
    }
    Ok(found)
}

/// What is wrong with a dependency of the crate itself.
fn judge(code: &Code, name: &str) -> Option<&'static str> {
    let name = ident(name);
    match (rust::names(&code.product, &name), rust::names(&code.tests, &name)) {
        (true, _) => None,
        (false, true) => Some("is used by tests only: it belongs under [dev-dependencies]"),
        (false, false) => Some("is not used"),
    }
}

/// A package's name as code writes it.
fn ident(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_use_and_one_of_tests_only_are_found() {
        let code =
            rust::split("crates/a/src/lib.rs", "use tokio::sync;\n#[cfg(test)]\nmod tests {\n use temp_file::x;\n}\n");
        assert_eq!(judge(&code, "tokio"), None);
        assert_eq!(judge(&code, "serde"), Some("is not used"));
        assert!(judge(&code, "temp-file").is_some_and(|what| what.contains("dev-dependencies")));
    }
}
