//! What both stores share about budgets: their columns, and the rule by which a slice is taken or refused. No database here. Between
//! the look and the write nobody else writes: SQLite has one writer, and on PostgreSQL a transaction fails when a window is not as it
//! was found, whoever changed it, and is decided again.

use stead_core::budget::{Amounts, Caps, KINDS, Move};
use stead_ports::journal::AppendError;

/// The kinds, in the order of [`KINDS`].
pub(crate) const COLUMNS: [&str; 8] = ["tokens", "usd", "tool_calls", "active", "cpu", "traffic", "disk", "children"];

/// Those that a session's row counts beside tokens and money.
pub(crate) const SESSION_COLUMNS: [&str; 6] = ["tool_calls", "active_time", "cpu", "traffic", "disk", "children"];

/// A session's cells, in the order of [`SESSION_COLUMNS`].
pub(crate) fn session_cells(used: Amounts) -> [i64; 6] {
    let [_, _, rest @ ..] = used.to_array();
    rest.map(cell)
}

/// The same, read; a cell that no release has written counts nothing.
pub(crate) fn session_used(cells: [Option<i64>; 6]) -> Amounts {
    let mut used = [0; 8];
    used[2..].iter_mut().zip(cells).for_each(|(u, c)| *u = c.unwrap_or(0).unsigned_abs());
    Amounts::from_array(used)
}

/// The largest number in a column; what is beyond it is kept as this, and sums of two still fit.
const CELL_MAX: u64 = 1 << 61;

/// The columns with a prefix, after each other.
pub(crate) fn columns(prefix: &str) -> String {
    COLUMNS.map(|c| format!("{prefix}{c}")).join(", ")
}

/// What is held and used of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    pub(crate) held: Amounts,
    pub(crate) used: Amounts,
}

impl Booked {
    /// Cells of a row: what is held, then what is used.
    pub(crate) fn cells(self) -> [i64; 16] {
        let (held, used) = (self.held.to_array(), self.used.to_array());
        std::array::from_fn(|i| cell(if i < 8 { held[i] } else { used[i - 8] }))
    }

    /// From cells.
    pub(crate) fn of_cells(cells: [i64; 16]) -> Self {
        let at = |from: usize| Amounts::from_array(std::array::from_fn(|i| cells[from + i].unsigned_abs()));
        Self { held: at(0), used: at(8) }
    }

    /// After a move; refused when a limit leaves no room for what is to be held. What only settles or gives back is never refused:
    /// it happened.
    pub(crate) fn after(self, caps: Caps, m: &Move) -> Result<Self, AppendError> {
        let held = self.held.minus(m.back);
        let used = self.used.plus(m.settled);
        let taken = held.plus(used).to_array();
        for (((kind, cap), taken), wants) in KINDS.into_iter().zip(caps.to_array()).zip(taken).zip(m.held.to_array()) {
            if let Some(cap) = cap
                && wants > 0
                && taken.saturating_add(wants) > cap
            {
                return Err(AppendError::OverBudget { limit: kind, left: cap.saturating_sub(taken) });
            }
        }
        Ok(Self { held: held.plus(m.held), used })
    }
}

/// A number as it is kept.
pub(crate) fn cell(n: u64) -> i64 {
    i64::try_from(n.min(CELL_MAX)).unwrap_or(i64::MAX)
}

/// Limits from cells.
pub(crate) fn caps(cells: [Option<i64>; 8]) -> Caps {
    Caps::from_array(cells.map(|c| c.map(i64::unsigned_abs)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::{
        budget::{BudgetId, Level, MicroUsd, Per},
        time::Timestamp,
    };

    use super::*;

    fn usd(n: u64) -> Amounts {
        Amounts { usd: MicroUsd(n), ..Amounts::default() }
    }

    fn moved(back: u64, settled: u64, held: u64) -> Move {
        let level = Level { budget: BudgetId(1), start: Timestamp(0), agent: None, per: Per::Ever };
        Move { level, back: usd(back), settled: usd(settled), held: usd(held) }
    }

    #[test]
    fn what_is_used_and_held_never_goes_beyond_a_limit() {
        let caps = Caps { usd: Some(MicroUsd(100)), ..Caps::default() };
        let mut booked = Booked::default();
        // A slice is taken, part of it used, the next taken: a small generator of numbers, so that every run is the same.
        let (mut seed, mut slice) = (7_u64, 0);
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (used, wants) =
                if slice == 0 { (0, (seed >> 33) % 40) } else { ((seed >> 40) % (slice + 1), (seed >> 33) % 40) };
            match booked.after(caps, &moved(slice, used, wants)) {
                Ok(next) => (booked, slice) = (next, wants),
                Err(AppendError::OverBudget { left, .. }) => {
                    assert!(left < wants);
                    (booked, slice) = (booked.after(caps, &moved(slice, used, 0)).unwrap(), 0);
                }
                Err(other) => panic!("{other}"),
            }
            assert!(booked.held.plus(booked.used).usd.0 <= 100, "{booked:?}");
            assert_eq!(booked.held, usd(slice));
        }
        assert!(booked.used.usd.0 > 50);
    }

    #[test]
    fn what_happened_is_settled_whatever_the_limit_says() {
        let caps = Caps { usd: Some(MicroUsd(10)), ..Caps::default() };
        let booked = Booked::default().after(caps, &moved(0, 50, 0)).unwrap();
        assert_eq!(booked.used, usd(50));
        let refused = booked.after(caps, &moved(0, 0, 1)).unwrap_err();
        assert!(matches!(refused, AppendError::OverBudget { left: 0, .. }), "overshoot is a debt that blocks the next");
    }

    #[test]
    fn absurd_numbers_break_no_sum() {
        let booked = Booked { held: usd(u64::MAX), used: usd(u64::MAX) };
        assert_eq!(Booked::of_cells(booked.cells()).held, usd(CELL_MAX));
        assert!(Booked::default().after(Caps::default(), &moved(u64::MAX, u64::MAX, u64::MAX)).is_ok());
    }
}
