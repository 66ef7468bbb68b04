//! Following a run: facts and pieces of replies as they come. A lost connection is taken up after the last event seen.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::{Method, header::ACCEPT};
use serde::de::DeserializeOwned;
use stead_api::{
    fact::FactEvent,
    stream::{StreamDelta, event},
};
use stead_core::id::RunId;

use crate::{
    client::Client,
    error::ClientError,
    sse::{Frame, Parser},
};

/// First pause before a lost stream is taken up again; doubles each time.
pub(crate) const BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Attempts in a row that bring nothing, before the error is passed on: about half a minute.
const ATTEMPTS: u32 = 12;
/// How long a stream may be silent. The server shows every 15 seconds that it is alive.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the head of an answer may take.
const HEAD: Duration = Duration::from_secs(30);

/// Something a follower hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A durable fact.
    Fact(Box<FactEvent>),
    /// A piece of a reply being written.
    Delta(StreamDelta),
    /// Forget the pieces since the last fact.
    Reset,
    /// The run is over; nothing follows.
    End,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

/// A run's stream, taken up again whenever it is lost.
pub struct Follow {
    client: Client,
    run: RunId,
    last: Option<String>,
    pieces: Option<Pieces>,
    parser: Parser,
    ready: VecDeque<Frame>,
    failed: u32,
    over: bool,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("run", &self.run).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Client {
    /// Follows a run from its beginning, or after an event that was seen before.
    pub fn follow(&self, run: RunId, after: Option<String>) -> Follow {
        Follow {
            client: self.clone(),
            run,
            last: after,
            pieces: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            failed: 0,
            over: false,
        }
    }
}

impl Follow {
    /// The id of the last event heard: where another follower may go on.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The next event; `None` after the end.
    ///
    /// # Errors
    /// [`ClientError`] when the server refuses, or stays away for about half a minute. Calling again tries again.
    pub async fn next(&mut self) -> Option<Result<Heard, ClientError>> {
        if self.over {
            return None;
        }
        loop {
            if let Some(frame) = self.ready.pop_front() {
                match self.read(frame) {
                    Ok(None) => continue,
                    Ok(Some(heard)) => return Some(Ok(heard)),
                    Err(e) => {
                        self.over = true;
                        return Some(Err(e));
                    }
                }
            }
            if let Err(e) = self.fill().await {
                self.pieces = None;
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

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Heard, ClientError>> + Send {
        stream::unfold(self, |mut follow| async move { follow.next().await.map(|item| (item, follow)) })
    }

    /// Gets more events, connecting first if need be.
    async fn fill(&mut self) -> Result<(), ClientError> {
        let pieces = match &mut self.pieces {
            Some(pieces) => pieces,
            none => {
                let fresh = connect(&self.client, self.run, self.last.as_deref()).await?;
                self.parser = Parser::default();
                none.insert(fresh)
            }
        };
        let piece = match tokio::time::timeout(SILENCE, pieces.next()).await {
            Ok(Some(piece)) => piece?,
            Ok(None) => return Err(ClientError::unreachable("the stream broke off")),
            Err(_) => return Err(ClientError::unreachable("the stream went silent")),
        };
        let mut frames = Vec::new();
        self.parser
            .push(&piece, &mut frames)
            .map_err(|_| ClientError { status: Some(200), ..ClientError::foreign(200, "an event is too large") })?;
        self.ready.extend(frames);
        Ok(())
    }

    /// What a frame says; `None` for an event of a later release.
    fn read(&mut self, frame: Frame) -> Result<Option<Heard>, ClientError> {
        let heard = match frame.event.as_str() {
            event::FACT => Some(Heard::Fact(Box::new(data(&frame)?))),
            event::DELTA => Some(Heard::Delta(data(&frame)?)),
            event::RESET => Some(Heard::Reset),
            event::END => {
                self.over = true;
                Some(Heard::End)
            }
            _ => None,
        };
        self.failed = 0;
        self.last = frame.id.or_else(|| self.last.take());
        Ok(heard)
    }
}

fn data<T: DeserializeOwned>(frame: &Frame) -> Result<T, ClientError> {
    serde_json::from_str(&frame.data).map_err(|e| ClientError::foreign(200, e))
}

async fn connect(client: &Client, run: RunId, last: Option<&str>) -> Result<Pieces, ClientError> {
    let url = client.url(&["v1", "runs", &run.to_string(), "stream"])?;
    let mut request = client.request(Method::GET, url).header(ACCEPT, "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let sent = tokio::time::timeout(HEAD, client.send(request)).await;
    let response = sent.map_err(|_| ClientError::unreachable("the server does not answer"))??;
    Ok(Box::pin(response.bytes_stream()))
}
