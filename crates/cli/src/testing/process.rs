//! The process of a case: a runtime with a data folder of its own, which may be killed and started again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use stead_client::Client;
use stead_server::{auth::token_path, testing::Setup};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
};

/// How long a runtime may take to print its URL.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end when it is told to.
const END: Duration = Duration::from_secs(10);
/// Longest first line.
const MAX_LINE: u64 = 4_096;
/// Bytes of its log that a failure shows.
const TAIL: usize = 2_000;

/// See the module.
pub(crate) struct Process {
    pub(crate) client: Client,
    child: Child,
    /// It ends when this is dropped.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts a runtime over the data in `folder`.
    pub(crate) async fn start(folder: &Path, setup: &Setup, env: &BTreeMap<String, String>) -> Result<Self, String> {
        let (file, data, log) = (folder.join("setup.json"), folder.join("data"), folder.join("runtime.log"));
        let text = serde_json::to_vec(setup).map_err(|e| e.to_string())?;
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let stderr = stderr.map_err(|e| format!("{}: {e}", log.display()))?;
        let own = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
        let mut child = Command::new(&own)
            .arg("with-parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&own)
            .args(["test-runtime", "--data"])
            .arg(&data)
            .arg("--setup")
            .arg(&file)
            .envs(env)
            .env_remove("STEAD_SERVER")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            // A Ctrl-C in the terminal is for this process; its children end with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("the runtime cannot be started: {e}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut line = Vec::new();
        let mut stdout = BufReader::new(stdout.ok_or("the runtime has no output")?).take(MAX_LINE);
        let read = tokio::time::timeout(START, stdout.read_until(b'\n', &mut line)).await;
        let url = String::from_utf8_lossy(&line).trim().to_owned();
        if !matches!(read, Ok(Ok(n)) if n > 0) || !url.starts_with("http") {
            return Err(format!("the runtime did not start{}", tail(&log)));
        }
        let token = std::fs::read_to_string(token_path(&data)).map_err(|e| format!("its token: {e}"))?;
        let client = Client::new(&url, token.trim()).map_err(|e| e.to_string())?;
        Ok(Self { client, child, stdin, log })
    }

    /// Completes when it has ended.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus, String> {
        self.child.wait().await.map_err(|e| format!("the runtime cannot be waited for: {e}"))
    }

    /// What to say of an end that nobody wanted.
    pub(crate) fn last_words(&self, status: ExitStatus) -> String {
        format!("the runtime ended by itself ({status}){}", tail(&self.log))
    }

    /// Ends it in order: what it started for the case ends with it.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            // It ends with the handle in any case.
            let _ = self.child.kill().await;
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let start = text.ceil_char_boundary(text.len().saturating_sub(TAIL));
    let text = text[start..].trim();
    if text.is_empty() { String::new() } else { format!(":\n{text}") }
}
