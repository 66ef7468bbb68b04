//! Files that a command gives to a run: read, bounded, with the media type that their ending says.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stead_api::artifact::{Attachment, MAX_ATTACHMENTS};
use stead_core::code;

use crate::error::{CliError, Outcome};

/// Bytes of all files together; a server may take fewer.
const MAX: u64 = 64 << 20;

/// The files at these paths.
pub(crate) fn files(paths: &[PathBuf]) -> Outcome<Vec<Attachment>> {
    if paths.len() > MAX_ATTACHMENTS {
        return Err(CliError::usage(format!("a run is given at most {MAX_ATTACHMENTS} files")));
    }
    let mut room = MAX;
    let one = |path: &PathBuf| {
        let unread = |e: std::io::Error| CliError::other(format!("{} cannot be read: {e}", path.display()));
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(room + 1).read_to_end(&mut bytes)).map_err(unread)?;
        room = room
            .checked_sub(read as u64)
            .ok_or_else(|| CliError::new(code::TOO_LARGE, format!("the files are larger than {MAX} bytes")))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Attachment { media_type: Some(media(path, &bytes).to_owned()), name, data: STANDARD.encode(&bytes) })
    };
    paths.iter().map(one).collect()
}

/// The media type of a file, by its ending; of another, whether it is text.
fn media(path: &Path, bytes: &[u8]) -> &'static str {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "xml" => "application/xml",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "md" => "text/markdown",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_a_file_is_and_the_bytes_do_when_it_does_not() {
        for (name, bytes, told) in [
            ("a.PNG", &b"\xff"[..], "image/png"),
            ("a.csv", b"a,b", "text/csv"),
            ("Makefile", "grün".as_bytes(), "text/plain"),
            ("a.bin", b"\xff\xfe", "application/octet-stream"),
        ] {
            assert_eq!(media(Path::new(name), bytes), told, "{name}");
        }
    }
}
