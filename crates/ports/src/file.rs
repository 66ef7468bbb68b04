//! A file on its way into a run's journal, or out of it to a model.

use std::fmt;

use bytes::Bytes;

/// A file with its bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media: String,
    /// Its bytes.
    pub content: Bytes,
}

/// Without the bytes, of which there may be millions.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .field("media", &self.media)
            .field("bytes", &self.content.len())
            .finish()
    }
}
