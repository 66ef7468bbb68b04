//! The launcher: a process with one thread that makes boxes for a server, holds their deadlines and limits, and cleans up.
//! It ends when the server does, and kills what runs; boxes die when it does.
//!
//! Its standard input is a `SOCK_SEQPACKET` socket to the server ([`crate::wire`]). Not here: what a box is made of
//! (`init.rs`), and anything that an action writes, which passes by through pipes of the server's.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
    thread::CapabilitySet,
};

use crate::{
    cgroup::{Controller, Groups},
    fault::{At, Fault},
    pool::{Graves, Heard, Made, Maker, deadline},
    privileges::{self, USER},
    root::{self, READ_ONLY, Roots, WRITABLE},
    sys,
    undertaker::Undertaker,
    wire::{self, Access, End, Failure, Found, Host, Limits, News, Order, Plan, Report, Usage},
};

/// The first argument that makes a program the launcher; its `main` gives the rest to [`main`].
pub const WORD: &str = "sandbox-launcher";

/// Most boxes at once, those that wait included, unless it is told otherwise.
pub(crate) const MOST: usize = 256;
/// How long setting a box up may take; its own deadline counts from when its command runs.
const SET_UP: Duration = Duration::from_secs(10);
/// Boxes made ahead, unless it is told otherwise.
pub(crate) const AHEAD: usize = 4;

/// Is the launcher of a server. Options: `--show FOLDER` (also shown in boxes), `--ahead N`, `--most N`.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let control = match control() {
        Ok(control) => control,
        Err(fault) => {
            eprintln!("stead: the sandbox launcher is started by a server, not by hand: {fault}");
            return ExitCode::from(2);
        }
    };
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(fault) => return unable(&control, fault),
    };
    match prepare(&options) {
        Ok((maker, roots, host)) => {
            let mut launcher = match Launcher::new(control, maker, roots, options) {
                Ok(launcher) => launcher,
                Err((control, fault)) => return unable(&control, fault),
            };
            launcher.tell(&News::Ready { host }, &[]);
            launcher.serve();
            launcher.close();
            ExitCode::SUCCESS
        }
        Err(fault) => unable(&control, fault),
    }
}

fn unable(control: &OwnedFd, Fault(why): Fault) -> ExitCode {
    let _ = wire::send(control, &News::Unable { why }, &[], true);
    ExitCode::FAILURE
}

struct Options {
    shown: Vec<PathBuf>,
    ahead: usize,
    most: usize,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mut options = Self { shown: Vec::new(), ahead: AHEAD, most: MOST };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| Fault(format!("{name} has no value")))?;
            let number = || value.parse().map_err(|_| Fault(format!("{name}: {value} is no number")));
            match name.as_str() {
                "--show" => options.shown.push(PathBuf::from(value)),
                "--ahead" => options.ahead = number()?,
                "--most" => options.most = number()?,
                _ => return Err(Fault(format!("{name} is no option of the sandbox launcher"))),
            }
        }
        Ok(options)
    }
}

/// Takes the socket, and leaves everything else of whoever started this.
#[expect(unsafe_code, reason = "a descriptor is taken over by its number")]
fn control() -> Result<OwnedFd, Fault> {
    if !sys::single_threaded() {
        return Err(Fault("it must have one thread".to_owned()));
    }
    // SAFETY: standard input belongs to this process from its start, and nothing else here uses it.
    let control = unsafe { sys::own(0) };
    let kind = rustix::net::sockopt::socket_type(&control).at("standard input");
    if kind.as_ref().ok() != Some(&rustix::net::SocketType::SEQPACKET) {
        std::mem::forget(control);
        kind?;
        return Err(Fault("standard input is another kind of socket".to_owned()));
    }
    sys::close_from(3).at("closing descriptors")?;
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC).at("keeping the socket")?;
    // Signals of the server's terminal are the server's; this process ends with its socket.
    let _ = rustix::process::setsid();
    sys::default_signals();
    sys::ignore(libc::SIGPIPE);
    Ok(control)
}

fn prepare(options: &Options) -> Result<(Maker, Roots, Host), Fault> {
    let root = is_root();
    let own = rustix::process::geteuid().as_raw();
    let host_mounts = root::enter(root)?;
    let groups = Groups::open();
    let user = if root { USER } else { 0 };
    let host = Host {
        root,
        user: if root { USER } else { own },
        memory: groups.found(Controller::Memory),
        pids: match groups.found(Controller::Pids) {
            Found::Not(_) if counts_by_namespace() => {
                Found::By("resource limit of processes, counted in the box's own user namespace".to_owned())
            }
            found => found,
        },
        cpu: groups.found(Controller::Cpu),
        accounting: groups.found(Controller::Accounting),
        landlock: sys::landlock_version(),
    };
    let roots = Roots::assemble(host_mounts, root, &options.shown)?;
    privileges::drop_bounding()?;
    Ok((Maker::new(groups, root, user), roots, host))
}

/// Whether the resource limit of processes counts those of one user namespace: since Linux 5.14.
fn counts_by_namespace() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 14)
}

/// Whether this is a root that may do what it needs: in a container root often may not.
fn is_root() -> bool {
    let needed = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::CHOWN
        | CapabilitySet::NET_ADMIN;
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|has| has.effective.contains(needed))
}

/// A box that has a command.
struct Job {
    id: u64,
    started: Instant,
    deadline: Instant,
    /// How long it may run, from when it does.
    wall_ms: u64,
    runs: bool,
    /// Its server knows already that it did not start.
    refused: bool,
    /// Why it was killed.
    killed: Option<End>,
    report: Option<Report>,
    /// The mounts, once it runs.
    mounts: Option<OwnedFd>,
    layers: Vec<OwnedFd>,
    /// How many of the descriptors that come when it runs are the server's.
    back: usize,
}

/// A box, and its command if it has one.
struct Live {
    made: Made,
    job: Option<Job>,
}

struct Launcher {
    control: OwnedFd,
    events: OwnedFd,
    maker: Maker,
    roots: Roots,
    options: Options,
    live: BTreeMap<u64, Live>,
    ids: BTreeMap<u64, u64>,
    graves: Graves,
    undertaker: Undertaker,
    /// A box that was made ahead did not stand: none is made ahead before the next one is asked for.
    discouraged: bool,
    room: Vec<u8>,
}

/// What is told apart by events: the server's socket, a box's socket, a box's end.
const CONTROL: u64 = 0;
const SOCKET: u64 = 0;
const END: u64 = 1;

impl Launcher {
    fn new(control: OwnedFd, maker: Maker, roots: Roots, options: Options) -> Result<Self, (OwnedFd, Fault)> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC).and_then(|events| {
            let data = epoll::EventData::new_u64(CONTROL);
            epoll::add(&events, &control, data, epoll::EventFlags::IN).map(|()| events)
        });
        let ready = events.at("waiting for events").and_then(|events| Ok((events, Undertaker::start()?)));
        let (events, undertaker) = match ready {
            Ok(ready) => ready,
            Err(fault) => return Err((control, fault)),
        };
        Ok(Self {
            control,
            events,
            maker,
            roots,
            options,
            live: BTreeMap::new(),
            ids: BTreeMap::new(),
            graves: Graves::default(),
            undertaker,
            discouraged: false,
            room: wire::buffer(),
        })
    }

    /// Works until the server is gone.
    fn serve(&mut self) {
        let mut seen =
            [const { epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) } }; 32];
        loop {
            let wait = self.patience();
            let count = match epoll::wait(&self.events, seen.as_mut_slice(), wait.as_ref()) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(e) => {
                    eprintln!("stead: the sandbox launcher cannot wait: {e}");
                    return;
                }
            };
            for event in &seen[..count] {
                match event.data.u64() {
                    CONTROL => {
                        if !self.orders() {
                            return;
                        }
                    }
                    data if data & 1 == SOCKET => self.hear(data >> 1),
                    data => self.ended(data >> 1),
                }
            }
            self.deadlines();
            if count == 0 {
                self.idle();
            }
        }
    }

    /// How long to wait for events: not at all while there is something to do without them.
    fn patience(&self) -> Option<Timespec> {
        let now = Instant::now();
        let jobs = self.live.values().filter_map(|l| l.job.as_ref());
        let next = jobs.filter(|j| j.killed.is_none()).map(|j| j.deadline).min();
        let ahead = self.wants_ahead().then_some(Duration::ZERO);
        let deadline = next.map(|d| d.saturating_duration_since(now));
        let wait = [ahead, self.graves.patience(now), deadline].into_iter().flatten().min();
        wait.and_then(|w| Timespec::try_from(w).ok())
    }

    fn wants_ahead(&self) -> bool {
        let waiting = self.live.values().filter(|l| l.job.is_none()).count();
        !self.discouraged && waiting < self.options.ahead && self.live.len() < self.options.most
    }

    /// One piece of work that nobody waits for.
    fn idle(&mut self) {
        if self.wants_ahead() {
            if self.add().is_err() {
                self.discouraged = true;
            }
        } else {
            self.graves.clear(&self.maker.groups);
        }
    }

    fn add(&mut self) -> Result<u64, Fault> {
        let made = self.maker.make()?;
        let number = made.number;
        let watch = |fd: &OwnedFd, what: u64| {
            epoll::add(&self.events, fd, epoll::EventData::new_u64(number << 1 | what), epoll::EventFlags::IN)
        };
        if let Err(e) = watch(&made.socket, SOCKET).and_then(|()| watch(&made.pidfd, END)) {
            made.kill();
            made.bury();
            self.graves.add(&self.maker.groups, made.group);
            return Err(e).at("watching a sandbox");
        }
        self.live.insert(number, Live { made, job: None });
        Ok(number)
    }

    /// Does what the server asks. `false`: it is gone.
    fn orders(&mut self) -> bool {
        // A few at a time: boxes have their turn too.
        for _ in 0..8 {
            let (order, descriptors) = match wire::receive::<Order>(&self.control, &mut self.room, false) {
                Ok(Some(received)) => received,
                Ok(None) => return false,
                Err(Errno::AGAIN) => return true,
                Err(e) => {
                    eprintln!("stead: the sandbox launcher cannot read its server: {e}");
                    return false;
                }
            };
            match order {
                Order::Start { id, plan } => {
                    if let Err(failure) = self.start(id, plan, descriptors) {
                        self.tell(&News::Failed { id, failure }, &[]);
                    }
                }
                Order::Kill { id } => self.kill(id),
                Order::Limit { id, asked, memory, pids, cpu_milli } => {
                    let limits = Limits { memory, pids, cpu_milli, ..Limits::default() };
                    let failure = self.limit(id, &limits).err().map(|f| f.0);
                    self.tell(&News::Limited { asked, failure }, &[]);
                }
            }
        }
        true
    }

    fn start(&mut self, id: u64, mut plan: Plan, mut descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let host = |fault: Fault| Failure::Host(fault.0);
        let waiting = self.live.iter().find(|(_, l)| l.job.is_none()).map(|(number, _)| *number);
        if waiting.is_none() && self.live.len() >= self.options.most {
            return Err(Failure::Busy(self.live.len() as u64));
        }
        self.discouraged = false;
        let wanted: Vec<_> = plan.root.iter().map(|r| (r, READ_ONLY)).chain(plan.mounts.iter().map(flags)).collect();
        descriptors.extend(self.roots.folders(&wanted).map_err(|f| Failure::Spec(f.0))?);
        let number = match waiting {
            Some(number) => number,
            None => self.add().map_err(host)?,
        };
        let Some(live) = self.live.get_mut(&number) else {
            return Err(Failure::Host("a sandbox was lost".to_owned()));
        };
        plan.limits.nproc = matches!(self.maker.groups.found(Controller::Pids), Found::Not(_));
        self.maker.groups.limit(&live.made.group, &plan.limits).map_err(host)?;
        let started = Instant::now();
        live.job = Some(Job {
            id,
            started,
            deadline: started + SET_UP,
            wall_ms: plan.limits.wall_ms,
            runs: false,
            refused: false,
            killed: None,
            report: None,
            mounts: None,
            layers: Vec::new(),
            back: usize::from(plan.egress.is_some()) + usize::from(plan.terminal.is_some()),
        });
        self.ids.insert(id, number);
        if let Err(e) = live.made.go(plan, &descriptors) {
            // A box that died while it waited says why; the news of that goes out when its end is seen.
            if e != Errno::PIPE && e != Errno::CONNRESET {
                live.made.kill();
            }
        }
        Ok(())
    }

    fn kill(&mut self, id: u64) {
        if let Some(live) = self.ids.get(&id).and_then(|number| self.live.get_mut(number)) {
            if let Some(job) = &mut live.job {
                job.killed.get_or_insert(End::Killed);
            }
            live.made.kill();
        }
    }

    fn limit(&self, id: u64, limits: &Limits) -> Result<(), Fault> {
        let live = self.ids.get(&id).and_then(|number| self.live.get(number));
        let live = live.ok_or_else(|| Fault("the sandbox has ended".to_owned()))?;
        self.maker.groups.limit(&live.made.group, limits)
    }

    /// Hears what a box tells.
    fn hear(&mut self, number: u64) {
        while let Some(live) = self.live.get_mut(&number) {
            let (report, descriptors) = match live.made.hear(&mut self.room) {
                Heard::Nothing => return,
                Heard::Over => {
                    let _ = epoll::delete(&self.events, &live.made.socket);
                    return;
                }
                Heard::Report(report, descriptors) => (report, descriptors),
            };
            match (report, &mut live.job) {
                (Report::Failed(failure), None) => {
                    self.discouraged = true;
                    let (Failure::Host(why) | Failure::Spec(why) | Failure::Command(why)) = failure else { return };
                    eprintln!("stead: a sandbox made ahead did not stand: {why}");
                }
                (Report::Failed(failure), Some(job)) => {
                    if !std::mem::replace(&mut job.refused, true) {
                        let id = job.id;
                        self.tell(&News::Failed { id, failure }, &[]);
                    }
                }
                (Report::Started, Some(job)) => {
                    job.runs = true;
                    job.started = Instant::now();
                    job.deadline = deadline(job.started, job.wall_ms);
                    let mut descriptors = descriptors.into_iter();
                    job.mounts = descriptors.next();
                    let (id, mut back) = (job.id, descriptors.collect::<Vec<_>>());
                    job.layers = back.split_off(job.back.min(back.len()));
                    self.tell(&News::Started { id }, &back);
                }
                (report, Some(job)) => job.report = Some(report),
                (_, None) => {}
            }
        }
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        for live in self.live.values_mut() {
            if let Some(job) = &mut live.job
                && job.killed.is_none()
                && job.deadline <= now
            {
                job.killed = Some(End::Deadline);
                live.made.kill();
            }
        }
    }

    /// A box is dead, with all that was in it.
    fn ended(&mut self, number: u64) {
        self.hear(number);
        let Some(Live { made, job }) = self.live.remove(&number) else { return };
        // Said aloud: closing them is not enough while a box that is just being made still holds a copy, and what is watched by
        // mistake would wake this process without end.
        for watched in [&made.socket, &made.pidfd] {
            // The socket may have been let go before.
            let _ = epoll::delete(&self.events, watched);
        }
        made.bury();
        if let Some(mut job) = job {
            self.ids.remove(&job.id);
            let mounts = job.mounts.take();
            self.last_news(&made, job);
            if let Some(mounts) = mounts {
                self.undertaker.take(mounts);
            }
        } else {
            // It died before it was of use; made again, it would die again.
            self.discouraged = true;
        }
        self.graves.add(&self.maker.groups, made.group);
    }

    fn last_news(&mut self, made: &Made, job: Job) {
        if job.refused {
            return;
        }
        let id = job.id;
        if !job.runs {
            let why = match job.killed {
                Some(End::Deadline) => format!("it was not set up within {} s", SET_UP.as_secs()),
                Some(_) => "it was killed before it was set up".to_owned(),
                None => format!("its first process ({}) was killed while it was set up", made.pid()),
            };
            return self.tell(&News::Failed { id, failure: Failure::Host(why) }, &[]);
        }
        let (end, cpu) = match (job.report, job.killed) {
            (Some(Report::Exited { code, cpu_us }), _) => (End::Exited(code), Some(cpu_us)),
            (Some(Report::Signal { signal, cpu_us }), _) => (End::Signal(signal), Some(cpu_us)),
            (_, Some(killed)) => (killed, None),
            _ => (End::Killed, None),
        };
        let measured = self.maker.groups.usage(&made.group);
        let wall_us = u64::try_from(job.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = Usage { wall_us, cpu_us: measured.cpu_us.or(cpu), ..measured };
        self.tell(&News::Ended { id, end, usage }, &job.layers);
    }

    /// The server reads always; if it is gone, the next order says so.
    fn tell(&self, news: &News, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let _ = wire::send(&self.control, news, &descriptors, true);
    }

    /// Kills all and leaves nothing.
    fn close(mut self) {
        for live in self.live.values() {
            live.made.kill();
        }
        for (_, live) in std::mem::take(&mut self.live) {
            live.made.bury();
            self.graves.add(&self.maker.groups, live.made.group);
        }
        self.undertaker.close();
        self.graves.clear(&self.maker.groups);
        self.maker.groups.close();
    }
}

fn flags(place: &wire::Place) -> (&wire::Folder, u64) {
    let flags = match place.access {
        Access::ReadOnly | Access::Layered => READ_ONLY,
        Access::ReadWrite => WRITABLE,
    };
    (&place.from, flags)
}
