//! Files that go into a run or come out of it: what a record says of one. The bytes are a blob of the tenant.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{BlobId, Name};

/// Bytes of a name.
pub const MAX_NAME: usize = 200;
/// Bytes of a media type.
pub const MAX_MEDIA: usize = 100;
/// Bytes of a text that a model is shown; of a longer one it is shown the beginning.
pub const TEXT_SHOWN: usize = 64 << 10;
/// Tokens that an image takes in a model's view, estimated; providers count up to about as many.
pub const IMAGE_TOKENS: u64 = 1_600;
/// Tokens that the mention of a file takes.
const MENTION_TOKENS: u64 = 32;

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name: one word of a path. Several files of a run may have the same.
    #[n(0)]
    pub name: Name,
    /// Its media type, as whoever gave it said.
    #[n(1)]
    pub media: Name,
    /// Its length in bytes.
    #[n(2)]
    pub len: u64,
    /// SHA-256 of its bytes.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// Where its bytes are.
    #[n(4)]
    pub blob: BlobId,
}

/// What a model can make of a file that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Its text.
    Text,
    /// The picture.
    Image,
    /// That it is there.
    Mention,
}

impl Artifact {
    /// Describes a file. Name and media type are made plain: see [`plain_name`] and [`plain_media`].
    pub fn new(name: &str, media: &str, content: &[u8], blob: BlobId) -> Self {
        Self {
            name: plain_name(name).into(),
            media: plain_media(media).into(),
            len: content.len() as u64,
            digest: Sha256::digest(content).into(),
            blob,
        }
    }

    /// What a model is shown of it.
    pub fn shown(&self) -> Shown {
        shown(&self.media)
    }

    /// Tokens that it takes in a model's view, estimated.
    pub fn tokens(&self) -> u64 {
        MENTION_TOKENS
            + match self.shown() {
                Shown::Text => self.len.min(TEXT_SHOWN as u64).div_ceil(4),
                Shown::Image => IMAGE_TOKENS,
                Shown::Mention => 0,
            }
    }
}

/// What a model is shown of a file of that media type. Images are those that all providers take.
pub fn shown(media: &str) -> Shown {
    let essence = media.split(';').next().unwrap_or_default().trim();
    let (kind, sub) = essence.split_once('/').unwrap_or((essence, ""));
    match (kind, sub) {
        ("image", "png" | "jpeg" | "gif" | "webp") => Shown::Image,
        ("text", _) => Shown::Text,
        (_, "json" | "xml" | "yaml" | "x-yaml" | "toml" | "csv" | "javascript" | "x-ndjson") => Shown::Text,
        (_, sub) if ["+json", "+xml", "+yaml"].iter().any(|end| sub.ends_with(end)) => Shown::Text,
        _ => Shown::Mention,
    }
}

/// The name as one word of a path: what stands after the last `/` or `\`, without control characters, at most
/// [`MAX_NAME`] bytes. What is nothing then, or means a folder, is `file`.
pub fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).collect();
    let cut = &plain[..plain.floor_char_boundary(MAX_NAME)];
    match cut.trim() {
        "" | "." | ".." => "file".to_owned(),
        name => name.to_owned(),
    }
}

/// The media type in small letters; `application/octet-stream` for what is none (RFC 6838, section 4.2).
pub fn plain_media(media: &str) -> String {
    let media = media.trim().to_ascii_lowercase();
    let word = |text: &str| {
        text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = media.split(';').next().unwrap_or_default().trim();
    match essence.split_once('/') {
        Some((kind, sub)) if essence.len() <= MAX_MEDIA && word(kind) && word(sub) => essence.to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_path() {
        for (name, plain) in [
            ("report.pdf", "report.pdf"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\x.png", "x.png"),
            ("a/..", "file"),
            ("", "file"),
            ("  ", "file"),
            ("a\n\u{7}b", "ab"),
            ("Grüße.txt", "Grüße.txt"),
        ] {
            assert_eq!(plain_name(name), plain, "{name:?}");
        }
        assert!(plain_name(&"ü".repeat(300)).len() <= MAX_NAME);
    }

    #[test]
    fn a_media_type_is_one_or_bytes() {
        for (media, plain) in [
            ("Image/PNG", "image/png"),
            ("text/plain; charset=utf-8", "text/plain"),
            ("application/vnd.x+json", "application/vnd.x+json"),
            ("", "application/octet-stream"),
            ("text", "application/octet-stream"),
            ("text/a\r\nx: y", "application/octet-stream"),
        ] {
            assert_eq!(plain_media(media), plain, "{media:?}");
        }
    }

    #[test]
    fn what_a_model_can_read_is_told_by_the_media_type() {
        for (media, how) in [
            ("text/csv", Shown::Text),
            ("application/ld+json", Shown::Text),
            ("image/webp", Shown::Image),
            ("image/svg+xml", Shown::Text),
            ("image/tiff", Shown::Mention),
            ("application/pdf", Shown::Mention),
        ] {
            assert_eq!(shown(media), how, "{media}");
        }
        let blob = BlobId([0; 32]);
        assert_eq!(Artifact::new("a", "text/plain", &[b'x'; 400], blob).tokens(), MENTION_TOKENS + 100);
        assert_eq!(Artifact::new("a", "application/pdf", &[0; 400], blob).tokens(), MENTION_TOKENS);
    }
}
