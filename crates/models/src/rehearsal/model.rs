//! The script behind the model port: pace, faults, deltas, and an estimate of tokens.

use std::{sync::Arc, time::Duration};

use stead_core::{
    budget::Price,
    id::Name,
    message::{Reply, ToolCall},
};
use stead_ports::{
    BoxFuture,
    model::{Delta, DeltaSink, Model, ModelCall, ModelError},
};

use super::{
    compile::Pace,
    fault::Fail,
    script::{Fault, Script},
};

/// The name of a scripted model.
pub(super) const NAME: &str = "rehearsal";

/// A model that speaks a script.
#[derive(Debug)]
pub struct Rehearsal {
    name: Name,
    script: Arc<Script>,
}

impl Rehearsal {
    /// What a script costs: nothing, and that is known.
    pub const PRICE: Price = Price { input: 0, cached: 0, output: 0, cache_write: None };

    /// A model that speaks this script.
    pub fn new(script: Script) -> Self {
        Self { name: NAME.into(), script: Arc::new(script) }
    }
}

impl Model for Rehearsal {
    fn name(&self) -> &Name {
        &self.name
    }

    fn scripted(&self) -> bool {
        true
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let answer = self.script.answer(&call)?;
            match answer.fail {
                Some(fail) => Err(strike(fail, answer.pace, &answer.reply, &deltas).await),
                None => {
                    speak(answer.pace, &answer.reply, &deltas).await;
                    Ok(answer.reply)
                }
            }
        })
    }
}

/// Plays a fault: whatever a watcher would have seen of it, then the error.
async fn strike(fail: Fail, pace: Pace, reply: &Reply, deltas: &DeltaSink) -> ModelError {
    if fail.fault == Fault::Cut {
        let half = reply.text.floor_char_boundary(reply.text.len() / 2);
        speak_text(pace, &reply.text[..half], deltas).await;
    } else {
        wait(pace.delay).await;
    }
    match fail.error() {
        Some(error) => error,
        None => std::future::pending().await,
    }
}

/// Plays a reply as deltas.
pub(super) async fn speak(pace: Pace, reply: &Reply, deltas: &DeltaSink) {
    speak_text(pace, &reply.text, deltas).await;
    for (index, call) in (0..).zip(&reply.calls) {
        wait(pace.delay).await;
        speak_call(index, call, deltas);
    }
}

fn speak_call(index: u32, call: &ToolCall, deltas: &DeltaSink) {
    deltas(Delta::Call { index, name: Some(call.name.clone()), arguments: call.arguments.get().to_owned() });
}

async fn speak_text(pace: Pace, text: &str, deltas: &DeltaSink) {
    let mut rest = text;
    while !rest.is_empty() {
        let end = pace.chunk.and_then(|n| rest.char_indices().nth(n)).map_or(rest.len(), |(i, _)| i);
        let (piece, more) = rest.split_at(end);
        wait(pace.delay).await;
        deltas(Delta::Text(piece.to_owned()));
        rest = more;
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}
