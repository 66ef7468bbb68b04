//! Appends that wait until their tenant has a key. Those that come meanwhile wait behind them, so that the appends of a run stay in the
//! order of their calls.

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;

/// See the module. Clones are the same line.
pub(crate) struct Line<T>(Arc<Mutex<Inner<T>>>);

struct Inner<T> {
    items: VecDeque<T>,
    /// Somebody takes them away, or has one in hand.
    busy: bool,
}

impl<T> Clone for Line<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { items: VecDeque::new(), busy: false })))
    }
}

impl<T> fmt::Debug for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl<T> Line<T> {
    /// Gives the item back when it need not wait; `start` is called when somebody must begin to take items away.
    pub(crate) fn pass(&self, item: T, must_wait: bool, start: impl FnOnce(Self)) -> Option<T> {
        let mut inner = self.0.lock();
        if !must_wait && !inner.busy {
            return Some(item);
        }
        inner.items.push_back(item);
        if !std::mem::replace(&mut inner.busy, true) {
            drop(inner);
            start(self.clone());
        }
        None
    }

    /// The next item; with `None` whoever takes them away has ended. The one before must be where it belongs.
    pub(crate) fn next(&self) -> Option<T> {
        let mut inner = self.0.lock();
        let next = inner.items.pop_front();
        inner.busy = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_while_one_waits_waits_behind_it() {
        let (line, mut started) = (Line::default(), 0);
        assert_eq!(line.pass(1, false, |_| panic!("nothing waits")), Some(1));
        assert_eq!(line.pass(2, true, |_| started += 1), None);
        assert_eq!(line.next(), Some(2));
        // The second is in hand.
        assert_eq!(line.pass(3, false, |_| panic!("it is taken away already")), None);
        assert_eq!((line.next(), line.next()), (Some(3), None));
        assert_eq!(line.pass(4, false, |_| panic!("nothing waits any more")), Some(4));
        assert_eq!((line.pass(5, true, |_| started += 1), started), (None, 2));
    }
}
