//! Pictures as providers take them: their bytes as base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stead_core::message::Image;

/// The bytes alone.
pub(crate) fn base64(image: &Image) -> String {
    STANDARD.encode(&image.content)
}

/// A `data:` URL (RFC 2397). The media type is one of a few that [`stead_core::artifact::shown`] knows.
pub(crate) fn data_url(image: &Image) -> String {
    format!("data:{};base64,{}", image.media, base64(image))
}
