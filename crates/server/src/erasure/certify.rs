//! The certificate of an erasure, made of what is left: the runs' records, the places of their leaves, and where the log stood when the
//! erasure was begun, which its act in the operators' log says.
//!
//! All certificates of a data folder are in its file `erasures` too, one note behind another: whoever restores a backup of before needs
//! them, and has the data folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stead_audit::{
    certificate::{Certificate, ErasedRun, indexes, place},
    checkpoint::Checkpoint,
    note::Note,
};
use stead_core::id::Name;
use stead_engine::without_texts;
use stead_ports::{audit::OPERATORS, clock::Clock as _, erasure::Erasure, journal::StoreError};

use super::{Unfinished, hex};
use crate::{clock::SystemClock, http::app::App};

/// The file of a data folder with all certificates.
pub(super) const FILE: &str = "erasures";
/// How long the log is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the log of a tenant is, as a certificate says it.
pub(crate) async fn standing(app: &App, tenant: &Name) -> Result<String, StoreError> {
    let head = app.runtime.log().head(tenant).await?;
    let checkpoint =
        head.and_then(|row| Note::parse(&row.note).ok()).and_then(|note| note.text().parse::<Checkpoint>().ok());
    Ok(place(checkpoint.as_ref()))
}

pub(super) async fn certify(app: &App, erasure: &Erasure, keys: u64) -> Result<String, Unfinished> {
    let (runtime, log) = (&app.runtime, app.runtime.log());
    let begun = log.store().find_act(erasure.id).await?;
    let said: Value = begun.and_then(|act| serde_json::from_slice(&act.body).ok()).unwrap_or_default();
    let before = said.get("before").and_then(Value::as_str).unwrap_or("-").to_owned();
    let (mut runs, mut texts) = (Vec::with_capacity(erasure.runs.len()), 0);
    for run in &erasure.runs {
        let erased = without_texts(runtime.journal(), &erasure.tenant, *run, false).await?;
        texts += erased.texts;
        let places: Vec<u64> = log.places(*run).await?.into_iter().map(|(_, index)| index).collect();
        let (records, last) = (erased.records, erased.last);
        runs.push(ErasedRun { run: *run, records, last, indexes: indexes(&places) });
    }
    let key = log.signer(&OPERATORS.into());
    let certificate = Certificate {
        origin: key.verifier().name().to_owned(),
        id: erasure.id,
        tenant: Certificate::name(&erasure.tenant),
        subject: erasure.subject,
        by: Certificate::name(&erasure.by),
        asked: erasure.at,
        done: SystemClock.now(),
        runs: 0,
        records: 0,
        texts,
        keys: Some(keys),
        list: [0; 32],
        before,
        after: standing(app, &erasure.tenant).await?,
        listed: Vec::new(),
    };
    let note = certificate.about(&runs).sign(&key).map_err(|e| Unfinished::File(e.to_string()))?;
    // The file first: what is finished is in it. One that stands there twice says the same.
    append(runtime.data_dir(), &note).map_err(|e| Unfinished::File(format!("{FILE}: {e}")))?;
    let act = json!({
        "erasure": hex(&erasure.id.to_be_bytes()), "certificate": hex(&Sha256::digest(note.as_bytes())),
        "runs": runs.len(), "texts": texts, "keys": keys,
    });
    app.operators.acts().keep("erasure_done", &act).await?;
    runtime.erasures().store().finish_erasure(erasure.id, note.clone()).await?;
    log.caught_up(PATIENCE).await;
    tracing::info!(erasure = %hex(&erasure.id.to_be_bytes()), runs = runs.len(), texts, "an erasure is finished");
    Ok(note)
}

/// Adds a certificate to the file of a data folder, synced.
pub(super) fn append(folder: &Path, note: &str) -> io::Result<()> {
    let path = folder.join(FILE);
    if fs::read_to_string(&path).is_ok_and(|all| all.contains(note)) {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // A note ends with its last line; the next one begins with a line that no note has in its middle.
    file.write_all(note.as_bytes())?;
    file.sync_all()
}
