//! One command of a box that stays. Its keeper, at the other end of the conversation, lives in the box and is believed nothing but
//! how this command is doing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;
use stead_ports::sandbox::{BoxError, Command, Exec, ExecEnd, ExecWhy, Hand, Stdio, Streams};
use stead_tier::{ask, ends::Ends, terminal::Terminal};
use tokio::io::unix::AsyncFd;

use super::running::refused;
use crate::wire::{self, Ask, Tell, Told};

/// How long a command may take to start.
const START: Duration = Duration::from_secs(10);
/// The device numbers of a terminal's master end, `/dev/ptmx`.
const PTMX: (u32, u32) = (5, 2);

/// Runs a command.
pub(super) async fn start(
    foreman: BorrowedFd<'_>,
    user: u32,
    command: Command,
    streams: Streams,
) -> Result<Exec, BoxError> {
    ask::command(&command)?;
    let dir = ask::dir(&command)?;
    let lost = |e: Errno| BoxError::Lost(format!("it cannot be told anything: {}", io::Error::from(e)));
    let (ours, its) = wire::pair().map_err(lost)?;
    let mut inside = vec![its];
    let mut ends = None;
    let terminal = match streams {
        Streams::Terminal { size } => Some(size),
        Streams::Pipes => {
            let mut own = Ends::new(&Stdio::Pipes { keep: 0 }, user)?;
            inside.append(&mut own.inside);
            ends = own.all();
            None
        }
    };
    let program = command.words.first().cloned();
    let ask = Ask::Exec { words: command.words, env: command.env, dir, terminal };
    let beside: Vec<_> = inside.iter().map(AsFd::as_fd).collect();
    match wire::send(foreman, &ask, &beside, false) {
        Ok(()) => {}
        Err(Errno::AGAIN) => {
            return Err(BoxError::Lost("it does not take commands: its foreman stands still".to_owned()));
        }
        Err(Errno::MSGSIZE) => return Err(BoxError::Spec("it is longer than can be told".to_owned())),
        Err(Errno::PIPE | Errno::CONNRESET) => return Err(BoxError::Lost("it has ended".to_owned())),
        Err(e) => return Err(lost(e)),
    }
    drop(beside);
    drop(inside);
    let keeper = Arc::new(Keeper { socket: conversation(ours)?, asked: AtomicBool::new(false) });
    let told = tokio::time::timeout(START, keeper.hear()).await;
    let beside = match told {
        Ok(Some((Told::Started, beside))) => beside,
        Ok(Some((Told::Failed(failure), _))) => return Err(refused(failure, program.as_ref())),
        Ok(_) => return Err(BoxError::Lost("it ended before the command had started".to_owned())),
        Err(_) => return Err(BoxError::Lost(format!("the command did not start within {} s", START.as_secs()))),
    };
    let (terminal, stdin, stdout, stderr): (_, _, _, Option<Box<_>>) = match (terminal, ends, beside.into_iter().next())
    {
        (None, Some((input, output, error)), _) => {
            (None, Box::new(input) as _, Box::new(output) as _, Some(Box::new(error) as _))
        }
        (Some(_), _, Some(end)) if is_terminal(&end) => {
            let terminal = Terminal::new(end)?;
            let pipes = terminal.pipes()?;
            (Some(terminal), pipes.stdin, pipes.stdout, None)
        }
        _ => return Err(BoxError::Lost("its terminal did not arrive".to_owned())),
    };
    let end = Box::pin(finish(Last(Arc::clone(&keeper))));
    Ok(Exec { hand: Arc::new(Both { keeper, terminal }), stdin, stdout, stderr, end })
}

/// Whether what came out of the box as a terminal is one, and not something that could be made to wait for ever.
fn is_terminal(end: &OwnedFd) -> bool {
    let device = |rdev| (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    rustix::fs::fstat(end).is_ok_and(|found| {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::CharacterDevice
            && device(found.st_rdev) == PTMX
    })
}

#[expect(unsafe_code, reason = "the registration of a descriptor that must stay open")]
fn conversation(end: OwnedFd) -> Result<AsyncFd<OwnedFd>, BoxError> {
    // SAFETY: the registration owns the descriptor, nothing here closes or replaces it before the registration ends.
    let end = unsafe { AsyncFd::register(end) };
    end.map_err(|e| BoxError::Lost(format!("the conversation about a command: {e}")))
}

struct Keeper {
    socket: AsyncFd<OwnedFd>,
    /// Whether somebody asked for the end.
    asked: AtomicBool,
}

impl Keeper {
    /// The next that it tells. `None`: nothing more, or nonsense.
    async fn hear(&self) -> Option<(Told, Vec<OwnedFd>)> {
        let mut room = wire::buffer();
        loop {
            let mut ready = self.socket.readable().await.ok()?;
            let heard = ready.try_io(|socket| Ok(wire::receive::<Told>(socket.get_ref(), &mut room, false)?));
            // Without an answer it was not ready after all.
            if let Ok(heard) = heard {
                return heard.ok().flatten();
            }
        }
    }

    fn tell(&self, order: &Tell) {
        // Its room is full only if it is not being run; then the end of the box is the end of this command too.
        if let Err(error) = wire::send(self.socket.get_ref(), order, &[], false) {
            tracing::debug!(%error, "a command of a sandbox cannot be told anything");
        }
    }

    fn end(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.tell(&Tell::Kill);
    }
}

/// Kills the command of whoever does not wait for it any more.
struct Last(Arc<Keeper>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn finish(last: Last) -> ExecEnd {
    let told = last.0.hear().await;
    let cpu = |us| Some(Duration::from_micros(us));
    let asked = last.0.asked.load(Ordering::Relaxed);
    match told {
        Some((Told::Exited { code, cpu_us }, _)) => ExecEnd { why: ExecWhy::Exited(code), cpu: cpu(cpu_us) },
        Some((Told::Signal { signal, cpu_us }, _)) if !asked => {
            ExecEnd { why: ExecWhy::Signal(signal), cpu: cpu(cpu_us) }
        }
        Some((Told::Signal { cpu_us, .. }, _)) => ExecEnd { why: ExecWhy::Killed, cpu: cpu(cpu_us) },
        _ => ExecEnd { why: ExecWhy::Killed, cpu: None },
    }
}

/// A hand on the keeper and the terminal.
struct Both {
    keeper: Arc<Keeper>,
    terminal: Option<Terminal>,
}

impl Hand for Both {
    fn kill(&self) {
        self.keeper.end();
    }

    fn signal(&self, signal: i32) {
        if (1..=64).contains(&signal) {
            self.keeper.tell(&Tell::Signal(signal));
        }
    }

    fn resize(&self, size: (u16, u16)) {
        if let Some(terminal) = &self.terminal {
            terminal.resize(size);
        }
    }
}
