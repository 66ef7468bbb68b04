//! A few threads that read, each with a connection of its own. They take what waits from one queue, so that a thousand
//! runs that wake at a time cost no thousand wakings of threads.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread,
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use stead_core::code;
use stead_ports::journal::StoreError;
use tokio::sync::oneshot;

use super::{errors::store_error, files::open_reader};

/// Reads that one thread takes at a time. They see one state of the database, so that the pages which the first has
/// looked at serve the others too; each write between two states makes a connection forget all its pages.
const TOGETHER: usize = 16;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The pool. At most as many reads run at a time as it has threads; others wait their turn. Dropping it finishes what
/// waits.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    line: Arc<Line>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Pool {
    /// Blocks for a few milliseconds.
    pub(crate) fn open(path: PathBuf, size: usize) -> Result<Self, StoreError> {
        let size = size.clamp(1, 64);
        let line = Arc::new(Line { waiting: Mutex::default(), bell: Condvar::new(), readers: size });
        let mut pool = Self { path, line, threads: Vec::with_capacity(size) };
        for n in 0..size {
            let conn = open_reader(&pool.path).map_err(|e| store_error(&pool.path, &e))?;
            let line = pool.line.clone();
            let thread = thread::Builder::new().name(format!("stead-reader-{n}")).spawn(move || line.serve(&conn));
            let failed = |e| StoreError { code: code::INTERNAL, detail: format!("cannot start a reader thread: {e}") };
            pool.threads.push(thread.map_err(failed)?);
        }
        Ok(pool)
    }

    /// Runs `read` with a connection.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (tx, rx) = oneshot::channel();
        self.line.push(Box::new(move |conn| {
            // A caller that has gone needs no answer.
            if !tx.is_closed() {
                let _ = tx.send(read(conn));
            }
        }));
        match rx.await {
            Ok(result) => result.map_err(|e| store_error(&self.path, &e)),
            Err(_) => Err(StoreError { code: code::INTERNAL, detail: "a read was abandoned".into() }),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.line.waiting.lock().closed = true;
        self.line.bell.notify_all();
        for thread in self.threads.drain(..) {
            // What it was asked has been answered, or its callers have seen that it was not.
            let _ = thread.join();
        }
    }
}

/// Where reads wait.
#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    readers: usize,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<Read>,
    closed: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("reads", &self.reads.len()).field("closed", &self.closed).finish()
    }
}

impl Line {
    fn push(&self, read: Read) {
        self.waiting.lock().reads.push_back(read);
        self.bell.notify_one();
    }

    /// Waits for reads and takes this thread's share of them; none once the pool is closed.
    fn take(&self, share: &mut Vec<Read>) {
        let mut waiting = self.waiting.lock();
        while waiting.reads.is_empty() && !waiting.closed {
            self.bell.wait(&mut waiting);
        }
        let count = waiting.reads.len().div_ceil(self.readers).min(TOGETHER);
        share.extend(waiting.reads.drain(..count));
    }

    /// A thread's life.
    fn serve(&self, conn: &Connection) {
        let mut share = Vec::with_capacity(TOGETHER);
        loop {
            self.take(&mut share);
            if share.is_empty() {
                return;
            }
            // One that cannot begin answers for itself: each read then fails, or sees a state of its own.
            let one_state = statement(conn, "BEGIN");
            for read in share.drain(..) {
                // A panic is that read's alone; its caller sees that no answer came.
                let _ = catch_unwind(AssertUnwindSafe(|| read(conn)));
            }
            if one_state && !conn.is_autocommit() && !statement(conn, "COMMIT") {
                statement(conn, "ROLLBACK");
            }
        }
    }
}

fn statement(conn: &Connection, sql: &str) -> bool {
    let done = conn.prepare_cached(sql).and_then(|mut s| s.execute([]));
    done.inspect_err(|error| tracing::debug!(%error, sql, "a reader's transaction")).is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::mpsc;

    use super::*;

    fn pool(size: usize) -> (tempfile::TempDir, Pool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (n); INSERT INTO t VALUES (0);").unwrap();
        (dir, Pool::open(path, size).unwrap())
    }

    fn number(conn: &Connection) -> rusqlite::Result<i64> {
        conn.query_row("SELECT n FROM t", [], |r| r.get(0))
    }

    #[tokio::test]
    async fn a_read_that_panics_takes_no_other_with_it() {
        let (_dir, pool) = pool(1);
        let panics = pool.read(|_| -> rusqlite::Result<i64> { panic!("on purpose") });
        let (panicked, read) = tokio::join!(panics, pool.read(number));
        assert_eq!(panicked.unwrap_err().code, code::INTERNAL);
        assert_eq!(read, Ok(0));
        assert_eq!(pool.read(number).await, Ok(0), "the thread goes on");
    }

    #[tokio::test]
    async fn a_read_sees_what_was_written_before_it_was_asked_for() {
        let (dir, pool) = pool(2);
        let conn = Connection::open(dir.path().join("a.db")).unwrap();
        for n in 1..200 {
            conn.execute("UPDATE t SET n = ?", [n]).unwrap();
            assert_eq!(pool.read(number).await, Ok(n));
        }
    }

    #[tokio::test]
    async fn a_slow_read_holds_up_none_that_is_asked_for_later() {
        let (_dir, pool) = pool(2);
        let (go, wait) = mpsc::channel::<()>();
        let slow = pool.read(move |_| Ok(wait.recv().is_ok()));
        let mut slow = std::pin::pin!(slow);
        tokio::select! {
            biased;
            _ = &mut slow => unreachable!("it waits for the word"),
            read = pool.read(number) => assert_eq!(read, Ok(0)),
        }
        go.send(()).unwrap();
        assert_eq!(slow.await, Ok(true));
    }
}
