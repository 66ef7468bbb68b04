//! Where the files of a release stand in a system (Filesystem Hierarchy Standard 3.0); what the .deb and the image share.

use super::{files::Tree, release::Release};

/// The binary and the licences.
pub(super) fn common(release: &Release) -> Tree {
    let mut tree = Tree::default();
    tree.program("usr/bin/stead", release.binary.clone());
    tree.file("usr/share/doc/stead/copyright", copyright(release));
    tree.file("usr/share/doc/stead/stead.cdx.json", release.sbom.as_str());
    tree
}

/// Debian's machine-readable form, with the text of the MIT licence (which Debian calls Expat) in it.
fn copyright(release: &Release) -> String {
    let text: Vec<String> = release
        .texts
        .mit
        .lines()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") })
        .collect();
    format!("{}\n\nLicense: Expat\n{}\n", release.texts.copyright.trim_end(), text.join("\n"))
}
