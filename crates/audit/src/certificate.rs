//! The certificate of an erasure: a note, signed with the key of the operators' log, that says whose texts went, when, by whom, and
//! which leaves commit to what is no more. `docs/audit-log.md` is the text of the format.
//!
//! Not here: what is erased and how. A certificate proves who said so, not that no copy is left anywhere.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use crate::{
    checkpoint::Checkpoint,
    key::{SignerKey, is_name},
    note::{Note, Trust},
    origin::escaped,
};

/// Its first line: no log is called so, so that no certificate is ever a checkpoint.
pub const FIRST: &str = "stead-erasure/v1";
/// The most runs that are listed one by one.
pub const MAX_LISTED: usize = 500;
/// The longest list of indexes of a run.
const MAX_INDEXES: usize = 100;

/// A run whose texts went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedRun {
    /// The run.
    pub run: RunId,
    /// Its records.
    pub records: u64,
    /// The leaf hash of its last record, which covers all before it.
    pub last: LeafHash,
    /// Which leaves of the tenant's log are about them: `3-7,12`, cut with `…` where there are very many; `-` for none.
    pub indexes: String,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The log of the operators that has the erasure as an act.
    pub origin: String,
    /// The erasure's id, and that of the act.
    pub id: u128,
    /// The tenant, as in origins.
    pub tenant: String,
    /// Who it was about: a keyed digest of the name.
    pub subject: [u8; 32],
    /// Who asked for it, as in origins.
    pub by: String,
    /// When.
    pub asked: Timestamp,
    /// When all was done.
    pub done: Timestamp,
    /// Runs.
    pub runs: u64,
    /// Their records.
    pub records: u64,
    /// Their texts.
    pub texts: u64,
    /// Keys that were destroyed, under which backups of before have what was erased; none is said by those of before there were such keys.
    pub keys: Option<u64>,
    /// SHA-256 of the lines of all runs.
    pub list: [u8; 32],
    /// Where the tenant's log was before: origin, size and root; `-` when it had no leaf.
    pub before: String,
    /// And after.
    pub after: String,
    /// The lines of the runs, unless there are more than [`MAX_LISTED`].
    pub listed: Vec<String>,
}

/// A certificate that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// It is no note.
    #[error("it is no signed note: {0}")]
    Note(String),
    /// It is a note that says something else.
    #[error("it is no certificate of an erasure: {0}")]
    Form(&'static str),
    /// It is not signed as it must be.
    #[error("{0}")]
    Signature(String),
}

/// Indexes as a certificate writes them: runs of them as `3-7`, in order.
pub fn indexes(all: &[u64]) -> String {
    let (mut out, mut at) = (String::new(), 0);
    while at < all.len() {
        let mut end = at;
        while end + 1 < all.len() && all[end + 1] == all[end] + 1 {
            end += 1;
        }
        if !out.is_empty() {
            out.push(',');
        }
        if out.len() > MAX_INDEXES {
            return out + "…";
        }
        let (first, last) = (all[at], all[end]);
        let written = if at == end { write!(out, "{first}") } else { write!(out, "{first}-{last}") };
        written.expect("writing to memory");
        at = end + 1;
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

/// Where a log is, as a certificate writes it.
pub fn place(checkpoint: Option<&Checkpoint>) -> String {
    checkpoint.map_or_else(|| "-".to_owned(), |c| format!("{} {} {}", c.origin, c.size, c.root))
}

impl ErasedRun {
    fn line(&self) -> String {
        let Self { run, records, last, indexes } = self;
        format!("run {run} {records} {last} {indexes}")
    }
}

impl Certificate {
    /// A certificate about runs, whose number, records and digest follow from them.
    pub fn about(mut self, runs: &[ErasedRun]) -> Self {
        let lines: Vec<String> = runs.iter().map(ErasedRun::line).collect();
        let mut list = Sha256::new();
        lines.iter().for_each(|line| list.update(format!("{line}\n")));
        self.list = list.finalize().into();
        self.runs = runs.len() as u64;
        self.records = runs.iter().map(|run| run.records).sum();
        self.listed = if lines.len() <= MAX_LISTED { lines } else { Vec::new() };
        self
    }

    /// A name as a certificate writes it.
    pub fn name(name: &str) -> String {
        escaped(name)
    }

    fn text(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |out, b| out + &format!("{b:02x}"));
        let Self {
            origin,
            id,
            tenant,
            subject,
            by,
            asked,
            done,
            runs,
            records,
            texts,
            keys,
            list,
            before,
            after,
            listed,
        } = self;
        let keys = keys.map(|keys| format!("keys {keys}\n")).unwrap_or_default();
        let mut out = format!(
            "{FIRST}\norigin {origin}\nid {id:032x}\ntenant {tenant}\nsubject {}\nby {by}\nasked {}\ndone {}\nruns {runs}\n\
             records {records}\ntexts {texts}\n{keys}list {}\nbefore {before}\nafter {after}\n",
            hex(subject),
            asked.0,
            done.0,
            hex(list),
        );
        listed.iter().for_each(|line| {
            out.push_str(line);
            out.push('\n');
        });
        out
    }

    /// The certificate, signed with the log's key.
    ///
    /// # Errors
    /// When it is too long for a note, or says what a note cannot say.
    pub fn sign(&self, key: &SignerKey) -> Result<String, BadCertificate> {
        let mut note = Note::new(self.text()).map_err(|e| BadCertificate::Note(e.to_string()))?;
        note.sign(key);
        Ok(note.to_string())
    }

    /// Whether a note looks like a certificate.
    pub fn is_one(note: &str) -> bool {
        note.starts_with(FIRST) && note[FIRST.len()..].starts_with('\n')
    }

    /// What a note says, whoever signed it.
    ///
    /// # Errors
    /// [`BadCertificate`] when it is none.
    pub fn read(note: &str) -> Result<Self, BadCertificate> {
        let note = Note::parse(note).map_err(|e| BadCertificate::Note(e.to_string()))?;
        Self::parse(note.text())
    }

    /// What a certificate says that the log has signed.
    ///
    /// # Errors
    /// [`BadCertificate`] when it is none, is of another log, or is not signed by it.
    pub fn verify(note: &str, trust: &Trust) -> Result<Self, BadCertificate> {
        let note = Note::parse(note).map_err(|e| BadCertificate::Note(e.to_string()))?;
        let certificate = Self::parse(note.text())?;
        if certificate.origin != trust.log.name() {
            return Err(BadCertificate::Signature(format!("it is of {}, and the key is not", certificate.origin)));
        }
        note.verify(trust).map_err(|e| BadCertificate::Signature(e.to_string()))?;
        Ok(certificate)
    }

    fn parse(text: &str) -> Result<Self, BadCertificate> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        if lines.next() != Some(FIRST) {
            return Err(BadCertificate::Form("it begins with another line"));
        }
        let mut lines = lines.peekable();
        let said =
            |line: &str, name: &str| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')).map(str::to_owned);
        let missing = || BadCertificate::Form("a line is missing or another one");
        let mut field = |name: &str| lines.next().and_then(|line| said(line, name)).ok_or_else(missing);
        let origin = field("origin")?;
        let id = field("id")?;
        let (tenant, subject, by) = (field("tenant")?, field("subject")?, field("by")?);
        let (asked, done) = (time(&field("asked")?)?, time(&field("done")?)?);
        let (runs, records, texts) = (number(&field("runs")?)?, number(&field("records")?)?, number(&field("texts")?)?);
        let keys = lines.next_if(|line| line.starts_with("keys ")).and_then(|line| said(line, "keys"));
        let keys = keys.map(|keys| number(&keys)).transpose()?;
        let mut field = |name: &str| lines.next().and_then(|line| said(line, name)).ok_or_else(missing);
        let (list, before, after) = (digest(&field("list")?)?, field("before")?, field("after")?);
        let listed: Vec<String> = lines.map(str::to_owned).collect();
        if !is_name(&origin) || id.len() != 32 {
            return Err(BadCertificate::Form("a name or an id is none"));
        }
        let id = u128::from_str_radix(&id, 16).map_err(|_| BadCertificate::Form("an id is none"))?;
        if !listed.is_empty() || runs == 0 {
            let mut found = Sha256::new();
            listed.iter().for_each(|line| found.update(format!("{line}\n")));
            let all = listed.len() as u64 == runs && listed.iter().all(|line| line.starts_with("run "));
            if !all || <[u8; 32]>::from(found.finalize()) != list {
                return Err(BadCertificate::Form("its runs are not those that it counts"));
            }
        }
        let certificate = Self {
            origin,
            id,
            tenant,
            subject: digest(&subject)?,
            by,
            asked,
            done,
            runs,
            records,
            texts,
            keys,
            list,
            before,
            after,
            listed,
        };
        // One way of writing only.
        if certificate.text() == text { Ok(certificate) } else { Err(BadCertificate::Form("it is written otherwise")) }
    }
}

fn number(text: &str) -> Result<u64, BadCertificate> {
    text.parse().map_err(|_| BadCertificate::Form("a number is none"))
}

fn time(text: &str) -> Result<Timestamp, BadCertificate> {
    text.parse().map(Timestamp).map_err(|_| BadCertificate::Form("a time is none"))
}

fn digest(text: &str) -> Result<[u8; 32], BadCertificate> {
    let bad = || BadCertificate::Form("a digest is none");
    if text.len() != 64 || !text.is_ascii() {
        return Err(bad());
    }
    let mut out = [0; 32];
    for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use zeroize::Zeroizing;

    use super::*;
    use crate::key::Role;

    fn key(name: &str) -> SignerKey {
        SignerKey::from_seed(name, Role::Log, Zeroizing::new([7; 32])).unwrap()
    }

    fn certificate(runs: u64) -> Certificate {
        let blank = Certificate {
            origin: "log.example/operators".into(),
            id: 0x19,
            tenant: Certificate::name("acme & sons"),
            subject: [0xab; 32],
            by: Certificate::name("grace"),
            asked: Timestamp(1),
            done: Timestamp(2),
            runs: 0,
            records: 0,
            texts: 5,
            keys: (runs != 1).then_some(1),
            list: [0; 32],
            before: "-".into(),
            after: "log.example/tenant/acme 3 AAAA".into(),
            listed: Vec::new(),
        };
        let run = |n| ErasedRun {
            run: RunId(n),
            records: 2,
            last: LeafHash([9; 32]),
            indexes: indexes(&[3, 4, 5, 9, n as u64 + 20]),
        };
        blank.about(&(0..u128::from(runs)).map(run).collect::<Vec<_>>())
    }

    #[test]
    fn a_certificate_says_what_was_signed_and_any_change_is_found() {
        for runs in [0, 1, 3, MAX_LISTED as u64, MAX_LISTED as u64 + 1] {
            let (said, key) = (certificate(runs), key("log.example/operators"));
            let note = said.sign(&key).unwrap();
            let trust = Trust::in_log(key.verifier().clone());
            assert!(Certificate::is_one(&note));
            assert_eq!(Certificate::verify(&note, &trust).unwrap(), said, "{runs}");
            if runs == 3 {
                for at in 0..note.len() {
                    for other in ["0", "x", "\n"] {
                        let mut changed = note.clone();
                        if changed.is_char_boundary(at)
                            && changed.is_char_boundary(at + 1)
                            && &changed[at..=at] != other
                        {
                            changed.replace_range(at..=at, other);
                            assert_ne!(
                                Certificate::verify(&changed, &trust).ok(),
                                Some(said.clone()),
                                "byte {at}: {other:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_certificate_of_another_log_or_key_does_not_count_and_is_no_checkpoint() {
        let note = certificate(1).sign(&key("log.example/operators")).unwrap();
        let other = SignerKey::from_seed("log.example/operators", Role::Log, Zeroizing::new([8; 32])).unwrap();
        for trust in [other.verifier().clone(), key("log.example/tenant/acme").verifier().clone()] {
            assert!(Certificate::verify(&note, &Trust::in_log(trust.clone())).is_err());
            assert!(Checkpoint::verify(&note, &Trust::in_log(trust)).is_err());
        }
        assert!(Checkpoint::verify(&note, &Trust::in_log(key("log.example/operators").verifier().clone())).is_err());
    }

    #[test]
    fn indexes_are_written_as_ranges() {
        assert_eq!(indexes(&[]), "-");
        assert_eq!(indexes(&[3, 4, 5, 9]), "3-5,9");
        assert!(indexes(&(0..1_000).map(|n| n * 2).collect::<Vec<_>>()).ends_with('…'));
    }
}
