//! Hearing of changes below a folder, by inotify(7) on the folder's own descriptor.
//!
//! It tells of changes that processes in the sandbox and callers from outside make. Each watch has a thread, which ends with it. Changes
//! that come faster than they are read are lost; then it says so.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{OFlags, inotify},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Files, place};
use crate::{
    PathFault, SandboxesError,
    limits::{WATCHED, WATCHES},
};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Something is there that was not.
    Created,
    /// A file that was open for writing was closed.
    Written,
    /// It is gone.
    Removed,
    /// It has left to another name, or out of what is watched.
    MovedFrom,
    /// It has come from another name, or from elsewhere.
    MovedTo,
    /// Changes were lost: look at everything again.
    Lost,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub what: Happened,
    /// The path, in the sandbox; what is no UTF-8 in it is replaced.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
}

/// A watch, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<Event>,
    /// Its thread ends when this is closed.
    _stop: OwnedFd,
    _permit: OwnedSemaphorePermit,
}

/// Changes that wait to be read, besides those that the kernel keeps.
const WAITING: usize = 64;

const MASK: inotify::WatchFlags = inotify::WatchFlags::CREATE
    .union(inotify::WatchFlags::CLOSE_WRITE)
    .union(inotify::WatchFlags::DELETE)
    .union(inotify::WatchFlags::MOVED_FROM)
    .union(inotify::WatchFlags::MOVED_TO)
    .union(inotify::WatchFlags::ONLYDIR)
    .union(inotify::WatchFlags::EXCL_UNLINK);

impl Files {
    /// Watches a folder, with `recursive` also those below it, as many as there may be. What happens after this has returned is told.
    ///
    /// # Errors
    /// ST0202 when it is not there, ST0324 for what is no folder, ST0322 when there are too many watches.
    pub async fn watch(&self, path: &str, recursive: bool) -> Result<Watch, SandboxesError> {
        let full =
            || SandboxesError::Full(format!("{WATCHES} watches of this sandbox are there, the most there may be"));
        let permit = std::sync::Arc::clone(&self.watches).try_acquire_owned().map_err(|_| full())?;
        let (send, events) = mpsc::channel(WAITING);
        let shown = path.trim_end_matches('/').to_owned();
        let stop = self
            .at(path, move |spot| {
                let folder = spot.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
                let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
                let notify = inotify::init(flags)?;
                let mut ear = Ear { notify, path: shown, folder, ways: HashMap::new(), recursive, lost: false };
                ear.add(String::new())?;
                let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
                let thread = std::thread::Builder::new().name("sandbox-watch".to_owned());
                thread.spawn(move || ear.listen(&stopped, &send))?;
                Ok(stop)
            })
            .await?;
        Ok(Watch { events, _stop: stop, _permit: permit })
    }
}

impl Watch {
    /// The next change. Waits for it as long as it takes; `None` when the system does not tell any more.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// What a watch's thread works with.
struct Ear {
    notify: OwnedFd,
    path: String,
    folder: OwnedFd,
    /// The way from the folder of each watch.
    ways: HashMap<i32, String>,
    recursive: bool,
    /// Something could not be watched, and nobody was told yet.
    lost: bool,
}

impl Ear {
    /// Tells of changes until nobody listens.
    fn listen(mut self, stopped: &OwnedFd, to: &mpsc::Sender<Event>) {
        loop {
            let mut ready = [PollFd::new(&self.notify, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !ready[1].revents().is_empty() {
                return;
            }
            let heard = match read(&self.notify) {
                Ok(heard) => heard,
                Err(Errno::AGAIN) => continue,
                Err(_) => return,
            };
            for one in heard {
                let Some(event) = self.understand(one) else { continue };
                let lost = std::mem::take(&mut self.lost).then(|| self.missed());
                for event in [Some(event), lost].into_iter().flatten() {
                    if to.blocking_send(event).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn missed(&self) -> Event {
        Event { what: Happened::Lost, path: self.path.clone(), folder: true }
    }

    fn understand(&mut self, heard: Heard) -> Option<Event> {
        use inotify::ReadFlags as Is;
        let Heard { wd, flags, name } = heard;
        if flags.contains(Is::QUEUE_OVERFLOW) {
            return Some(self.missed());
        }
        if flags.contains(Is::IGNORED) {
            self.ways.remove(&wd);
            return None;
        }
        let what = [
            (Is::CREATE, Happened::Created),
            (Is::CLOSE_WRITE, Happened::Written),
            (Is::DELETE, Happened::Removed),
            (Is::MOVED_FROM, Happened::MovedFrom),
            (Is::MOVED_TO, Happened::MovedTo),
        ];
        let (_, what) = what.into_iter().find(|(flag, _)| flags.contains(*flag))?;
        let folder = flags.contains(Is::ISDIR);
        let above = self.ways.get(&wd)?;
        let way = if above.is_empty() { name } else { format!("{above}/{name}") };
        let path = format!("{}/{way}", self.path);
        if self.recursive && folder && matches!(what, Happened::Created | Happened::MovedTo) {
            // It may have gone again; what else cannot be watched is told as lost.
            match self.add(way) {
                Ok(()) | Err(PathFault::Absent | PathFault::Outside | PathFault::Kind(_)) => {}
                Err(_) => self.lost = true,
            }
        }
        Some(Event { what, path, folder })
    }

    /// Watches a folder, and those in it when they are wanted. Something may have been made in one before it was watched: then
    /// changes are lost.
    fn add(&mut self, way: String) -> Result<(), PathFault> {
        let mut ways = vec![way];
        while let Some(way) = ways.pop() {
            if self.ways.len() >= WATCHED {
                self.lost = true;
                return Ok(());
            }
            let at = if way.is_empty() { "." } else { way.as_str() };
            let found = place::beneath(&self.folder, at, OFlags::RDONLY | OFlags::DIRECTORY)?;
            // The descriptor's own name in /proc leads to the very folder that was opened.
            let wd = inotify::add_watch(&self.notify, format!("/proc/self/fd/{}", found.as_raw_fd()), MASK)?;
            if self.recursive {
                let (folders, filled) = entries(&found)?;
                self.lost |= filled && !way.is_empty();
                let join = |name: String| if way.is_empty() { name } else { format!("{way}/{name}") };
                ways.extend(folders.into_iter().map(join));
            }
            self.ways.insert(wd, way);
        }
        Ok(())
    }
}

/// Names of folders in a folder, and whether anything is in it.
fn entries(folder: &OwnedFd) -> Result<(Vec<String>, bool), PathFault> {
    let (mut folders, mut filled) = (Vec::new(), false);
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | "..")) else { continue };
        filled = true;
        if entry.file_type() == rustix::fs::FileType::Directory {
            folders.push(name.to_owned());
        }
        if folders.len() >= WATCHED {
            break;
        }
    }
    Ok((folders, filled))
}

struct Heard {
    wd: i32,
    flags: inotify::ReadFlags,
    name: String,
}

/// All that stands in the descriptor, up to a room full of it.
fn read(notify: &OwnedFd) -> Result<Vec<Heard>, Errno> {
    let mut room = [MaybeUninit::uninit(); 8192];
    let mut reader = inotify::Reader::new(notify, &mut room);
    let mut out = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => out.push(Heard {
                wd: event.wd(),
                flags: event.events(),
                name: event.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            }),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if !out.is_empty() => return Ok(out),
            Err(e) => return Err(e),
        }
        // What is left comes with the next reading.
        if reader.is_buffer_empty() {
            return Ok(out);
        }
    }
}
