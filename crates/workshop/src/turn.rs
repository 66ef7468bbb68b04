//! The turn of an action or of a server: a place among all of its kind, and before that one among the boxes of its tier, where that has
//! fewer. Who waits for its tier takes no place from others.

use std::{sync::Arc, time::Duration};

use stead_core::id::Name;
use stead_ports::sandbox::{Boxes, Tier};
use tokio::time::{Instant, timeout_at};

use crate::{
    fault::Fault,
    queue::{Queue, Ticket},
};

/// How long an action waits for its box. Less than whoever called gives it beside its own time, so that what never began is not taken for
/// something that may have happened.
const WAIT: Duration = Duration::from_secs(45);

/// Who makes the boxes of a tier, and the places for them.
pub(crate) struct Maker {
    pub(crate) boxes: Arc<dyn Boxes>,
    places: Option<Queue>,
}

/// Both places, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _among_all: Ticket,
    _of_tier: Option<Ticket>,
}

impl Maker {
    /// `most_waiting`: for the tier's places, where it has a bound of its own.
    pub(crate) fn new(boxes: Arc<dyn Boxes>, most_waiting: usize) -> Self {
        let places = boxes.most().map(|most| Queue::new(most, most_waiting));
        Self { boxes, places }
    }

    /// How many wait for a place of the tier.
    pub(crate) fn waiting(&self) -> usize {
        self.places.as_ref().map_or(0, Queue::waiting)
    }

    /// Waits for a place of the tier, and then for one among `all`.
    ///
    /// # Errors
    /// [`Fault::Tier`] and [`Fault::Queue`] when too many wait, or it took too long.
    pub(crate) async fn turn(&self, tier: Tier, all: &Queue, tenant: &Name) -> Result<Turn, Fault> {
        let full = |waiting| Fault::Tier { tier, most: self.boxes.most().unwrap_or_default(), waiting };
        // What was waited for the one is not waited for the other.
        let until = Instant::now() + WAIT;
        let of_tier = match &self.places {
            None => None,
            Some(places) => match timeout_at(until, places.turn(tenant)).await {
                Ok(Ok(ticket)) => Some(ticket),
                Ok(Err(Fault::Queue(waiting))) => return Err(full(waiting)),
                Ok(Err(other)) => return Err(other),
                Err(_) => return Err(full(places.waiting())),
            },
        };
        let among_all = timeout_at(until, all.turn(tenant)).await.map_err(|_| Fault::Queue(all.waiting()))??;
        Ok(Turn { _among_all: among_all, _of_tier: of_tier })
    }
}
