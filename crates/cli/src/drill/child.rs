//! One life of the runtime: `stead dev` as a process of its own, which ends with this one however that ends.

use std::{fs::OpenOptions, path::Path, process::Stdio, time::Duration};

use stead_client::Client;
use stead_core::time::Timestamp;
use stead_server::{auth::token_path, presence::Presence};
use tokio::process::{Child, Command};

use super::folder::Folder;
use crate::{
    error::{CliError, Outcome},
    ui,
};

/// How often to look whether it is up.
const PAUSE: Duration = Duration::from_millis(2);
/// How long it may take to come up.
const START: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime {
    child: Child,
    pid: u32,
}

impl Runtime {
    /// Starts it.
    pub(crate) fn start(folder: &Folder) -> Outcome<Self> {
        let own = std::env::current_exe()?;
        let log = OpenOptions::new().create(true).append(true).open(folder.log())?;
        let child = Command::new(&own)
            .arg("with-parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&own)
            .args(["dev", "--quiet", "--port", "0", "--data"])
            .arg(folder.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .env_remove("STEAD_SERVER")
            // A Ctrl-C in the terminal is for this process, which then ends it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| CliError::other("the runtime ended at its start"))?;
        Ok(Self { child, pid })
    }

    /// The way to it, once it answers.
    pub(crate) async fn up(&mut self, folder: &Folder) -> Outcome<Client> {
        let up = async {
            loop {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Err(status);
                }
                if let Some(client) = answers(self.pid, &folder.data()).await {
                    return Ok(client);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let log = || std::fs::read_to_string(folder.log()).unwrap_or_default();
        match tokio::time::timeout(START, up).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(status)) => Err(CliError::other(format!("the runtime ended at its start ({status}): {}", log()))),
            Err(_) => {
                Err(CliError::other(format!("the runtime did not come up within {} s: {}", START.as_secs(), log())))
            }
        }
    }

    /// Kills it, with SIGKILL. Gives the moment, which is before the process is gone and after everything that it did.
    pub(crate) async fn kill(mut self) -> Outcome<Timestamp> {
        self.child.start_kill()?;
        let at = ui::text::now();
        self.child.wait().await?;
        Ok(at)
    }
}

/// The way to the runtime of that process, if it answers.
async fn answers(pid: u32, data: &Path) -> Option<Client> {
    let presence = Presence::read(data).filter(|p| p.pid == pid)?;
    let token = std::fs::read_to_string(token_path(data)).ok()?;
    let client = Client::new(&presence.url, token.trim()).ok()?;
    client.status().await.ok().map(|_| client)
}
