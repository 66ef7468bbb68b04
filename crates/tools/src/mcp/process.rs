//! The server's process: started with a clean environment in a process group of its own, its stderr kept by the tail,
//! the whole group killed at the end.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{config::McpConfig, secret::Secret, text};

/// Bytes of stderr shown.
const STDERR: usize = 4 * 1024;
/// How long a server may take to end by itself once its input is closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// Variables that every server sees.
const ALWAYS: &[&str] = &["PATH", "HOME", "LANG"];

/// How to start a server.
pub(super) struct Launch {
    program: OsString,
    arguments: Vec<String>,
    cwd: PathBuf,
    environment: Vec<String>,
    set: Vec<(String, Secret)>,
    pub(super) start_timeout: Duration,
}

impl Launch {
    /// `set` are further variables, whose values are not those of this process.
    pub(super) fn new(config: &McpConfig, set: &[(String, Secret)], base: &Path) -> Result<Self, String> {
        let (program, arguments) = config.command.split_first().ok_or("`command` is empty")?;
        if config.command.iter().any(|part| part.contains('\0')) || program.is_empty() {
            return Err("`command` names no program".into());
        }
        let names = config.env.iter().chain(set.iter().map(|(name, _)| name));
        if let Some(bad) = names.clone().find(|n| n.is_empty() || n.contains(['=', '\0'])) {
            return Err(format!("`env` holds names of variables, and `{bad}` is not one"));
        }
        let program = if program.contains('/') { base.join(program).into_os_string() } else { program.into() };
        let cwd = config.cwd.as_ref().map_or_else(|| base.to_owned(), |cwd| base.join(cwd));
        Ok(Self {
            program,
            arguments: arguments.to_vec(),
            cwd,
            environment: config.env.clone(),
            set: set.to_vec(),
            start_timeout: config.start_timeout,
        })
    }

    /// The program's name, for messages.
    pub(super) fn name(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        text::ellipsis(&name.to_string_lossy(), 100)
    }

    /// The values that it is given: they may be secrets, and are blotted out of whatever the server says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let handed = self.environment.iter().filter_map(|name| std::env::var(name).ok());
        let handed = handed.map(|value| Secret::new(&value));
        handed.chain(self.set.iter().map(|(_, secret)| secret.clone())).collect()
    }

    pub(super) fn spawn(&self) -> Result<Running, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.cwd).env_clear();
        for name in ALWAYS.iter().copied().chain(self.environment.iter().map(String::as_str)) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.set.iter().map(|(name, secret)| (name, secret.reveal())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own group, so that what it starts goes with it.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| format!("`{}` cannot be started: {e}", self.name()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(format!("`{}` was started without pipes", self.name()));
        };
        let tail = Tail::new(self.secrets());
        let reader = tokio::spawn(tail.clone().follow(stderr));
        let process = Process { group: child.id().and_then(group), child: Some(child), reader, tail };
        Ok(Running { process, stdin, stdout })
    }
}

fn group(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// A process just started, and its pipes.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

/// A started process. Dropping it kills its group.
pub(super) struct Process {
    group: Option<Pid>,
    /// Not waited for before the group is killed: until then its number cannot belong to another process.
    child: Option<Child>,
    reader: JoinHandle<()>,
    tail: Tail,
}

impl Process {
    /// The end of what it wrote to stderr, without secrets.
    pub(super) fn stderr(&self) -> String {
        self.tail.text()
    }

    /// Kills its group now; what it started goes with it.
    pub(super) fn kill(&self) {
        if let Some(group) = self.group {
            // Gone already is as good as killed.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits, but not long, for its stderr to end: then all of its last words are here.
    pub(super) async fn silence(&self) {
        let _ = timeout(FAREWELL, self.tail.ended.subscribe().wait_for(|ended| *ended)).await;
    }

    /// Waits for it to end by itself, now that its input is closed, and then kills what is left of its group.
    pub(super) async fn finish(self) {
        // Its stderr ends with it; waiting for the process itself would free its number too early.
        self.silence().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.reader.abort();
        if let Some(mut child) = self.child.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { child.wait().await });
        }
    }
}

/// The last bytes of a stream.
#[derive(Clone)]
struct Tail {
    kept: Arc<Mutex<Kept>>,
    ended: watch::Sender<bool>,
    secrets: Arc<[Secret]>,
    /// Bytes kept beyond those that are shown: whatever begins in them and is only half there is not shown.
    margin: usize,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Something before them is gone.
    cut: bool,
}

impl Tail {
    fn new(secrets: Vec<Secret>) -> Self {
        let margin = secrets.iter().map(Secret::longest).max().unwrap_or(0);
        Self { kept: Arc::default(), ended: watch::Sender::new(false), secrets: secrets.into(), margin }
    }

    /// What it ends with. Secrets are blotted out before it is cut, so that no part of one is left.
    fn text(&self) -> String {
        let kept = self.kept.lock();
        let whole = Bytes::copy_from_slice(&kept.bytes);
        let clean = self.secrets.iter().fold(whole, |bytes, secret| secret.blot(bytes));
        let from = if kept.cut { self.margin.min(clean.len()) } else { 0 };
        String::from_utf8_lossy(&clean[from..]).trim().to_owned()
    }

    async fn follow(self, mut stderr: ChildStderr) {
        let mut buffer = [0; 1024];
        while let Ok(n) = stderr.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            let mut kept = self.kept.lock();
            kept.bytes.extend_from_slice(&buffer[..n]);
            let surplus = kept.bytes.len().saturating_sub(STDERR + self.margin);
            kept.cut |= surplus > 0;
            kept.bytes.drain(..surplus);
        }
        self.ended.send_replace(true);
    }
}
