//! `/v1/runs/{run}/workspace`: the files that a run left in its session's workspace. They are read from the tree itself: nothing
//! is made a folder of, and no link is followed.

use std::io::{self, Write};

use axum::{
    Json as Body,
    body::Body as Stream,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use stead_api::workspace::{WorkspaceEntry, WorkspaceFolder, WorkspaceKind};
use stead_core::{
    code,
    id::{RunId, TreeId},
};
use stead_workspace::{TreePath, WorkspaceError, Workspaces, tree::Entry};
use tokio::sync::mpsc;

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        export::{self, Leaves},
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
};

/// Entries that are told of one folder.
const ENTRIES: usize = 1_000;
/// Bytes of a file that are given at once; an archive has no such bound.
const FILE: u64 = 32 << 20;
/// Pieces of an archive that wait for the caller, of 64 KiB each.
const PIECES: usize = 4;
const PIECE: usize = 64 << 10;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    path: Option<String>,
}

impl From<WorkspaceError> for Failure {
    fn from(e: WorkspaceError) -> Self {
        Self::new(e.code(), e.to_string())
    }
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(at): Params<Where>,
) -> Answer<Body<WorkspaceFolder>> {
    let (work, tree) = found(&app, &who, run).await?;
    let path = path(at.path.as_deref().unwrap_or_default())?;
    let mut entries = work.list(&who.tenant, tree, &path, None, ENTRIES + 1).await?;
    let more = entries.len() > ENTRIES;
    entries.truncate(ENTRIES);
    let items = entries.into_iter().map(|(name, entry)| told(name.as_bytes(), &entry)).collect();
    let path = String::from_utf8_lossy(&path.to_bytes()).into_owned();
    Ok(Body(WorkspaceFolder { tree: tree.to_string(), path, items, more }))
}

fn told(name: &[u8], entry: &Entry) -> WorkspaceEntry {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (kind, target) = match entry {
        Entry::File(file) if file.exec => (WorkspaceKind::Executable, None),
        Entry::File(_) => (WorkspaceKind::File, None),
        Entry::Directory(_) => (WorkspaceKind::Folder, None),
        Entry::Symlink(target) => (WorkspaceKind::Link, Some(text(target))),
    };
    WorkspaceEntry { name: text(name), kind, size: entry.bytes(), target }
}

pub(super) async fn file(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(at): Params<Where>,
) -> Answer<impl IntoResponse> {
    let (work, tree) = found(&app, &who, run).await?;
    let path = path(at.path.as_deref().unwrap_or_default())?;
    let entry = work.stat(&who.tenant, tree, &path).await?;
    if let Entry::File(file) = &entry
        && file.size > FILE
    {
        let message = format!("the file has {} bytes, and {FILE} are given at once", file.size);
        return Err(Failure::new(code::TOO_LARGE, message).hint("take the archive of the whole workspace"));
    }
    let name = String::from_utf8_lossy(&path.to_bytes()).into_owned();
    export::ask(&app, &who, run, Leaves { name: &name, media: "application/octet-stream", bytes: entry.bytes() })
        .await?;
    let content = work.read(&who.tenant, tree, &path, 0, FILE).await?;
    Ok((foreign("application/octet-stream", "attachment"), content))
}

/// Written as fast as the caller takes it, by a thread of its own.
pub(super) async fn archive(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
) -> Answer<impl IntoResponse> {
    let place = guard::place(&app)?;
    let (work, tree) = found(&app, &who, run).await?;
    let (name, bytes) = (format!("{run}.tar"), work.stat(&who.tenant, tree, &path("")?).await?.bytes());
    export::ask(&app, &who, run, Leaves { name: &name, media: "application/x-tar", bytes }).await?;
    let (send, pieces) = mpsc::channel(PIECES);
    let (runtime, tenant) = (tokio::runtime::Handle::current(), who.tenant.clone());
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE, Sender(send.clone()));
        let written =
            runtime.block_on(work.export_tar(&tenant, tree, &mut out)).map_err(|e| io::Error::other(e.to_string()));
        // A body that has begun cannot become a problem document any more: it breaks off, which the caller can see.
        if let Err(error) = written.and_then(|()| out.flush()) {
            tracing::warn!(%error, %run, "the archive of a workspace broke off");
            let _ = send.blocking_send(Err(error));
        }
    });
    let rest = stream::unfold((pieces, place), |(mut pieces, place)| async move {
        let piece = pieces.recv().await?;
        Some((piece, (pieces, place)))
    });
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok((foreign("application/x-tar", &disposition), Stream::from_stream(rest)))
}

/// Hands on what is written; the thread waits for the caller.
struct Sender(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes are foreign: a browser stores them and makes nothing of them.
fn foreign(media: &'static str, disposition: &str) -> [(HeaderName, HeaderValue); 4] {
    let disposition = HeaderValue::from_str(disposition).unwrap_or(HeaderValue::from_static("attachment"));
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("content-security-policy"), HeaderValue::from_static("sandbox; default-src 'none'")),
    ]
}

/// The run's tree, when the run is the caller's and has one.
async fn found(app: &Shared, who: &Principal, run: RunId) -> Answer<(Workspaces, TreeId)> {
    views::own_run(app, who, run).await?;
    if app.runtime.erasures().runs().await?.contains(&run) {
        return Err(Failure::new(code::WORKSPACE_NOTHING, format!("the files of {run} were erased with its texts")));
    }
    let tree = app.runtime.engine().workspace(run).await?;
    let tree = tree.ok_or_else(|| {
        Failure::new(code::WORKSPACE_NOTHING, format!("{run} has no workspace: nothing was written in its session"))
    })?;
    Ok((app.runtime.shop().workspaces().await?.clone(), tree))
}

fn path(text: &str) -> Answer<TreePath> {
    TreePath::parse(text.as_bytes()).map_err(|e| Failure::bad_request(format!("`path`: {e}")))
}
