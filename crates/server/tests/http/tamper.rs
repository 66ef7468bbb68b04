//! Promise 7 on a real data directory: whoever kept a checkpoint finds every change of what was before it, whoever made it and with whatever key. The
//! attacker has the database, and as a *thief* the log's key and all the code as well.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, types::Value as Sql};
use stead_audit::{bundle, note::Trust};
use stead_client::BundleQuery;
use stead_core::id::RunId;

use crate::{
    audit::trust,
    lab::{Lab, config},
};

/// Attacks on rows, in all.
const ROWS: usize = 500;
/// Attacks of each kind by a thief; each is a server that is started again.
const THEFTS: usize = 4;

/// A sequence that looks random (splitmix64), and is the same everywhere.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// What an auditor has: the runs, and a checkpoint that is kept outside.
struct Auditor {
    runs: Vec<RunId>,
    trust: Trust,
    held: String,
    size: u64,
}

impl Auditor {
    /// Why it is not what happened; `None` when all holds.
    async fn finds(&self, lab: &Lab) -> Option<String> {
        let query = BundleQuery { links: Some(self.size.to_string()), to: Some(self.size), ..BundleQuery::default() };
        match lab.client.audit_bundle("tenant", &query).await {
            Err(e) => return Some(e.detail),
            Ok(file) => match bundle::verify(&file, &self.trust, Some(&self.held)) {
                Err(e) => return Some(e.to_string()),
                Ok(report) if report.leaves != self.size => return Some("leaves are missing".into()),
                Ok(report) if report.records != self.size => return Some("records are missing".into()),
                Ok(_) => {}
            },
        }
        for run in &self.runs {
            match lab.client.verify_run(*run).await {
                Err(e) => return Some(e.detail),
                Ok(found) if !found.holds => return Some(format!("{:?}", found.breaks)),
                Ok(_) => {}
            }
        }
        None
    }
}

async fn audited(lab: &Lab, runs: usize) -> Auditor {
    lab.hello().await;
    lab.asking().await;
    let mut ids = Vec::new();
    for _ in 0..runs {
        let run = lab.start("hello").await;
        lab.ended(run).await;
        ids.push(run);
    }
    let trust = trust(&lab.client, "tenant").await;
    let held = lab.client.checkpoint("tenant", false).await.unwrap();
    let size = stead_audit::checkpoint::Checkpoint::verify(&held, &trust).unwrap().0.size;
    Auditor { runs: ids, trust, held, size }
}

fn database(dir: &Path) -> PathBuf {
    dir.join("data/stead.db")
}

fn open(dir: &Path) -> Connection {
    let conn = Connection::open(database(dir)).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    // What the attacker writes need not survive a power cut.
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    conn
}

/// A row of a table: what finds it, and the column that is attacked.
struct Row {
    table: &'static str,
    column: &'static str,
    rowid: i64,
}

/// All columns of a table, its row's number among them.
fn columns(table: &str) -> &'static str {
    match table {
        "records" => "id, rid, seq, leaf, body",
        "audit_logs" => "lid, tenant, size, root, note, at, unread, cosigned",
        _ => "rowid, lid, level, n, body",
    }
}

/// Everything that the log rests on.
fn rows(conn: &Connection) -> Vec<Row> {
    let mut all = Vec::new();
    for (table, column) in [
        ("records", "body"),
        ("records", "leaf"),
        ("records", "seq"),
        ("audit_tiles", "body"),
        ("audit_tiles", "n"),
        ("audit_logs", "root"),
        ("audit_logs", "size"),
        ("audit_logs", "note"),
    ] {
        // The log of operators is another one.
        let own = match table {
            "audit_tiles" => "WHERE lid = (SELECT lid FROM audit_logs WHERE tenant = 'default')",
            "audit_logs" => "WHERE tenant = 'default'",
            _ => "",
        };
        let mut found = conn.prepare(&format!("SELECT rowid FROM {table} {own}")).unwrap();
        let ids: Vec<i64> = found.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        all.extend(ids.into_iter().map(|rowid| Row { table, column, rowid }));
    }
    all
}

/// What is put in the place of a value.
fn changed(value: &Sql, other: Option<&Sql>, seeded: &mut Seeded) -> Sql {
    match (value, other) {
        (Sql::Blob(bytes), None) if !bytes.is_empty() => {
            let mut bytes = bytes.clone();
            let bit = seeded.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            Sql::Blob(bytes)
        }
        (Sql::Text(text), None) => {
            let mut text: Vec<char> = text.chars().collect();
            let at = seeded.below(text.len());
            text[at] = if text[at] == 'x' { 'y' } else { 'x' };
            Sql::Text(text.into_iter().collect())
        }
        (Sql::Integer(n), None) => Sql::Integer(n + 1_000 + seeded.below(9) as i64),
        (_, Some(other)) => other.clone(),
        _ => Sql::Null,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_that_the_log_rests_on_is_changed_swapped_cut_or_deleted_unseen() {
    let lab = Lab::new().await;
    let auditor = audited(&lab, 6).await;
    assert_eq!(auditor.finds(&lab).await, None, "an honest server is believed");
    let conn = open(lab.dir.path());
    let (rows, mut seeded) = (rows(&conn), Seeded(7));
    let mut unseen = Vec::new();
    for n in 0..ROWS {
        let row = &rows[seeded.below(rows.len())];
        let Row { table, column, rowid } = row;
        let get = |rowid: i64| -> Sql {
            conn.query_row(&format!("SELECT {column} FROM {table} WHERE rowid = ?"), [rowid], |r| r.get(0)).unwrap()
        };
        let set = |value: &Sql| {
            conn.execute(&format!("UPDATE {table} SET {column} = ? WHERE rowid = ?"), rusqlite::params![value, rowid])
        };
        let before = get(*rowid);
        let kind = ["flip", "cut", "swap", "delete"][n % 4];
        let deleted = match kind {
            "cut" => {
                let Sql::Blob(bytes) = &before else { continue };
                set(&Sql::Blob(bytes[..seeded.below(bytes.len())].to_vec())).unwrap();
                false
            }
            "swap" => {
                let others: Vec<&Row> = rows.iter().filter(|o| o.table == *table && o.column == *column).collect();
                let other = get(others[seeded.below(others.len())].rowid);
                // A position stands once.
                if other == before || set(&changed(&before, Some(&other), &mut seeded)).is_err() {
                    continue;
                }
                false
            }
            "delete" => {
                let all = columns(table);
                conn.execute_batch(&format!(
                    "DROP TABLE IF EXISTS gone; CREATE TEMP TABLE gone AS SELECT {all} FROM {table} WHERE rowid = {rowid};
                     DELETE FROM {table} WHERE rowid = {rowid}"
                ))
                .unwrap();
                true
            }
            _ => {
                set(&changed(&before, None, &mut seeded)).unwrap();
                false
            }
        };
        let found = auditor.finds(&lab).await;
        if found.is_none() {
            unseen.push(format!("{kind} of {table}.{column} {rowid}"));
        }
        if deleted {
            let all = columns(table);
            conn.execute_batch(&format!("INSERT INTO {table} ({all}) SELECT {all} FROM gone")).unwrap();
        } else {
            set(&before).unwrap();
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
    drop(conn);
    assert_eq!(auditor.finds(&lab).await, None, "all is as it was");
}

/// Makes the log anew out of what the attacker left of the journal: the server itself does it, with its own key.
async fn rewritten(lab: Lab, attack: impl FnOnce(&Connection)) -> Lab {
    let dir = lab.stop().await;
    let conn = open(dir.path());
    attack(&conn);
    conn.execute_batch(
        "DELETE FROM audit_logs; DELETE FROM audit_tiles; DELETE FROM audit_spans; DELETE FROM snapshots;
         UPDATE meta SET value = 0 WHERE key IN ('audit_records', 'audit_acts')",
    )
    .unwrap();
    drop(conn);
    let config = config(dir.path());
    Lab::over(dir, config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_key_and_makes_the_log_anew_is_found_by_a_checkpoint_that_was_kept() {
    let mut lab = Lab::new().await;
    let auditor = audited(&lab, 4).await;
    let mut seeded = Seeded(8);
    lab = rewritten(lab, |_| {}).await;
    assert_eq!(auditor.finds(&lab).await, None, "the same journal gives the same log");
    for kind in ["a run is gone", "the end is cut off", "two runs change places", "a run begins later"] {
        for _ in 0..THEFTS {
            let pick = seeded.below(auditor.runs.len()) + 1;
            // What is rewritten is kept, and put back.
            let backup = tempfile::tempdir().unwrap();
            let dir = lab.stop().await;
            let copy = backup.path().join("stead.db");
            open(dir.path()).execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
            let config_of = config(dir.path());
            let before = Lab::over(dir, config_of).await;
            let forged = rewritten(before, |conn| {
                let sql = match kind {
                    "a run is gone" => format!("DELETE FROM records WHERE rid = {pick}; DELETE FROM runs WHERE rid = {pick}"),
                    "the end is cut off" => "DELETE FROM records WHERE id = (SELECT max(id) FROM records)".to_owned(),
                    "two runs change places" => {
                        "UPDATE records SET id = -id WHERE rid = 1; UPDATE records SET id = 100000 + id WHERE id < 0;
                         UPDATE records SET id = id + 0"
                            .to_owned()
                    }
                    _ => format!(
                        "UPDATE records SET leaf = zeroblob(32) WHERE id = (SELECT min(id) FROM records WHERE rid = {pick})"
                    ),
                };
                conn.execute_batch(&sql).unwrap();
            })
            .await;
            let found = auditor.finds(&forged).await;
            assert!(found.is_some(), "{kind}: nobody notices");
            let dir = forged.stop().await;
            for name in ["stead.db-wal", "stead.db-shm"] {
                let _ = std::fs::remove_file(dir.path().join("data").join(name));
            }
            std::fs::copy(&copy, database(dir.path())).unwrap();
            let config_of = config(dir.path());
            lab = Lab::over(dir, config_of).await;
        }
    }
    assert_eq!(auditor.finds(&lab).await, None, "all is as it was");
}
