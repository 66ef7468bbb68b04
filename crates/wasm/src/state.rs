//! What the host keeps for one instance: what it may reach, and what it has used.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

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
    /// `memory`: most bytes; `now`: where others see how many it has.
    pub(crate) fn new(wasi: WasiCtx, memory: u64, now: Arc<AtomicU64>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { wasi, table, meter: Meter { most: memory, now, refused: 0 } }
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
    /// Nothing is given back before the end, so this is the peak too.
    now: Arc<AtomicU64>,
    /// Growths that were refused.
    pub(crate) refused: u64,
}

impl Meter {
    fn grow(&mut self, by: u64, fits: bool) -> bool {
        let then = self.used().saturating_add(by);
        if !fits || then > self.most {
            self.refused += 1;
            return false;
        }
        self.now.store(then, Ordering::Relaxed);
        true
    }

    /// Bytes of all together.
    pub(crate) fn used(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
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
        let mut meter = Meter { most: 200_000, now: Arc::default(), refused: 0 };
        assert!(meter.memory_growing(0, 65_536, None).unwrap());
        assert!(meter.memory_growing(65_536, 131_072, None).unwrap());
        assert!(meter.table_growing(0, 4000, None).unwrap());
        assert_eq!(meter.used(), 131_072 + 64_000);
        assert!(!meter.memory_growing(131_072, 196_608, None).unwrap());
        assert!(!meter.table_growing(4000, ELEMENTS + 1, None).unwrap());
        assert_eq!((meter.refused, meter.used()), (2, 131_072 + 64_000));
    }
}
