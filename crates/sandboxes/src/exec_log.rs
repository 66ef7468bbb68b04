//! What a command wrote, in numbered pieces: the latest of it, up to a bound. Whoever reads on after a number that is lost is told what
//! is missing.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    exec::Ran,
    limits::{OUTPUT, PIECE_COST},
};

/// Where a piece came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A terminal, which shows both.
    Terminal,
}

/// A piece of output, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 1, without holes over all sources.
    pub seq: u64,
    /// Where it came from.
    pub source: Source,
    /// What was written.
    pub bytes: Bytes,
}

/// Pieces that are lost: they were older than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first that is missing.
    pub from: u64,
    /// The last that is missing.
    pub to: u64,
}

/// What stands after a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What is missing before the first piece.
    pub gap: Option<Gap>,
    /// The pieces, in order.
    pub chunks: Vec<Chunk>,
    /// How the command ended, with the number of that event; only when no piece comes before it.
    pub end: Option<(u64, Ran)>,
}

impl Page {
    /// Whether it tells anything.
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.chunks.is_empty() && self.end.is_none()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    kept: Mutex<Kept>,
    /// The number of the latest event.
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    chunks: VecDeque<Chunk>,
    /// Of all pieces, with what each costs besides.
    bytes: usize,
    last: u64,
    end: Option<(u64, Ran)>,
}

impl Default for Log {
    fn default() -> Self {
        Self { kept: Mutex::default(), latest: watch::Sender::new(0) }
    }
}

impl Log {
    /// Adds a piece; after the end nothing is added.
    pub(crate) fn push(&self, source: Source, bytes: Bytes) {
        let mut kept = self.kept.lock();
        if kept.end.is_some() || bytes.is_empty() {
            return;
        }
        kept.last += 1;
        let seq = kept.last;
        kept.bytes += bytes.len() + PIECE_COST;
        kept.chunks.push_back(Chunk { seq, source, bytes });
        while kept.bytes > OUTPUT {
            let Some(oldest) = kept.chunks.pop_front() else { break };
            kept.bytes -= oldest.bytes.len() + PIECE_COST;
        }
        drop(kept);
        self.latest.send_replace(seq);
    }

    /// Says how it ended; nothing follows.
    pub(crate) fn close(&self, ran: Ran) {
        let mut kept = self.kept.lock();
        if kept.end.is_some() {
            return;
        }
        kept.last += 1;
        let seq = kept.last;
        kept.end = Some((seq, ran));
        drop(kept);
        self.latest.send_replace(seq);
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<Ran> {
        self.kept.lock().end.map(|(_, ran)| ran)
    }

    /// The number of the latest event.
    pub fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// What stands after that number, up to about so many bytes and at least one piece if there is any.
    pub fn read(&self, after: u64, most: usize) -> Page {
        let kept = self.kept.lock();
        let first = kept.chunks.front().map_or_else(|| kept.end.map_or(kept.last + 1, |(seq, _)| seq), |c| c.seq);
        let gap = (first > after.saturating_add(1)).then(|| Gap { from: after + 1, to: first - 1 });
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        let mut rest = kept.chunks.iter().skip_while(|c| c.seq <= after).peekable();
        while let Some(chunk) = rest.next_if(|c| chunks.is_empty() || bytes + c.bytes.len() <= most) {
            bytes += chunk.bytes.len();
            chunks.push(chunk.clone());
        }
        let end = kept.end.filter(|(seq, _)| rest.peek().is_none() && *seq > after);
        Page { gap, chunks, end }
    }

    /// Waits until there is something after that number. Returns at once for a number that is not reached yet by far, too, once the
    /// command has ended.
    pub async fn wait(&self, after: u64) {
        let mut latest = self.latest.subscribe();
        // The sender lives as long as `self`.
        let _ = latest.wait_for(|seq| *seq > after || self.kept.lock().end.is_some()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &Log, text: &'static str) {
        log.push(Source::Stdout, Bytes::from_static(text.as_bytes()));
    }

    #[test]
    fn pieces_are_numbered_and_read_on_after_any_of_them() {
        let log = Log::default();
        assert!(log.read(0, 100).is_empty());
        push(&log, "a");
        log.push(Source::Stderr, Bytes::from_static(b"b"));
        let page = log.read(0, 100);
        assert_eq!(
            page.chunks.iter().map(|c| (c.seq, c.source)).collect::<Vec<_>>(),
            [(1, Source::Stdout), (2, Source::Stderr)]
        );
        assert_eq!(log.read(1, 100).chunks.len(), 1);
        assert_eq!((log.read(0, 1).chunks.len(), log.read(0, 0).chunks.len()), (1, 1), "one at least");
        log.close(Ran::default());
        assert_eq!(log.read(0, 1).end, None, "a piece comes before it");
        assert_eq!(log.read(1, 100).end, Some((3, Ran::default())));
        assert_eq!((log.read(2, 100).end, log.read(3, 100)), (Some((3, Ran::default())), Page::default()));
        push(&log, "late");
        assert_eq!(log.latest(), 3);
    }

    #[test]
    fn what_is_lost_is_told() {
        let log = Log::default();
        for _ in 0..20 {
            log.push(Source::Stdout, Bytes::from(vec![b'x'; OUTPUT / 10]));
        }
        let page = log.read(2, OUTPUT);
        assert_eq!(page.gap.map(|g| (g.from, g.to + 1)), Some((3, page.chunks[0].seq)));
        assert_eq!(page.chunks.last().map(|c| c.seq), Some(20));
        assert_eq!(log.read(page.chunks[0].seq - 1, OUTPUT).gap, None);
        // Many short pieces have a bound too.
        for _ in 0..100_000 {
            push(&log, "y");
        }
        assert!(log.read(0, usize::MAX).chunks.len() <= OUTPUT / PIECE_COST);
    }

    #[tokio::test]
    async fn a_reader_is_woken_by_pieces_and_by_the_end() {
        let log = std::sync::Arc::new(Log::default());
        let reader = tokio::spawn({
            let log = std::sync::Arc::clone(&log);
            async move {
                log.wait(0).await;
                log.wait(7).await;
            }
        });
        push(&log, "a");
        log.close(Ran::default());
        assert!(reader.await.is_ok());
    }
}
