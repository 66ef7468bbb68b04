//! The way to the writer thread: many push, one takes everything that waits. No I/O here.

use std::{
    fmt, hint,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// A queue for one taker. It is unbounded: the engine has at most one append of a run under way.
pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    bell: Condvar,
    filled: AtomicBool,
}

struct Inner<T> {
    items: Vec<T>,
    closed: bool,
    asleep: bool,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner { items: Vec::new(), closed: false, asleep: false }),
            bell: Condvar::new(),
            filled: AtomicBool::new(false),
        }
    }

    /// Adds an item, or gives it back when the queue is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(item);
        }
        inner.items.push(item);
        self.filled.store(true, Ordering::Release);
        let ring = std::mem::take(&mut inner.asleep);
        drop(inner);
        if ring {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes all that waits into the empty `out`; looks for up to `spin` before it sleeps. `false` once the queue is
    /// closed and empty.
    pub(crate) fn take(&self, out: &mut Vec<T>, spin: Duration) -> bool {
        if !spin.is_zero() && !self.filled.load(Ordering::Acquire) {
            let until = Instant::now() + spin;
            while !self.filled.load(Ordering::Acquire) && Instant::now() < until {
                hint::spin_loop();
            }
        }
        let mut inner = self.inner.lock();
        while inner.items.is_empty() {
            if inner.closed {
                return false;
            }
            inner.asleep = true;
            self.bell.wait(&mut inner);
        }
        std::mem::swap(&mut inner.items, out);
        self.filled.store(false, Ordering::Release);
        true
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
                while queue.take(&mut out, Duration::from_micros(5)) {
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
}
