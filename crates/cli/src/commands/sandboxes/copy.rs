//! `stead sandboxes cp`.

use std::{fs::Permissions, io, os::fd::AsFd as _, os::unix::fs::PermissionsExt as _, path::Path};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use stead_api::sandbox::FileKind;
use stead_client::Client;
use stead_core::id::SandboxId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::place::Place;
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui,
};

/// Bytes of one piece.
const PIECE: usize = 256 << 10;

pub(super) async fn copy(global: &Global, client: &Client, from: Place, to: Place) -> Outcome<()> {
    match (from, to) {
        (Place::There(id, path), to @ (Place::Here(_) | Place::Stream)) => out(client, id, &path, to).await,
        (from @ (Place::Here(_) | Place::Stream), Place::There(id, path)) => {
            into(global, client, id, &path, from).await
        }
        (Place::There(..), Place::There(..)) => {
            Err(CliError::usage("one of the two places must be on this machine: copy out, then in"))
        }
        _ => Err(CliError::usage("one of the two places must be in a sandbox: SANDBOX:PATH")),
    }
}

fn folder(path: &str) -> CliError {
    CliError::usage(format!("{path} is a folder; one file is copied at a time"))
        .hint("copy it as an archive: `stead sandboxes exec SANDBOX -- tar -cC FOLDER . > FILE`, `stead sandboxes exec -i SANDBOX -- tar -xC FOLDER < FILE`")
}

async fn out(client: &Client, id: SandboxId, path: &str, to: Place) -> Outcome<()> {
    let found = client.stat_file(id, path).await?;
    if found.kind == FileKind::Folder {
        return Err(folder(path));
    }
    let mut pieces = client.read_file(id, path).await?;
    let Place::Here(to) = to else {
        let mut stdout = io::stdout();
        while let Some(piece) = pieces.next().await {
            io::Write::write_all(&mut stdout, &piece?)?;
        }
        return Ok(io::Write::flush(&mut stdout)?);
    };
    // Its name in the sandbox is foreign, and used only when it is a plain one.
    let name = path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."));
    let to = match name {
        Some(name) if to.is_dir() => to.join(name),
        _ => to,
    };
    // Whole, or not there: a file that broke off is none.
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = tempfile::NamedTempFile::new_in(folder).map_err(|e| here(&to, &e))?;
    let mut file = tokio::fs::File::from_std(draft.as_file().try_clone()?);
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).await?;
    }
    file.flush().await?;
    // Of a link the permissions are not those of the file, and nobody means them.
    let mode = if found.kind == FileKind::File { found.mode & 0o777 } else { 0o644 };
    draft.as_file().set_permissions(Permissions::from_mode(mode))?;
    draft.persist(&to).map_err(|e| here(&to, &e.error))?;
    Ok(())
}

async fn into(global: &Global, client: &Client, id: SandboxId, path: &str, from: Place) -> Outcome<()> {
    let (source, mode, name) = match &from {
        Place::Here(from) => {
            let file = tokio::fs::File::open(from).await.map_err(|e| here(from, &e))?;
            let found = file.metadata().await?;
            if found.is_dir() {
                return Err(folder(&from.display().to_string()));
            }
            let mode = found.permissions().mode() & 0o777;
            let source: Box<dyn AsyncRead + Send + Unpin> = Box::new(file);
            (source, Some(mode), from.file_name().map(|n| n.to_string_lossy().into_owned()))
        }
        _ => {
            let stdin = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
            let source: Box<dyn AsyncRead + Send + Unpin> = Box::new(tokio::fs::File::from_std(stdin));
            (source, None, None)
        }
    };
    // As with `cp`: into a folder under its own name.
    let is_folder = client.stat_file(id, path).await.is_ok_and(|found| found.kind == FileKind::Folder);
    let path = match name.filter(|_| is_folder || path.ends_with('/')) {
        Some(name) => format!("{}/{name}", path.trim_end_matches('/')),
        None => path.to_owned(),
    };
    let pieces = stream::try_unfold(source, |mut source| async move {
        let mut room = vec![0; PIECE];
        let read = source.read(&mut room).await?;
        room.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(room), source)))
    });
    let written = client.write_file(id, &path, mode, pieces).await?;
    if global.json {
        ui::json(&written)?;
    }
    Ok(())
}

fn here(path: &Path, error: &std::io::Error) -> CliError {
    CliError::other(format!("{}: {error}", path.display()))
}
