//! Hearing of changes below a folder, by inotify(7) on the folder's own descriptor.
//!
//! It tells of changes that processes in the sandbox and callers from outside make. Pieces that come faster than they are read are lost;
//! then it says so.

use std::{
    collections::{HashMap, VecDeque},
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{OFlags, inotify},
    io::Errno,
};
use serde::Serialize;
use tokio::{io::unix::AsyncFd, sync::OwnedSemaphorePermit};

use super::{Files, blocking, place};
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
    notify: AsyncFd<OwnedFd>,
    path: String,
    folder: Arc<OwnedFd>,
    /// The way from the folder of each watch.
    ways: HashMap<i32, String>,
    recursive: bool,
    ready: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

const MASK: inotify::WatchFlags = inotify::WatchFlags::CREATE
    .union(inotify::WatchFlags::CLOSE_WRITE)
    .union(inotify::WatchFlags::DELETE)
    .union(inotify::WatchFlags::MOVED_FROM)
    .union(inotify::WatchFlags::MOVED_TO)
    .union(inotify::WatchFlags::ONLYDIR)
    .union(inotify::WatchFlags::EXCL_UNLINK);

impl Files {
    /// Watches a folder, with `recursive` also those below it, as many as there may be.
    ///
    /// # Errors
    /// ST0202 when it is not there, ST0324 for what is no folder, ST0322 when there are too many watches.
    pub async fn watch(&self, path: &str, recursive: bool) -> Result<Watch, SandboxesError> {
        let full =
            || SandboxesError::Full(format!("{WATCHES} watches of this sandbox are there, the most there may be"));
        let permit = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| full())?;
        let wrong = |why| SandboxesError::path(path, why);
        let (notify, folder) = self
            .at(path, |spot| {
                let folder = spot.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
                let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
                Ok((inotify::init(flags)?, folder))
            })
            .await?;
        let notify = AsyncFd::new(notify).map_err(|e| wrong(e.into()))?;
        let path = path.trim_end_matches('/').to_owned();
        let mut watch = Watch {
            notify,
            path,
            folder: Arc::new(folder),
            ways: HashMap::new(),
            recursive,
            ready: VecDeque::new(),
            _permit: permit,
        };
        watch.add(String::new()).await?;
        Ok(watch)
    }
}

impl Watch {
    /// The next change. Waits for it as long as it takes.
    ///
    /// # Errors
    /// ST0324 when the system does not tell any more.
    pub async fn next(&mut self) -> Result<Event, SandboxesError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let heard = {
                let mut ready = self.notify.readable().await.map_err(|e| SandboxesError::path(&self.path, e.into()))?;
                match ready.try_io(|notify| Ok(read(notify.get_ref())?)) {
                    Ok(heard) => heard.map_err(|e| SandboxesError::path(&self.path, e.into()))?,
                    // It was not ready after all.
                    Err(_) => continue,
                }
            };
            for one in heard {
                self.take(one).await?;
            }
        }
    }

    async fn take(&mut self, heard: Heard) -> Result<(), SandboxesError> {
        use inotify::ReadFlags as Is;
        let Heard { wd, flags, name } = heard;
        let folder = flags.contains(Is::ISDIR);
        let what = [
            (Is::QUEUE_OVERFLOW, Happened::Lost),
            (Is::CREATE, Happened::Created),
            (Is::CLOSE_WRITE, Happened::Written),
            (Is::DELETE, Happened::Removed),
            (Is::MOVED_FROM, Happened::MovedFrom),
            (Is::MOVED_TO, Happened::MovedTo),
        ];
        let what = what.into_iter().find(|(flag, _)| flags.contains(*flag)).map(|(_, what)| what);
        if flags.contains(Is::IGNORED) {
            self.ways.remove(&wd);
            return Ok(());
        }
        let Some(what) = what else { return Ok(()) };
        let way = self.ways.get(&wd).map(|way| if way.is_empty() { name.clone() } else { format!("{way}/{name}") });
        let way = way.unwrap_or_default();
        let path = if way.is_empty() { self.path.clone() } else { format!("{}/{way}", self.path) };
        self.ready.push_back(Event { what, path, folder });
        if self.recursive && folder && matches!(what, Happened::Created | Happened::MovedTo) {
            match self.add(way).await {
                // It went again.
                Ok(())
                | Err(SandboxesError::Path {
                    why: PathFault::Absent | PathFault::Outside | PathFault::Kind(_), ..
                }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Watches a folder, and those in it. What was made in one before it was watched is told as made now.
    async fn add(&mut self, way: String) -> Result<(), SandboxesError> {
        let mut ways = vec![way];
        while let Some(way) = ways.pop() {
            if self.ways.len() >= WATCHED {
                self.ready.push_back(Event { what: Happened::Lost, path: self.path.clone(), folder: true });
                return Ok(());
            }
            let (folder, at, notify) = (Arc::clone(&self.folder), way.clone(), self.notify.get_ref().try_clone());
            let deeper = self.recursive;
            let added = blocking(&self.path, move || {
                let notify = notify?;
                let found =
                    place::beneath(&folder, if at.is_empty() { "." } else { &at }, OFlags::RDONLY | OFlags::DIRECTORY)?;
                // The descriptor's own name in /proc leads to the very folder that was opened.
                let wd = inotify::add_watch(&notify, format!("/proc/self/fd/{}", found.as_raw_fd()), MASK)?;
                let below = if deeper { folders(&found)? } else { Vec::new() };
                Ok((wd, below))
            });
            let (wd, below) = added.await?;
            let join = |name: String| if way.is_empty() { name } else { format!("{way}/{name}") };
            ways.extend(below.into_iter().map(join));
            self.ways.insert(wd, way);
        }
        Ok(())
    }
}

/// Names of folders in a folder.
fn folders(folder: &OwnedFd) -> Result<Vec<String>, PathFault> {
    let mut out = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let is = entry.file_type() == rustix::fs::FileType::Directory;
        if let Some(name) = entry.file_name().to_str().ok().filter(|name| is && !matches!(*name, "." | "..")) {
            out.push(name.to_owned());
        }
        if out.len() >= WATCHED {
            break;
        }
    }
    Ok(out)
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
