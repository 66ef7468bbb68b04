//! `/v1/backup`: everything that the store keeps, of all tenants, as one stream; read as fast as the caller takes it. And
//! `/v1/backup/subject-keys`: the keys of persons, without which what is theirs in it stays shut.

use std::path::Path;

use axum::{body::Body, extract::State, http::header, response::IntoResponse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use stead_ports::clock::Clock as _;

use crate::{
    auth::Principal,
    backup::{KEYS_MEDIA_TYPE, KeySet, MEDIA_TYPE, ask},
    clock::SystemClock,
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
    let pieces = app.runtime.journal().backup(ask(app.runtime.data_dir(), with.key.unwrap_or(true), true)).await?;
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
    let headers = [
        (header::CONTENT_TYPE, MEDIA_TYPE),
        (header::CONTENT_DISPOSITION, name),
        // Without these it is not restored.
        (header::LINK, "</v1/backup/subject-keys>; rel=\"related\"; title=\"keys of persons\""),
    ];
    Ok((headers, Body::from_stream(rest)))
}

/// Gives everybody's keys, which opens what every backup has of them: an act of the operators' log that is kept before they leave.
pub(super) async fn subject_keys(State(app): State<Shared>, who: Principal) -> Answer<impl IntoResponse> {
    let keys = app.runtime.journal().subject_keys(SystemClock.now()).await?;
    let given = KeySet::from_bytes(Path::new("keys of persons"), &keys)?.len();
    let act = json!({ "who": who.subject.as_str(), "tenant": who.tenant.as_str(), "keys": given });
    app.operators.acts().keep("subject_keys_given", &act).await?;
    let name = "attachment; filename=\"stead.subject-keys\"";
    let headers = [
        (header::CONTENT_TYPE, KEYS_MEDIA_TYPE),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, keys))
}
