//! A folder of evidence: for each duty what the log has to say of it, with bundles that prove all of it. It is evidence, and no verdict: whether a duty is met is
//! for people to say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde_json::{Value, json};
use stead_api::audit::{AuditEntry, MAX_BUNDLE};
use stead_audit::{bundle, note::Trust};
use stead_client::{BundleQuery, Client};
use stead_core::code;

use super::{
    all,
    duties::{EU_AI_ACT, SOURCE},
};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui::{self, table::table, text},
};

/// Indexes of leaves that are told of each duty; the bundles have all.
const TOLD: usize = 1_000;

/// Whose duties.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum For {
    /// Regulation (EU) 2024/1689: Articles 12, 14, 19 and 26
    EuAiAct,
}

/// What was found of a duty in a log.
#[derive(Default)]
struct Found {
    count: u64,
    indexes: Vec<u64>,
    first: Option<AuditEntry>,
    last: Option<AuditEntry>,
}

impl Found {
    fn take(&mut self, entry: &AuditEntry) {
        self.count += 1;
        if self.indexes.len() < TOLD {
            self.indexes.push(entry.index);
        }
        self.first.get_or_insert_with(|| entry.clone());
        self.last = Some(entry.clone());
    }

    fn told(&self, log: &str) -> Value {
        let at = |entry: &Option<AuditEntry>| entry.as_ref().map(|entry| text::instant(entry.at));
        json!({
            "log": log, "leaves": self.count, "first": at(&self.first), "last": at(&self.last), "indexes": self.indexes,
            "more": self.count > self.indexes.len() as u64,
        })
    }
}

/// Writes the folder, which must not exist.
pub(super) async fn write(global: &Global, client: &Client, _whose: For, folder: &Path) -> Outcome<()> {
    let failed = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", folder.display()));
    fs::create_dir(folder).map_err(failed)?;
    let logs = client.audit_logs().await?.items;
    let mut found: Vec<Vec<Found>> = Vec::new();
    let mut proofs = Vec::new();
    for log in &logs {
        let mut of: Vec<Found> = EU_AI_ACT.iter().map(|_| Found::default()).collect();
        let size = all::each(client, &log.log, 0, |entry| {
            for (duty, found) in EU_AI_ACT.iter().zip(&mut of) {
                if (duty.speaks)(&entry) {
                    found.take(&entry);
                }
            }
            Ok(())
        })
        .await?;
        found.push(of);
        let trust =
            Trust::in_log(log.key.parse().map_err(|_| CliError::new(code::AUDIT_BROKEN, "the server told no key"))?);
        let files = bundles(client, &log.log, size, &trust, folder).await?;
        proofs.push(json!({ "log": log.log, "origin": log.origin, "key": log.key, "leaves": size, "bundles": files }));
    }
    let duties: Vec<Value> = EU_AI_ACT
        .iter()
        .enumerate()
        .map(|(n, duty)| {
            let of = logs.iter().zip(&found).map(|(log, found)| found[n].told(&log.log));
            json!({ "article": duty.article, "asks": duty.asks, "query": duty.query, "found": of.collect::<Vec<_>>() })
        })
        .collect();
    let told = json!({
        "for": "Regulation (EU) 2024/1689", "source": SOURCE,
        "note": "Evidence, not a verdict: what the log has to say of each duty. Whether one is met is for people to say.",
        "taken": text::instant(text::now()), "logs": proofs, "duties": duties,
    });
    fs::write(folder.join("evidence.json"), serde_json::to_vec_pretty(&told)?).map_err(failed)?;
    if global.json {
        ui::json(&told)?;
        return Ok(());
    }
    let count = |n: usize| found.iter().map(|of| of[n].count).sum::<u64>().to_string();
    let rows: Vec<_> = EU_AI_ACT
        .iter()
        .enumerate()
        .map(|(n, duty)| [duty.article.to_owned(), count(n), duty.asks.to_owned()])
        .collect();
    ui::text(&table(["ARTICLE", "LEAVES", "ASKS THAT"], &rows))?;
    ui::say(&format!("wrote {}: evidence, not a verdict", folder.display()));
    Ok(())
}

/// The bundles of a whole log, each verified before it is written.
async fn bundles(client: &Client, log: &str, size: u64, trust: &Trust, folder: &Path) -> Outcome<Vec<PathBuf>> {
    let (mut files, mut from) = (Vec::new(), 0);
    while from < size {
        let to = size.min(from + MAX_BUNDLE);
        let query = BundleQuery { from: Some(from), to: Some(to), records: Some(false), ..BundleQuery::default() };
        let file = client.audit_bundle(log, &query).await?;
        let broken =
            |e: bundle::Broken| CliError::new(code::AUDIT_BROKEN, format!("the log `{log}`: {e} ({})", e.code()));
        bundle::verify(&file, trust, None).map_err(broken)?;
        let name = PathBuf::from(format!("{log}-{from}.bundle"));
        let failed = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", name.display()));
        fs::write(folder.join(&name), &file).map_err(failed)?;
        files.push(name);
        from = to;
    }
    Ok(files)
}
