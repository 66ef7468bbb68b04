//! The OCI image (image-spec 1.1), made without a container engine: one layer, a configuration, a manifest, an index; and the file by
//! which older engines load it.
//!
//! The image has the binary, the certificates of Mozilla's programme, and a user; no shell and no package manager.

use std::{collections::HashMap, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, HistoryBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder,
    Sha256Digest,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    files::{File, Tree, gzip},
    hex,
    release::Release,
    tree,
};
use crate::Fail;

/// Number of the user and the group `stead` in the image, above those that distributions give out.
const USER: u64 = 10_001;

/// The annotation that names an image whole, beside the specification's own, which is a tag among those of the layout: Docker's
/// containerd store and podman name what they load by it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Where OpenSSL's Debian build, and so everybody, looks for certificates.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// `stead-VERSION-ARCHITECTURE.oci.tar`: the layout in an archive.
pub(super) fn make(release: &Release) -> Result<Vec<u8>, Fail> {
    layout(release)?.tar("", release.epoch)
}

/// The same as a folder, `stead-VERSION-ARCHITECTURE.oci`.
pub(super) fn write_layout(release: &Release, out: &Path) -> Result<(), Fail> {
    let root = out.join(format!("stead-{}-{}.oci", release.version, release.target.oci));
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
    }
    for (path, content) in layout(release)?.contents() {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(&root);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, content))
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    println!("wrote {}", root.display());
    Ok(())
}

fn layout(release: &Release) -> Result<Tree, Fail> {
    let mut out = Tree::default();
    let layer = root(release).tar("", release.epoch)?;
    let config = config(release, &layer)?;
    let layer = blob(&mut out, MediaType::ImageLayerGzip, &gzip(&layer)?)?;
    let config = blob(&mut out, MediaType::ImageConfig, config.as_bytes())?;
    let (config_path, layer_path) = (path(&config), path(&layer));
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![layer])
        .build()
        .and_then(|manifest| manifest.to_string())
        .map_err(|e| e.to_string())?;
    let mut manifest = blob(&mut out, MediaType::ImageManifest, manifest.as_bytes())?;
    let name = format!("localhost/stead:{}", release.version);
    manifest.set_annotations(Some(HashMap::from([
        (ANNOTATION_REF_NAME.to_owned(), release.version.clone()),
        (IMAGE_NAME.to_owned(), name.clone()),
    ])));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![manifest])
        .build()
        .and_then(|index| index.to_string())
        .map_err(|e| e.to_string())?;
    out.file("index.json", in_order(serde_json::from_str(&index).map_err(|e| e.to_string())?));
    // What `docker load` reads where images are not kept by containerd: it knows no layout.
    let docker = json!([{ "Config": config_path, "RepoTags": [name], "Layers": [layer_path] }]);
    out.file("manifest.json", docker.to_string());
    let version = OciLayoutBuilder::default().image_layout_version("1.0.0").build().map_err(|e| e.to_string())?;
    out.file("oci-layout", serde_json::to_string(&version).map_err(|e| e.to_string())?);
    Ok(out)
}

/// Where a blob stands in the layout.
fn path(blob: &Descriptor) -> String {
    format!("blobs/sha256/{}", blob.digest().digest())
}

fn blob(out: &mut Tree, kind: MediaType, content: &[u8]) -> Result<Descriptor, Fail> {
    let digest = hex(&Sha256::digest(content));
    out.file(&format!("blobs/sha256/{digest}"), content);
    let digest: Sha256Digest = digest.parse().map_err(|e| format!("{e}"))?;
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(digest)
        .size(u64::try_from(content.len()).map_err(|e| e.to_string())?)
        .build()
        .map_err(|e| e.to_string())
}

/// The files of the image.
fn root(release: &Release) -> Tree {
    let mut tree = tree::common(release);
    tree.file(
        "etc/passwd",
        format!("root:x:0:0::/root:/sbin/nologin\nstead:x:{USER}:{USER}::/var/lib/stead:/sbin/nologin\n"),
    );
    tree.file("etc/group", format!("root:x:0:\nstead:x:{USER}:\n"));
    tree.file("etc/stead/stead.toml", release.texts.image_config.as_str());
    tree.file(CERTIFICATES, certificates());
    tree.add("tmp", File { mode: 0o1777, owner: 0, content: None });
    // A new volume takes the owner of the folder that it covers.
    tree.add("var/lib/stead", File { mode: 0o700, owner: USER, content: None });
    tree
}

/// The roots that Mozilla trusts for servers, as PEM (RFC 7468): an image has no system to take them from.
fn certificates() -> String {
    let mut out = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64_STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

fn config(release: &Release, layer: &[u8]) -> Result<String, Fail> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let labels = [
        ("org.opencontainers.image.title", "stead"),
        ("org.opencontainers.image.description", "A runtime for AI agents that survives crashes"),
        ("org.opencontainers.image.version", &release.version),
        ("org.opencontainers.image.licenses", "Apache-2.0 OR MIT"),
    ];
    let run: Config = ConfigBuilder::default()
        .user(format!("{USER}:{USER}"))
        .exposed_ports(words(&["7411/tcp"]))
        .env(words(&["PATH=/usr/bin", "HOME=/var/lib/stead"]))
        .entrypoint(words(&["/usr/bin/stead"]))
        .cmd(words(&["serve", "--config", "/etc/stead/stead.toml"]))
        .volumes(words(&["/var/lib/stead"]))
        .working_dir("/var/lib/stead")
        .labels(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect::<HashMap<_, _>>())
        .stop_signal("SIGTERM")
        .build()
        .map_err(|e| e.to_string())?;
    let rootfs = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![format!("sha256:{}", hex(&Sha256::digest(layer)))])
        .build()
        .map_err(|e| e.to_string())?;
    let history = HistoryBuilder::default().created_by("cargo xtask dist").build().map_err(|e| e.to_string())?;
    let image = ImageConfigurationBuilder::default()
        .os(Os::Linux)
        .architecture(Arch::from(release.target.oci))
        .config(run)
        .rootfs(rootfs)
        .history(vec![history])
        .build()
        .map_err(|e| e.to_string())?;
    Ok(in_order(serde_json::to_value(&image).map_err(|e| e.to_string())?))
}

/// As text whose objects have their keys in order: the maps of the types are hash maps, which would differ from run to run.
fn in_order(mut document: Value) -> String {
    document.sort_all_objects();
    document.to_string()
}
