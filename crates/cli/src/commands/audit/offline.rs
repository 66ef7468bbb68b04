//! What is verified on this machine, with keys alone: bundles, proofs, and a server's log against a checkpoint that was kept.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use stead_api::audit::InclusionProof;
use stead_audit::{
    bundle,
    certificate::Certificate,
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    key::VerifierKey,
    note::Trust,
    proof,
};
use stead_client::Client;
use stead_core::code;

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, table::fields, term::clean, text},
};

/// What is trusted: the log's key, and those of witnesses.
pub(super) fn trust(key: &str, witnesses: &[String], quorum: usize) -> Outcome<Trust> {
    let read = |text: &String| text.parse::<VerifierKey>().map_err(|e| CliError::usage(format!("--witness: {e}")));
    let log = key.parse().map_err(|e| CliError::usage(format!("--key: {e}")))?;
    if quorum > witnesses.len() {
        return Err(CliError::usage(format!("--quorum {quorum}: there are only {} witnesses", witnesses.len())));
    }
    Ok(Trust { log, witnesses: witnesses.iter().map(read).collect::<Outcome<_>>()?, quorum })
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|e| CliError::new(code::NOT_FOUND, format!("{}: {e}", path.display())))
}

fn note(path: &Path) -> Outcome<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| CliError::new(code::BAD_REQUEST, format!("{} is no text", path.display())))
}

/// The size in a checkpoint that was kept; whether it counts is verified later.
pub(super) fn size(path: &Path) -> Outcome<u64> {
    let text = note(path)?;
    let parsed = stead_audit::note::Note::parse(&text).ok().and_then(|note| note.text().parse::<Checkpoint>().ok());
    let bad = || CliError::new(code::BAD_REQUEST, format!("{} is no checkpoint", path.display()));
    parsed.map(|checkpoint| checkpoint.size).ok_or_else(bad)
}

fn broken(what: &str, code: &str, why: &str) -> CliError {
    CliError::new(code::AUDIT_BROKEN, format!("{what}: {why} ({code})"))
}

/// Verifies a bundle.
pub(super) fn verify(global: &Global, path: &Path, trust: &Trust, held: Option<&Path>) -> Outcome {
    let (file, held) = (read(path)?, held.map(note).transpose()?);
    if let Some(note) = std::str::from_utf8(&file).ok().filter(|note| Certificate::is_one(note)) {
        let said = Certificate::verify(note, trust)
            .map_err(|e| CliError::new(code::CERTIFICATE, format!("{}: {e}", path.display())))?;
        super::erase::certificate(global, &said)?;
        return Ok(Exit::Ok);
    }
    let report = bundle::verify(&file, trust, held.as_deref())
        .map_err(|e| broken(&path.display().to_string(), e.code(), &e.to_string()))?;
    let runs: Vec<_> = report.runs.runs().map(|(run, seen)| (run, seen.first, seen.last, seen.is_whole())).collect();
    if global.json {
        let runs: Vec<_> = runs
            .iter()
            .map(|(run, first, last, whole)| json!({"run": run, "first": first, "last": last, "whole": whole}))
            .collect();
        let cosigned: Vec<_> = report.cosigned.iter().map(|by| json!({"witness": by.name, "at": by.at})).collect();
        ui::json(&json!({
            "origin": report.checkpoint.origin, "size": report.checkpoint.size, "root": report.checkpoint.root.to_string(),
            "leaves": report.leaves, "records": report.records, "texts": report.texts, "erased": report.erased,
            "acts": report.acts, "held": report.held, "cosigned": cosigned, "runs": runs,
        }))?;
        return Ok(Exit::Ok);
    }
    let run = |(run, first, last, whole): &(stead_core::id::RunId, u64, u64, bool)| {
        let all = if *whole { ", all of it" } else { "" };
        format!("{run}  records {first} to {last}{all}")
    };
    let witnesses = report.cosigned.iter().map(|by| format!("{} at {}", clean(&by.name), seconds(by.at)));
    ui::text(&fields(&[
        ("holds", format!("{} leaves are in the log {}", report.leaves, clean(&report.checkpoint.origin))),
        ("checkpoint", format!("{} leaves, root {}", report.checkpoint.size, report.checkpoint.root)),
        ("shown", format!("{} records, {} texts, {} withheld or erased", report.records, report.texts, report.erased)),
        ("acts", if report.acts > 0 { report.acts.to_string() } else { String::new() }),
        (
            "held",
            report.held.map_or_else(String::new, |size| format!("nothing of the first {size} leaves was changed")),
        ),
        ("witnesses", witnesses.collect::<Vec<_>>().join("\n")),
        ("runs", runs.iter().map(run).collect::<Vec<_>>().join("\n")),
    ]))?;
    Ok(Exit::Ok)
}

fn seconds(at: u64) -> String {
    text::instant(stead_core::time::Timestamp(i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
}

/// Checks an inclusion proof against the checkpoint that came with it.
pub(super) fn check(given: &InclusionProof, key: &str) -> Outcome<()> {
    let wrong = |why: &str| broken("the proof", "root", why);
    let key: VerifierKey = key.parse().map_err(|_| wrong("the server told no key"))?;
    let note = given.checkpoint.as_deref().ok_or_else(|| wrong("no checkpoint came with it"))?;
    let (checkpoint, _) = Checkpoint::verify(note, &Trust::in_log(key)).map_err(|e| wrong(&e.to_string()))?;
    let leaf = BASE64_STANDARD.decode(&given.leaf).map_err(|_| wrong("the leaf is no base64"))?;
    let path = hashes(&given.path).ok_or_else(|| wrong("it has something that is no hash"))?;
    proof::inclusion(hash::leaf(&leaf), given.index, checkpoint.size, &path, checkpoint.root)
        .map_err(|e| wrong(&e.to_string()))
}

fn hashes(texts: &[String]) -> Option<Vec<TreeHash>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

/// Holds a server's log against a checkpoint that was kept.
pub(super) async fn consistent(global: &Global, client: &Client, log: &str, trust: &Trust, held: &Path) -> Outcome {
    let kept = note(held)?;
    let place = held.display().to_string();
    let (kept, _) = Checkpoint::verify(&kept, &Trust::in_log(trust.log.clone()))
        .map_err(|e| broken(&place, "held", &e.to_string()))?;
    let now = client.checkpoint(log, trust.quorum > 0).await?;
    let (now, _) =
        Checkpoint::verify(&now, trust).map_err(|e| broken("the server's checkpoint", "checkpoint", &e.to_string()))?;
    if now.size < kept.size {
        let why = format!("the log has {} leaves, and had {} then: it was cut back", now.size, kept.size);
        return Err(broken(&place, "held", &why));
    }
    let proof = client.consistency(log, kept.size, Some(now.size)).await?;
    let path = hashes(&proof.path).ok_or_else(|| broken("the proof", "held", "it has something that is no hash"))?;
    proof::consistency((kept.size, kept.root), (now.size, now.root), &path)
        .map_err(|e| broken(&place, "held", &format!("the log does not contain it: it was rewritten ({e})")))?;
    if global.json {
        ui::json(&json!({"origin": now.origin, "size": now.size, "held": kept.size, "holds": true}))?;
    } else {
        let (first, now) = (kept.size, now.size);
        ui::text(&format!("holds: nothing of the first {first} leaves was changed; the log has {now}\n"))?;
    }
    Ok(Exit::Ok)
}
