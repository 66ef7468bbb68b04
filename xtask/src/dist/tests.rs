//! The packages of a program that is no program: their layout, as the tools and the specifications of each kind want it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Cursor, Read as _},
    path::Path,
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Asked, archive, deb, hex, oci, packages,
    release::{Release, Texts},
    sbom, sums,
    target::{self, Target},
    wheel,
};
use crate::repo::{Repo, output};

const BINARY: &[u8] = b"\x7fELF, or so it says";

fn dummy(target: &'static Target) -> Release {
    Release {
        version: "1.2.3".into(),
        epoch: 1_700_000_000,
        target,
        binary: BINARY.to_vec(),
        pages: vec![("stead.1".into(), b".TH stead 1\n".to_vec())],
        completions: vec![b"bash".to_vec(), b"zsh".to_vec(), b"fish".to_vec()],
        sbom: "{}\n".into(),
        texts: Texts::read(&Repo::find().unwrap()).unwrap(),
    }
}

/// What `dpkg-deb` says about a package; it is part of Debian, and `./test` installs it elsewhere.
fn dpkg_deb(option: &str, package: &Path) -> String {
    output(Command::new("dpkg-deb").arg(option).arg(package)).expect("dpkg-deb reads it (apt-get install dpkg)")
}

#[test]
fn the_same_release_gives_the_same_bytes() {
    for target in target::ALL {
        assert_eq!(packages(&dummy(target)).unwrap(), packages(&dummy(target)).unwrap());
    }
}

#[test]
fn dpkg_reads_the_package_and_the_administrator_keeps_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    for target in target::ALL {
        let path = dir.path().join("stead.deb");
        fs::write(&path, deb::make(&dummy(target)).unwrap()).unwrap();
        let info = dpkg_deb("--info", &path);
        for field in [" Package: stead\n", " Version: 1.2.3\n", &format!(" Architecture: {}\n", target.debian)] {
            assert!(info.contains(field), "{info}");
        }
        let listed = dpkg_deb("--contents", &path);
        for line in [
            ("-rwxr-xr-x root/root", "./usr/bin/stead"),
            ("-rw-r--r-- root/root", "./etc/stead/stead.toml"),
            ("-rw-r--r-- root/root", "./usr/lib/systemd/system/stead.service"),
            ("-rw-r--r-- root/root", "./usr/share/man/man1/stead.1.gz"),
            ("-rw-r--r-- root/root", "./usr/share/bash-completion/completions/stead"),
            ("-rw-r--r-- root/root", "./usr/share/zsh/vendor-completions/_stead"),
            ("-rw-r--r-- root/root", "./usr/share/fish/vendor_completions.d/stead.fish"),
            ("drwxr-xr-x root/root", "./usr/share/doc/stead/"),
        ] {
            assert!(listed.lines().any(|l| l.starts_with(line.0) && l.ends_with(line.1)), "{line:?}: {listed}");
        }
        let control = dir.path().join(target.debian);
        output(Command::new("dpkg-deb").arg("--control").arg(&path).arg(&control)).unwrap();
        assert_eq!(fs::read_to_string(control.join("conffiles")).unwrap(), "/etc/stead/stead.toml\n");
        for script in ["postinst", "prerm", "postrm"] {
            output(Command::new("sh").arg("-n").arg(control.join(script))).unwrap();
        }
        let root = dir.path().join("root");
        output(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(&root)).unwrap();
        let sums = fs::canonicalize(control.join("md5sums")).unwrap();
        output(Command::new("md5sum").arg("--check").arg("--strict").arg(sums).current_dir(&root)).unwrap();
        assert_eq!(fs::read(root.join("usr/bin/stead")).unwrap(), BINARY);
    }
}

#[test]
fn the_record_of_the_wheel_is_true_and_its_script_may_be_run() {
    for target in target::ALL {
        let release = dummy(target);
        let name = wheel::file_name(&release);
        let mut zip = zip::ZipArchive::new(Cursor::new(wheel::make(&release).unwrap())).unwrap();
        let mut text = |name: &str| {
            let mut bytes = Vec::new();
            let mut file = zip.by_name(name).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            (file.unix_mode().unwrap() & 0o777, bytes)
        };
        assert_eq!(text("stead-1.2.3.data/scripts/stead"), (0o755, BINARY.to_vec()));
        // The tags of the name, which are joined by dots, are those of the file (PEP 425).
        let tags = String::from_utf8(text("stead-1.2.3.dist-info/WHEEL").1).unwrap();
        let tags: Vec<&str> = tags.lines().filter_map(|l| l.strip_prefix("Tag: py3-none-")).collect();
        assert_eq!(name, format!("stead-1.2.3-py3-none-{}.whl", tags.join(".")));
        let record = String::from_utf8(text("stead-1.2.3.dist-info/RECORD").1).unwrap();
        let mut recorded = BTreeSet::new();
        for line in record.lines() {
            let [path, digest, len] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
            recorded.insert(path.to_owned());
            if !path.ends_with("/RECORD") {
                let bytes = text(path).1;
                assert_eq!(digest, format!("sha256={}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes))));
                assert_eq!(len, bytes.len().to_string());
            }
        }
        assert_eq!(recorded, zip.file_names().map(|n| n.unwrap().into_owned()).collect());
    }
}

/// The files of an archive, by path.
fn untar(bytes: &[u8]) -> Vec<(String, u32, u64, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().display().to_string();
        (path, header.mode().unwrap(), header.uid().unwrap(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn every_digest_of_the_image_leads_to_its_blob() {
    for target in target::ALL {
        let files = untar(&oci::make(&dummy(target)).unwrap());
        let bytes = |path: &str| files.iter().find(|f| f.0 == path).unwrap_or_else(|| panic!("no {path}")).3.clone();
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = bytes(&format!("blobs/sha256/{digest}"));
            assert_eq!(hex(&Sha256::digest(&bytes)), digest);
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let json = |bytes: Vec<u8>| -> Value { serde_json::from_slice(&bytes).unwrap() };
        assert_eq!(json(bytes("oci-layout")), serde_json::json!({ "imageLayoutVersion": "1.0.0" }));
        let index = json(bytes("index.json"));
        let names = &index["manifests"][0]["annotations"];
        assert_eq!(names["org.opencontainers.image.ref.name"], "1.2.3");
        assert_eq!(names["io.containerd.image.name"], "localhost/stead:1.2.3", "podman and containerd name it so");
        let manifest = json(blob(&index["manifests"][0]));
        let path =
            |of: &Value| format!("blobs/sha256/{}", of["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
        let layers = [path(&manifest["layers"][0])];
        let docker = serde_json::json!([{ "Config": path(&manifest["config"]), "RepoTags": ["localhost/stead:1.2.3"], "Layers": layers }]);
        assert_eq!(json(bytes("manifest.json")), docker, "Docker finds the same blobs under the same name");
        let config = json(blob(&manifest["config"]));
        assert_eq!((&config["architecture"], &config["os"]), (&target.oci.into(), &"linux".into()));
        let run = &config["config"];
        assert_eq!(run["Entrypoint"], serde_json::json!(["/usr/bin/stead"]));
        assert_eq!(run["User"], "10001:10001");
        assert!(run["ExposedPorts"]["7411/tcp"].is_object() && run["Volumes"]["/var/lib/stead"].is_object(), "{run}");
        let layer = gunzip(&blob(&manifest["layers"][0]));
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&Sha256::digest(&layer))));
        let root = untar(&layer);
        let find = |path: &str| root.iter().find(|f| f.0 == path).unwrap_or_else(|| panic!("no {path}"));
        assert_eq!((find("usr/bin/stead").1, &find("usr/bin/stead").3), (0o755, &BINARY.to_vec()));
        assert_eq!((find("var/lib/stead/").1, find("var/lib/stead/").2), (0o700, 10_001));
        let certificates = String::from_utf8(find("etc/ssl/certs/ca-certificates.crt").3.clone()).unwrap();
        assert!(certificates.matches("BEGIN CERTIFICATE").count() > 50, "{certificates}");
    }
}

#[test]
fn the_archive_has_one_folder_with_the_binary_and_the_licences() {
    let files = untar(&gunzip(&archive::make(&dummy(&target::ALL[0])).unwrap()));
    let root = "stead-1.2.3-x86_64-unknown-linux-musl/";
    assert!(files.iter().all(|f| f.0.starts_with(root)));
    let has = |name: &str| files.iter().any(|f| f.0 == format!("{root}{name}"));
    assert!(["stead", "LICENSE-MIT", "LICENSE-APACHE", "man/stead.1", "completions/stead.zsh"].into_iter().all(has));
}

#[test]
fn the_list_of_what_is_linked_has_the_crates_of_the_binary_and_not_those_of_its_tests() {
    let document: Value = serde_json::from_str(&sbom::make(&Repo::find().unwrap(), &target::ALL[0]).unwrap()).unwrap();
    let names: BTreeSet<&str> =
        document["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(["stead-core", "rusqlite", "tokio"].into_iter().all(|n| names.contains(n)), "{names:?}");
    assert!(["insta", "proptest", "stead-testkit", "xtask"].into_iter().all(|n| !names.contains(n)), "{names:?}");
    for edge in document["dependencies"].as_array().unwrap() {
        assert!(edge["dependsOn"].is_array(), "{edge}");
    }
}

#[test]
fn sha256sum_agrees_with_the_list() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a b"), "x").unwrap();
    fs::write(dir.path().join("c"), "").unwrap();
    fs::write(dir.path().join("SHA256SUMS"), sums(dir.path()).unwrap()).unwrap();
    output(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dir.path())).unwrap();
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    // Where there is no systemd, there is nothing that could read a unit; `./test` installs it.
    let dir = tempfile::tempdir().unwrap();
    let unit = Repo::find().unwrap().read("deploy/systemd/stead.service").unwrap();
    let path = dir.path().join("stead.service");
    // The program has to exist for the check.
    fs::write(&path, unit.replace("/usr/bin/stead ", "/bin/true ")).unwrap();
    let checked = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .expect("systemd-analyze is there (apt-get install systemd)");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && !said.contains("stead.service"), "{said}");
}

#[test]
fn only_targets_of_releases_are_taken() {
    let asked = Asked::parse(&["--target", "aarch64-unknown-linux-musl"]).unwrap();
    assert_eq!(asked.targets, [&target::ALL[1]]);
    assert_eq!(Asked::parse(&[]).unwrap().targets, [&target::ALL[0]]);
    assert!(Asked::parse(&["--target", "wasm32-wasip1"]).unwrap_err().contains("x86_64-unknown-linux-musl"));
    assert!(Asked::parse(&["--frobnicate"]).unwrap_err().contains("usage"));
    assert!(
        Asked::parse(&["--binary", "x", "--target", target::ALL[0].triple, "--target", target::ALL[1].triple]).is_err()
    );
}
