//! Whether anything in a box ever made a socket. A box's init holds the listener of the filter that all else in the box has: a call
//! that would make a socket waits until the init has noticed it and lets it go on. What the filter refuses is refused before.
//!
//! Nothing is decided here. When the init is gone, and with it the listener, such a call fails.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use crate::sys;

/// The listener of a box's filter.
pub(crate) struct Watch {
    /// `None` when nothing is left to listen to.
    listener: Option<OwnedFd>,
    /// A socket was made, or may have been.
    touched: bool,
}

impl Watch {
    /// `touched`: there is a socket already. Of a box without a listener nothing is known.
    pub(crate) fn new(listener: Option<OwnedFd>, touched: bool) -> Self {
        Self { touched: touched || listener.is_none(), listener }
    }

    /// Whether no socket was ever made: neither by what has ended nor by what waits to make one.
    pub(crate) fn untouched(&self) -> bool {
        !self.touched
    }

    /// Lets calls go on until `event` can be read.
    pub(crate) fn serve_until(&mut self, event: impl AsFd) {
        loop {
            let event = PollFd::new(&event, PollFlags::IN);
            let Some(listener) = &self.listener else {
                let _ = rustix::io::retry_on_intr(|| poll(&mut [event.clone()], None));
                return;
            };
            let mut both = [event, PollFd::new(listener, PollFlags::IN)];
            match poll(&mut both, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let (ended, asked) = (both[0].revents(), both[1].revents());
            if !ended.is_empty() {
                return;
            }
            if asked.contains(PollFlags::IN) {
                // Before it goes on, and whatever becomes of it.
                self.touched = true;
                // One that was killed while it waited has nothing to go on with.
                let _ = sys::let_call_go_on(listener);
            } else if !asked.is_empty() {
                // Nobody has the filter any more.
                self.listener = None;
            }
        }
    }
}
