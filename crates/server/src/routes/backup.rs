//! `/v1/backup`: everything that the store keeps, of all tenants, as one stream; read as fast as the caller takes it.

use axum::{body::Body, extract::State, http::header, response::IntoResponse};
use futures_util::stream;
use serde::Deserialize;

use crate::{
    backup::{MEDIA_TYPE, ask},
    http::{app::Shared, failure::Answer, guard, input::Params},
};

/// What goes with the backup.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    key: Option<bool>,
}

pub(super) async fn backup(State(app): State<Shared>, Params(with): Params<With>) -> Answer<impl IntoResponse> {
    let place = guard::place(&app)?;
    let pieces = app.runtime.journal().backup(ask(app.runtime.data_dir(), with.key.unwrap_or(true))).await?;
    let rest = stream::unfold((pieces, place), |(mut pieces, place)| async move {
        let piece = pieces.recv().await?;
        // A body that has begun cannot become a problem document any more: it breaks off, which the caller can see.
        let piece = piece.map_err(|error| {
            tracing::error!(%error, "a backup broke off");
            std::io::Error::other(error.to_string())
        });
        Some((piece, (pieces, place)))
    });
    let name = "attachment; filename=\"stead.backup\"";
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE), (header::CONTENT_DISPOSITION, name)], Body::from_stream(rest)))
}
