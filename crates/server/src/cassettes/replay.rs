//! Playing a cassette by itself: nothing is asked and nothing is done; what the reader of each wire makes of the recorded
//! bytes is compared with what it made of them then.

use std::sync::Arc;

use stead_core::{id::RunId, message::Reply};
use stead_models::{
    cassette::{Cassette, CassetteError, Exchange, Outcome, Pace, play},
    wire::Bounds,
};
use stead_ports::model::{DeltaSink, ModelCall};

pub use stead_ports::model::Delta as Told;

/// One exchange that was played.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// Its turn.
    pub turn: u32,
    /// Its attempt.
    pub attempt: u32,
    /// The model.
    pub model: String,
    /// Whether bytes of a wire were read, or only the reply is known.
    pub wired: bool,
    /// What came of it: the reply, or why there was none.
    pub came: Result<Reply, String>,
    /// What is not as it was recorded, in words.
    pub differs: Vec<String>,
}

/// Plays a cassette, and hands on what is said on the way.
///
/// # Errors
/// When the text is no cassette.
pub async fn replay(
    text: &str,
    paced: bool,
    said: impl Fn(Told) + Send + Sync + 'static,
    mut each: impl FnMut(&Replayed),
) -> Result<(), CassetteError> {
    let cassette = Cassette::parse(text)?;
    let pace = if paced { Pace::Recorded } else { Pace::Fast };
    let (deltas, bounds): (DeltaSink, _) = (Arc::new(said), Bounds::default());
    for exchange in &cassette.exchanges {
        let now = play(exchange, &call(exchange), &deltas, pace, &bounds).await;
        let differs = match (&now, &exchange.outcome) {
            (Ok(now), Outcome::Reply(then)) => differences(exchange, then, now),
            (Err(now), Outcome::Reply(_)) => vec![format!("recorded a reply, now {now}")],
            (Ok(_), Outcome::Error(then)) => vec![format!("recorded {}: {}, now a reply", then.code, then.detail)],
            (Err(_), Outcome::Error(_)) => Vec::new(),
        };
        each(&Replayed {
            turn: exchange.turn,
            attempt: exchange.attempt,
            model: exchange.model.to_string(),
            wired: exchange.wire.as_ref().is_some_and(|w| w.status.is_some()),
            came: now.map_err(|e| e.to_string()),
            differs,
        });
    }
    Ok(())
}

/// A call with nothing in it but its place: what was asked has no part in how an answer is read.
fn call(exchange: &Exchange) -> ModelCall {
    ModelCall {
        run: RunId(0),
        turn: exchange.turn,
        attempt: exchange.attempt,
        instructions: "".into(),
        messages: Vec::new(),
        tools: Arc::new([]),
        output: None,
        max_output_tokens: 0,
        raw: None,
        begun: None,
    }
}

fn differences(exchange: &Exchange, then: &Reply, now: &Reply) -> Vec<String> {
    let mut out = Vec::new();
    let mut differ = |what: &str, same: bool| {
        if !same {
            out.push(format!("{what} differs"));
        }
    };
    differ("the text", then.text == now.text);
    differ("the calls", then.calls == now.calls);
    differ("the reasoning", then.reasoning == now.reasoning && then.layout == now.layout);
    differ("why it stopped", then.stop == now.stop);
    differ("the model's name", then.model == now.model);
    // Where the provider counted nothing, tokens are estimated from what was asked, which is not here.
    differ("the usage", then.usage == now.usage || !counted(exchange));
    out
}

fn counted(exchange: &Exchange) -> bool {
    let body = exchange.wire.iter().flat_map(|w| &w.body).filter_map(|(_, piece)| piece.bytes());
    String::from_utf8_lossy(&body.flatten().collect::<Vec<u8>>()).contains("usage")
}
