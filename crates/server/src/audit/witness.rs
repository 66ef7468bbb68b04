//! Witnesses (C2SP tlog-witness): each is shown a checkpoint with the proof that it contains what the witness signed last, and signs it. A signature
//! counts only when it verifies.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::StatusCode;
use stead_audit::{
    checkpoint::Checkpoint,
    key::VerifierKey,
    note::{Note, Trust},
};
use stead_engine::Log;
use stead_ports::audit::LogRow;

use super::publish::Untold;
use crate::config::Witness as Configured;

/// Bytes of a witness's answer.
const MAX_ANSWER: usize = 16_384;

/// See the module.
pub(super) struct Witnesses {
    all: Vec<Witness>,
    http: reqwest::Client,
    /// The logs that each has signed up to a size, and was asked about at another.
    asked: HashMap<String, u64>,
}

struct Witness {
    url: String,
    key: VerifierKey,
    signed: HashMap<String, u64>,
}

impl Witnesses {
    pub(super) fn new(all: &[Configured], http: reqwest::Client) -> Self {
        let witness = |of: &Configured| {
            let url = format!("{}/add-checkpoint", of.url.trim_end_matches('/'));
            // A configuration whose keys are none is refused before.
            Some(Witness { url, key: of.key.parse().ok()?, signed: HashMap::new() })
        };
        Self { all: all.iter().filter_map(witness).collect(), http, asked: HashMap::new() }
    }

    /// The log's checkpoint with the signatures of those that gave one; kept when there is any.
    pub(super) async fn cosigned(&mut self, log: &Log, mut row: LogRow) -> LogRow {
        let key = log.verifier(&row.tenant);
        if self.all.is_empty() {
            return row;
        }
        if self.asked.get(key.name()) == Some(&row.size) {
            let same = |note: &String| {
                Checkpoint::verify(note, &Trust::in_log(key.clone())).is_ok_and(|(c, _)| c.size == row.size)
            };
            row.note = row.cosigned.clone().filter(same).unwrap_or(row.note);
            return row;
        }
        let Ok(mut note) = Note::parse(&row.note) else { return row };
        let (mut signed, mut all) = (0, true);
        for witness in &mut self.all {
            match witness.ask(&self.http, log, &row, &key, &mut note).await {
                Ok(()) => signed += 1,
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, witness = witness.key.name(), "a witness does not sign");
                }
            }
        }
        if all {
            self.asked.insert(key.name().to_owned(), row.size);
        }
        if signed > 0 {
            row.note = note.to_string();
            if let Err(error) = log.store().cosign(&row.tenant, &row.note).await {
                tracing::warn!(%error, "what witnesses have signed could not be kept");
            }
        }
        row
    }
}

impl Witness {
    async fn ask(
        &mut self,
        http: &reqwest::Client,
        log: &Log,
        row: &LogRow,
        key: &VerifierKey,
        note: &mut Note,
    ) -> Result<(), Untold> {
        let later = |why: String| Untold::Later(why);
        let mut old = self.signed.get(key.name()).copied().unwrap_or(0);
        // Once more, when it says that it is elsewhere.
        for again in [true, false] {
            let (_, _, path) = log.consistency(row, old, row.size).await.map_err(|e| later(e.to_string()))?;
            let path: String = path.iter().map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash.0))).collect();
            let body = format!("old {old}\n{path}\n{}", row.note);
            let answer =
                http.post(&self.url).body(body).send().await.map_err(|e| later(e.without_url().to_string()))?;
            let status = answer.status();
            let text = read(answer).await?;
            match status {
                StatusCode::OK => {
                    self.take(&text, key, note)?;
                    self.signed.insert(key.name().to_owned(), row.size);
                    return Ok(());
                }
                StatusCode::CONFLICT if again => {
                    let size: u64 = text.trim().parse().map_err(|_| later("it says 409, and no size".into()))?;
                    if size > row.size {
                        return Err(Untold::Forked(format!(
                            "it has signed {size} leaves, and the log has {}: the log was cut back",
                            row.size
                        )));
                    }
                    old = size;
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(Untold::Forked("the log does not contain what it has signed before".into()));
                }
                status => return Err(later(format!("it answered with {status}"))),
            }
        }
        Err(later("it says 409 again and again".into()))
    }

    /// Puts its signature below the note, when it is one.
    fn take(&self, text: &str, log: &VerifierKey, note: &mut Note) -> Result<(), Untold> {
        let mut tried = note.clone();
        for line in text.lines().filter(|line| !line.is_empty()) {
            tried.add(line).map_err(|e| Untold::Later(format!("its answer: {e}")))?;
        }
        let trust = Trust { log: log.clone(), witnesses: vec![self.key.clone()], quorum: 1 };
        tried.verify(&trust).map_err(|e| Untold::Later(format!("its answer: {e}")))?;
        *note = tried;
        Ok(())
    }
}

async fn read(mut answer: reqwest::Response) -> Result<String, Untold> {
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| Untold::Later(e.without_url().to_string()))? {
        text.extend_from_slice(&piece);
        if text.len() > MAX_ANSWER {
            return Err(Untold::Later("its answer is too long".into()));
        }
    }
    String::from_utf8(text).map_err(|_| Untold::Later("its answer is no text".into()))
}
