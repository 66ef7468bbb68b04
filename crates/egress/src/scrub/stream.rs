//! Masks echoes of secrets in a stream, however it is cut into pieces.
//!
//! Each byte of an echo becomes `*`, so that lengths, offsets and frames around it stay true. What may be the beginning of
//! an echo is held back until it is known; that is nothing at all for most pieces, and never more than a value in its longest form.

use std::{collections::VecDeque, fmt, sync::Arc};

use stead_ports::secret::Secret;

use super::{
    automaton::{Automaton, Run},
    forms::forms,
    view::{KINDS, View},
};

/// Runs shorter than this are not held back: they say nothing, and would delay every event of a stream.
const HELD: u32 = 4;

/// The secrets that are searched for, in a form made for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Patterns(Arc<Inner>);

struct Inner {
    automaton: Automaton,
    /// The longest run that any form asks for.
    most: u32,
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patterns(hidden)")
    }
}

impl Patterns {
    /// Of those values, each of at least 8 bytes of ASCII; nothing to search for when there are none.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        let values: Vec<_> = values.into_iter().map(|s| s.expose().as_bytes()).collect();
        let forms: Vec<_> = values.iter().flat_map(|v| forms(v)).collect();
        let most = forms.iter().map(|f| f.want).max()?;
        Some(Self(Arc::new(Inner { automaton: Automaton::new(&forms), most })))
    }

    /// Whether both are the same search.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A whole text with its echoes masked, and how many bytes that were.
    pub(crate) fn mask(&self, text: &[u8]) -> (Vec<u8>, u64) {
        let mut scrubber = Scrubber::new(self.clone());
        let mut out = scrubber.push(text);
        out.extend(scrubber.end());
        (out, scrubber.masked())
    }
}

struct Reader {
    view: View,
    run: Run,
    /// Where the bytes of the run begin, the newest last; the last ones of a run that is longer than any form asks for.
    begins: VecDeque<u64>,
}

/// One stream on its way.
pub(crate) struct Scrubber {
    patterns: Patterns,
    readers: [Reader; KINDS.len()],
    held: Vec<u8>,
    /// Place of the first held byte in the stream.
    first: u64,
    masked: u64,
    /// Up to where everything is masked and counted.
    counted: u64,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Scrubber {
    /// What it searches for.
    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    pub(crate) fn new(patterns: Patterns) -> Self {
        let readers = KINDS.map(|kind| Reader {
            view: View::new(kind),
            run: Run::default(),
            begins: VecDeque::with_capacity(16),
        });
        Self { patterns, readers, held: Vec::new(), first: 0, masked: 0, counted: 0 }
    }

    /// Bytes that were masked so far.
    pub(crate) fn masked(&self) -> u64 {
        self.masked
    }

    /// Takes a piece; gives what may go on.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Inner { automaton, most } = &*self.patterns.0;
        let mut marks: Vec<(u64, u64)> = Vec::new();
        let start = self.first + self.held.len() as u64;
        for reader in &mut self.readers {
            let Reader { view, run, begins } = reader;
            for (i, byte) in piece.iter().enumerate() {
                let at = start + i as u64;
                view.read(*byte, at, &mut |seen, from| {
                    begins.push_back(from);
                    *run = automaton.read(*run, seen);
                    while begins.len() > run.len.min(*most) as usize {
                        begins.pop_front();
                    }
                    if !automaton.is_echo(*run) {
                        return;
                    }
                    // What a longer run has before was masked when it was shorter.
                    let begin = begins.front().copied().unwrap_or(from);
                    match marks.last_mut() {
                        Some((begun, end)) if *begun <= begin && begin <= *end => *end = (*end).max(at + 1),
                        _ => marks.push((begin, at + 1)),
                    }
                });
            }
        }
        self.held.extend_from_slice(piece);
        marks.sort_unstable();
        for (begin, end) in marks {
            self.mask(begin, end);
        }
        self.release()
    }

    /// The stream has ended; gives the rest.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.first += self.held.len() as u64;
        std::mem::take(&mut self.held)
    }

    fn mask(&mut self, begin: u64, end: u64) {
        // What has gone on already was short of a run.
        let begin = begin.max(self.first);
        let (from, to) = ((begin - self.first) as usize, (end - self.first) as usize);
        self.held[from..to].fill(b'*');
        self.masked += end.saturating_sub(begin.max(self.counted));
        self.counted = self.counted.max(end);
    }

    fn release(&mut self) -> Vec<u8> {
        let end = self.first + self.held.len() as u64;
        let automaton = &self.patterns.0.automaton;
        let limit = self.readers.iter().map(|reader| reader.holds_from(automaton, end)).min();
        let count = limit.unwrap_or(end).saturating_sub(self.first) as usize;
        self.first += count as u64;
        if count == self.held.len() {
            return std::mem::take(&mut self.held);
        }
        let rest = self.held.split_off(count);
        std::mem::replace(&mut self.held, rest)
    }
}

impl Reader {
    /// From where on bytes may belong to an echo that is not recognised yet.
    fn holds_from(&self, automaton: &Automaton, end: u64) -> u64 {
        match self.begins.front() {
            Some(begin) if self.run.len >= HELD && !automaton.is_echo(self.run) => *begin,
            // Masked already; only an escape that goes on it is not.
            Some(_) if self.run.len >= HELD => end - self.view.open() as u64,
            _ => end,
        }
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.held);
    }
}

#[cfg(test)]
mod tests;
