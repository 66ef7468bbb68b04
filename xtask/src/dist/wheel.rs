//! The wheel: `pip install` puts the binary where scripts go. There is no Python in it.
//!
//! The layout is that of the binary distribution format (PyPA specifications, version 1.0 of the wheel format).

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::release::Release;
use crate::Fail;

/// `stead-VERSION-py3-none-PLATFORMS.whl`.
pub(super) fn file_name(release: &Release) -> String {
    format!("stead-{}-py3-none-{}.whl", release.version, release.target.wheel.join("."))
}

/// The file.
pub(super) fn make(release: &Release) -> Result<Vec<u8>, Fail> {
    let info = format!("stead-{}.dist-info", release.version);
    let script = format!("stead-{}.data/scripts/stead", release.version);
    let mut files: Vec<(String, u32, &[u8])> = vec![(script, 0o755, &release.binary)];
    let (metadata, wheel) = (metadata(release), wheel(release));
    let texts = &release.texts;
    for (name, content) in [
        ("METADATA", &metadata),
        ("WHEEL", &wheel),
        ("licenses/LICENSE-APACHE", &texts.apache),
        ("licenses/LICENSE-MIT", &texts.mit),
        ("sboms/stead.cdx.json", &release.sbom),
    ] {
        files.push((format!("{info}/{name}"), 0o644, content.as_bytes()));
    }
    let mut record = String::new();
    for (path, _, content) in &files {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        writeln!(record, "{path},sha256={digest},{}", content.len()).map_err(|e| e.to_string())?;
    }
    let own = format!("{info}/RECORD");
    // The record has no digest of itself.
    writeln!(record, "{own},,").map_err(|e| e.to_string())?;
    files.push((own, 0o644, record.as_bytes()));
    zipped(&files)
}

fn zipped(files: &[(String, u32, &[u8])]) -> Result<Vec<u8>, Fail> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, mode, content) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            // The earliest that a zip file can say: pip gives files the time of the installation.
            .last_modified_time(DateTime::default())
            .unix_permissions(*mode);
        writer.start_file(path.as_str(), options).map_err(|e| format!("{path}: {e}"))?;
        writer.write_all(content).map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(writer.finish().map_err(|e| e.to_string())?.into_inner())
}

fn metadata(release: &Release) -> String {
    format!(
        "Metadata-Version: 2.4\n\
         Name: stead\n\
         Version: {}\n\
         Summary: A runtime for AI agents that survives crashes: the binary `stead`\n\
         Keywords: agents,ai,durable execution,workflow\n\
         License-Expression: Apache-2.0 OR MIT\n\
         License-File: LICENSE-APACHE\n\
         License-File: LICENSE-MIT\n\
         Requires-Python: >=3.8\n\
         Description-Content-Type: text/markdown\n\n{}",
        release.version, release.texts.readme
    )
}

fn wheel(release: &Release) -> String {
    let tags: String = release.target.wheel.iter().map(|tag| format!("Tag: py3-none-{tag}\n")).collect();
    format!("Wheel-Version: 1.0\nGenerator: stead xtask {}\nRoot-Is-Purelib: false\n{tags}", release.version)
}
