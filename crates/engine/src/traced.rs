//! The records of a run, for whoever tells of them elsewhere: as they stand, and with their texts when these are asked for.

use stead_core::{
    id::RunId,
    record::{Body, Record},
    run::GENESIS,
};

use crate::{Engine, payload, types::EngineError};

/// A record and its texts.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The record.
    pub record: Record,
    /// Its texts as a model reads them, in the order of its payloads; `None` for what is erased, and for all when nobody asked.
    pub texts: Vec<Option<String>>,
}

impl Engine {
    /// At most `limit` records of a run from position `from`. Their place in the chain is not looked at.
    ///
    /// # Errors
    /// When the store does not answer, or a record cannot be read.
    pub async fn traced(&self, run: RunId, from: u64, limit: u32, texts: bool) -> Result<Vec<Traced>, EngineError> {
        let journal = self.journal();
        let mut out = Vec::new();
        for stored in journal.read(run, from, limit).await? {
            let broken = |e: stead_core::record::BadRecord| EngineError::Quarantined { run, why: e.to_string() };
            let (record, _) = Record::decode(&stored.bytes, GENESIS).map_err(broken)?;
            let mut said = Vec::new();
            for payload in record.payloads.iter().filter(|_| texts) {
                said.push(match payload.body {
                    Body::Erased { .. } => None,
                    _ => {
                        let bytes = payload::open(journal, &record.header.tenant, payload).await?;
                        Some(String::from_utf8_lossy(&bytes).into_owned())
                    }
                });
            }
            out.push(Traced { record, texts: said });
        }
        Ok(out)
    }
}
