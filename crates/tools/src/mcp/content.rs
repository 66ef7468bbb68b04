//! A result's content: texts as the model reads them, and what is no text as files beside it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::model::{ContentBlock, ResourceContents};
use stead_core::artifact::plain_media;
use stead_ports::{
    file::File,
    tool::{MAX_FILE, MAX_FILES},
};

use crate::{offer::ending, secret::Secret};

/// The pieces of a result, and the files that came with them, named after the effect (`e3-1.png`).
/// One that holds a secret is not kept.
pub(super) fn pieces(effect: u32, content: &[ContentBlock], secrets: &[Secret]) -> (Vec<String>, Vec<File>) {
    let mut files = Files { effect, secrets, kept: Vec::new() };
    let texts = content.iter().map(|block| piece(block, &mut files)).collect();
    (texts, files.kept)
}

/// A piece of a result as the model reads it.
fn piece(content: &ContentBlock, files: &mut Files<'_>) -> String {
    match content {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => files.keep("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => files.keep("audio", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => format!("[resource {}]", link.uri),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { blob, mime_type, .. } => {
                files.keep("resource", mime_type.as_deref().unwrap_or_default(), blob)
            }
            _ => "[a resource of an unknown kind]".into(),
        },
        _ => "[content of an unknown kind]".into(),
    }
}

/// The files of one result.
struct Files<'s> {
    effect: u32,
    secrets: &'s [Secret],
    kept: Vec<File>,
}

impl Files<'_> {
    /// Keeps a file that came as base64, and says so.
    fn keep(&mut self, what: &str, media: &str, data: &str) -> String {
        let media = plain_media(media);
        // Three bytes for four letters: too long a text is not even decoded.
        let content = (data.len() / 4 * 3 <= MAX_FILE + 2).then(|| STANDARD.decode(data.trim_end()));
        match content {
            Some(Ok(content)) if self.secrets.iter().any(|secret| secret.is_in(&content)) => {
                format!("[{what} {media}: not kept, a secret is in it]")
            }
            Some(Ok(content)) if content.len() <= MAX_FILE && self.kept.len() < MAX_FILES => {
                let name = format!("e{}-{}.{}", self.effect, self.kept.len() + 1, ending(&media));
                let told = format!("[{what} {media}, {} bytes, kept as the file {name}]", content.len());
                self.kept.push(File { name, media, content: content.into() });
                told
            }
            Some(Err(_)) => format!("[{what} {media}: not kept, it is no base64]"),
            _ => format!("[{what} {media}, {} bytes as base64: not kept, it is too much]", data.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn block(value: serde_json::Value) -> ContentBlock {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_no_text_is_kept_as_a_file_and_named_to_the_model() {
        let image = block(serde_json::json!({ "type": "image", "mimeType": "image/png", "data": "aGk=" }));
        let blob = serde_json::json!({ "uri": "file:///x", "mimeType": "application/pdf", "blob": "JVBERg==" });
        let resource = block(serde_json::json!({ "type": "resource", "resource": blob }));
        let text = block(serde_json::json!({ "type": "text", "text": "Look:" }));
        let (texts, files) = pieces(3, &[text, image, resource], &[]);
        assert_eq!(texts[0], "Look:");
        assert_eq!(texts[1], "[image image/png, 2 bytes, kept as the file e3-1.png]");
        assert_eq!(texts[2], "[resource application/pdf, 4 bytes, kept as the file e3-2.pdf]");
        let kept: Vec<_> = files.iter().map(|f| (f.name.as_str(), &f.content[..])).collect();
        assert_eq!(kept, [("e3-1.png", &b"hi"[..]), ("e3-2.pdf", &b"%PDF"[..])]);
    }

    #[test]
    fn what_is_no_base64_or_too_much_is_not_kept() {
        let image = |data: &str| block(serde_json::json!({ "type": "image", "mimeType": "a\nb", "data": data }));
        let (texts, files) = pieces(1, &[image("%%%"), image(&"A".repeat(MAX_FILE / 3 * 4 + 8))], &[]);
        assert!(files.is_empty() && texts.iter().all(|t| t.contains("not kept") && !t.contains("a\nb")), "{texts:?}");
        let (texts, files) = pieces(1, &vec![image("aGk="); MAX_FILES + 1], &[]);
        assert!(files.len() == MAX_FILES && texts[MAX_FILES].contains("too much"));
        let secret = Secret::new("hunter2-hunter2");
        let (texts, files) = pieces(1, &[image("aHVudGVyMi1odW50ZXIy")], &[secret]);
        assert!(files.is_empty() && texts[0].contains("a secret is in it"), "{texts:?}");
    }
}
