//! The body of an answer as text for a model, or as a file when it is none.

use reqwest::{Response, header::CONTENT_TYPE};
use stead_core::{artifact::plain_media, code};
use stead_ports::{file::File, tool::MAX_FILE};

use super::client::chain;
use crate::{offer::ending, secret::Secret, text};

/// A body.
pub(super) struct Answer {
    /// What the model reads.
    pub(super) text: String,
    /// The body itself, when it is no text.
    pub(super) file: Option<File>,
}

/// The body as text, up to `max` bytes of it; beyond that nothing is read. A secret in it is blotted out before the cut,
/// so that no part of one is left. What is not text is named, not shown, and kept as a file of this name (its ending
/// aside) when it is whole and holds no secret.
pub(super) async fn read(
    mut response: Response,
    max: usize,
    secrets: &[Secret],
    name: Option<&str>,
) -> Result<Answer, String> {
    let kind = Kind::of(&response);
    let wanted = max + secrets.iter().map(Secret::longest).max().unwrap_or(0);
    let mut body = Vec::new();
    let mut cut = false;
    while let Some(chunk) = response.chunk().await.map_err(|e| chain(&e))? {
        let room = wanted.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            cut = true;
            break;
        }
    }
    let mut text = match kind.decode(body, cut) {
        Ok(text) => text,
        Err(bytes) => return Ok(kind.file(bytes, cut, secrets, name)),
    };
    for secret in secrets {
        text = secret.redact(text);
    }
    if cut || text.len() > max {
        let note = format!("\n[{}: cut here, the answer has more than {max} bytes]", code::TOOL_FLOOD);
        text = format!("{}{note}", text::clip(&text, max.saturating_sub(note.len())));
    }
    Ok(Answer { text, file: None })
}

/// What a body is by its media type.
struct Kind {
    /// The media type without parameters, in small letters.
    essence: String,
    /// Whether the service says that it is ISO-8859-1, whose bytes are the first 256 characters.
    latin: bool,
}

impl Kind {
    fn of(response: &Response) -> Self {
        let header = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (essence, parameters) = header.split_once(';').unwrap_or((header, ""));
        let parameters = parameters.to_ascii_lowercase().replace(['"', ' '], "");
        let latin = parameters.split(';').any(|p| matches!(p, "charset=iso-8859-1" | "charset=latin1"));
        Self { essence: essence.trim().to_ascii_lowercase(), latin }
    }

    /// Whether the bytes are meant to be read; silence counts as text, as most services mean it.
    fn is_text(&self) -> bool {
        let essence = self.essence.as_str();
        let sub = essence.split_once('/').map_or("", |(_, sub)| sub);
        essence.is_empty()
            || essence.starts_with("text/")
            || ["+json", "+xml", "+yaml"].iter().any(|suffix| sub.ends_with(suffix))
            || matches!(sub, "json" | "xml" | "yaml" | "javascript" | "x-www-form-urlencoded" | "x-ndjson" | "graphql")
    }

    /// A body that is no text, in words, and whole.
    fn file(&self, bytes: Vec<u8>, cut: bool, secrets: &[Secret], name: Option<&str>) -> Answer {
        let (size, more) = (bytes.len(), if cut { "more than " } else { "" });
        let told = format!("{}, {more}{size} bytes that are not text", text::ellipsis(&self.essence, 100));
        let whole = !cut && size <= MAX_FILE && !secrets.iter().any(|secret| secret.is_in(&bytes));
        match name.filter(|_| whole) {
            Some(name) => {
                let media = plain_media(&self.essence);
                let name = format!("{name}.{}", ending(&media));
                let text = format!("[{told}, kept as the file {name}]");
                Answer { text, file: Some(File { name, media, content: bytes.into() }) }
            }
            None => Answer { text: format!("[{told}]"), file: None },
        }
    }

    /// The text, or the bytes of a body that is none.
    fn decode(&self, body: Vec<u8>, cut: bool) -> Result<String, Vec<u8>> {
        if self.latin {
            return Ok(body.into_iter().map(char::from).collect());
        }
        match String::from_utf8(body) {
            Ok(text) => Ok(text),
            Err(e) if self.is_text() => Ok(String::from_utf8_lossy(e.as_bytes()).into_owned()),
            // A cut may have split the last character of what is text all the same.
            Err(e) if cut && e.utf8_error().error_len().is_none() => {
                Ok(String::from_utf8_lossy(e.as_bytes()).into_owned())
            }
            Err(e) => Err(e.into_bytes()),
        }
    }
}
