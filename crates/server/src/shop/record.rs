//! Where the decisions of egress proxies go: a file of the data folder, each with the run or the session sandbox that it is of, written
//! before a request is sent on. No filter of the log drops one, and when the file cannot be written, nothing is let out. What a run's boxes
//! asked of hosts in all is in the run's own facts besides; what a session sandbox did, it tells itself.
//!
//! Lines are handed to the kernel and not synced: they outlive this process however it ends, and may be lost with the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use stead_egress::{Entry, Event, Gone};
use stead_ports::{BoxFuture, clock::Clock as _};
use stead_workshop::{Audit, Whose};

use crate::clock::SystemClock;

/// The file's name in the data folder; the one before it has [`BEFORE`].
const FILE: &str = "egress.jsonl";
const BEFORE: &str = "egress.1.jsonl";
/// Bytes of a file. Then it becomes the one before, and that is gone.
const MOST: u64 = 64 << 20;

/// The file.
pub(super) struct Record(Mutex<Kept>);

struct Kept {
    folder: PathBuf,
    file: File,
    len: u64,
    most: u64,
}

impl Record {
    /// Goes on where an earlier process ended.
    ///
    /// # Errors
    /// When there can be no such file in the folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::with(folder, MOST)
    }

    fn with(folder: &Path, most: u64) -> io::Result<Self> {
        let mut file = open(&folder.join(FILE))?;
        let mut len = file.metadata()?.len();
        let mut last = [b'\n'];
        if len > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            // The machine went down in the middle of a line.
            file.write_all(b"\n")?;
            len += 1;
        }
        Ok(Self(Mutex::new(Kept { folder: folder.to_owned(), file, len, most })))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

impl Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.len > 0 && self.len.saturating_add(line.len() as u64) > self.most {
            fs::rename(self.folder.join(FILE), self.folder.join(BEFORE))?;
            (self.file, self.len) = (open(&self.folder.join(FILE))?, 0);
        }
        let written = self.file.write_all(line);
        match written {
            Ok(()) => self.len += line.len() as u64,
            // Half a line would spoil the next one.
            Err(_) => drop(self.file.set_len(self.len)),
        }
        written
    }
}

impl Audit for Record {
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>> {
        tell(whose, &entry);
        let mut line = told(whose, &entry).to_string();
        line.push('\n');
        // One write of some hundred bytes into the kernel's memory.
        let written = self.0.lock().write(line.as_bytes());
        Box::pin(std::future::ready(written.map_err(|error| {
            tracing::error!(%whose, tenant = %whose.tenant, %error, "egress is not on record, so nothing is let out");
            Gone
        })))
    }
}

/// An entry, as a line has it.
fn told(whose: &Whose, entry: &Entry) -> Value {
    let Entry { exchange, asked, event } = entry;
    let mut line = json!({
        "at": SystemClock.now(), "tenant": whose.tenant.as_str(), "whose": whose.to_string(), "exchange": exchange,
        "method": asked.method, "scheme": asked.scheme.map(|s| s.as_str()), "host": asked.host, "port": asked.port, "path": asked.path,
    });
    let event = match event {
        Event::Allowed { rule, address, secrets, stripped } => json!({
            "event": "allowed", "rule": rule, "address": address.to_string(), "secrets": secrets, "stripped": stripped,
        }),
        Event::Denied { refusal, address } => json!({
            "event": "refused", "code": refusal.code.to_string(), "address": address.map(|a| a.to_string()),
        }),
        Event::Ended { status, sent, received, masked, cut } => json!({
            "event": "ended", "status": status, "sent": sent, "received": received, "masked": masked,
            "cut": cut.map(|code| code.to_string()),
        }),
    };
    if let (Some(line), Value::Object(event)) = (line.as_object_mut(), event) {
        line.extend(event);
        line.retain(|_, value| !value.is_null());
    }
    line
}

/// The same for whoever reads the log.
fn tell(whose: &Whose, entry: &Entry) {
    let Entry { exchange, asked, event } = entry;
    match event {
        Event::Allowed { rule, address, secrets, stripped } => tracing::info!(
            %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
            port = asked.port, path = ?asked.path, rule, %address, ?secrets, ?stripped, "egress allowed"
        ),
        Event::Denied { refusal, address } => tracing::warn!(
            %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
            port = asked.port, path = ?asked.path, code = %refusal.code, ?address, "egress refused"
        ),
        Event::Ended { status, sent, received, masked, cut } => {
            tracing::info!(%whose, tenant = %whose.tenant, exchange, ?status, sent, received, masked, ?cut, "egress ended");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use stead_core::id::{EffectId, RunId};
    use stead_egress::Asked;
    use stead_workshop::Work;

    use super::*;

    fn whose() -> Whose {
        let effect = EffectId { run: RunId(1), n: 2 };
        Whose { tenant: "acme".into(), work: Work::Action { effect, tool: "shell".into() } }
    }

    fn entry(exchange: u64, event: Event) -> Entry {
        let asked = Asked { method: "GET".into(), host: "a.example".into(), port: 443, ..Asked::default() };
        Entry { exchange, asked, event }
    }

    fn ended(exchange: u64) -> Entry {
        entry(exchange, Event::Ended { status: Some(200), sent: 1, received: 2, masked: 0, cut: None })
    }

    fn lines(path: &Path) -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_decision_is_a_line_before_it_is_acted_on_and_another_process_goes_on_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let allowed = Event::Allowed {
            rule: "1: a.example".into(),
            address: ([192, 0, 2, 1], 443).into(),
            secrets: vec!["secret://k".into()],
            stripped: vec![],
        };
        Record::open(dir.path()).unwrap().record(&whose(), entry(7, allowed)).await.unwrap();
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"half\":1}").unwrap();
        Record::open(dir.path()).unwrap().record(&whose(), ended(7)).await.unwrap();
        let told = lines(&file);
        assert_eq!((told.len(), &told[0]["event"], &told[0]["host"]), (3, &json!("allowed"), &json!("a.example")));
        assert_eq!((&told[0]["secrets"], &told[0]["exchange"]), (&json!(["secret://k"]), &json!(7)));
        assert!(told[0]["whose"].as_str().unwrap().ends_with("e2 shell") && told[0]["tenant"] == "acme", "{}", told[0]);
        assert_eq!((&told[2]["event"], &told[2]["status"]), (&json!("ended"), &json!(200)));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn two_files_are_the_most_and_the_newest_entries_are_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::with(dir.path(), 1_000).unwrap();
        for n in 0..100 {
            record.record(&whose(), ended(n)).await.unwrap();
        }
        let (before, now) = (lines(&dir.path().join(BEFORE)), lines(&dir.path().join(FILE)));
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() <= 1_000 && !before.is_empty());
        let numbers: Vec<u64> = before.iter().chain(&now).map(|line| line["exchange"].as_u64().unwrap()).collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_cannot_be_put_on_record_is_not_let_out() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/full", dir.path().join(FILE)).unwrap();
        let record = Record::open(dir.path()).unwrap();
        assert_eq!(record.record(&whose(), ended(1)).await, Err(Gone));
    }
}
