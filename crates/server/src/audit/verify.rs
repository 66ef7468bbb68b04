//! Whether a run's journal is what the log says: each record's hash, its leaf and the proof of that, each decision against the policy set of
//! its epoch, each answer against its question, each signature against the directory of its time and
//! what it let go. Told is everything that does not hold, with its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use stead_api::audit::{RunBreak, RunVerification};
use stead_audit::{
    bundle::{self, Broken},
    note::Trust,
};
use stead_core::{id::LeafHash, record::Record, run::GENESIS};
use stead_engine::{EngineError, LogError, Picked};
use stead_ports::journal::RunRow;

use super::rules::{Rules, Ruling};
use crate::{
    http::failure::{Answer, Failure},
    policies::Known,
    runtime::Runtime,
};

/// Records read at once.
const PAGE: u32 = 1_000;
/// Records of a run that is verified at once.
const MOST: usize = 100_000;
/// Places that are told.
const MAX_BREAKS: usize = 100;
/// How long to wait until what the run wrote last is in the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
struct Verifying<'a> {
    runtime: &'a Runtime,
    row: &'a RunRow,
    out: RunVerification,
}

/// Verifies a run.
///
/// # Errors
/// When the store does not answer; what does not hold is no error.
pub(crate) async fn verify(runtime: &Runtime, row: &RunRow) -> Answer<RunVerification> {
    let out = RunVerification {
        run: row.id,
        holds: false,
        breaks: Vec::new(),
        records: 0,
        proven: 0,
        whole: false,
        decisions: 0,
        approvals: 0,
        signed: 0,
        notes: Vec::new(),
        checkpoint: None,
        key: runtime.log().verifier(&row.tenant).to_string(),
    };
    let mut verifying = Verifying { runtime, row, out };
    let (records, decoded, rules) = verifying.chain().await?;
    verifying.fold().await;
    verifying.signed(&decoded).await?;
    verifying.log(records).await?;
    verifying.out.approvals = rules.approvals;
    verifying.out.breaks.extend(rules.breaks);
    verifying.decisions(rules.rulings).await?;
    let mut out = verifying.out;
    out.breaks.sort_by_key(|broken| broken.seq);
    out.breaks.truncate(MAX_BREAKS);
    out.holds = out.breaks.is_empty();
    Ok(out)
}

impl Verifying<'_> {
    fn breaks(&mut self, seq: Option<u64>, what: &str, why: impl Into<String>) {
        self.out.breaks.push(RunBreak { seq, what: what.to_owned(), why: why.into() });
    }

    /// The records in their chain, as far as it holds.
    async fn chain(&mut self) -> Answer<(Vec<Vec<u8>>, Vec<Record>, Rules)> {
        let (mut all, mut decoded, mut rules, mut prev) = (Vec::new(), Vec::new(), Rules::default(), GENESIS);
        loop {
            let page = self.runtime.journal().read(self.row.id, all.len() as u64, PAGE).await?;
            let full = page.len() == PAGE as usize;
            for stored in page {
                let seq = all.len() as u64;
                match self.link(seq, &stored, prev) {
                    Ok(record) => {
                        rules.hear(&record);
                        decoded.push(record);
                    }
                    Err(why) => {
                        self.breaks(Some(seq), "chain", why);
                        self.out.records = seq;
                        return Ok((all, decoded, rules));
                    }
                }
                prev = stored.leaf;
                all.push(stored.bytes.to_vec());
            }
            if !full || all.len() >= MOST {
                break;
            }
        }
        if all.is_empty() {
            self.breaks(None, "chain", "the run has no record");
        }
        if all.len() >= MOST {
            self.out.notes.push(format!("only the first {MOST} records were looked at"));
        }
        self.out.records = all.len() as u64;
        Ok((all, decoded, rules))
    }

    fn link(&self, seq: u64, stored: &stead_ports::journal::StoredRecord, prev: LeafHash) -> Result<Record, String> {
        if stored.seq != seq {
            return Err(format!("record {seq} is missing"));
        }
        let (record, hash) = Record::decode(&stored.bytes, prev).map_err(|e| e.to_string())?;
        if hash != stored.leaf {
            return Err("its hash is another than the one that was written with it: it was changed".to_owned());
        }
        let header = &record.header;
        if (header.run, header.seq, &header.tenant) != (self.row.id, seq, &self.row.tenant) {
            return Err("it is the record of another place".to_owned());
        }
        Ok(record)
    }

    async fn fold(&mut self) {
        if let Err(e) = self.runtime.engine().view(self.row.id).await {
            self.breaks(None, "fold", e.to_string());
        }
    }

    /// The signed answers of the run, as far as its chain holds: by the directory of that time, and against what they let go.
    async fn signed(&mut self, records: &[Record]) -> Answer<()> {
        let mut entries = Vec::new();
        loop {
            let page = self.runtime.approvers().rows(&self.row.tenant, entries.len() as u64, PAGE).await?;
            let full = page.len() == PAGE as usize;
            entries.extend(page);
            if !full {
                break;
            }
        }
        let report = match self.runtime.engine().prove_signed(self.row.id, records, &entries).await {
            Ok(report) => report,
            // That it does not fold is told already.
            Err(EngineError::Quarantined { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        self.out.signed = report.released;
        self.out.notes.extend(report.notes);
        for (seq, why) in report.breaks {
            self.breaks(seq, if seq.is_some() { "signature" } else { "directory" }, why);
        }
        Ok(())
    }

    /// The leaves of the run, proven with their records.
    async fn log(&mut self, records: Vec<Vec<u8>>) -> Answer<()> {
        let log = self.runtime.log();
        if !log.caught_up(PATIENCE).await {
            self.out
                .notes
                .push("the integrator does not catch up: what was written last is not in the log yet".to_owned());
        }
        let Some(row) = log.head(&self.row.tenant).await? else {
            self.breaks(None, "log", "the tenant has no log");
            return Ok(());
        };
        self.out.checkpoint = Some(row.note.clone());
        let places: Vec<(u64, u64)> =
            log.places(self.row.id).await?.into_iter().filter(|(_, index)| *index < row.size).collect();
        let by_index: BTreeMap<u64, u64> = places.iter().map(|(seq, index)| (*index, *seq)).collect();
        if !places.iter().map(|(seq, _)| *seq).eq(0..places.len() as u64) || by_index.len() != places.len() {
            self.breaks(None, "log", "the log's index of the run has gaps");
        }
        for seq in places.len()..records.len() {
            self.breaks(Some(seq as u64), "log", "the record is not in the log");
        }
        if places.len() > records.len() && !self.out.breaks.iter().any(|broken| broken.what == "chain") {
            self.breaks(
                Some(records.len() as u64),
                "chain",
                "the log has a record that the journal does not have any more",
            );
        }
        let leaves =
            by_index.iter().filter_map(|(index, seq)| Some((*index, Some(records.get(*seq as usize)?.clone()))));
        let picked = Picked { row: row.clone(), leaves: leaves.collect(), links: Vec::new() };
        let file = match log.bundle(picked).await {
            Ok(file) => file,
            Err(LogError::Store(e)) => return Err(e.into()),
            Err(e) => {
                self.breaks(None, "log", e.to_string());
                return Ok(());
            }
        };
        match bundle::verify(&file, &Trust::in_log(log.verifier(&self.row.tenant)), None) {
            Ok(report) => {
                self.out.proven = report.leaves;
                self.out.whole = report.runs.runs().any(|(run, seen)| run == self.row.id && seen.is_whole());
                if report.runs.runs().any(|(run, _)| run != self.row.id) {
                    self.breaks(None, "log", "the log's index of the run leads to leaves of another one");
                }
            }
            Err(broken) => {
                let seq = at(&broken).and_then(|index| by_index.get(&index).copied());
                let what = if seq.is_some() { "leaf" } else { "log" };
                self.breaks(seq, what, broken.to_string());
            }
        }
        Ok(())
    }

    /// Each decision against what its epoch has.
    async fn decisions(&mut self, rulings: Vec<Ruling>) -> Answer<()> {
        let epochs: BTreeSet<u64> = rulings.iter().map(|ruling| ruling.epoch).collect();
        let mut known = BTreeMap::new();
        for epoch in epochs {
            let found = self.runtime.policies().known(&self.row.tenant, self.row.version, epoch).await;
            known.insert(epoch, found.map_err(Failure::from)?);
        }
        for Ruling { seq, at, epoch, by } in rulings {
            self.out.decisions += 1;
            match &known[&epoch] {
                Known::Wrong(why) => self.breaks(Some(seq), "decision", format!("policy set {epoch}: {why}")),
                Known::Partly(why) => {
                    if !self.out.notes.contains(why) {
                        self.out.notes.push(why.clone());
                    }
                }
                Known::Policies { since, ids } => {
                    if at < *since {
                        self.breaks(
                            Some(seq),
                            "decision",
                            format!("policy set {epoch} was applied after this decision"),
                        );
                    } else if let Some(id) = by.iter().find(|id| !ids.contains(*id)) {
                        self.breaks(Some(seq), "decision", format!("policy set {epoch} has no policy `{id}`"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The leaf that a bundle breaks at.
const fn at(broken: &Broken) -> Option<u64> {
    match broken {
        Broken::Leaf { index, .. }
        | Broken::ForeignLeaf { index, .. }
        | Broken::Run { index, .. }
        | Broken::Record { index, .. } => Some(*index),
        _ => None,
    }
}
