//! The conversation with one launcher: orders go out from whoever has one; what comes in is given out by [`super::news`].

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use rustix::{io::Errno, net::Shutdown};
use stead_ports::sandbox::{BoxError, Tier};
use tokio::sync::oneshot;

use super::{
    Settings,
    hand::lost,
    news::{Ended, Seat, Shared, Started, Waiting},
};
use crate::{
    launcher,
    wire::{self, Failure, Host, News, Order, Usage},
};

/// A launcher that runs, as far as is known.
pub(super) struct Link {
    shared: Arc<Shared>,
    host: Host,
    pid: u32,
    next: AtomicU64,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("pid", &self.pid).finish_non_exhaustive()
    }
}

fn unavailable(why: impl Into<String>) -> BoxError {
    BoxError::Unavailable { tier: Tier::Namespace, why: why.into() }
}

impl Link {
    /// Starts a launcher and hears what it found. Blocks for some milliseconds.
    pub(super) fn start(settings: &Settings) -> Result<Self, BoxError> {
        let (ours, its) = wire::pair().map_err(|e| unavailable(format!("no socket for the launcher: {e}")))?;
        let mut words = settings.launcher.iter();
        let program = words.next().ok_or_else(|| unavailable("no program for the launcher"))?;
        let mut command = Command::new(program);
        command.args(words).arg("--ahead").arg(settings.ahead.to_string()).arg("--most").arg(settings.most.to_string());
        for folder in &settings.show {
            command.arg("--show").arg(folder);
        }
        let mut child = command
            .env_clear()
            .env(launcher::SMALL_PAGES.0, launcher::SMALL_PAGES.1)
            .current_dir("/")
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| unavailable(format!("the launcher does not start: {e}")))?;
        // The command holds the launcher's end open in this process.
        drop(command);
        let mut room = wire::buffer();
        let patience =
            |limit| rustix::net::sockopt::set_socket_timeout(&ours, rustix::net::sockopt::Timeout::Recv, limit);
        let first = patience(Some(settings.patience)).and_then(|()| wire::receive::<News>(&ours, &mut room, true));
        let first = first.and_then(|first| patience(None).map(|()| first));
        let host = match first {
            Err(Errno::AGAIN) => Err(format!("the launcher said nothing for {} s", settings.patience.as_secs())),
            Ok(Some((News::Ready { host }, _))) => Ok(host),
            Ok(Some((News::Unable { why }, _))) => Err(why),
            Ok(Some(_)) => Err("the launcher speaks of something else".to_owned()),
            Ok(None) => Err("the launcher ended at once".to_owned()),
            Err(e) => Err(format!("the launcher cannot be heard: {e}")),
        };
        let host = match host {
            Ok(host) => host,
            Err(why) => {
                drop(ours);
                // One that listens ends by itself; for one that does not, nothing runs in its boxes yet.
                let _ = child.kill();
                bury(child);
                return Err(unavailable(why));
            }
        };
        let pid = child.id();
        let shared = Arc::new(Shared { socket: ours, waiting: Mutex::default() });
        let reading = Arc::clone(&shared);
        let reader = std::thread::Builder::new()
            .name("sandbox-news".to_owned())
            .spawn(move || {
                reading.read(&mut room);
                bury(child);
            })
            .map_err(|e| unavailable(format!("no thread for the launcher's news: {e}")))?;
        Ok(Self { shared, host, pid, next: AtomicU64::new(1), reader: Mutex::new(Some(reader)) })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn lives(&self) -> bool {
        !self.shared.waiting.lock().over
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a seat for news of a box that is about to be asked for.
    pub(super) fn seat(&self) -> (u64, oneshot::Receiver<Started>, oneshot::Receiver<Ended>) {
        let id = self.number();
        let ((started, hears_start), (ended, hears_end)) = (oneshot::channel(), oneshot::channel());
        let seat = Seat { started: Some(started), ended: Some(ended) };
        let mut waiting = self.shared.waiting.lock();
        // Without the launcher the senders are dropped, which their receivers hear.
        if !waiting.over {
            waiting.boxes.insert(id, seat);
        }
        drop(waiting);
        (id, hears_start, hears_end)
    }

    /// Leaves it.
    pub(super) fn leave(&self, id: u64) {
        self.shared.waiting.lock().boxes.remove(&id);
    }

    /// Asks for a change of limits, and waits for the answer. `None` in it: it is done.
    pub(super) async fn limit(&self, order: impl FnOnce(u64) -> Order) -> Result<Option<Failure>, BoxError> {
        self.ask(|waiting| &mut waiting.limits, order).await
    }

    /// Asks what a box has used. `None`: it has ended.
    pub(super) async fn measure(&self, id: u64) -> Result<Option<Usage>, BoxError> {
        self.ask(|waiting| &mut waiting.measures, |asked| Order::Measure { id, asked }).await
    }

    /// Asks, and waits for the answer.
    async fn ask<A>(&self, seats: Seats<A>, order: impl FnOnce(u64) -> Order) -> Result<A, BoxError> {
        let (asked, answer) = (self.number(), oneshot::channel());
        let _leave = self.wait_for(seats, asked, answer.0);
        self.order(&order(asked), &[])?;
        answer.1.await.map_err(|_| lost())
    }

    /// Takes a seat for an answer. Without the launcher the sender is dropped, which its receiver hears.
    fn wait_for<A>(&self, seats: Seats<A>, asked: u64, answer: oneshot::Sender<A>) -> Leave<'_, A> {
        let mut waiting = self.shared.waiting.lock();
        if !waiting.over {
            seats(&mut waiting).insert(asked, answer);
        }
        Leave { link: self, seats, asked }
    }

    /// Sends an order.
    pub(super) fn order(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> Result<(), BoxError> {
        match wire::send(self.shared.socket.as_fd(), order, descriptors, false) {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN) => Err(BoxError::Busy(self.shared.waiting.lock().boxes.len())),
            Err(Errno::MSGSIZE) => Err(BoxError::Spec("it is longer than can be told".to_owned())),
            Err(e) => Err(BoxError::Lost(format!("the launcher cannot be told anything: {e}"))),
        }
    }

    /// Has a box killed. If the launcher has no room for orders, it is told after its next news: it has orders to answer then.
    pub(super) fn kill(&self, id: u64) {
        match self.order(&Order::Kill { id }, &[]) {
            Err(BoxError::Busy(_)) => {
                let mut waiting = self.shared.waiting.lock();
                if !waiting.doomed.contains(&id) {
                    waiting.doomed.push(id);
                }
                drop(waiting);
                // It may have made room meanwhile.
                self.shared.kill_doomed();
            }
            Err(error) => tracing::debug!(%error, "a launcher that is gone took its boxes along"),
            Ok(()) => {}
        }
    }

    /// Ends the conversation and waits until the launcher is gone.
    pub(super) fn close(&self) {
        let _ = rustix::net::shutdown(&self.shared.socket, Shutdown::Both);
        if let Some(reader) = self.reader.lock().take() {
            // A reader that panicked has nothing more to read.
            let _ = reader.join();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The reader holds the socket too; this ends it, and the launcher.
        let _ = rustix::net::shutdown(&self.shared.socket, Shutdown::Both);
    }
}

/// Where answers of a kind are waited for.
type Seats<A> = fn(&mut Waiting) -> &mut HashMap<u64, oneshot::Sender<A>>;

/// Leaves the seat of whoever does not wait for an answer any more.
struct Leave<'a, A> {
    link: &'a Link,
    seats: Seats<A>,
    asked: u64,
}

impl<A> Drop for Leave<'_, A> {
    fn drop(&mut self) {
        (self.seats)(&mut self.link.shared.waiting.lock()).remove(&self.asked);
    }
}

fn bury(mut child: Child) {
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "the sandbox launcher cannot be waited for");
    }
}
