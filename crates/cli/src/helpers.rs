//! Helper services of manifests (`dev.services`): processes that live as long as this one. Each runs under `stead
//! with-parent`, which has the kernel end it with its parent, however that ends.

use std::{collections::HashMap, fs::OpenOptions, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use stead_core::id::Name;
use stead_server::agents::{Helper, Helpers};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::Mutex,
};

/// How long a service may take to print its URL.
const START: Duration = Duration::from_secs(15);
/// Longest first line.
const MAX_LINE: u64 = 4_096;
/// Environment that every service gets.
const ENV: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR", "TZ"];

/// What a service stands for while nothing may be done: the port is reserved (RFC 6335, section 8.1.2).
const NOWHERE: &str = "http://127.0.0.1:1";

/// See the module.
#[derive(Debug)]
pub(crate) struct DevHelpers {
    /// Whether to start anything: a command that only looks does not.
    start: bool,
    running: Mutex<HashMap<Place, Arc<Mutex<Option<Running>>>>>,
}

/// Tenant, agent and service.
type Place = (Name, Name, String);

#[derive(Debug)]
struct Running {
    url: String,
    child: Child,
}

impl DevHelpers {
    pub(crate) fn new(start: bool) -> Self {
        Self { start, running: Mutex::default() }
    }

    /// Ends them all.
    pub(crate) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        for service in running.into_values() {
            if let Some(mut service) = service.lock().await.take() {
                // It may have ended by itself.
                let _ = service.child.kill().await;
            }
        }
    }

    async fn running(&self, helper: Helper) -> Result<String, String> {
        if !self.start {
            return Ok(NOWHERE.to_owned());
        }
        let place = (helper.tenant.clone(), helper.agent.clone(), helper.service.clone());
        // Services start beside each other, each of them once.
        let service = self.running.lock().await.entry(place).or_default().clone();
        let mut service = service.lock().await;
        if let Some(known) = &mut *service
            && matches!(known.child.try_wait(), Ok(None))
        {
            return Ok(known.url.clone());
        }
        Ok(service.insert(start(&helper).await?).url.clone())
    }
}

impl Helpers for DevHelpers {
    fn url(&self, helper: Helper) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(self.running(helper))
    }
}

async fn start(helper: &Helper) -> Result<Running, String> {
    let log = helper.data.join(format!("{}.log", helper.service));
    let stderr = OpenOptions::new().create(true).append(true).open(&log);
    let stderr = stderr.map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
    let own = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
    let Some((program, args)) = helper.command.split_first() else { return Err("it has no command".into()) };
    let program = if program == "stead" { own.clone() } else { PathBuf::from(program) };
    let mut command = Command::new(own);
    command
        .arg("with-parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .env_clear()
        // A Ctrl-C in the terminal is for this process; the services end after it.
        .process_group(0)
        .kill_on_drop(true);
    for name in ENV.iter().copied().chain(helper.env.iter().map(String::as_str)) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().map_err(|e| format!("it cannot be started: {e}"))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let see = || format!("its log is {}", log.display());
    match tokio::time::timeout(START, first_line(stdout)).await {
        Ok(Some(url)) if url.starts_with("http://") || url.starts_with("https://") => Ok(Running { url, child }),
        Ok(Some(line)) => Err(format!("its first line is no URL: `{}`; {}", crate::ui::term::short(&line, 80), see())),
        Ok(None) => Err(format!("it ended before it printed its URL; {}", see())),
        Err(_) => Err(format!("it printed no URL within {} s; {}", START.as_secs(), see())),
    }
}

/// The first line; what follows is read and dropped, so that the service never waits for a reader.
async fn first_line(stdout: ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).await.ok()?;
    tokio::spawn(async move { tokio::io::copy(&mut lines, &mut tokio::io::sink()).await });
    let line = String::from_utf8_lossy(&line).trim().to_owned();
    (!line.is_empty()).then_some(line)
}
