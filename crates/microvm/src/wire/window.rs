//! The writing side of a stream's window, for threads: take what may be sent, wait when there is nothing.

use parking_lot::{Condvar, Mutex};

use super::WINDOW;

/// Bytes that may still be sent, or that nobody wants any more.
#[derive(Debug)]
pub(crate) struct Window {
    left: Mutex<Option<u32>>,
    changed: Condvar,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { left: Mutex::new(Some(WINDOW)), changed: Condvar::new() }
    }

    /// Takes up to `most` bytes, waiting for some. `None` when nobody wants them any more.
    pub(crate) fn take(&self, most: usize) -> Option<usize> {
        let mut left = self.left.lock();
        loop {
            let had = (*left)?;
            if had > 0 {
                let taken = had.min(u32::try_from(most).unwrap_or(u32::MAX));
                *left = Some(had - taken);
                return Some(taken as usize);
            }
            self.changed.wait(&mut left);
        }
    }

    /// Opens it wider.
    pub(crate) fn give(&self, bytes: u32) {
        if let Some(had) = self.left.lock().as_mut() {
            *had = had.saturating_add(bytes);
        }
        self.changed.notify_all();
    }

    /// Nobody wants any more.
    pub(crate) fn close(&self) {
        *self.left.lock() = None;
        self.changed.notify_all();
    }
}
