//! Files on their way to a model. Those of a user: texts stand in the message, pictures go with it, and of all else the model is told
//! that it is there.

use std::sync::Arc;

use stead_core::{
    artifact::{Artifact, Shown, TEXT_SHOWN},
    id::Name,
    message::Image,
};
use stead_ports::journal::{Journal, StoreError};

use crate::payload::stored;

/// Adds to a text what a model reads of the files that came with it, and gives the pictures.
pub(crate) async fn put(
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    files: &[Artifact],
    text: &mut String,
) -> Result<Vec<Image>, StoreError> {
    let mut images = Vec::new();
    for file in files {
        let Artifact { name, media, len, blob, .. } = file;
        match file.shown() {
            Shown::Text => {
                let content = stored(journal, tenant, *blob).await?;
                let shown = String::from_utf8_lossy(&content[..content.len().min(TEXT_SHOWN)]);
                let shown = shown.trim_end_matches('\u{fffd}');
                text.push_str(&format!("\n\n[file {name}, {media}, {len} bytes]\n{shown}"));
                if content.len() > TEXT_SHOWN {
                    text.push_str(&format!("\n[… cut: {len} bytes in all]"));
                }
                text.push_str(&format!("\n[end of {name}]"));
            }
            Shown::Image => {
                text.push_str(&format!("\n\n[image {name}, {media}, {len} bytes]"));
                images.push(Image { media: media.clone(), content: stored(journal, tenant, *blob).await? });
            }
            Shown::Mention => {
                text.push_str(&format!(
                    "\n\n[file {name}, {media}, {len} bytes: not shown, models read no such files here]"
                ));
            }
        }
    }
    Ok(images)
}

/// The pictures among a tool's files; what else there is, and under which name it is kept, the tool's text says.
pub(crate) async fn pictures(
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    files: &[Artifact],
) -> Result<Vec<Image>, StoreError> {
    let mut images = Vec::new();
    for Artifact { media, blob, .. } in files.iter().filter(|file| file.shown() == Shown::Image) {
        images.push(Image { media: media.clone(), content: stored(journal, tenant, *blob).await? });
    }
    Ok(images)
}
