//! The lines of a cassette. Version 1; `docs/cassettes.md` describes it. New fields are optional.

use serde::{Deserialize, Serialize};
use stead_core::{
    code::{self, Code},
    id::Name,
    message::Reply,
    time::Span,
};
use stead_ports::model::{ModelError, Retry};

use super::{bounds, request::Request};

/// The version of the format.
const VERSION: u32 = 1;
/// Most bytes of a cassette.
pub const MAX_CASSETTE: usize = 64 << 20;
/// Most exchanges of a cassette.
const MAX_EXCHANGES: usize = 100_000;
/// Most messages of all its requests together, those that one keeps of another counted again.
const MAX_MESSAGES: usize = 10_000_000;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format: 1.
    pub stead_cassette: u32,
    /// Where the exchanges come from.
    pub source: Source,
    /// The agent.
    pub agent: Name,
    /// Its version.
    pub version: String,
    /// The run.
    pub run: String,
}

impl Header {
    /// The header of a run.
    pub fn new(source: Source, agent: Name, version: String, run: String) -> Self {
        Self { stead_cassette: VERSION, source, agent, version, run }
    }
}

/// What every version begins with.
#[derive(Deserialize)]
struct Version {
    stead_cassette: u32,
}

/// Where exchanges come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// They were recorded while they happened.
    Recorded,
    /// They were made from the replies in a journal: there are no bytes of the wire, and no failed attempts.
    Journal,
}

/// Every further line: one attempt at one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The run's turn, from 1.
    pub turn: u32,
    /// The attempt within the turn, from 1.
    pub attempt: u32,
    /// Replies of models that the conversation held before this one.
    pub replies: u32,
    /// The model, as the manifest names it.
    pub model: Name,
    /// What was asked; `None` when it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// What went over the wire; `None` when nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
    /// What came of it.
    pub outcome: Outcome,
}

/// A response as it went over the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wire {
    /// Which wire is spoken, such as `anthropic`.
    pub name: String,
    /// Path of the request's URL.
    pub path: String,
    /// HTTP status; `None` when no response came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of the response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Pieces of the body, with the microseconds since the request was begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<(u64, Piece)>,
}

/// Bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    /// As they are, when they are UTF-8.
    Text(String),
    /// Else as hexadecimal digits.
    Hex {
        /// Two digits a byte.
        hex: String,
    },
}

impl Piece {
    /// The piece with those bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex { hex: bytes.iter().map(|b| format!("{b:02x}")).collect() },
        }
    }

    /// Its bytes; `None` for digits that are none.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Hex { hex } => {
                let digit = |b: u8| u8::try_from(char::from(b).to_digit(16)?).ok();
                let pairs = hex.as_bytes().chunks(2);
                pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
            }
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A reply.
    Reply(Box<Reply>),
    /// None.
    Error(Error),
}

/// Why there was no reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// The code.
    pub code: Code,
    /// The provider's words.
    pub detail: String,
    /// Whether it was worth another attempt.
    pub retry: bool,
    /// The microseconds after which the provider wanted to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Whether it may have cost something.
    pub charged: bool,
}

impl From<&ModelError> for Error {
    fn from(e: &ModelError) -> Self {
        let (retry, after) = match e.retry {
            Retry::No => (false, None),
            Retry::After(span) => (true, span.map(|s| s.0)),
        };
        Self { code: e.code, detail: e.detail.clone(), retry, after, charged: e.charged }
    }
}

impl From<&Error> for ModelError {
    fn from(e: &Error) -> Self {
        let retry = if e.retry { Retry::After(e.after.map(Span)) } else { Retry::No };
        Self { code: e.code, detail: e.detail.clone(), retry, charged: e.charged }
    }
}

/// A whole cassette.
#[derive(Clone, Debug, PartialEq)]
pub struct Cassette {
    /// Its first line.
    pub header: Header,
    /// The others, in order.
    pub exchanges: Vec<Exchange>,
}

/// Why a text is no cassette.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CassetteError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl CassetteError {
    /// The stable code.
    pub const CODE: Code = code::CASSETTE_READ;
}

impl Cassette {
    /// Reads a cassette.
    ///
    /// # Errors
    /// [`CassetteError`] for the first line that is not what it should be. A last line that was cut off is passed over:
    /// the process that wrote it ended.
    pub fn parse(text: &str) -> Result<Self, CassetteError> {
        let wrong = |line, what: String| CassetteError { line, what };
        if text.len() > MAX_CASSETTE {
            return Err(wrong(1, format!("larger than {} MiB", MAX_CASSETTE >> 20)));
        }
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        // The version alone first: a later one may have another header.
        let no_header = |e: serde_json::Error| wrong(1, format!("no header: {e}"));
        let Version { stead_cassette: version } = serde_json::from_str(first).map_err(no_header)?;
        if version != VERSION {
            let what = format!("it is of version {version} of the format; this release reads version {VERSION}");
            return Err(wrong(1, what));
        }
        let header: Header = serde_json::from_str(first).map_err(no_header)?;
        let (mut exchanges, mut messages): (Vec<Exchange>, usize) = (Vec::new(), 0);
        for (n, line) in rest.split_inclusive('\n').enumerate() {
            let at = n + 2;
            let whole = line.ends_with('\n');
            match serde_json::from_str::<Exchange>(line) {
                Ok(mut exchange) => {
                    bounds::hold(&mut exchange).map_err(|what| wrong(at, what))?;
                    let before = exchanges.last().and_then(|e| e.request.as_ref());
                    messages += exchange.complete(before, MAX_MESSAGES - messages).map_err(|what| wrong(at, what))?;
                    exchanges.push(exchange);
                }
                Err(_) if !whole || line.trim().is_empty() => {}
                Err(e) => return Err(wrong(at, e.to_string())),
            }
            if exchanges.len() > MAX_EXCHANGES {
                return Err(wrong(at, format!("more than {MAX_EXCHANGES} exchanges")));
            }
        }
        Ok(Self { header, exchanges })
    }

    /// Its text.
    pub fn text(&self) -> String {
        let mut out = line(&self.header);
        let mut before = None;
        for exchange in &self.exchanges {
            out.push_str(&exchange.line(before));
            before = exchange.request.as_ref();
        }
        out
    }
}

impl Exchange {
    /// Its line, after that of the exchange with the request `before`: messages that both have are not repeated.
    pub fn line(&self, before: Option<&Request>) -> String {
        let mut short = self.clone();
        if let (Some(request), Some(before)) = (&mut short.request, before) {
            request.shorten(before);
        }
        line(&short)
    }

    /// Puts in again what the line left out; gives how many messages there are.
    fn complete(&mut self, before: Option<&Request>, most: usize) -> Result<usize, String> {
        let Some(request) = &mut self.request else { return Ok(0) };
        let held = request.kept.saturating_add(request.messages.len());
        if held > most {
            return Err(format!("the requests hold over {MAX_MESSAGES} messages together"));
        }
        request.complete(before)?;
        Ok(held)
    }
}

impl Header {
    /// Its line.
    pub fn line(&self) -> String {
        line(self)
    }
}

fn line(value: &impl Serialize) -> String {
    // Of these types nothing can fail to be JSON.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}
