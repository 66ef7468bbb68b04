//! Following a command of a sandbox, which is taken up again after the last event seen; and watching its files, which is not, for what
//! happened meanwhile is told nobody.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Method, Url, header::ACCEPT};
use serde::{Serialize, de::DeserializeOwned};
use stead_api::sandbox::{FileChange, OutputChunk, OutputExit, OutputLost, event};
use stead_core::id::SandboxId;

use crate::{
    client::{Client, add_query},
    error::ClientError,
    follow::{BACKOFF, BACKOFF_MAX},
    sse::{Frame, Parser},
};

/// Attempts in a row that bring nothing, before the error is passed on: about half a minute.
pub(crate) const ATTEMPTS: u32 = 12;
/// How long a stream may be silent. The server shows every 15 seconds that it is alive.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the head of an answer may take.
const HEAD: Duration = Duration::from_secs(30);

/// What a command tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A piece of output.
    Chunk(OutputChunk),
    /// Pieces are lost.
    Lost(OutputLost),
    /// It has ended; nothing follows.
    Exit(OutputExit),
}

/// The output of a command, taken up again whenever the connection is lost.
pub struct FollowExec {
    client: Client,
    url: Url,
    last: u64,
    events: Option<Events>,
    failed: u32,
    over: bool,
}

/// Changes of files.
pub struct WatchFiles(Events);

impl std::fmt::Debug for FollowExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowExec").field("url", &self.url.as_str()).field("last", &self.last).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WatchFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchFiles")
    }
}

#[derive(Serialize)]
struct Watched<'a> {
    path: &'a str,
    recursive: bool,
}

impl Client {
    /// Follows the output of a command after the event of that number; 0 is its beginning.
    ///
    /// # Errors
    /// [`ClientError`] when the arguments make no URL.
    pub fn follow_exec(&self, id: SandboxId, exec: u32, after: u64) -> Result<FollowExec, ClientError> {
        let url = self.url(&["v1", "sandboxes", &id.to_string(), "exec", &exec.to_string(), "output"])?;
        Ok(FollowExec { client: self.clone(), url, last: after, events: None, failed: 0, over: false })
    }

    /// Watches a folder of a sandbox. What happens after this has returned is told.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch_files(&self, id: SandboxId, path: &str, recursive: bool) -> Result<WatchFiles, ClientError> {
        let mut url = self.url(&["v1", "sandboxes", &id.to_string(), "files", "watch"])?;
        add_query(&mut url, &Watched { path, recursive })?;
        let mut events = Events::connect(self, url, None).await?;
        while events.next().await?.event != event::WATCHING {}
        Ok(WatchFiles(events))
    }
}

impl WatchFiles {
    /// The next change.
    ///
    /// # Errors
    /// [`ClientError`] when the connection or the sandbox ends.
    pub async fn next(&mut self) -> Result<FileChange, ClientError> {
        loop {
            let frame = self.0.next().await?;
            if frame.event == event::CHANGE {
                return data(&frame);
            }
        }
    }
}

impl FollowExec {
    /// The number of the last event heard: where another follower may go on.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next event; `None` after the end.
    ///
    /// # Errors
    /// [`ClientError`] when the server refuses, or stays away for about half a minute. Calling again tries again.
    pub async fn next(&mut self) -> Option<Result<Output, ClientError>> {
        while !self.over {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(heard)) => {
                    self.failed = 0;
                    self.over = matches!(heard, Output::Exit(_));
                    return Some(Ok(heard));
                }
                Err(e) => {
                    self.events = None;
                    self.failed += 1;
                    if !e.is_temporary() || self.failed >= ATTEMPTS {
                        self.over = !e.is_temporary();
                        self.failed = 0;
                        return Some(Err(e));
                    }
                    let pause = BACKOFF * 2_u32.saturating_pow(self.failed.min(10) - 1);
                    tokio::time::sleep(pause.min(BACKOFF_MAX)).await;
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Option<Output>, ClientError> {
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(Events::connect(&self.client, self.url.clone(), Some(&self.last.to_string())).await?),
        };
        let frame = events.next().await?;
        if let Some(id) = frame.id.as_deref().and_then(|id| id.parse().ok()) {
            self.last = id;
        }
        Ok(match frame.event.as_str() {
            event::OUTPUT => Some(Output::Chunk(data(&frame)?)),
            event::LOST => Some(Output::Lost(data(&frame)?)),
            event::EXIT => Some(Output::Exit(data(&frame)?)),
            // Of a later release.
            _ => None,
        })
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

/// Events of one connection.
pub(crate) struct Events {
    pieces: Pieces,
    parser: Parser,
    ready: VecDeque<Frame>,
}

impl Events {
    pub(crate) async fn connect(client: &Client, url: Url, last: Option<&str>) -> Result<Self, ClientError> {
        let mut request = client.request(Method::GET, url).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let sent = tokio::time::timeout(HEAD, client.send(request)).await;
        let response = sent.map_err(|_| ClientError::unreachable("the server does not answer"))??;
        Ok(Self { pieces: Box::pin(response.bytes_stream()), parser: Parser::default(), ready: VecDeque::new() })
    }

    pub(crate) async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(frame);
            }
            let piece = match tokio::time::timeout(SILENCE, self.pieces.next()).await {
                Ok(Some(piece)) => piece?,
                Ok(None) => return Err(ClientError::unreachable("the stream broke off")),
                Err(_) => return Err(ClientError::unreachable("the stream went silent")),
            };
            let mut frames = Vec::new();
            self.parser
                .push(&piece, &mut frames)
                .map_err(|_| ClientError { status: Some(200), ..ClientError::foreign(200, "an event is too large") })?;
            self.ready.extend(frames);
        }
    }
}

pub(crate) fn data<T: DeserializeOwned>(frame: &Frame) -> Result<T, ClientError> {
    serde_json::from_str(&frame.data).map_err(|e| ClientError::foreign(200, e))
}
