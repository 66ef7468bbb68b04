//! The boxes that there are, and those that wait to be: by run, so that an operator, the end of a run and the watch reach them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use stead_core::{id::RunId, sandbox::BoxLimits, time::Span};
use stead_egress::{Refusal, RuleSpec, Rules, Session};
use stead_ports::sandbox::{BoxError, Change, Control, Limits};

use crate::{
    audit::{Whose, Work},
    limits::{change, changed, overridden},
    watch::Stopped,
};

/// The table. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Table>);

#[derive(Default)]
struct Table {
    /// A number that no seat ever had: who looked at one must not reach the next one by its number.
    next: AtomicU64,
    seats: Mutex<BTreeMap<u64, Entry>>,
}

struct Entry {
    whose: Whose,
    /// The manifest's limits.
    own: Limits,
    /// The operator's.
    by: BoxLimits,
    /// Processor time that it may use, of its run's budget.
    cpu: Option<Span>,
    /// Its way out, and the manifest's rules for it.
    way: Option<Way>,
    /// Since the box has started.
    control: Option<Arc<dyn Control>>,
    stop: Option<Stopped>,
    released: bool,
}

struct Way {
    session: Session,
    rules: Vec<RuleSpec>,
}

impl Way {
    /// Puts those of the manifest's rules in force that an operator leaves.
    fn narrow(&self, by: &BoxLimits) -> Result<(), Refusal> {
        let left: Vec<RuleSpec> = self.rules.iter().filter(|rule| by.reaches(&rule.0.host)).cloned().collect();
        self.session.set_rules(Rules::new(&left)?)
    }
}

/// An action's seat in the table, given up when dropped.
pub(crate) struct Seat {
    live: Live,
    id: u64,
}

/// A box that lives, for whoever watches.
pub(crate) struct Watched {
    pub(crate) id: u64,
    pub(crate) whose: Whose,
    /// Bytes of memory that it was given.
    pub(crate) memory: Option<u64>,
    /// Processor time that it may use, of its run's budget.
    pub(crate) cpu: Option<Span>,
    pub(crate) control: Arc<dyn Control>,
}

impl Live {
    /// Takes a seat.
    pub(crate) fn enter(&self, whose: Whose, own: Limits, by: BoxLimits) -> Seat {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0
            .seats
            .lock()
            .insert(id, Entry { whose, own, by, cpu: None, way: None, control: None, stop: None, released: false });
        Seat { live: self.clone(), id }
    }

    /// Other limits for all of a run.
    pub(crate) async fn limit(&self, run: RunId, by: BoxLimits) {
        let mut changes = Vec::new();
        for entry in self.0.seats.lock().values_mut().filter(|e| e.whose.run() == Some(run)) {
            // How long an action may take says nothing of a server.
            let wall = by.wall.filter(|_| matches!(entry.whose.work, Work::Action { .. }));
            let by = BoxLimits { wall, ..by.clone() };
            let (before, after) = (overridden(entry.own, &entry.by), overridden(entry.own, &by));
            if let Some(way) = entry.way.as_ref().filter(|_| by.egress != entry.by.egress)
                && let Err(error) = way.narrow(&by)
            {
                // What cannot be narrowed is closed: an operator who takes hosts away is not left in doubt.
                tracing::error!(whose = %entry.whose, %error, "the way out of a sandbox is closed");
                way.session.close();
            }
            entry.by = by;
            if let Some((control, change)) = entry.control.clone().zip(change(&before, &after)) {
                changes.push((control, change, entry.whose.clone()));
            }
        }
        for (control, change, whose) in changes {
            match control.limit(change).await {
                // One that has ended needs none.
                Ok(()) | Err(BoxError::Lost(_)) => {}
                Err(error) => tracing::warn!(%whose, %error, "limits were not changed"),
            }
        }
    }

    /// Kills all of a run.
    pub(crate) fn release(&self, run: RunId) {
        let mut controls = Vec::new();
        for entry in self.0.seats.lock().values_mut().filter(|e| e.whose.run() == Some(run)) {
            entry.released = true;
            controls.extend(entry.control.clone());
        }
        controls.iter().for_each(|c| c.kill());
    }

    /// All boxes that have started.
    pub(crate) fn all(&self) -> Vec<Watched> {
        let seats = self.0.seats.lock();
        let running = seats.iter().filter_map(|(id, e)| {
            let control = e.control.clone()?;
            let memory = overridden(e.own, &e.by).memory;
            Some(Watched { id: *id, whose: e.whose.clone(), memory, cpu: e.cpu, control })
        });
        running.collect()
    }

    /// Kills one, and notes why; false when it has gone.
    pub(crate) fn stop(&self, id: u64, why: Stopped) -> bool {
        let control = {
            let mut seats = self.0.seats.lock();
            let Some(entry) = seats.get_mut(&id) else { return false };
            entry.stop.get_or_insert(why);
            entry.control.clone()
        };
        control.inspect(|c| c.kill()).is_some()
    }
}

impl Seat {
    /// The operator's limits now; `None` when the run was released.
    pub(crate) fn limits(&self) -> Option<BoxLimits> {
        let seats = self.live.0.seats.lock();
        seats.get(&self.id).filter(|e| !e.released).map(|e| e.by.clone())
    }

    /// Its way out, from now on as an operator leaves it.
    ///
    /// # Errors
    /// When the rules cannot be put in force.
    pub(crate) fn reaches(&self, session: &Session, rules: &[RuleSpec]) -> Result<(), Refusal> {
        let way = Way { session: session.clone(), rules: rules.to_vec() };
        let mut seats = self.live.0.seats.lock();
        let Some(entry) = seats.get_mut(&self.id) else { return Ok(()) };
        if entry.by.egress.is_some() {
            way.narrow(&entry.by)?;
        }
        entry.way = Some(way);
        Ok(())
    }

    /// How much processor time it may use before the watch stops it.
    pub(crate) fn may_use(&self, cpu: Option<Span>) {
        if let Some(entry) = self.live.0.seats.lock().get_mut(&self.id) {
            entry.cpu = cpu;
        }
    }

    /// The box has started, with those limits. What changed meanwhile is made good.
    pub(crate) async fn started(&self, with: &Limits, control: &Arc<dyn Control>) {
        let (released, late) = {
            let mut seats = self.live.0.seats.lock();
            let Some(entry) = seats.get_mut(&self.id) else { return };
            entry.control = Some(Arc::clone(control));
            (entry.released, change(with, &overridden(entry.own, &entry.by)))
        };
        if released {
            control.kill();
        } else if let Some(change) = late
            && let Err(error) = control.limit(change).await
        {
            tracing::debug!(%error, "limits that changed while the sandbox started");
        }
    }

    /// The box was given other limits by whoever holds it.
    pub(crate) fn given(&self, change: Change) {
        if let Some(entry) = self.live.0.seats.lock().get_mut(&self.id) {
            entry.own = changed(entry.own, change);
        }
    }

    /// Why the workshop itself had it killed.
    pub(crate) fn why(&self) -> Option<Stopped> {
        self.live.0.seats.lock().get(&self.id).and_then(|e| e.stop.clone())
    }

    /// Whether its run is over.
    pub(crate) fn released(&self) -> bool {
        self.live.0.seats.lock().get(&self.id).is_none_or(|e| e.released)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.0.seats.lock().remove(&self.id);
    }
}
