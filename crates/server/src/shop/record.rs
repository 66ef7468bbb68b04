//! Where the decisions of egress proxies go: a file of the data folder, each with the run or the session sandbox that it is of, written
//! before a request is sent on. No filter of the log drops one, and when the file cannot be written, nothing is let out. What a run's boxes
//! asked of hosts in all is in the run's own facts besides; what a session sandbox did, it tells itself.
//!
//! Lines are handed to the kernel and not synced: they outlive this process however it ends, and may be lost with the machine.

use std::{io, path::Path, time::Duration};

use serde_json::{Value, json};
use stead_core::sandbox::Tier;
use stead_egress::{Entry, Event, Gone};
use stead_ports::{BoxFuture, clock::Clock as _, connect::Ruled};
use stead_workshop::{Audit, Whose};

use crate::{clock::SystemClock, http::metrics::Starts, lines::Lines};

/// The file's name in the data folder; the one before it has [`BEFORE`].
const FILE: &str = "egress.jsonl";
const BEFORE: &str = "egress.1.jsonl";

/// The file.
pub(super) struct Record {
    lines: Lines,
    starts: Starts,
}

impl Record {
    /// Goes on where an earlier process ended.
    ///
    /// # Errors
    /// When there can be no such file in the folder.
    pub(super) fn open(folder: &Path, starts: Starts) -> io::Result<Self> {
        Ok(Self { lines: Lines::open(folder, FILE, BEFORE)?, starts })
    }
}

impl Audit for Record {
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>> {
        tell(whose, &entry);
        let mut line = told(whose, &entry).to_string();
        line.push('\n');
        // One write of some hundred bytes into the kernel's memory.
        let written = self.lines.write(line.as_bytes());
        Box::pin(std::future::ready(written.map_err(|error| {
            tracing::error!(%whose, tenant = %whose.tenant, %error, "egress is not on record, so nothing is let out");
            Gone
        })))
    }

    fn started(&self, tier: Tier, took: Duration, started: bool) {
        self.starts.count(tier, took, started);
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
        Event::Allowed { rule, address, secrets, stripped, policies } => json!({
            "event": "allowed", "rule": rule, "address": address.to_string(), "secrets": secrets, "stripped": stripped,
            "epoch": policies.as_ref().map(|p| p.epoch), "policies": policies.as_ref().map(by),
        }),
        Event::Denied { refusal, address, policies } => json!({
            "event": "refused", "code": refusal.code.to_string(), "address": address.map(|a| a.to_string()),
            "epoch": policies.as_ref().map(|p| p.epoch), "policies": policies.as_ref().map(by),
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

/// The policies behind a decision.
fn by(ruled: &Ruled) -> Vec<&str> {
    ruled.by.iter().map(stead_core::id::Name::as_str).collect()
}

/// The same for whoever reads the log.
fn tell(whose: &Whose, entry: &Entry) {
    let Entry { exchange, asked, event } = entry;
    match event {
        Event::Allowed { rule, address, secrets, stripped, .. } => tracing::info!(
            %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
            port = asked.port, path = ?asked.path, rule, %address, ?secrets, ?stripped, "egress allowed"
        ),
        Event::Denied { refusal, address, policies } => tracing::warn!(
            %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
            port = asked.port, path = ?asked.path, code = %refusal.code, ?address, ?policies, "egress refused"
        ),
        Event::Ended { status, sent, received, masked, cut } => {
            tracing::info!(%whose, tenant = %whose.tenant, exchange, ?status, sent, received, masked, ?cut, "egress ended");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{
        fs,
        io::Write as _,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

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
            policies: Some(Ruled { epoch: 3, by: vec!["granted".into()] }),
        };
        Record::open(dir.path(), Starts::default()).unwrap().record(&whose(), entry(7, allowed)).await.unwrap();
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"half\":1}").unwrap();
        Record::open(dir.path(), Starts::default()).unwrap().record(&whose(), ended(7)).await.unwrap();
        let told = lines(&file);
        assert_eq!((told.len(), &told[0]["event"], &told[0]["host"]), (3, &json!("allowed"), &json!("a.example")));
        assert_eq!((&told[0]["epoch"], &told[0]["policies"]), (&json!(3), &json!(["granted"])));
        assert_eq!((&told[0]["secrets"], &told[0]["exchange"]), (&json!(["secret://k"]), &json!(7)));
        assert!(told[0]["whose"].as_str().unwrap().ends_with("e2 shell") && told[0]["tenant"] == "acme", "{}", told[0]);
        assert_eq!((&told[2]["event"], &told[2]["status"]), (&json!("ended"), &json!(200)));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_cannot_be_put_on_record_is_not_let_out() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/dev/full", dir.path().join(FILE)).unwrap();
        let record = Record::open(dir.path(), Starts::default()).unwrap();
        assert_eq!(record.record(&whose(), ended(1)).await, Err(Gone));
    }
}
