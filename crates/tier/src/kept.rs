//! What is kept of the outputs of a command: the first bytes, and how many there were.

use std::fmt;

use bytes::{Bytes, BytesMut};
use stead_ports::sandbox::{Captured, Follower, KEEP, Source, Stdio, WhenFull};

/// Most bytes that can be kept of an output.
pub const MAX_KEEP: usize = 64 << 20;

/// How outputs are kept.
pub struct Keeping {
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("keep", &self.keep).field("full", &self.full).finish_non_exhaustive()
    }
}

impl Keeping {
    /// As `stdio` asks; before it the input that the command is to have.
    pub fn of(stdio: Stdio) -> (Bytes, Self) {
        let plain = |keep: usize, full| (Bytes::new(), Self { keep: keep.min(MAX_KEEP), full, follower: None });
        match stdio {
            Stdio::Quiet => plain(KEEP, WhenFull::Kill),
            Stdio::Capture { input, keep, full, follower } => (input, Self { follower, ..plain(keep, full).1 }),
            Stdio::Pipes { keep } => plain(keep, WhenFull::Drop),
            Stdio::Terminal { .. } => plain(0, WhenFull::Drop),
        }
    }
}

/// What was read of one output so far.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: BytesMut,
    total: u64,
    told: bool,
}

impl Kept {
    /// Adds what was read; the follower hears as much of it as is kept. `true`, once: there is more than that, and the command is to
    /// be killed for it.
    pub fn add(&mut self, keeping: &Keeping, source: Source, piece: &[u8]) -> bool {
        self.total += piece.len() as u64;
        let room = keeping.keep - self.bytes.len();
        let fits = &piece[..piece.len().min(room)];
        self.bytes.extend_from_slice(fits);
        if let Some(follower) = keeping.follower.as_ref().filter(|_| !fits.is_empty()) {
            follower(source, fits);
        }
        piece.len() > room && keeping.full == WhenFull::Kill && !std::mem::replace(&mut self.told, true)
    }

    /// Adds what the host has to say, if there is room for it.
    pub fn note(&mut self, keeping: &Keeping, words: &str) {
        if words.len() <= keeping.keep - self.bytes.len() {
            self.bytes.extend_from_slice(words.as_bytes());
            self.total += words.len() as u64;
        }
    }

    /// In the port's words.
    pub fn captured(self) -> Captured {
        Captured { bytes: self.bytes.freeze(), total: self.total }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use super::*;

    fn keeping(keep: usize, full: WhenFull, follower: Option<Follower>) -> Keeping {
        Keeping::of(Stdio::Capture { input: Bytes::new(), keep, full, follower }).1
    }

    #[test]
    fn the_first_bytes_are_kept_and_followed_all_are_counted_and_too_many_are_told_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let follower: Follower = Arc::new(move |_, piece: &[u8]| hears.lock().unwrap().extend_from_slice(piece));
        let keeping = keeping(4, WhenFull::Kill, Some(follower));
        let mut kept = Kept::default();
        let told: Vec<bool> = ["ab", "cd", "ef", "gh"].map(|p| kept.add(&keeping, Source::Stdout, p.as_bytes())).into();
        assert_eq!(told, [false, false, true, false]);
        kept.note(&keeping, "no room");
        let captured = kept.captured();
        assert_eq!((&captured.bytes[..], captured.total), (&b"abcd"[..], 8));
        assert_eq!(*heard.lock().unwrap(), b"abcd");
    }

    #[test]
    fn what_is_only_dropped_kills_nobody_and_nothing_is_kept_beyond_the_bound() {
        let mut kept = Kept::default();
        assert!(!kept.add(&keeping(1, WhenFull::Drop, None), Source::Stderr, b"abc"));
        assert_eq!(kept.captured().total, 3);
        assert_eq!(keeping(usize::MAX, WhenFull::Kill, None).keep, MAX_KEEP);
    }
}
