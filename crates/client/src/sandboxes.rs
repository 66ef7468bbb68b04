//! Session sandboxes: making them, their commands, files and snapshots.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::{Body, Method, header::CONTENT_TYPE};
use serde::Serialize;
use stead_api::{
    page::Page,
    sandbox::{
        ChangeSandbox, CreateSandbox, Exec, ExecOutput, FileEntry, FileListing, FileWritten, MakeFolder, MoveFile,
        Sandbox, SignalExec, Snapshot, StartExec, TakeSnapshot, TerminalSize,
    },
};
use stead_core::id::SandboxId;

use crate::{
    client::{Client, add_query},
    error::ClientError,
};

/// How long a snapshot may take, and a file that is written.
const LONG: Duration = Duration::from_secs(600);
const NO_QUERY: [(); 0] = [];

/// Bytes as they come.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>;

#[derive(Serialize)]
struct Path<'a> {
    path: &'a str,
}

#[derive(Serialize)]
struct New<'a> {
    path: &'a str,
    mode: Option<u32>,
}

#[derive(Serialize)]
struct Gone<'a> {
    path: &'a str,
    recursive: bool,
}

#[derive(Serialize)]
struct Input {
    close: bool,
}

#[derive(Serialize)]
struct After {
    after: u64,
}

fn at<'a>(sandbox: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    ["v1", "sandboxes", sandbox].into_iter().chain(rest.iter().copied()).collect()
}

impl Client {
    /// Makes a session sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_sandbox(&self, create: &CreateSandbox) -> Result<Sandbox, ClientError> {
        self.call(self.post(&["v1", "sandboxes"], create)?).await
    }

    /// The session sandboxes of the tenant, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sandboxes(&self) -> Result<Page<Sandbox>, ClientError> {
        self.call(self.get(&["v1", "sandboxes"], &NO_QUERY)?).await
    }

    /// A session sandbox, with what it has used.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sandbox(&self, id: SandboxId) -> Result<Sandbox, ClientError> {
        self.call(self.get(&at(&id.to_string(), &[]), &NO_QUERY)?).await
    }

    /// Renews the time of a sandbox, changes its limits or its egress.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_sandbox(&self, id: SandboxId, change: &ChangeSandbox) -> Result<Sandbox, ClientError> {
        let url = self.url(&at(&id.to_string(), &[]))?;
        self.call(self.request(Method::PATCH, url).json(change)).await
    }

    /// Removes a sandbox; everything in it is gone when this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_sandbox(&self, id: SandboxId) -> Result<Sandbox, ClientError> {
        let url = self.url(&at(&id.to_string(), &[]))?;
        self.call(self.request(Method::DELETE, url)).await
    }

    /// Keeps the workspace of a sandbox as a tree.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot_sandbox(&self, id: SandboxId, take: &TakeSnapshot) -> Result<Snapshot, ClientError> {
        self.call_within(self.post(&at(&id.to_string(), &["snapshot"]), take)?, LONG).await
    }

    /// Runs a command in a sandbox. With a `key` the request may be repeated and starts one command only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec(&self, id: SandboxId, start: &StartExec, key: Option<&str>) -> Result<Exec, ClientError> {
        let request = self.post(&at(&id.to_string(), &["exec"]), start)?;
        self.call(match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        })
        .await
    }

    /// The commands of a sandbox, the oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn execs(&self, id: SandboxId) -> Result<Page<Exec>, ClientError> {
        self.call(self.get(&at(&id.to_string(), &["exec"]), &NO_QUERY)?).await
    }

    /// A command of a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec_state(&self, id: SandboxId, exec: u32) -> Result<Exec, ClientError> {
        self.call(self.get(&at(&id.to_string(), &["exec", &exec.to_string()]), &NO_QUERY)?).await
    }

    /// What a command has written by now, after the event of that number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec_output(&self, id: SandboxId, exec: u32, after: u64) -> Result<ExecOutput, ClientError> {
        self.call(self.get(&at(&id.to_string(), &["exec", &exec.to_string(), "output"]), &After { after })?).await
    }

    /// Writes to the input of a command; with `close` nothing follows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec_input(&self, id: SandboxId, exec: u32, bytes: Bytes, close: bool) -> Result<Exec, ClientError> {
        let mut url = self.url(&at(&id.to_string(), &["exec", &exec.to_string(), "stdin"]))?;
        add_query(&mut url, &Input { close })?;
        let request = self.request(Method::POST, url).header(CONTENT_TYPE, "application/octet-stream");
        self.call(request.body(bytes)).await
    }

    /// Tells the terminal of a command its new size.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec_resize(&self, id: SandboxId, exec: u32, size: TerminalSize) -> Result<Exec, ClientError> {
        self.call(self.post(&at(&id.to_string(), &["exec", &exec.to_string(), "resize"]), &size)?).await
    }

    /// Kills a command with all that it started, or sends its process group a signal.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exec_kill(&self, id: SandboxId, exec: u32, signal: Option<i32>) -> Result<Exec, ClientError> {
        let signal = SignalExec { signal };
        self.call(self.post(&at(&id.to_string(), &["exec", &exec.to_string(), "kill"]), &signal)?).await
    }

    /// The bytes of a file of a sandbox, as they come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_file(&self, id: SandboxId, path: &str) -> Result<Pieces, ClientError> {
        let response = self.send(self.get(&at(&id.to_string(), &["files"]), &Path { path })?).await?;
        Ok(Box::pin(response.bytes_stream().map_err(ClientError::from)))
    }

    /// Writes a file of a sandbox from pieces as they come: it is there whole, or as it was before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn write_file(
        &self,
        id: SandboxId,
        path: &str,
        mode: Option<u32>,
        pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    ) -> Result<FileWritten, ClientError> {
        let mut url = self.url(&at(&id.to_string(), &["files"]))?;
        add_query(&mut url, &New { path, mode })?;
        let request = self.request(Method::PUT, url).header(CONTENT_TYPE, "application/octet-stream");
        self.call_within(request.body(Body::wrap_stream(pieces)), LONG).await
    }

    /// Removes a file or folder of a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_file(&self, id: SandboxId, path: &str, recursive: bool) -> Result<FileEntry, ClientError> {
        let mut url = self.url(&at(&id.to_string(), &["files"]))?;
        add_query(&mut url, &Gone { path, recursive })?;
        self.call(self.request(Method::DELETE, url)).await
    }

    /// What is at a path of a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stat_file(&self, id: SandboxId, path: &str) -> Result<FileEntry, ClientError> {
        self.call(self.get(&at(&id.to_string(), &["files", "stat"]), &Path { path })?).await
    }

    /// A folder of a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_files(&self, id: SandboxId, path: &str) -> Result<FileListing, ClientError> {
        self.call(self.get(&at(&id.to_string(), &["files", "list"]), &Path { path })?).await
    }

    /// Makes a folder in a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_folder(&self, id: SandboxId, make: &MakeFolder) -> Result<FileEntry, ClientError> {
        self.call(self.post(&at(&id.to_string(), &["files", "mkdir"]), make)?).await
    }

    /// Moves a file or folder in a sandbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn move_file(&self, id: SandboxId, from_to: &MoveFile) -> Result<FileEntry, ClientError> {
        self.call(self.post(&at(&id.to_string(), &["files", "move"]), from_to)?).await
    }
}
