//! What the host keeps for one instance: what it may reach, and what it has used.

use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::{ELEMENTS, INSTANCES, MEMORIES, TABLES};

/// Streams, open files and other things of the host's that an instance may hold at once.
const HANDLES: usize = 1024;
/// Bytes that an element of a table takes.
const ELEMENT: u64 = 16;

/// One instance's state.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) meter: Meter,
}

impl State {
    pub(crate) fn new(wasi: WasiCtx, memory: u64) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { wasi, table, meter: Meter { most: memory, now: 0, peak: 0, refused: 0 } }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Bytes of all memories and tables together.
#[derive(Debug)]
pub(crate) struct Meter {
    most: u64,
    now: u64,
    pub(crate) peak: u64,
    /// Growths that were refused.
    pub(crate) refused: u64,
}

impl Meter {
    fn grow(&mut self, by: u64, fits: bool) -> bool {
        let then = self.now.saturating_add(by);
        if !fits || then > self.most {
            self.refused += 1;
            return false;
        }
        self.now = then;
        self.peak = self.peak.max(then);
        true
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // What it declares as its own maximum is its own matter; the rest is the host's.
        let fits = maximum.is_none_or(|m| desired <= m);
        Ok(self.grow(desired.saturating_sub(current) as u64, fits))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= maximum.unwrap_or(ELEMENTS).min(ELEMENTS);
        Ok(self.grow(desired.saturating_sub(current) as u64 * ELEMENT, fits))
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut meter = Meter { most: 200_000, now: 0, peak: 0, refused: 0 };
        assert!(meter.memory_growing(0, 65_536, None).unwrap());
        assert!(meter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(meter.table_growing(0, 4000, None).unwrap());
        assert_eq!(meter.peak, 131_072 + 64_000);
        assert!(!meter.memory_growing(131_072, 196_608, None).unwrap());
        assert!(!meter.table_growing(4000, ELEMENTS + 1, None).unwrap());
        assert_eq!((meter.refused, meter.peak), (2, 131_072 + 64_000));
    }
}
