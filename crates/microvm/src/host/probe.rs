//! What this host can give, for `stead doctor`: whether a machine boots, with what, and each property with what holds it.

use stead_ports::sandbox::{Boxes as _, Property};

use super::{Machines, Settings};

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Ok,
    /// It is not there.
    Missing,
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

/// Looks. Boots a machine, and ends it.
pub async fn probe(settings: Settings) -> Vec<Finding> {
    let machines = Machines::new(settings);
    let what = "sandbox microvm".to_owned();
    let (found, offer) = match (machines.found().await, machines.offer().await) {
        (Ok(found), Ok(offer)) => (found, offer),
        (Err(e), _) | (_, Err(e)) => return vec![Finding { what, state: State::Missing, found: e.to_string() }],
    };
    let slow = found.instead.as_ref().map(|why| format!(", for {why}")).unwrap_or_default();
    let took = found.took.as_secs_f64();
    let boots = format!("a machine boots with {}, and says hello after {took:.1} s{slow}", found.accelerator);
    let mut out = vec![Finding { what, state: State::Ok, found: boots }];
    for (property, held) in &offer.properties {
        let (state, found) = match held {
            Ok(by) => (State::Ok, by.clone()),
            Err(why) => (State::Missing, format!("not here: {why}")),
        };
        let property: &Property = property;
        out.push(Finding { what: format!("  {property}"), state, found });
    }
    out
}
