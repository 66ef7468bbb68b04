//! Erasures done again to what was restored: a backup of before has the texts.

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use stead_audit::certificate::{Certificate, FIRST};
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_engine::{blobs_of, without_texts};
use stead_ports::{
    erasure::{Erasure, ErasureStore},
    journal::{Journal, StoreError},
    objects::Objects,
};

use super::{
    Unfinished,
    certify::{self, FILE},
    objects::{Kept, strike},
};

/// Persons and runs read at once.
const PAGE: u32 = 1_000;
/// Bytes of a file of erasures.
const MAX_FILE: u64 = 1 << 30;

/// Erasures that are to be done again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay(Vec<(Certificate, String)>);

/// What was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    /// Erasures that the backup did not know.
    pub(crate) erasures: u64,
    /// Runs whose texts are gone again.
    pub(crate) runs: u64,
    /// Those of them that had not ended: they are paused, and have nothing to go on with.
    pub(crate) unfinished: Vec<RunId>,
}

impl Replay {
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads certificates, one behind another: the file `erasures` of a data folder, or several of them one behind another. Who signed them is
/// not looked at: the key may be lost with what is restored. Nothing when the file of a folder is not there. `others` came with the keys of persons.
///
/// # Errors
/// ST0365 when there is something else in it.
pub(crate) fn read_erasures(named: Option<&Path>, folder: &Path, others: &[String]) -> Result<Replay, StoreError> {
    let mut all: Vec<(Certificate, String)> = Vec::new();
    let mut known = HashSet::new();
    let mut add = |certificate: Certificate, note: String| {
        if known.insert(certificate.id) {
            all.push((certificate, note));
        }
    };
    let own = folder.join(FILE);
    let files = named.into_iter().map(|path| (path, true)).chain([(own.as_path(), false)]);
    for (path, must) in files {
        let bad = |why: String| StoreError {
            code: code::ERASURES_FILE,
            detail: format!("{}: {why}; name the file `{FILE}` of the data folder that was backed up", path.display()),
        };
        if !must && !path.exists() {
            continue;
        }
        let len = fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
        if len > MAX_FILE {
            return Err(bad(format!("it has more than {MAX_FILE} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let notes = apart(&text);
        if notes.is_empty() && must {
            return Err(bad("it has no certificate of an erasure".to_owned()));
        }
        for note in notes {
            let certificate = Certificate::read(&note).map_err(|e| bad(e.to_string()))?;
            add(certificate, note);
        }
    }
    for note in others {
        let bad = |why: String| StoreError {
            code: code::SUBJECT_KEYS,
            detail: format!("the file of subject keys: a certificate in it cannot be read: {why}"),
        };
        add(Certificate::read(note).map_err(|e| bad(e.to_string()))?, note.clone());
    }
    Ok(Replay(all))
}

/// Notes that stand one behind another.
fn apart(text: &str) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match notes.last_mut() {
            Some(note) if line.trim_end() != FIRST => note.push_str(line),
            _ => notes.push(line.to_owned()),
        }
    }
    notes
}

/// The journal, the erasures, and the content of workspaces of one store.
type Stores<'s> = (&'s Arc<dyn Journal>, &'s Arc<dyn ErasureStore>, &'s Arc<dyn Objects>);

/// Does erasures again that a restored store does not know. `folder` has its cassettes, `to` is the data folder that keeps the certificates;
/// `bare` are runs that came without what had no key.
pub(crate) async fn replay(
    (journal, store, objects): Stores<'_>,
    replay: &Replay,
    bare: impl Iterator<Item = RunId>,
    folder: &Path,
    to: &Path,
) -> Result<Replayed, Unfinished> {
    let mut done = Replayed::default();
    if replay.is_empty() {
        return Ok(done);
    }
    // What was only proposed when the backup was taken was not done then.
    let begun: Vec<Erasure> = store.erasures().await?.into_iter().filter(|erasure| !erasure.proposed).collect();
    let known: HashSet<u128> = begun.iter().map(|erasure| erasure.id).collect();
    // Content that only runs of those lead to may be gone.
    let mut erased: HashSet<RunId> = begun.into_iter().flat_map(|erasure| erasure.runs).chain(bare).collect();
    let mut again = HashSet::new();
    for (certificate, note) in &replay.0 {
        certify::append(to, note).map_err(|e| Unfinished::File(format!("{FILE}: {e}")))?;
        if known.contains(&certificate.id) {
            continue;
        }
        let Some((erasure, subject)) = found(&**store, certificate).await? else { continue };
        // A hold that is in force in the backup was released, or came after: what was erased then is erased.
        let holds = store.holds(Some(&erasure.tenant), false).await?.iter().map(|hold| hold.id).collect();
        // Keys that the person got since are of later texts, which no erasure was asked for.
        let known_by = Erasure { certificate: Some(note.clone()), ..erasure.clone() };
        store.begin_erasure(known_by, Some(subject), holds).await?;
        for run in &erasure.runs {
            let open = journal.run(*run).await?.is_some_and(|row| !row.state.status.ended());
            if open && !done.unfinished.contains(run) {
                done.unfinished.push(*run);
            }
            for part in without_texts(journal, &erasure.tenant, *run, true).await?.parts {
                if !store.erase_run(erasure.id, part).await? {
                    return Err(Unfinished::Waits(format!("{run} does not match its hashes")));
                }
            }
            match fs::remove_file(folder.join("cassettes").join(format!("{run}.jsonl"))) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Unfinished::File(e.to_string())),
                _ => {}
            }
        }
        erased.extend(erasure.runs.iter().copied());
        again.extend(erasure.runs.iter().copied());
        store.leave_sessions(erasure.runs.clone()).await?;
        store.remove_blobs(erasure.id, &erasure.tenant, blobs_of()).await?;
        strike(&Kept { journal, store, objects }, &erasure, &erased, Vec::new(), false).await?;
        // Those that came with the restore: the file that is written from now on has them no more.
        store.destroy_keys(&erasure).await?;
        store.finish_erasure(erasure.id, note.clone()).await?;
        done.erasures += 1;
    }
    done.runs = again.len() as u64;
    if done.erasures > 0 {
        store.purge().await?;
    }
    Ok(done)
}

/// The erasure of a certificate, as it is in this store, and the person: about all runs of theirs that began before it was asked for. None
/// when nothing of the person is there.
async fn found(store: &dyn ErasureStore, certificate: &Certificate) -> Result<Option<(Erasure, Name)>, StoreError> {
    let mut after = None;
    loop {
        let page = store.subjects(after, PAGE).await?;
        let full = page.len() == PAGE as usize;
        let found = page.iter().find(|(tenant, subject)| {
            Certificate::name(tenant) == certificate.tenant && store.pseudonym(tenant, subject) == certificate.subject
        });
        if let Some((tenant, subject)) = found {
            let mut runs = Vec::new();
            let mut last = None;
            loop {
                let page = store.runs_of(tenant, subject, last, PAGE).await?;
                last = page.last().map(|row| row.id);
                runs.extend(page.iter().filter(|row| row.created <= certificate.asked).map(|row| row.id));
                if page.len() < PAGE as usize {
                    break;
                }
            }
            let erasure = Erasure {
                id: certificate.id,
                tenant: tenant.clone(),
                subject: certificate.subject,
                by: certificate.by.as_str().into(),
                at: certificate.asked,
                runs,
                proposed: false,
                confirmed_by: None,
                certificate: None,
            };
            return Ok(Some((erasure, subject.clone())));
        }
        after = page.last().cloned();
        if !full {
            return Ok(None);
        }
    }
}
