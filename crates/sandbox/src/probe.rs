//! What this host can give, for `stead doctor`: each property with what holds it or why nothing does, and whether a box
//! really starts.

use std::time::Instant;

use stead_ports::sandbox::{Boxes as _, Command, End, Spec, Stdio, Tier};

use crate::{Namespaces, Settings};

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Ok,
    /// It is not there, and something can be done without it.
    Missing,
    /// Nothing can be done.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub state: State,
    /// In words.
    pub found: String,
}

impl Finding {
    fn new(what: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        Self { what: what.into(), state, found: found.into() }
    }
}

/// Looks. Starts a launcher and a box, and ends both.
pub async fn probe(settings: Settings) -> Vec<Finding> {
    let boxes = Namespaces::new(Settings { ahead: 0, ..settings });
    let mut out = Vec::new();
    match boxes.offer().await {
        Err(e) => out.push(Finding::new("sandbox namespace", State::Bad, e.to_string())),
        Ok(offer) => {
            out.push(try_one(&boxes).await);
            for (property, held) in &offer.properties {
                let (state, words) = match held {
                    Ok(by) => (State::Ok, by.clone()),
                    Err(why) => (State::Missing, format!("not here: {why}")),
                };
                out.push(Finding::new(format!("  {property}"), state, words));
            }
        }
    }
    out.push(Finding::new(format!("sandbox {}", Tier::Microvm), State::Missing, "not in this release"));
    boxes.close().await;
    out
}

async fn try_one(boxes: &Namespaces) -> Finding {
    let command = Command { words: vec!["true".to_owned()], ..Command::default() };
    let begun = Instant::now();
    let (state, found) = match boxes.run(Spec { command, ..Spec::default() }, Stdio::Quiet).await {
        Ok(outcome) if outcome.end == End::Exited(0) => {
            let who = if boxes.user().await.ok() == Some(crate::privileges::USER) { "as root" } else { "as this user" };
            (
                State::Ok,
                format!(
                    "a box starts, {who}, and `true` in it ends after {:.1} ms",
                    begun.elapsed().as_secs_f64() * 1e3
                ),
            )
        }
        Ok(outcome) => (State::Bad, format!("a box starts, but `true` in it ends with {:?}", outcome.end)),
        Err(e) => (State::Bad, e.to_string()),
    };
    Finding::new("sandbox namespace", state, found)
}
