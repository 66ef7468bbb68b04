//! Running commands in a sandbox: each once for its key.

use std::sync::Arc;

use stead_ports::sandbox::{BoxError, Command, Streams};

use super::Sandbox;
use crate::{AskExec, Exec, SandboxesError, env, limits::KEY, open::WORKSPACE};

impl Sandbox {
    /// Runs a command. With a `key` it may be asked again, and runs once.
    ///
    /// # Errors
    /// ST0208 when the key belongs to another command, ST0223 when the program cannot be started, ST0322 when too many run, ST0320 when
    /// the sandbox has ended.
    pub async fn exec(
        self: &Arc<Self>,
        key: Option<String>,
        asked: AskExec,
    ) -> Result<(Arc<Exec>, bool), SandboxesError> {
        let own = Arc::clone(self);
        // On a task of its own: whoever asked may go away, and asks again with the same key.
        let begun = tokio::spawn(async move { own.begin(key, asked).await }).await;
        begun.unwrap_or_else(|e| Err(BoxError::Lost(e.to_string()).into()))
    }

    async fn begin(&self, key: Option<String>, asked: AskExec) -> Result<(Arc<Exec>, bool), SandboxesError> {
        if let Some(key) = key.as_ref().filter(|k| !(1..=KEY).contains(&k.len())) {
            return Err(SandboxesError::Refused(format!("a key has 1 to {KEY} bytes, not {}", key.len())));
        }
        env::check(&asked.env)?;
        let _turn = self.starting.lock().await;
        if let Some(key) = &key
            && let Some(known) = self.execs.lock().of_key(key, &asked)?
        {
            return Ok((known, false));
        }
        let n = self.execs.lock().room()?;
        let mut variables = self.env.clone();
        variables.extend(asked.env.clone());
        let env = env::filled(&variables, &self.proxy.placeholders())?;
        let dir = if asked.dir.is_empty() { WORKSPACE } else { &asked.dir };
        let command = Command { words: asked.words.clone(), env, dir: dir.into() };
        let streams = asked.terminal.map_or(Streams::Pipes, |size| Streams::Terminal { size });
        let running = self.session.exec(command, streams).await.map_err(|e| self.gone_or(e))?;
        let started = self.all.0.parts.clock.now();
        let exec = Exec::follow(n, key, asked, started, running);
        self.execs.lock().add(Arc::clone(&exec));
        Ok((exec, true))
    }

    /// A command by its number.
    ///
    /// # Errors
    /// ST0202 when there is none.
    pub fn command(&self, n: u32) -> Result<Arc<Exec>, SandboxesError> {
        self.execs.lock().get(n).ok_or(SandboxesError::NoExec(self.id, n))
    }

    /// Its commands, the first one first.
    pub fn commands(&self) -> Vec<Arc<Exec>> {
        self.execs.lock().list()
    }
}
