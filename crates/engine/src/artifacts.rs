//! The files of a run: those that it was given, those that its tools returned, and the results of tools that were too long
//! for its records. Read from the journal; nothing is kept for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use stead_core::{
    fact::Fact,
    id::{BlobId, RunId},
    record::{Body, Payload, Record},
    time::Timestamp,
};

use crate::{Engine, load::records, payload, types::EngineError};

/// Most files of a run that are told; those before them are the first.
pub const MAX_LISTED: usize = 1_000;

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactView {
    /// Its name; no other file of the run has it.
    pub name: String,
    /// Its media type.
    pub media: String,
    /// Its length in bytes.
    pub len: u64,
    /// SHA-256 of its bytes; not known of a text that was too long for its record.
    pub digest: Option<[u8; 32]>,
    /// The effect that it came from; `None` for one that the run was given.
    pub effect: Option<u32>,
    /// When it was recorded.
    pub at: Timestamp,
    blob: BlobId,
}

impl Engine {
    /// The files of a run in the order in which they were recorded, and whether there are more than [`MAX_LISTED`].
    ///
    /// # Errors
    /// When the run does not exist or its journal cannot be read.
    pub async fn artifacts(&self, run: RunId) -> Result<(Vec<ArtifactView>, bool), EngineError> {
        let mut listed = Vec::new();
        let mut taken = BTreeMap::new();
        for record in records(self.journal(), run).await? {
            for view in of_record(&record) {
                if listed.len() == MAX_LISTED {
                    return Ok((listed, true));
                }
                listed.push(ArtifactView { name: unique(&mut taken, view.name), ..view });
            }
        }
        Ok((listed, false))
    }

    /// A file of a run by its name, with its bytes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when there is none of that name.
    pub async fn artifact(&self, run: RunId, name: &str) -> Result<(ArtifactView, Bytes), EngineError> {
        let (listed, _) = self.artifacts(run).await?;
        let found = listed.into_iter().find(|a| a.name == name);
        let found = found.ok_or_else(|| EngineError::NotFound { what: format!("a file of that name in {run}") })?;
        let row = self.journal().run(run).await?;
        let tenant = row.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?.tenant;
        let content = payload::stored(self.journal(), &tenant, found.blob).await?;
        Ok((found, content))
    }
}

/// The files of a record, under the names that they came with.
fn of_record(record: &Record) -> impl Iterator<Item = ArtifactView> {
    record.facts.iter().flat_map(move |fact| {
        let payload = fact.payload().and_then(|ix| record.payloads.get(usize::from(ix)));
        payload.into_iter().flat_map(move |payload| of_payload(payload, fact, record.header.at))
    })
}

fn of_payload(payload: &Payload, fact: &Fact, at: Timestamp) -> impl Iterator<Item = ArtifactView> {
    let effect = effect(fact);
    let text = match (&payload.body, effect) {
        (Body::Blob { id, len, .. }, Some(n)) => Some(ArtifactView {
            name: format!("e{n}.txt"),
            media: "text/plain".to_owned(),
            len: *len,
            digest: None,
            effect,
            at,
            blob: *id,
        }),
        _ => None,
    };
    // An erased text has lost its files; their records may still be in an older copy.
    let files = payload.artifacts.iter().filter(|_| !matches!(payload.body, Body::Erased { .. }));
    text.into_iter().chain(files.map(move |a| ArtifactView {
        name: a.name.to_string(),
        media: a.media.to_string(),
        len: a.len,
        digest: Some(a.digest),
        effect,
        at,
        blob: a.blob,
    }))
}

/// The effect whose result a fact holds.
fn effect(fact: &Fact) -> Option<u32> {
    match fact {
        Fact::EffectReturned(f) | Fact::EffectRefused(f) => Some(f.effect),
        Fact::EffectReconciled(f) => Some(f.effect),
        Fact::EffectUnknown(f) => Some(f.effect),
        Fact::ChildFinished(f) => Some(f.effect),
        _ => None,
    }
}

/// The name, with `~2`, `~3` … before its ending when an earlier file has it: the same for ever, as nothing comes before
/// what is recorded.
fn unique(taken: &mut BTreeMap<String, u32>, name: String) -> String {
    let (stem, ending) = match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name.as_str(), ""),
    };
    let mut n = taken.get(&name).copied().unwrap_or(0);
    let unique = loop {
        n += 1;
        let tried = if n == 1 { name.clone() } else { format!("{stem}~{n}{ending}") };
        if !taken.contains_key(&tried) {
            break tried;
        }
    };
    taken.insert(name, n);
    taken.insert(unique.clone(), 1.max(taken.get(&unique).copied().unwrap_or(0)));
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_stay_what_they_were() {
        let mut taken = BTreeMap::new();
        let names = ["a.png", "a.png", "a~2.png", "a.png", "b", "b", ".x", ".x", "a.tar.gz", "a.tar.gz"];
        let told: Vec<_> = names.iter().map(|n| unique(&mut taken, (*n).to_owned())).collect();
        let expected = ["a.png", "a~2.png", "a~2~2.png", "a~3.png", "b", "b~2", ".x", ".x~2", "a.tar.gz", "a.tar~2.gz"];
        assert_eq!(told, expected);
    }
}
