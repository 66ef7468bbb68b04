//! The runs that are being told of, each with what of it is under way. One that is not in memory is derived again from its journal: what was told
//! before is passed over.

use std::collections::HashMap;

use stead_core::id::RunId;
use stead_engine::{Engine, EngineError};
use stead_telemetry::{Span, Texts, Tracer, content::Mask};

/// Runs in memory; some KiB each.
const KEPT: usize = 2_048;
/// Records read at once.
const PAGE: u32 = 128;

/// See the module.
#[derive(Default)]
pub(super) struct Tracers {
    known: HashMap<RunId, (u64, Tracer)>,
    uses: u64,
}

impl Tracers {
    /// The spans that ended with the records `from..=to` of a run.
    ///
    /// # Errors
    /// When the journal cannot be read. Nothing is taken then that would be missing later.
    pub(super) async fn spans(
        &mut self,
        engine: &Engine,
        run: RunId,
        (from, to): (u64, u64),
        mask: Option<&Mask>,
    ) -> Result<Vec<Span>, EngineError> {
        // Out of the map, so that a reader that fails half-way is derived again.
        let mut tracer = self.known.remove(&run).map(|(_, tracer)| tracer).unwrap_or_default();
        if tracer.next() > from {
            tracer = Tracer::default();
        }
        let mut out = Vec::new();
        while tracer.next() <= to {
            let page = engine.traced(run, tracer.next(), PAGE, mask.is_some()).await?;
            if page.is_empty() {
                break;
            }
            for found in page.iter().take_while(|found| found.record.header.seq <= to) {
                let seq = found.record.header.seq;
                let spans = tracer.record(&found.record, Texts { all: &found.texts, mask });
                if seq >= from {
                    out.extend(spans);
                }
            }
        }
        if !tracer.ended() {
            self.keep(run, tracer);
        }
        Ok(out)
    }

    fn keep(&mut self, run: RunId, tracer: Tracer) {
        self.uses += 1;
        if self.known.len() >= KEPT {
            // Those that were used in the older half of all uses.
            let mut uses: Vec<u64> = self.known.values().map(|(used, _)| *used).collect();
            let (_, middle, _) = uses.select_nth_unstable(KEPT / 2);
            let middle = *middle;
            self.known.retain(|_, (used, _)| *used > middle);
        }
        self.known.insert(run, (self.uses, tracer));
    }
}
