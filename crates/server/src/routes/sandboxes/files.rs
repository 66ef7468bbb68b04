//! Files of a sandbox.

use axum::{
    Json as Body,
    body::Body as Stream,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
};
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use stead_api::sandbox::{FileEntry, FileKind, FileListing, FileWritten, MakeFolder, MoveFile};
use stead_core::id::SandboxId;
use stead_sandboxes::{Files, Kind, Stat};

use super::whole::own;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::{Json, discard},
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
};

/// Which file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    path: String,
}

/// Which bytes of which file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    path: String,
    #[serde(default)]
    offset: u64,
    length: Option<u64>,
}

/// Which file, and its permissions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    path: String,
    mode: Option<u32>,
}

/// What to remove.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    path: String,
    #[serde(default)]
    recursive: bool,
}

pub(super) fn files(app: &App, who: &Principal, id: SandboxId) -> Answer<Files> {
    Ok(own(app, who, id)?.files())
}

/// The bytes are foreign: a browser stores them and makes nothing of them.
pub(super) async fn read(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(part): Params<Part>,
) -> Answer<impl IntoResponse> {
    let place = guard::place(&app)?;
    let reader = files(&app, &who, id)?.read(&part.path, part.offset, part.length).await?;
    let size = reader.size;
    // A body that has begun cannot become a problem document any more: it breaks off, which the caller can see.
    let pieces = stream::try_unfold((reader, place), |(mut reader, place)| async move {
        let piece = reader.next().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, (reader, place))))
    });
    Ok((
        [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (HeaderName::from_static("stead-file-size"), HeaderValue::from(size)),
        ],
        Stream::from_stream(pieces),
    ))
}

pub(super) async fn write(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(new): Params<New>,
    request: Request,
) -> Answer<Body<FileWritten>> {
    let _place = guard::place(&app)?;
    let mut upload = files(&app, &who, id)?.upload(&new.path, new.mode).await?;
    let mut body = request.into_body();
    loop {
        // However slow, something has to come.
        let frame = tokio::time::timeout(app.request_timeout(), body.frame()).await;
        let frame = frame.map_err(|_| Failure::overloaded("the body did not come in time"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| Failure::bad_request(format!("the body broke off: {e}")))?;
        if let Ok(piece) = frame.into_data()
            && let Err(error) = upload.write(piece).await
        {
            // The caller is still sending, and is to hear why.
            drop(upload);
            let _ = tokio::time::timeout(app.request_timeout(), discard(body)).await;
            return Err(error.into());
        }
    }
    Ok(Body(FileWritten { size: upload.finish().await? }))
}

pub(super) async fn remove(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(gone): Params<Gone>,
) -> Answer<Body<FileEntry>> {
    let files = files(&app, &who, id)?;
    let was = files.stat(&gone.path).await?;
    files.remove(&gone.path, gone.recursive).await?;
    Ok(Body(view(was)))
}

pub(super) async fn stat(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(which): Params<Which>,
) -> Answer<Body<FileEntry>> {
    Ok(Body(view(files(&app, &who, id)?.stat(&which.path).await?)))
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(which): Params<Which>,
) -> Answer<Body<FileListing>> {
    let listing = files(&app, &who, id)?.list(&which.path).await?;
    Ok(Body(FileListing { entries: listing.entries.into_iter().map(view).collect(), more: listing.more }))
}

pub(super) async fn make_folder(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Json(asked): Json<MakeFolder>,
) -> Answer<Body<FileEntry>> {
    let files = files(&app, &who, id)?;
    files.make_folder(&asked.path, asked.parents).await?;
    Ok(Body(view(files.stat(&asked.path).await?)))
}

pub(super) async fn rename(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Json(asked): Json<MoveFile>,
) -> Answer<Body<FileEntry>> {
    let files = files(&app, &who, id)?;
    files.rename(&asked.from, &asked.to).await?;
    Ok(Body(view(files.stat(&asked.to).await?)))
}

fn view(stat: Stat) -> FileEntry {
    let kind = match stat.kind {
        Kind::File => FileKind::File,
        Kind::Folder => FileKind::Folder,
        Kind::Link => FileKind::Link,
        Kind::Other => FileKind::Other,
    };
    FileEntry { name: stat.name, kind, size: stat.size, mode: stat.mode, modified: stat.modified, target: stat.target }
}
