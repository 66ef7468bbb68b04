//! A model whose exchanges are kept, for runs that are recorded.

use std::sync::Arc;

use parking_lot::Mutex;
use stead_core::{
    id::{Name, RunId},
    message::{Message, Reply},
};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
    raw::{Raw, RawPart, RawSink},
};

use super::{Exchange, Outcome, Pace, Piece, Request, Wire, play};
use crate::wire::Bounds;

/// Where exchanges are kept.
pub trait Tape: Send + Sync + 'static {
    /// Whether that run is recorded.
    fn records(&self, run: RunId) -> bool;

    /// Keeps an exchange of it. That it cannot be kept is the tape's to tell: the run goes on.
    fn keep(&self, run: RunId, exchange: Exchange) -> BoxFuture<'_, ()>;
}

/// See the module.
pub struct Recorded {
    inner: Arc<dyn Model>,
    tape: Arc<dyn Tape>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("model", self.inner.name()).finish_non_exhaustive()
    }
}

impl Recorded {
    /// The model, with that tape.
    pub fn new(inner: Arc<dyn Model>, tape: Arc<dyn Tape>) -> Self {
        Self { inner, tape }
    }

    async fn record(&self, mut call: ModelCall, deltas: DeltaSink) -> Result<Reply, ModelError> {
        let heard: Arc<Mutex<Vec<Raw>>> = Arc::default();
        let (sink, also) = (Arc::clone(&heard), call.raw.take());
        call.raw = Some(RawSink::new(move |raw| {
            if let Some(also) = &also {
                also.give(raw.clone());
            }
            sink.lock().push(raw);
        }));
        let (run, turn, attempt) = (call.run, call.turn, call.attempt);
        let replies = call.messages.iter().filter(|m| matches!(&***m, Message::Assistant(_))).count();
        let request = Request::of(&call);
        let asked = ModelCall { raw: None, ..call.clone() };
        let result = self.inner.call(call, deltas).await;
        let mut exchange = Exchange {
            turn,
            attempt,
            replies: u32::try_from(replies).unwrap_or(u32::MAX),
            model: self.inner.name().clone(),
            request: Some(request),
            wire: wire(std::mem::take(&mut *heard.lock())),
            outcome: match &result {
                Ok(reply) => Outcome::Reply(Box::new(reply.clone())),
                Err(e) => Outcome::Error(e.into()),
            },
        };
        if result.is_ok() && exchange.wire.is_some() {
            // What is kept is what the kept bytes say: a key that the provider repeated is cut out of them.
            let nobody: DeltaSink = Arc::new(|_| ());
            if let Ok(reply) = play(&exchange, &asked, &nobody, Pace::Fast, &Bounds::default()).await {
                exchange.outcome = Outcome::Reply(Box::new(reply));
            }
        }
        self.tape.keep(run, exchange).await;
        result
    }
}

impl Model for Recorded {
    fn name(&self) -> &Name {
        self.inner.name()
    }

    fn scripted(&self) -> bool {
        self.inner.scripted()
    }

    fn account(&self) -> Option<&Name> {
        self.inner.account()
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        if self.tape.records(call.run) { Box::pin(self.record(call, deltas)) } else { self.inner.call(call, deltas) }
    }
}

/// The parts of an exchange put together; `None` when there was no wire.
fn wire(parts: Vec<Raw>) -> Option<Wire> {
    let mut out: Option<Wire> = None;
    // A piece that ends in the middle of a character is kept with the next.
    let mut open: Vec<u8> = Vec::new();
    for Raw { at, part } in parts {
        match (part, &mut out) {
            (RawPart::Request { wire, path, .. }, _) => {
                let name = wire.to_owned();
                out = Some(Wire { name, path, status: None, headers: Vec::new(), body: Vec::new() });
            }
            (RawPart::Head { status, headers }, Some(wire)) => (wire.status, wire.headers) = (Some(status), headers),
            (RawPart::Body(bytes), Some(wire)) => {
                open.extend_from_slice(&bytes);
                let whole = whole(&open);
                if whole > 0 {
                    let rest = open.split_off(whole);
                    wire.body.push((at.0, Piece::new(&std::mem::replace(&mut open, rest))));
                }
            }
            (_, None) => {}
        }
    }
    if let (Some(wire), false) = (&mut out, open.is_empty()) {
        let at = wire.body.last().map_or(0, |(at, _)| *at);
        wire.body.push((at, Piece::new(&open)));
    }
    out
}

/// How many bytes there are before a character that is cut off at the end; all when it is no such case.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => e.valid_up_to(),
        _ => bytes.len(),
    }
}
