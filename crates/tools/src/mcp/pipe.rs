//! The wire: one JSON message a line, over the server's stdin and stdout (MCP, "Transports", stdio).
//!
//! Stricter than the client library's own: a line that is too long, not UTF-8 or not a message ends the connection,
//! because a server that writes anything else to its stdout cannot be trusted to be understood. It also remembers which
//! requests have left, which decides between *not sent* and *unknown* when a server dies.

use std::{io, sync::Arc};

use rmcp::{
    RoleClient,
    model::{ClientRequest, JsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use stead_core::code;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::ledger::{Ledger, MAX_UNASKED};

/// Most bytes of one message.
pub(super) const MAX_MESSAGE: usize = 8 << 20;
/// Where a server reads.
type Stdin = Box<dyn AsyncWrite + Send + Sync + Unpin>;
/// Where it writes.
type Stdout = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// The two pipes of a server.
pub(super) struct Pipe {
    stdin: Arc<tokio::sync::Mutex<Option<Stdin>>>,
    stdout: BufReader<Stdout>,
    /// A line under way. Here and not in `receive`, whose future may be dropped at any await.
    line: Vec<u8>,
    unasked: usize,
    ledger: Ledger,
}

impl Pipe {
    pub(super) fn new(stdin: Stdin, stdout: Stdout, ledger: Ledger) -> Self {
        let stdin = Arc::new(tokio::sync::Mutex::new(Some(stdin)));
        Self { stdin, stdout: BufReader::with_capacity(64 * 1024, stdout), line: Vec::new(), unasked: 0, ledger }
    }

    /// Reads until `line` holds a whole one, without its end; false at the end of the stream or of patience.
    async fn read_line(&mut self) -> bool {
        loop {
            let available = match self.stdout.fill_buf().await {
                Ok(bytes) if !bytes.is_empty() => bytes,
                _ => return false,
            };
            let end = available.iter().position(|b| *b == b'\n');
            let take = end.unwrap_or(available.len());
            if self.line.len() + take > MAX_MESSAGE {
                let words = format!("it sent a message of more than {MAX_MESSAGE} bytes");
                self.ledger.blame(code::TOOL_FLOOD, words);
                return false;
            }
            self.line.extend_from_slice(&available[..take]);
            self.stdout.consume(take + usize::from(end.is_some()));
            if end.is_some() {
                return true;
            }
        }
    }

    /// The message in `line`; `None` when there is none in it.
    fn parse(&mut self) -> Result<Option<RxJsonRpcMessage<RoleClient>>, String> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| "it wrote bytes to stdout that are not UTF-8".to_owned())?;
        let line = line.trim_matches(['\r', ' ', '\t']);
        if line.is_empty() {
            return Ok(None);
        }
        match serde_json::from_str(line) {
            Ok(message) => Ok(Some(message)),
            // A notification of a newer protocol is no reason to part.
            Err(_) if is_notification(line) => Ok(None),
            Err(_) => Err(format!("it wrote a line to stdout that is no message: {}", self.ledger.excerpt(line, 200))),
        }
    }

    /// Whether the server still answers, rather than only talks.
    fn within_reason(&mut self, message: Option<&RxJsonRpcMessage<RoleClient>>) -> bool {
        self.unasked = match message {
            Some(JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)) => 0,
            _ => self.unasked + 1,
        };
        self.unasked <= MAX_UNASKED
    }
}

fn is_notification(line: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        jsonrpc: String,
        #[serde(rename = "method")]
        _method: String,
        id: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Head>(line).is_ok_and(|head| head.jsonrpc == "2.0" && head.id.is_none())
}

impl Transport<RoleClient> for Pipe {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let stdin = Arc::clone(&self.stdin);
        let ledger = self.ledger.clone();
        async move {
            let mut line = serde_json::to_vec(&item)?;
            line.push(b'\n');
            let mut stdin = stdin.lock().await;
            let pipe = stdin.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let call = match &item {
                JsonRpcMessage::Request(r) if matches!(r.request, ClientRequest::CallToolRequest(_)) => Some(&r.id),
                _ => None,
            };
            // Noted before the first byte: an answer may be here before the write returns.
            if let Some(id) = call {
                ledger.leaving(id.clone());
            }
            let first = match pipe.write(&line).await {
                Ok(n) => n,
                Err(e) => {
                    if let Some(id) = call {
                        ledger.settle(id);
                    }
                    return Err(e);
                }
            };
            pipe.write_all(&line[first..]).await?;
            pipe.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if !self.read_line().await {
                return None;
            }
            let message = match self.parse() {
                Ok(message) => message,
                Err(words) => {
                    self.ledger.blame(code::TOOL_SERVER, words);
                    return None;
                }
            };
            if !self.within_reason(message.as_ref()) {
                let words = format!("it sent {MAX_UNASKED} messages without answering");
                self.ledger.blame(code::TOOL_FLOOD, words);
                return None;
            }
            if message.is_some() {
                return message;
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.stdin.lock().await.take();
        Ok(())
    }
}
