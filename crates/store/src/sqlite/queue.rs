//! The way to the writer thread: many push, one takes everything that waits. No I/O here.

use std::fmt;

use parking_lot::{Condvar, Mutex};

/// A queue for one taker at a time: the writer thread, or a caller that finds nobody before it. It is unbounded: the
/// engine has at most one append of a run under way.
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    bell: Condvar,
}

struct Inner<T> {
    items: Vec<T>,
    closed: bool,
    /// A turn panicked: what it left half done must not be gone on with.
    broken: bool,
    /// The writer thread waits for the bell.
    asleep: bool,
    /// Somebody has a turn.
    busy: bool,
    /// The last turn was one item long: whoever comes next is probably alone too.
    quiet: bool,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let inner = Inner { items: Vec::new(), closed: false, broken: false, asleep: false, busy: false, quiet: true };
        Self { inner: Mutex::new(inner), bell: Condvar::new() }
    }

    /// Adds an item, or gives it back when the queue is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(item);
        }
        inner.items.push(item);
        // Whoever has the turn rings when it ends.
        let ring = !inner.busy && std::mem::take(&mut inner.asleep);
        drop(inner);
        if ring {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Waits for items and takes all of them into the empty `out`. `None` once the queue is closed and empty, and at
    /// once when a turn has panicked: what waits then is for [`Self::drain`].
    pub(crate) fn take(&self, out: &mut Vec<T>) -> Option<Turn<'_, T>> {
        let mut inner = self.inner.lock();
        while inner.busy || inner.broken || inner.items.is_empty() {
            if inner.closed && !inner.busy {
                return None;
            }
            inner.asleep = true;
            self.bell.wait(&mut inner);
        }
        std::mem::swap(&mut inner.items, out);
        Some(inner.turn(self))
    }

    /// The turn without waiting, for a caller that has one item and nobody before it. None while more than one come at
    /// a time: those share a turn, and so a sync of the disk.
    pub(crate) fn alone(&self) -> Option<Turn<'_, T>> {
        let mut inner = self.inner.lock();
        let free = inner.quiet && !inner.busy && !inner.closed && inner.items.is_empty();
        free.then(|| inner.turn(self))
    }

    /// Refuses new items; those that wait are still taken.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.bell.notify_one();
    }

    /// Takes what waits without waiting for more; for a writer that has died.
    pub(crate) fn drain(&self) -> Vec<T> {
        std::mem::take(&mut self.inner.lock().items)
    }
}

impl<T> Inner<T> {
    fn turn<'q>(&mut self, queue: &'q Queue<T>) -> Turn<'q, T> {
        self.busy = true;
        self.quiet = false;
        Turn(queue)
    }
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'q, T>(&'q Queue<T>);

impl<T> Turn<'_, T> {
    /// Ends a turn of one item, after which the next caller need not wait for the writer thread.
    pub(crate) fn quiet(self) {
        self.0.inner.lock().quiet = true;
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.busy = false;
        inner.broken |= std::thread::panicking();
        inner.closed |= inner.broken;
        inner.quiet &= inner.items.is_empty();
        let ring = (inner.closed || !inner.items.is_empty()) && std::mem::take(&mut inner.asleep);
        drop(inner);
        if ring {
            self.0.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn everything_pushed_is_taken_once_and_in_the_order_of_each_pusher() {
        let queue = Arc::new(Queue::new());
        let pushers: Vec<_> = (0..4u32)
            .map(|p| {
                let queue = queue.clone();
                thread::spawn(move || (0..10_000u32).for_each(|i| queue.push((p, i)).unwrap()))
            })
            .collect();
        let taker = {
            let queue = queue.clone();
            thread::spawn(move || {
                let (mut next, mut out) = ([0u32; 4], Vec::new());
                while let Some(_turn) = queue.take(&mut out) {
                    for (p, i) in out.drain(..) {
                        assert_eq!(next[p as usize], i);
                        next[p as usize] += 1;
                    }
                }
                next
            })
        };
        pushers.into_iter().for_each(|p| p.join().unwrap());
        queue.close();
        assert_eq!(taker.join().unwrap(), [10_000; 4]);
        assert_eq!(queue.push((0, 0)), Err((0, 0)));
    }

    fn turn_that_panics(queue: &Arc<Queue<u32>>) {
        let queue = queue.clone();
        let turn = thread::spawn(move || {
            let _turn = queue.alone().unwrap();
            queue.push(7).unwrap();
            panic!("in the middle of a turn");
        });
        turn.join().unwrap_err();
    }

    #[test]
    fn after_a_panic_in_a_turn_nothing_is_taken_and_what_waits_is_left_to_be_answered() {
        let queue = Arc::new(Queue::new());
        turn_that_panics(&queue);
        let mut out = Vec::new();
        assert!(queue.take(&mut out).is_none());
        assert!(out.is_empty());
        assert!(queue.alone().is_none());
        assert_eq!(queue.push(8), Err(8));
        assert_eq!(queue.drain(), [7]);
    }

    #[test]
    fn a_taker_that_waits_for_the_turn_of_a_panic_is_let_go() {
        let queue = Arc::new(Queue::<u32>::new());
        let taker = {
            let queue = queue.clone();
            thread::spawn(move || queue.take(&mut Vec::new()).is_none())
        };
        turn_that_panics(&queue);
        assert!(taker.join().unwrap());
    }

    #[test]
    fn a_caller_has_the_turn_alone_only_while_nobody_else_has_it_or_waits() {
        let queue = Queue::new();
        let first = queue.alone().unwrap();
        assert!(queue.alone().is_none(), "two turns at once");
        first.quiet();
        queue.push(1).unwrap();
        assert!(queue.alone().is_none(), "before an item that waits");
        assert_eq!(queue.take(&mut Vec::new()).map(Turn::quiet), Some(()));
        drop(queue.alone().unwrap());
        assert!(queue.alone().is_none(), "after a turn that was not quiet");
    }

    #[test]
    fn a_turn_during_which_others_came_is_not_quiet() {
        let queue = Queue::new();
        let turn = queue.alone().unwrap();
        queue.push(1).unwrap();
        turn.quiet();
        let mut out = Vec::new();
        drop(queue.take(&mut out));
        assert_eq!(out, [1]);
        assert!(queue.alone().is_none());
    }
}
