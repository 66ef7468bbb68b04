//! Masks echoes in one stream, also of values that came into use only after the stream had begun: a host that holds an answer open
//! may hand on what it learns meanwhile.

use std::borrow::Cow;

use crate::{
    scrub::{Patterns, Scrubber},
    session::Session,
};

/// One stream on its way into the box.
pub(crate) struct Screen {
    session: Session,
    scrubber: Option<Scrubber>,
    /// Bytes that were masked by searches before the present one.
    before: u64,
}

impl Screen {
    pub(crate) fn new(session: &Session) -> Self {
        Self { session: session.clone(), scrubber: session.patterns().map(Scrubber::new), before: 0 }
    }

    /// What is searched for now, if anything.
    pub(crate) fn patterns(&self) -> Option<&Patterns> {
        self.scrubber.as_ref().map(Scrubber::patterns)
    }

    /// Bytes that were masked so far.
    pub(crate) fn masked(&self) -> u64 {
        self.before + self.scrubber.as_ref().map_or(0, Scrubber::masked)
    }

    /// Takes up what the session searches for by now; gives what was held back for the search before.
    pub(crate) fn renew(&mut self) -> Vec<u8> {
        let Some(now) = self.session.patterns() else { return Vec::new() };
        if self.patterns().is_some_and(|p| p.is(&now)) {
            return Vec::new();
        }
        self.before = self.masked();
        let held = self.scrubber.as_mut().map(Scrubber::end).unwrap_or_default();
        self.scrubber = Some(Scrubber::new(now));
        held
    }

    /// Takes a piece; gives what may go on.
    pub(crate) fn push<'p>(&mut self, piece: &'p [u8]) -> Cow<'p, [u8]> {
        match &mut self.scrubber {
            None => Cow::Borrowed(piece),
            Some(scrubber) => Cow::Owned(scrubber.push(piece)),
        }
    }

    /// The stream has ended; gives the rest.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.scrubber.as_mut().map(Scrubber::end).unwrap_or_default()
    }
}
