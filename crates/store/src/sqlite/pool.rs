//! A few read-only connections. A read runs on a thread that may block, never on one that serves tasks.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rusqlite::Connection;
use stead_core::code;
use stead_ports::journal::StoreError;
use tokio::sync::Semaphore;

use super::{errors::store_error, files::open_reader};

/// The pool. At most as many reads run at a time as it has connections; others wait their turn.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    free: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn open(path: PathBuf, size: usize) -> rusqlite::Result<Self> {
        let size = size.clamp(1, 64);
        let free = (0..size).map(|_| open_reader(&path)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self { path, free: Arc::new(Mutex::new(free)), turns: Arc::new(Semaphore::new(size)) })
    }

    /// Runs `read` with a connection.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let stopped = |what: &str| StoreError { code: code::INTERNAL, detail: what.to_owned() };
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| stopped("the store is closed"))?;
        let free = self.free.clone();
        let done = tokio::task::spawn_blocking(move || {
            let conn = free.lock().pop()?;
            let result = read(&conn);
            free.lock().push(conn);
            // Held to here, though the caller may have gone: the connection is free again before the turn is.
            drop(turn);
            Some(result)
        })
        .await;
        match done {
            Ok(Some(result)) => result.map_err(|e| store_error(&self.path, &e)),
            Ok(None) => Err(stopped("no connection is left to read with")),
            Err(_) => Err(stopped("a read was abandoned")),
        }
    }
}
