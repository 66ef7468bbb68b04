//! The archive: one folder with the binary and what belongs beside it, to be unpacked anywhere.

use super::{
    files::{Tree, gzip},
    release::{Release, SHELLS},
};
use crate::Fail;

/// `stead-VERSION-TRIPLE.tar.gz`.
pub(super) fn make(release: &Release) -> Result<Vec<u8>, Fail> {
    let root = format!("stead-{}-{}", release.version, release.target.triple);
    let texts = &release.texts;
    let mut tree = Tree::default();
    tree.program(&format!("{root}/stead"), release.binary.clone());
    for (name, text) in [
        ("README.md", &texts.readme),
        ("CHANGELOG.md", &texts.changelog),
        ("LICENSE-APACHE", &texts.apache),
        ("LICENSE-MIT", &texts.mit),
        ("stead.service", &texts.unit),
        ("stead.toml", &texts.config),
        ("stead.cdx.json", &release.sbom),
    ] {
        tree.file(&format!("{root}/{name}"), text.as_str());
    }
    for (name, page) in &release.pages {
        tree.file(&format!("{root}/man/{name}"), page.as_slice());
    }
    for ((shell, _), script) in SHELLS.iter().zip(&release.completions) {
        tree.file(&format!("{root}/completions/stead.{shell}"), script.as_slice());
    }
    gzip(&tree.tar("", release.epoch)?)
}
