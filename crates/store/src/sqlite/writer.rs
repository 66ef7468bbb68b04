//! The one thread that writes. It takes everything that waits, writes it in one transaction with one sync, and then
//! tells each caller. An append that breaks a rule is refused alone; when the disk fails, the whole transaction is
//! rolled back and nobody's append is in it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, TransactionState};
use stead_core::id::RunId;
use stead_ports::journal::{AckSender, Append, AppendError, StoreError};
use tokio::sync::Notify;

use super::{
    budgets,
    errors::{abort, is_disk, is_failed_sync, store_error, written},
    index::{self, Home, Lookup, int},
    queue::{Queue, Turn},
};
use crate::{
    blob::Packed,
    check::{Slot, Slots, Stop, check},
};

/// Something to do for the writer.
pub(crate) enum Command {
    /// An append, its blobs already packed.
    Append(Append, Vec<Packed>, AckSender),
    /// Anything else.
    Job(Box<dyn Job>),
}

/// A write that is no append. It runs inside the transaction and is told how that ended.
pub(crate) trait Job: Send {
    /// Writes.
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()>;
    /// The transaction is durable, or it is not.
    fn done(self: Box<Self>, result: Result<(), StoreError>);
}

/// Limits of the writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Commands of one transaction.
    pub(crate) commands: usize,
    /// Bytes of records and blobs of one transaction, unless one append alone has more.
    pub(crate) bytes: usize,
    /// Pages in the write-ahead log from which it is copied into the database.
    pub(crate) log_pages: u32,
}

pub(crate) struct Writer {
    conn: Connection,
    path: PathBuf,
    limits: Limits,
    slots: Slots<Home>,
    epoch: u64,
    /// Pages in the log after the last commit.
    log: Arc<AtomicU32>,
    /// The same, one commit earlier.
    log_was: u32,
    /// Pages at which to try the next checkpoint.
    checkpoint_at: u32,
    /// Whether the last transaction failed; the next success is logged.
    failing: bool,
    /// Rung when records are durable.
    bell: Arc<Notify>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The result of each command of a transaction, in order; `None` waits for the commit.
type Results = Vec<Option<Result<(), AppendError>>>;

impl Writer {
    pub(crate) fn new(mut conn: Connection, path: PathBuf, limits: Limits) -> rusqlite::Result<Self> {
        let log = Arc::new(AtomicU32::new(0));
        let seen = log.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let epoch = conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |r| r.get::<_, i64>(0))?;
        Ok(Self {
            conn,
            path,
            slots: Slots::default(),
            epoch: epoch.unsigned_abs(),
            log,
            log_was: 0,
            checkpoint_at: limits.log_pages,
            limits,
            failing: false,
            bell: Arc::default(),
        })
    }

    /// What rings when records are durable.
    pub(crate) fn bell(&self) -> &Arc<Notify> {
        &self.bell
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(desk: &Mutex<Self>, queue: &Queue<Command>) {
        // Whatever ends this thread, nobody may wait for it afterwards.
        let _closed = CloseOnDrop(queue);
        let mut batch = Vec::new();
        while let Some(turn) = queue.take(&mut batch) {
            let single = batch.len() == 1;
            let mut writer = desk.lock();
            while !batch.is_empty() {
                let part = writer.part(&batch);
                writer.commit(&mut batch, part);
                writer.checkpoint();
            }
            drop(writer);
            if single {
                turn.quiet();
            }
        }
    }

    /// Writes one command on the thread of a caller that has found nobody before it. So a run that is alone pays for the
    /// disk, and not for two threads that wake each other.
    pub(crate) fn at_once(desk: &Mutex<Self>, turn: Turn<'_, Command>, command: Command) {
        let mut writer = desk.lock();
        writer.commit(&mut vec![command], 1);
        // Copying the log is for the thread.
        let due = writer.log.load(Ordering::Relaxed) >= writer.checkpoint_at;
        drop(writer);
        if !due {
            turn.quiet();
        }
    }

    /// How many of the waiting commands go into the next transaction; at least one.
    fn part(&self, batch: &[Command]) -> usize {
        let mut bytes = 0;
        let fit = batch.iter().take(self.limits.commands).take_while(|c| {
            bytes += size(c);
            bytes <= self.limits.bytes
        });
        fit.count().max(1)
    }

    /// Writes the first `part` of `batch` in one transaction, answers everyone in it and takes it away.
    fn commit(&mut self, batch: &mut Vec<Command>, part: usize) {
        let mut results = Results::with_capacity(part);
        match self.transaction(&mut batch[..part], &mut results) {
            Ok(()) => {
                if self.failing {
                    self.failing = false;
                    tracing::info!(path = %self.path.display(), "the store takes appends again");
                }
                let appended = batch[..part].iter().any(|command| matches!(command, Command::Append(..)));
                answer(batch.drain(..part), results);
                if appended {
                    self.bell.notify_one();
                }
            }
            Err(error) => {
                self.roll_back(&error);
                if part > 1 && !is_disk(&error) {
                    // One of them is at fault, and it alone shall fail.
                    for _ in 0..part {
                        self.commit(batch, 1);
                    }
                } else {
                    self.failing = true;
                    self.fail(batch.drain(..part), &error);
                }
            }
        }
    }

    fn transaction(&mut self, part: &mut [Command], results: &mut Results) -> rusqlite::Result<()> {
        let conn = &self.conn;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        {
            let mut insert = conn.prepare_cached("INSERT INTO records (rid, seq, leaf, body) VALUES (?, ?, ?, ?)")?;
            for command in part {
                results.push(match command {
                    Command::Append(append, blobs, _) => {
                        let mut lookup = Lookup { conn, slots: &mut self.slots };
                        match one(&mut lookup, &mut insert, self.epoch, append, blobs) {
                            Ok(()) => None,
                            Err(Stop::Refused(refusal)) => Some(Err(refusal)),
                            Err(Stop::Failed(e)) => return Err(e),
                        }
                    }
                    Command::Job(job) => {
                        job.run(conn)?;
                        // A job may have moved the epoch; jobs are rare.
                        self.epoch = epoch(conn)?;
                        None
                    }
                });
            }
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        written(&self.path)
    }

    /// Leaves no transaction open and forgets what the failed one has written.
    fn roll_back(&mut self, error: &rusqlite::Error) {
        if is_failed_sync(error) {
            abort(&self.path, error);
        }
        if !self.failing {
            tracing::warn!(path = %self.path.display(), %error, "the store cannot write; nothing acknowledged is lost");
        }
        self.slots.clear();
        if self.conn.transaction_state(None::<&str>).is_ok_and(|s| s != TransactionState::None)
            || !self.conn.is_autocommit()
        {
            // After some errors SQLite has rolled back by itself, and says so.
            if let Err(error) = self.conn.execute_batch("ROLLBACK") {
                tracing::debug!(%error, "no transaction to roll back");
            }
        }
        if let Ok(epoch) = epoch(&self.conn) {
            self.epoch = epoch;
        }
    }

    fn fail(&self, part: impl Iterator<Item = Command>, error: &rusqlite::Error) {
        let error = store_error(&self.path, error);
        for command in part {
            match command {
                Command::Append(_, _, ack) => {
                    // A caller that has gone needs no answer.
                    let _ = ack.send(Err(AppendError::Unavailable(error.clone())));
                }
                Command::Job(job) => job.done(Err(error.clone())),
            }
        }
    }

    /// Copies the log into the database when it is long, so that it can be written from its beginning again.
    fn checkpoint(&mut self) {
        let pages = self.log.load(Ordering::Relaxed);
        if pages < self.log_was {
            // It was begun anew.
            self.checkpoint_at = self.limits.log_pages;
        }
        self.log_was = pages;
        if pages < self.checkpoint_at {
            return;
        }
        // The next commit begins the log anew if no reader holds an older state; if one does, the log grows on and is
        // tried again a little later.
        self.checkpoint_at = pages.saturating_add(self.limits.log_pages / 4 + 1);
        match self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            Ok(()) => {}
            Err(error) if is_failed_sync(&error) => abort(&self.path, &error),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the log cannot be copied into the database yet");
            }
        }
    }
}

fn epoch(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = 'epoch'")?
        .query_row([], |r| r.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Checks and writes one append.
fn one(
    known: &mut Lookup<'_>,
    insert: &mut CachedStatement<'_>,
    epoch: u64,
    append: &Append,
    blobs: &[Packed],
) -> Result<(), Stop<rusqlite::Error>> {
    if append.epoch != epoch {
        return Err(Stop::Refused(AppendError::Fenced { current: epoch }));
    }
    let slot = check(append, known)?;
    let moves = append.index.as_deref().map_or(&[][..], |i| &i.budgets);
    let booked = budgets::weigh(known.conn, moves)?;
    let slot = index::change(known.conn, append, slot, blobs)?;
    let Some(slot) = slot else {
        return Err(Stop::Refused(AppendError::Conflict { next: 0 }));
    };
    budgets::put(known.conn, booked)?;
    insert.raw_bind_parameter(1, slot.home.run)?;
    insert.raw_bind_parameter(2, int(append.seq))?;
    insert.raw_bind_parameter(3, &append.leaf.0[..])?;
    insert.raw_bind_parameter(4, &append.record[..])?;
    insert.raw_execute()?;
    let ended = append.index.as_ref().and_then(|i| i.run.as_ref()).is_some_and(|s| s.status.ended());
    remember(known.slots, append.run, Slot { next: append.seq + 1, ..slot }, ended);
    Ok(())
}

fn remember(slots: &mut Slots<Home>, run: RunId, slot: Slot<Home>, ended: bool) {
    if ended { slots.forget(run) } else { slots.put(run, slot) }
}

fn size(command: &Command) -> usize {
    match command {
        Command::Append(append, blobs, _) => append.record.len() + blobs.iter().map(|b| b.body.len()).sum::<usize>(),
        Command::Job(_) => 0,
    }
}

fn answer(part: impl Iterator<Item = Command>, results: Results) {
    for (command, result) in part.zip(results) {
        match command {
            Command::Append(_, _, ack) => {
                // A caller that has gone needs no answer.
                let _ = ack.send(result.unwrap_or(Ok(())));
            }
            Command::Job(job) => job.done(Ok(())),
        }
    }
}

/// Closes the queue and answers those who wait, when the writer ends for whatever reason.
struct CloseOnDrop<'q>(&'q Queue<Command>);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
        let stopped = StoreError::stopped();
        for command in self.0.drain() {
            match command {
                Command::Append(_, _, ack) => {
                    let _ = ack.send(Err(AppendError::Unavailable(stopped.clone())));
                }
                Command::Job(job) => job.done(Err(stopped.clone())),
            }
        }
    }
}
