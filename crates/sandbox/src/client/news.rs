//! News of a launcher, given to whom they concern, on a thread of their own.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
};

use parking_lot::Mutex;
use rustix::{io::Errno, net::Shutdown};
use tokio::sync::oneshot;

use crate::wire::{self, End, Failure, News, Order, Served, Usage};

/// How a box ended, with its layers.
pub(super) type Ended = (End, Usage, Vec<OwnedFd>);

/// That it runs, with the way out and the terminal; or why not.
pub(super) type Started = Result<(Option<Served>, Vec<OwnedFd>), Failure>;

/// Who waits for news of a box.
pub(super) struct Seat {
    pub(super) started: Option<oneshot::Sender<Started>>,
    pub(super) ended: Option<oneshot::Sender<Ended>>,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) boxes: HashMap<u64, Seat>,
    pub(super) limits: HashMap<u64, oneshot::Sender<Option<Failure>>>,
    pub(super) measures: HashMap<u64, oneshot::Sender<Option<Usage>>>,
    /// Boxes to be killed that the launcher could not be told of yet: its socket was full.
    pub(super) doomed: Vec<u64>,
    /// The launcher is gone.
    pub(super) over: bool,
}

pub(super) struct Shared {
    pub(super) socket: OwnedFd,
    pub(super) waiting: Mutex<Waiting>,
}

impl Shared {
    pub(super) fn read(&self, room: &mut Vec<u8>) {
        loop {
            match wire::receive::<News>(&self.socket, room, true) {
                Ok(Some((news, descriptors))) => {
                    self.give(news, descriptors);
                    self.kill_doomed();
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the sandbox launcher cannot be heard any more");
                    let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
                    break;
                }
            }
        }
        let mut waiting = self.waiting.lock();
        waiting.over = true;
        waiting.boxes.clear();
        waiting.limits.clear();
        waiting.measures.clear();
    }

    pub(super) fn kill_doomed(&self) {
        let mut waiting = self.waiting.lock();
        let told =
            |id: &u64| wire::send(self.socket.as_fd(), &Order::Kill { id: *id }, &[], false) != Err(Errno::AGAIN);
        while waiting.doomed.last().is_some_and(told) {
            waiting.doomed.pop();
        }
    }

    fn give(&self, news: News, descriptors: Vec<OwnedFd>) {
        let mut waiting = self.waiting.lock();
        // Who does not wait any more misses nothing.
        match news {
            News::Started { id, served } => {
                if let Some(sender) = waiting.boxes.get_mut(&id).and_then(|seat| seat.started.take()) {
                    let _ = sender.send(Ok((served, descriptors)));
                }
            }
            News::Failed { id, failure } => {
                if let Some(sender) = waiting.boxes.remove(&id).and_then(|seat| seat.started) {
                    let _ = sender.send(Err(failure));
                }
            }
            News::Ended { id, end, usage } => {
                if let Some(sender) = waiting.boxes.remove(&id).and_then(|seat| seat.ended) {
                    let _ = sender.send((end, usage, descriptors));
                }
            }
            News::Limited { asked, failure } => {
                if let Some(sender) = waiting.limits.remove(&asked) {
                    let _ = sender.send(failure);
                }
            }
            News::Measured { asked, usage } => {
                if let Some(sender) = waiting.measures.remove(&asked) {
                    let _ = sender.send(usage);
                }
            }
            News::Ready { .. } | News::Unable { .. } => {}
        }
    }
}
