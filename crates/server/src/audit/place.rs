//! A place for checkpoints outside of the server: a folder, a git repository, a webhook. In the first two each log has a folder of its name with
//! two files: `checkpoint`, which is replaced whole, and `history`, which only grows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use stead_audit::{checkpoint::Checkpoint, key::VerifierKey, note::Trust};
use stead_ports::audit::LogRow;
use tokio::process::Command;

use super::publish::Untold;
use crate::config::PublishTo;

/// How long `git` may take.
const GIT: Duration = Duration::from_secs(60);
/// Bytes of a checkpoint that is read.
const MAX_NOTE: u64 = 131_072;

/// See the module.
pub(super) enum Place {
    Folder(PathBuf),
    Git(PathBuf),
    Webhook(String, reqwest::Client),
}

impl Place {
    pub(super) fn new(to: &PublishTo, http: reqwest::Client) -> Self {
        match (&to.folder, &to.git, &to.webhook) {
            (Some(folder), ..) => Self::Folder(folder.clone()),
            (_, Some(folder), _) => Self::Git(folder.clone()),
            (.., url) => Self::Webhook(url.clone().unwrap_or_default(), http),
        }
    }

    /// What it is called in messages; a webhook's URL may be a secret.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Git(path) => format!("git in {}", path.display()),
            Self::Webhook(..) => "the webhook".to_owned(),
        }
    }

    /// The checkpoint of a log that it has; none of a place that cannot be read.
    pub(super) async fn kept(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, Untold> {
        let (Self::Folder(path) | Self::Git(path)) = self else { return Ok(None) };
        let (path, key) = (path.join(key.name()).join("checkpoint"), key.clone());
        let read = apart(move || {
            let text = match File::open(&path) {
                Ok(file) => io::read_to_string(io::Read::take(file, MAX_NOTE))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            };
            Ok(Some((path, Checkpoint::verify(&text, &Trust::in_log(key)))))
        });
        match read.await? {
            None => Ok(None),
            Some((_, Ok((checkpoint, _)))) => Ok(Some(checkpoint)),
            Some((path, Err(e))) => Err(Untold::Forked(format!(
                "{} is no checkpoint of this log ({e}); it is left as it is",
                path.display()
            ))),
        }
    }

    pub(super) async fn put(&self, key: &VerifierKey, row: &LogRow) -> Result<(), Untold> {
        match self {
            Self::Folder(path) => write(path.clone(), key, row).await,
            Self::Git(path) => {
                write(path.clone(), key, row).await?;
                commit(path, key.name(), row.size).await
            }
            Self::Webhook(url, http) => {
                let body = json!({
                    "type": "stead.audit.checkpoint", "origin": key.name(), "size": row.size, "note": row.note,
                });
                let answer =
                    http.post(url).json(&body).send().await.map_err(|e| Untold::Later(e.without_url().to_string()))?;
                let status = answer.status();
                if status.is_success() { Ok(()) } else { Err(Untold::Later(format!("it answered with {status}"))) }
            }
        }
    }
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Untold> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Untold::Later(e.to_string()))?;
    done.map_err(|e| Untold::Later(e.to_string()))
}

async fn write(folder: PathBuf, key: &VerifierKey, row: &LogRow) -> Result<(), Untold> {
    let (dir, note) = (folder.join(key.name()), row.note.clone());
    apart(move || {
        // The place itself must be there: a disk that is not mounted is no place.
        if !folder.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no folder {}", folder.display())));
        }
        fs::create_dir_all(&dir)?;
        let mut history = OpenOptions::new().append(true).create(true).open(dir.join("history"))?;
        history.write_all(note.as_bytes())?;
        history.write_all(b"\n")?;
        history.sync_all()?;
        let draft = dir.join(".checkpoint.new");
        let mut file = File::create(&draft)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, dir.join("checkpoint"))?;
        File::open(&dir)?.sync_all()
    })
    .await
}

/// Commits what was written, and pushes it when there is somewhere to.
async fn commit(folder: &Path, origin: &str, size: u64) -> Result<(), Untold> {
    git(folder, &["add", "--", origin]).await?;
    let who = ["-c", "user.name=stead", "-c", "user.email=stead@localhost", "-c", "commit.gpgsign=false"];
    let message = format!("{origin}: {size} leaves");
    git(folder, &[&who[..], &["commit", "--quiet", "-m", &message, "--", origin]].concat()).await?;
    if git(folder, &["remote"]).await?.trim().is_empty() {
        return Ok(());
    }
    git(folder, &["push", "--quiet"]).await.map(drop)
}

async fn git(folder: &Path, args: &[&str]) -> Result<String, Untold> {
    let mut command = Command::new("git");
    // Nobody is there to be asked for a password.
    command.arg("-C").arg(folder).args(args).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let later = |why: String| Untold::Later(format!("git {}: {why}", args.last().unwrap_or(&"")));
    let ran = tokio::time::timeout(GIT, command.output()).await.map_err(|_| later("it took too long".into()))?;
    let ran = ran.map_err(|e| later(e.to_string()))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let why: String = String::from_utf8_lossy(&ran.stderr).chars().take(500).collect();
    Err(later(why.trim().to_owned()))
}
