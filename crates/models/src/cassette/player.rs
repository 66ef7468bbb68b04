//! A model that answers as a cassette says. What was recorded of a wire goes through the reader of that wire again.

use parking_lot::Mutex;
use stead_core::{
    code::{self, Code},
    id::Name,
    message::{Message, Reply},
};
use stead_ports::{
    BoxFuture,
    model::{Delta, DeltaSink, Model, ModelCall, ModelError, Retry},
};

use super::{Cassette, Exchange, Outcome, Request, Wire};
use crate::{
    anthropic::AnthropicFold,
    gemini::GeminiFold,
    openai::ChatFold,
    providers::Provider,
    responses::ResponsesFold,
    wire::{Bounds, Replay},
};

/// How fast it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Fast,
    /// With the delays of the recording.
    Recorded,
}

/// See the module.
#[derive(Debug)]
pub struct Player {
    name: Name,
    cassette: Cassette,
    loose: bool,
    pace: Pace,
    bounds: Bounds,
    /// How often each exchange was played.
    played: Mutex<Vec<u32>>,
}

impl Player {
    /// A player. A strict one answers a call only when it is the recorded one; a loose one answers by the number of
    /// replies that the conversation holds.
    pub fn new(cassette: Cassette, loose: bool, pace: Pace) -> Self {
        let played = Mutex::new(vec![0; cassette.exchanges.len()]);
        Self { name: "cassette".into(), cassette, loose, pace, bounds: Bounds::default(), played }
    }

    /// Which exchange answers a call.
    fn choose(&self, call: &ModelCall) -> Result<&Exchange, ModelError> {
        let replies = call.messages.iter().filter(|m| matches!(&***m, Message::Assistant(_))).count();
        let here = |e: &Exchange| e.replies as usize == replies;
        let now = Request::of(call);
        let fits = |e: &Exchange| {
            if self.loose { here(e) } else { e.request.as_ref().is_some_and(|r| r.digest == now.digest) }
        };
        let mut played = self.played.lock();
        // Attempts at one turn are equal calls: each gets the next. A process that has just begun does not know which
        // were played before it, and the last goes on.
        let fitting = || (0..played.len()).filter(|n| fits(&self.cassette.exchanges[*n]));
        let chosen = fitting().find(|n| played[*n] == 0).or_else(|| fitting().last());
        if let Some(n) = chosen {
            played[n] += 1;
            return Ok(&self.cassette.exchanges[n]);
        }
        Err(match self.cassette.exchanges.iter().find(|e| here(e)) {
            None => refused(code::CASSETTE_ENDED, format!("the cassette has no reply after {replies} replies")),
            Some(Exchange { request: None, .. }) => {
                refused(code::CASSETTE_MISMATCH, "the cassette does not say what was asked; play it loosely".to_owned())
            }
            Some(Exchange { request: Some(then), turn, .. }) => {
                let told = then.differences(&now).join("; ");
                refused(code::CASSETTE_MISMATCH, format!("turn {turn} is not the recorded one: {told}"))
            }
        })
    }
}

fn refused(code: Code, detail: String) -> ModelError {
    ModelError { code, detail, retry: Retry::No, charged: false }
}

impl Model for Player {
    fn name(&self) -> &Name {
        &self.name
    }

    fn scripted(&self) -> bool {
        true
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move { play(self.choose(&call)?, &call, &deltas, self.pace, &self.bounds).await })
    }
}

/// Plays one exchange. A recorded wire is read again, and what that comes to counts; where the recording ended by the
/// clock or by a broken connection, which bytes do not tell, the recorded failure stands for the new one.
///
/// # Errors
/// As the recorded attempt, or as the wire's reader says now.
pub async fn play(
    exchange: &Exchange,
    call: &ModelCall,
    deltas: &DeltaSink,
    pace: Pace,
    bounds: &Bounds,
) -> Result<Reply, ModelError> {
    let wired = exchange.wire.as_ref().filter(|w| w.status.is_some());
    match (wired, &exchange.outcome) {
        (Some(wire), outcome) => match (read(exchange, wire, call, deltas, pace, bounds).await, outcome) {
            (Err(_), Outcome::Error(recorded)) => Err(recorded.into()),
            (now, _) => now,
        },
        (None, Outcome::Error(recorded)) => Err(recorded.into()),
        (None, Outcome::Reply(reply)) => {
            if !reply.text.is_empty() {
                deltas(Delta::Text(reply.text.clone()));
            }
            for (index, call) in (0..).zip(&reply.calls) {
                let arguments = call.arguments.get().to_owned();
                deltas(Delta::Call { index, name: Some(call.name.clone()), arguments });
            }
            Ok((**reply).clone())
        }
    }
}

async fn read(
    exchange: &Exchange,
    wire: &Wire,
    call: &ModelCall,
    deltas: &DeltaSink,
    pace: Pace,
    bounds: &Bounds,
) -> Result<Reply, ModelError> {
    let damaged = || refused(code::CASSETTE_READ, "its bytes cannot be read".to_owned());
    let body = wire.body.iter().map(|(at, piece)| Some((*at, piece.bytes()?.into())));
    let replay = Replay {
        status: wire.status.unwrap_or_default(),
        headers: &wire.headers,
        body: body.collect::<Option<Vec<_>>>().ok_or_else(damaged)?,
        paced: pace == Pace::Recorded,
        // Whoever made the reasoning items is who the recorded reply says.
        origin: match &exchange.outcome {
            Outcome::Reply(reply) => &reply.origin,
            Outcome::Error(_) => "",
        },
        bounds,
    };
    match wire.name.as_str() {
        "openai" => {
            let provider = exchange.model.split_once(':').and_then(|(name, _)| Provider::named(name));
            let dialect = provider.map(Provider::dialect).unwrap_or_default();
            replay.play(call, deltas, ChatFold::new(&dialect)).await
        }
        "openai-responses" => replay.play(call, deltas, ResponsesFold::default()).await,
        "anthropic" => replay.play(call, deltas, AnthropicFold::default()).await,
        "gemini" => replay.play(call, deltas, GeminiFold::default()).await,
        other => Err(refused(code::CASSETTE_READ, format!("this release does not speak the wire `{other}`"))),
    }
}
