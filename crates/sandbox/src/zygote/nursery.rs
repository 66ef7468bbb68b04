//! All zygotes of a launcher: one for each tenant, a bounded number, each for a bounded time and number of forks.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    io::{Errno, IoSlice},
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

use super::{
    program,
    serves::{Interpreter, serves},
    stamp::Stamp,
    start::Process,
};
use crate::{
    seccomp::Filter,
    wire::{MAX_MESSAGE, Plan, Served},
};

/// Most at once; for one more the one that was longest unused ends.
const MOST: usize = 8;
/// Forks after which one is replaced.
const FORKS: u64 = 1000;
/// Time after which one is replaced.
const AGE: Duration = Duration::from_secs(15 * 60);
/// Time without use after which one ends.
const UNUSED: Duration = Duration::from_secs(5 * 60);
/// How long starting one may take.
const STARTING: Duration = Duration::from_secs(10);
/// After one did not start, none is started for so long.
const PAUSE: Duration = Duration::from_secs(60);
/// Most descriptors beside a message: a socket, namespaces, control groups.
const MAX_BESIDE: usize = 16;

const NOT_YET: &str = "its zygote has not started yet";

struct Zygote {
    tenant: String,
    interpreter: Interpreter,
    process: Process,
    born: Instant,
    used: Instant,
    forks: u64,
    /// Once it is ready.
    stamp: Option<Stamp>,
    /// A command has run that it had forked.
    proven: bool,
    /// A box that was made ahead for it did not stand: none is made ahead before the next one is asked for.
    discouraged: bool,
}

impl Zygote {
    /// When it ends by itself.
    fn until(&self) -> Instant {
        match self.stamp {
            None => self.born + STARTING,
            Some(_) if self.forks >= FORKS => self.born,
            Some(_) => (self.born + AGE).min(self.used + UNUSED),
        }
    }
}

/// What a zygote told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Ready,
    /// It is of no use any more.
    Over,
}

/// All of them.
pub(crate) struct Nursery {
    zygotes: BTreeMap<u64, Zygote>,
    started: u64,
    root: bool,
    filter: Filter,
    program: String,
    /// Why one did not start, and when that was.
    failed: Option<(Instant, String)>,
}

impl Nursery {
    /// `filter` is that of commands; `landlock` the kernel's version.
    pub(crate) fn new(root: bool, landlock: Option<i32>, filter: &Filter) -> Self {
        let program = program::text(root, landlock, filter);
        Self { zygotes: BTreeMap::new(), started: 0, root, filter: Filter::of_zygote(), program, failed: None }
    }

    /// The zygote that starts a command, or why none does. One that is missing is started, for those that come later: it is
    /// returned beside the reason, to be watched.
    pub(crate) fn ask(&mut self, tenant: &str, plan: &Plan, now: Instant) -> Result<u64, (String, Option<u64>)> {
        let cold = |why: String| Err((why, None));
        let Some(interpreter) = Interpreter::find() else {
            return cold("this host has no python3 for a zygote".to_owned());
        };
        if let Err(why) = serves(&interpreter, plan) {
            return cold(why);
        }
        if let Some((number, zygote)) = self.zygotes.iter_mut().find(|(_, z)| z.tenant == tenant) {
            zygote.used = now;
            zygote.discouraged = false;
            let Some(stamp) = &mut zygote.stamp else { return cold(NOT_YET.to_owned()) };
            if zygote.interpreter == interpreter && zygote.forks < FORKS && stamp.holds(now) {
                return Ok(*number);
            }
            // Now it is tired, and ends; the next action starts another.
            zygote.forks = FORKS;
            return cold("its zygote is being replaced".to_owned());
        }
        if let Some((_, why)) = self.failed.as_ref().filter(|(when, _)| now.duration_since(*when) < PAUSE) {
            return cold(format!("a zygote did not start: {why}"));
        }
        match Process::start(self.root, &interpreter.path, &self.filter, &self.program) {
            Err(fault) => {
                self.failed = Some((now, fault.0.clone()));
                cold(format!("a zygote did not start: {fault}"))
            }
            Ok(process) => {
                self.started += 1;
                let (tenant, born, used) = (tenant.to_owned(), now, now);
                let zygote = Zygote {
                    tenant,
                    interpreter,
                    process,
                    born,
                    used,
                    forks: 0,
                    stamp: None,
                    proven: false,
                    discouraged: false,
                };
                self.zygotes.insert(self.started, zygote);
                Err((NOT_YET.to_owned(), Some(self.started)))
            }
        }
    }

    /// Its socket, to be watched.
    pub(crate) fn socket(&self, number: u64) -> Option<BorrowedFd<'_>> {
        self.zygotes.get(&number).map(|z| z.process.socket.as_fd())
    }

    /// Hears what one tells.
    pub(crate) fn hear(&mut self, number: u64, now: Instant) -> Told {
        let Some(zygote) = self.zygotes.get_mut(&number) else { return Told::Over };
        let mut room = vec![0; MAX_MESSAGE];
        let read = rustix::net::recv(&zygote.process.socket, room.as_mut_slice(), RecvFlags::DONTWAIT);
        let text = match read {
            Err(Errno::AGAIN | Errno::INTR) => return Told::Nothing,
            Ok((count @ 1.., _)) => String::from_utf8_lossy(&room[..count]).into_owned(),
            Ok(_) | Err(_) => String::new(),
        };
        let mut parts = text.split('\0');
        match (parts.next(), &zygote.stamp) {
            (Some("ready"), None) => {
                zygote.stamp = Some(Stamp::of(parts.map(str::to_owned), now));
                Told::Ready
            }
            (first, None) => {
                let why = parts.next().filter(|_| first == Some("failed"));
                let ended = || format!("its process ({}) ended", zygote.process.pid());
                self.failed = Some((now, why.map_or_else(ended, str::to_owned)));
                Told::Over
            }
            _ => Told::Over,
        }
    }

    /// Has one fork into a box. Beside it: what a box's init told ([`crate::wire::Report::Seedless`]), then the lists of processes of
    /// its groups. If the zygote is gone, or does not get all of them, they are dropped, which the init hears.
    pub(crate) fn fork(&mut self, number: u64, beside: &[OwnedFd]) {
        let Some(zygote) = self.zygotes.get_mut(&number) else { return };
        zygote.forks += 1;
        let count = [u8::try_from(beside.len()).unwrap_or(u8::MAX)];
        let beside: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_BESIDE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if control.push(SendAncillaryMessage::ScmRights(&beside)) {
            // Few messages fit, so it waits a little for a zygote that has its hands full (`start.rs`).
            let _ = sendmsg(&zygote.process.socket, &[IoSlice::new(&count)], &mut control, SendFlags::NOSIGNAL);
        }
    }

    /// What is told of a command that one starts.
    pub(crate) fn served(&self, number: u64) -> Served {
        let told = |z: &Zygote| Served::Forked { program: z.interpreter.path.clone(), forks: z.forks };
        self.zygotes.get(&number).map_or_else(|| Served::Cold("its zygote has ended".to_owned()), told)
    }

    /// Those for which boxes are made ahead.
    pub(crate) fn ready(&self) -> impl Iterator<Item = u64> {
        self.zygotes
            .iter()
            .filter(|(_, z)| z.stamp.is_some() && z.forks < FORKS && !z.discouraged)
            .map(|(number, _)| *number)
    }

    /// When the next one ends by itself.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.zygotes.values().map(Zygote::until).min()
    }

    /// One whose time is over, or that is one too many.
    pub(crate) fn tired(&self, now: Instant) -> Option<u64> {
        let over = self.zygotes.iter().find(|(_, z)| z.until() <= now);
        let oldest = || self.zygotes.iter().min_by_key(|(_, z)| z.used).filter(|_| self.zygotes.len() > MOST);
        over.or_else(oldest).map(|(number, _)| *number)
    }

    /// A box that was made ahead for one did not stand.
    pub(crate) fn discourage(&mut self, number: u64) {
        if let Some(zygote) = self.zygotes.get_mut(&number) {
            zygote.discouraged = true;
        }
    }

    /// A command runs that one has forked.
    pub(crate) fn proves(&mut self, number: u64) {
        if let Some(zygote) = self.zygotes.get_mut(&number) {
            zygote.proven = true;
        }
    }

    /// One did not fork. If it never has, it would not the next time either: `true`, and none is tried for a while.
    pub(crate) fn blame(&mut self, number: u64, why: &str, now: Instant) -> bool {
        let hopeless = self.zygotes.get(&number).is_some_and(|z| !z.proven);
        if hopeless {
            self.failed = Some((now, why.to_owned()));
        }
        hopeless
    }

    /// Ends one.
    pub(crate) fn end(&mut self, number: u64) {
        if let Some(zygote) = self.zygotes.remove(&number) {
            if zygote.stamp.is_none() && self.failed.is_none() {
                let why = format!("it was not ready after {} s", STARTING.as_secs());
                self.failed = Some((zygote.born + STARTING, why));
            }
            zygote.process.end();
        }
    }

    /// Ends all.
    pub(crate) fn close(self) {
        for zygote in self.zygotes.into_values() {
            zygote.process.end();
        }
    }
}
