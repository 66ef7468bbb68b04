//! A command of a sandbox: started once for a key, followed to its end, its output kept in a [`Log`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use stead_core::time::Timestamp;
use stead_ports::sandbox::{Exec as Running, ExecEnd, ExecWhy, Hand};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Mutex,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    AskExec, Log, SandboxesError, Source,
    limits::{INPUT, INPUT_TIME, LAST_PIECES, LAST_WAIT, PIECE, REMEMBERED, RUNNING},
};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// Somebody killed it, or its sandbox ended.
    Killed,
    /// Its time was up.
    Timeout,
}

/// How a command ended, and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// How it ended.
    pub state: ExecState,
    /// Processor time of it and of what it waited for, as the sandbox tells it.
    pub cpu: Option<Duration>,
}

impl Default for Ran {
    /// As a command that never ran.
    fn default() -> Self {
        Self { state: ExecState::Killed, cpu: None }
    }
}

type Input = Box<dyn AsyncWrite + Send + Sync + Unpin>;
type Output = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// A command.
pub struct Exec {
    /// Its number within the sandbox, from 1.
    pub n: u32,
    /// The key that it was started with.
    pub key: Option<String>,
    /// What was asked.
    pub asked: AskExec,
    /// When it was started.
    pub started: Timestamp,
    /// What it wrote.
    pub log: Log,
    hand: Arc<dyn Hand>,
    stdin: Mutex<Option<Input>>,
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("n", &self.n).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Exec {
    /// Takes a command that runs, and follows it on a task of its own.
    pub(crate) fn follow(
        n: u32,
        key: Option<String>,
        asked: AskExec,
        started: Timestamp,
        running: Running,
    ) -> Arc<Self> {
        let Running { hand, stdin, stdout, stderr, end } = running;
        // Without a reader of its input a command sees the end of it at once.
        let stdin = Mutex::new((asked.stdin || asked.terminal.is_some()).then_some(stdin));
        let deadline = asked.timeout.map(|timeout| Instant::now() + timeout);
        let exec = Arc::new(Self { n, key, asked, started, log: Log::default(), hand, stdin });
        tokio::spawn(Arc::clone(&exec).run(stdout, stderr, end, deadline));
        exec
    }

    async fn run(
        self: Arc<Self>,
        mut stdout: Output,
        stderr: Option<Output>,
        mut end: stead_ports::BoxFuture<'static, ExecEnd>,
        deadline: Option<Instant>,
    ) {
        let first = if stderr.is_some() { Source::Stdout } else { Source::Terminal };
        let mut stderr: Output = stderr.unwrap_or_else(|| Box::new(tokio::io::empty()));
        let (mut out, mut err) = (vec![0; PIECE], vec![0; PIECE]);
        let (mut out_open, mut err_open, mut late) = (true, true, false);
        let far = || Instant::now() + Duration::from_secs(365 * 24 * 3600);
        let ended = loop {
            tokio::select! {
                n = stdout.read(&mut out), if out_open => out_open = self.take(first, &out, n),
                n = stderr.read(&mut err), if err_open => err_open = self.take(Source::Stderr, &err, n),
                ended = &mut end => break ended,
                () = sleep_until(deadline.unwrap_or_else(far)), if !late && deadline.is_some() => {
                    late = true;
                    self.hand.kill();
                }
            }
        };
        // What it had written by then stands in the pipes, up to their ends; but what it left behind may hold them open.
        for _ in 0..LAST_PIECES {
            if !out_open && !err_open {
                break;
            }
            let piece = timeout(LAST_WAIT, async {
                tokio::select! {
                    n = stdout.read(&mut out), if out_open => (true, n),
                    n = stderr.read(&mut err), if err_open => (false, n),
                }
            });
            match piece.await {
                Ok((true, n)) => out_open = self.take(first, &out, n),
                Ok((false, n)) => err_open = self.take(Source::Stderr, &err, n),
                Err(_) => break,
            }
        }
        self.stdin.lock().await.take();
        let state = match ended.why {
            ExecWhy::Killed if late => ExecState::Timeout,
            ExecWhy::Killed => ExecState::Killed,
            ExecWhy::Exited(code) => ExecState::Exited(code),
            ExecWhy::Signal(signal) => ExecState::Signal(signal),
        };
        self.log.close(Ran { state, cpu: ended.cpu });
        // What it left behind may go on writing; nobody reads it, and nothing waits for that. It ends with the box.
        while out_open || err_open {
            tokio::select! {
                n = stdout.read(&mut out), if out_open => out_open = matches!(n, Ok(1..)),
                n = stderr.read(&mut err), if err_open => err_open = matches!(n, Ok(1..)),
            }
        }
    }

    /// Keeps a piece. Whether there may be more.
    fn take(&self, source: Source, piece: &[u8], read: std::io::Result<usize>) -> bool {
        match read {
            Ok(n @ 1..) => {
                self.log.push(source, Bytes::copy_from_slice(&piece[..n]));
                true
            }
            // An error of a pipe is its end.
            Ok(0) | Err(_) => false,
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ran> {
        self.log.end()
    }

    /// Writes to its standard input, or types into its terminal; with `close` nothing follows.
    ///
    /// # Errors
    /// ST0325 when it takes no input, or not in time: how much it has taken is then not known.
    pub async fn input(&self, bytes: &[u8], close: bool) -> Result<(), SandboxesError> {
        let wrong = |why: String| Err(SandboxesError::Input(why));
        if bytes.len() > INPUT {
            return wrong(format!("at most {INPUT} bytes can be written at once"));
        }
        let mut held = self.stdin.lock().await;
        let Some(stdin) = held.as_mut() else {
            return wrong(format!(
                "command {} takes no input: it was started without, or its input was closed",
                self.n
            ));
        };
        let written = timeout(INPUT_TIME, async {
            stdin.write_all(bytes).await?;
            stdin.flush().await
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                held.take();
                return wrong(format!("command {} reads no input any more", self.n));
            }
            Err(_) => {
                return wrong(format!("command {} did not read its input within {} s", self.n, INPUT_TIME.as_secs()));
            }
        }
        if close {
            held.take();
        }
        Ok(())
    }

    /// Kills it and all that it started.
    pub fn kill(&self) {
        self.hand.kill();
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: i32) {
        self.hand.signal(signal);
    }

    /// Tells its terminal a new size (rows, columns).
    pub fn resize(&self, size: (u16, u16)) {
        self.hand.resize(size);
    }
}

/// The commands of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    all: BTreeMap<u32, Arc<Exec>>,
    last: u32,
}

impl Execs {
    pub(crate) fn get(&self, n: u32) -> Option<Arc<Exec>> {
        self.all.get(&n).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Exec>> {
        self.all.values().cloned().collect()
    }

    /// The command of that key, if it is the same.
    pub(crate) fn of_key(&self, key: &str, asked: &AskExec) -> Result<Option<Arc<Exec>>, SandboxesError> {
        match self.all.values().find(|e| e.key.as_deref() == Some(key)) {
            Some(exec) if exec.asked == *asked => Ok(Some(Arc::clone(exec))),
            Some(_) => Err(SandboxesError::Key(key.to_owned())),
            None => Ok(None),
        }
    }

    /// Whether one more may run, and its number.
    pub(crate) fn room(&self) -> Result<u32, SandboxesError> {
        let running = self.all.values().filter(|e| e.ended().is_none()).count();
        if running >= RUNNING {
            return Err(SandboxesError::Full(format!("{RUNNING} commands run in this sandbox, the most there may be")));
        }
        Ok(self.last.saturating_add(1))
    }

    pub(crate) fn add(&mut self, exec: Arc<Exec>) {
        self.last = exec.n;
        while self.all.len() >= REMEMBERED {
            let Some(oldest) = self.all.values().find(|e| e.ended().is_some()).map(|e| e.n) else { break };
            self.all.remove(&oldest);
        }
        self.all.insert(exec.n, exec);
    }
}
