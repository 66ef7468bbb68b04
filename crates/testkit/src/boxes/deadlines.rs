//! Whether a deadline was held, told by what came before what: no bound on how long something may take, which would fail on a machine that
//! is busy with something else.

use std::time::Duration;

use stead_ports::sandbox::{End, Outcome, Running, Stdio};

use super::{Lab, told};

/// How much later the other deadline is.
const LATER: Duration = Duration::from_secs(30);

/// An action beside the one that is tried: it does nothing, and its deadline comes later.
pub struct Later {
    running: Running,
    deadline: Duration,
}

impl Later {
    /// Begins one, before what is tried with this deadline begins.
    pub async fn than(deadline: Duration, lab: &dyn Lab) -> Self {
        let mut spec = lab.spec(&["sleep", "100000"]);
        spec.limits.wall = deadline + LATER;
        Self { running: lab.start(spec, Stdio::Quiet).await, deadline }
    }

    /// What was tried, and would never have ended by itself, was ended by its deadline: not before it, and while this one still had
    /// time.
    ///
    /// # Panics
    /// If it was not.
    pub async fn was_not_reached(self, what: &str, tried: &Outcome) {
        self.running.control.kill();
        let other = self.running.end.await.unwrap();
        assert_eq!(tried.end, End::Deadline, "{what}: {}", told(tried));
        let (wall, deadline) = (tried.usage.wall, self.deadline);
        assert!(wall >= deadline, "{what}: ended after {wall:?}, before its deadline of {deadline:?}");
        assert_eq!(
            other.end,
            End::Killed,
            "{what}: a deadline {LATER:?} later than its own came first: {}",
            told(&other)
        );
    }
}
