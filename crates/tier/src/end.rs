//! Why an action ended, of all that is known about it.

use std::sync::atomic::{AtomicBool, Ordering};

use stead_ports::sandbox::End;

/// How the first process of a box ended, as the one who waits for it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed at its deadline.
    Deadline,
    /// It was killed because somebody asked for it.
    Killed,
}

/// What else is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Processes that the kernel killed for want of memory, where it tells.
    pub oom_kills: Option<u64>,
    /// Whether its holder asked for its end.
    pub asked: bool,
    /// Whether it wrote more than is kept, and was to be killed for that.
    pub full: bool,
}

/// What was asked from here of a box that runs.
#[derive(Debug, Default)]
pub struct Asked {
    end: AtomicBool,
    full: AtomicBool,
}

impl Asked {
    /// Somebody asks for its end.
    pub fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
    }

    /// It wrote more than is kept, and its end is asked for because of that.
    pub fn full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    /// What is known at its end, with what the kernel told.
    pub fn known(&self, oom_kills: Option<u64>) -> Known {
        Known { oom_kills, asked: self.end.load(Ordering::Relaxed), full: self.full.load(Ordering::Relaxed) }
    }
}

/// The end. A limit that ended an action is told, and one that an action met but survived is not.
pub fn told(raw: Raw, known: Known) -> End {
    let memory = known.oom_kills.is_some_and(|n| n > 0);
    match raw {
        Raw::Exited(0) => End::Exited(0),
        Raw::Deadline => End::Deadline,
        Raw::Killed if known.full => End::Output,
        Raw::Killed if known.asked => End::Killed,
        _ if memory => End::Memory,
        Raw::Exited(code) => End::Exited(code),
        Raw::Signal(signal) => End::Signal(signal),
        Raw::Killed => End::Killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_ended_an_action_is_told_apart() {
        let of = |raw, oom_kills, asked, full| told(raw, Known { oom_kills, asked, full });
        assert_eq!(of(Raw::Exited(0), Some(2), false, false), End::Exited(0), "it went well all the same");
        assert_eq!(of(Raw::Exited(137), Some(1), false, false), End::Memory);
        assert_eq!(of(Raw::Signal(9), Some(1), false, false), End::Memory);
        assert_eq!(of(Raw::Signal(9), Some(0), false, false), End::Signal(9));
        assert_eq!(of(Raw::Signal(9), None, false, false), End::Signal(9));
        assert_eq!(of(Raw::Killed, Some(1), true, true), End::Output);
        assert_eq!(of(Raw::Killed, Some(1), true, false), End::Killed);
        assert_eq!(of(Raw::Killed, Some(1), false, false), End::Memory);
        assert_eq!(of(Raw::Deadline, Some(1), false, false), End::Deadline);
    }
}
