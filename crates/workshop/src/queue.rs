//! Who may have a box next: a bound on boxes at once, and a queue for each tenant before it, served in turn. So a tenant with a
//! thousand actions delays its own, and every other tenant waits for one of them at most. Waiting is not failing.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use stead_core::id::Name;
use tokio::sync::oneshot;

use crate::fault::Fault;

/// The places. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
    most_waiting: usize,
    /// Tenants that wait, in the order of their turns.
    order: VecDeque<Name>,
    queues: HashMap<Name, VecDeque<oneshot::Sender<Ticket>>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Queue);

impl Queue {
    /// `places` at once, `most_waiting` before them.
    pub(crate) fn new(places: usize, most_waiting: usize) -> Self {
        let (order, queues) = Default::default();
        Self(Arc::new(Mutex::new(State { free: places.max(1), waiting: 0, most_waiting, order, queues })))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Fault::Queue`] when too many wait.
    pub(crate) async fn turn(&self, tenant: &Name) -> Result<Ticket, Fault> {
        let turn = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Ticket(self.clone()));
            }
            if state.waiting >= state.most_waiting {
                return Err(Fault::Queue(state.waiting));
            }
            let (give, turn) = oneshot::channel();
            state.waiting += 1;
            if !state.queues.contains_key(tenant) {
                state.order.push_back(tenant.clone());
            }
            state.queues.entry(tenant.clone()).or_default().push_back(give);
            turn
        };
        // The other end is dropped with the queue alone, which this holds.
        turn.await.map_err(|_| Fault::Released)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    /// Whoever is next, of the tenant whose turn it is; the tenant goes to the end.
    fn next(&self) -> Option<oneshot::Sender<Ticket>> {
        let mut state = self.0.lock();
        let Some(tenant) = state.order.pop_front() else {
            state.free += 1;
            return None;
        };
        let queue = state.queues.get_mut(&tenant);
        let (next, more) = queue.map_or((None, false), |queue| (queue.pop_front(), !queue.is_empty()));
        if more {
            state.order.push_back(tenant);
        } else {
            state.queues.remove(&tenant);
        }
        state.waiting = state.waiting.saturating_sub(usize::from(next.is_some()));
        next
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let queue = self.0.clone();
        let Some(next) = queue.next() else { return };
        // One who has given up drops the ticket, and with it passes the turn on.
        drop(next.send(Ticket(queue)));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Turn = std::pin::Pin<Box<dyn Future<Output = Result<Ticket, Fault>>>>;

    fn ask(queue: &Queue, tenant: &str) -> Turn {
        let (queue, tenant) = (queue.clone(), Name::from(tenant));
        let mut turn: Turn = Box::pin(async move { queue.turn(&tenant).await });
        assert!(ready(&mut turn).is_none());
        turn
    }

    fn ready(turn: &mut Turn) -> Option<Result<Ticket, Fault>> {
        match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ticket) => Some(ticket),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn tenants_take_turns_however_much_one_of_them_wants() {
        let queue = Queue::new(1, 10);
        let held = queue.turn(&"busy".into()).await.unwrap();
        let (mut one, mut two) = (ask(&queue, "busy"), ask(&queue, "busy"));
        let mut other = ask(&queue, "other");
        drop(held);
        let first = ready(&mut one).unwrap().unwrap();
        assert!(ready(&mut two).is_none() && ready(&mut other).is_none());
        drop(first);
        let second = ready(&mut other).unwrap().unwrap();
        assert!(ready(&mut two).is_none(), "the busy tenant had its turn");
        drop(second);
        drop(ready(&mut two).unwrap().unwrap());
        assert_eq!(queue.waiting(), 0);
        drop(queue.turn(&"busy".into()).await.unwrap());
    }

    #[tokio::test]
    async fn who_gives_up_passes_the_turn_on_and_too_many_are_refused() {
        let queue = Queue::new(1, 2);
        let held = queue.turn(&"a".into()).await.unwrap();
        let (gone, mut stays) = (ask(&queue, "a"), ask(&queue, "b"));
        assert!(matches!(queue.turn(&"c".into()).await, Err(Fault::Queue(2))));
        drop(gone);
        drop(held);
        ready(&mut stays).unwrap().unwrap();
    }
}
