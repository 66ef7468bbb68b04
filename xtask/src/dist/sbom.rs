//! The list of what is linked into the binary, as CycloneDX 1.5 JSON, made from cargo's own view of the tree.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package, PackageId};
use serde_json::{Value, json};

use super::target::Target;
use crate::{Fail, repo::Repo};

/// Whether what `of` may depend on is active: `on` is not optional there, or one of its `features` that are on asks for it. Cargo's resolution also names
/// what a feature only mentions (`name?/feature`) and somebody else builds.
fn activated(of: &Package, on: &Package, features: &[impl std::fmt::Display]) -> bool {
    let mut named = of.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal && d.name == on.name.as_str());
    let features: BTreeSet<String> = features.iter().map(ToString::to_string).collect();
    named.any(|dependency| {
        let name = dependency.rename.as_deref().unwrap_or(&dependency.name);
        let asks = |word: &str| word == format!("dep:{name}") || word.starts_with(&format!("{name}/"));
        let by_feature = |feature: &String| of.features.get(feature).is_some_and(|words| words.iter().any(|w| asks(w)));
        !dependency.optional || features.contains(name) || features.iter().any(by_feature)
    })
}

/// The document. It has no time and no serial number, so that the same tree gives the same bytes.
pub(super) fn make(repo: &Repo, target: &Target) -> Result<String, Fail> {
    let metadata = MetadataCommand::new()
        .manifest_path(repo.root().join("Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), target.triple.to_owned()])
        .exec()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let resolve = metadata.resolve.as_ref().ok_or("cargo metadata resolves nothing")?;
    let packages: BTreeMap<&PackageId, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let linked: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            let active = |dependency: &PackageId| match (packages.get(&node.id), packages.get(dependency)) {
                (Some(of), Some(on)) => activated(of, on, &node.features),
                _ => true,
            };
            let linked = node.deps.iter().filter(|d| normal(&d.dep_kinds) && active(&d.pkg));
            (&node.id, linked.map(|d| &d.pkg).collect())
        })
        .collect();
    let root = *packages.iter().find(|(_, p)| p.name == "stead").ok_or("there is no package `stead`")?.0;
    let mut seen = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(linked.get(id).into_iter().flatten());
        }
    }
    let name = |id: &PackageId| packages.get(id).map_or_else(String::new, |p| purl(p));
    let components: Vec<Value> =
        seen.iter().filter(|id| **id != root).filter_map(|id| packages.get(*id)).map(|p| component(p)).collect();
    let dependencies: Vec<Value> = seen
        .iter()
        .map(|id| json!({ "ref": name(id), "dependsOn": linked.get(id).into_iter().flatten().map(|d| name(d)).collect::<BTreeSet<_>>() }))
        .collect();
    let mut main = packages.get(root).map_or(Value::Null, |p| component(p));
    main["type"] = "application".into();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": main },
        "components": components,
        "dependencies": dependencies,
    });
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|e| e.to_string())
}

fn component(package: &Package) -> Value {
    let mut out = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name.as_str(),
        "version": package.version.to_string(),
        "purl": purl(package),
    });
    if let Some(licence) = &package.license {
        // Older crates write `/` where SPDX has `OR`.
        out["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    out
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}
