//! The schema's tables and their format: made when there are none, brought forward when a release before made them, and
//! refused when a later one did. What rows mean is no matter here.

use stead_core::code;
use stead_ports::journal::StoreError;
use tokio_postgres::Transaction;

use super::{
    approvals::UNLISTED,
    connect::Database,
    errors::{damaged, store_error},
    leases::ALONE,
    usage::UNMETERED,
};
use crate::{FORMAT, blob::BlobKey, format::may_go};

/// The steps from nothing to each format.
const STEPS: [&str; FORMAT as usize] = [
    include_str!("schema.sql"),
    include_str!("format-2.sql"),
    include_str!("format-3.sql"),
    include_str!("format-4.sql"),
    include_str!("format-5.sql"),
    include_str!("format-6.sql"),
    include_str!("format-7.sql"),
    concat!(
        include_str!("format8_audit.sql"),
        "\n",
        include_str!("format8_switches.sql"),
        "\n",
        include_str!("format8_trust.sql"),
        "\n"
    ),
    concat!(include_str!("format9_notices.sql"), "\n", include_str!("format9_erasure.sql"), "\n"),
    include_str!("format-10.sql"),
];

/// Makes or checks the schema and its tables; afterwards they are of this release's format and belong to this key. All in
/// one transaction: what is cut off in the middle was never begun.
pub(super) async fn settle(db: &Database, schema: &str, key: &BlobKey, asked: bool) -> Result<(), StoreError> {
    let mut client = db.client().await?;
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let t = client.transaction().await.map_err(fail)?;
    alone(&t, schema).await.map_err(fail)?;
    if count(&t, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema).await.map_err(fail)? == 0 {
        // The name has only harmless letters.
        t.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(fail)?;
    }
    if count(&t, "SELECT count(*) FROM pg_tables WHERE schemaname = $1", schema).await.map_err(fail)? == 0 {
        create(&t, key).await.map_err(fail)?;
    }
    let found = check(db, &t, schema, key).await?;
    may_go(&db.place, found, asked)?;
    if found < FORMAT {
        bring_forward(db, &t, found).await?;
        tracing::info!(place = %db.place, found, now = FORMAT, "the data was brought to this release's format");
    }
    t.commit().await.map_err(fail)
}

/// Servers that look after the schema at the same time take turns.
pub(crate) async fn alone(t: &Transaction<'_>, schema: &str) -> Result<(), tokio_postgres::Error> {
    t.execute("SELECT pg_advisory_xact_lock(hashtext('stead/schema'), hashtext($1))", &[&schema]).await.map(drop)
}

/// Makes the tables in a schema without any.
pub(crate) async fn create(t: &Transaction<'_>, key: &BlobKey) -> Result<(), tokio_postgres::Error> {
    t.batch_execute(&STEPS.concat()).await?;
    let meta = "INSERT INTO meta VALUES ('format', $1), ('blob_key_check', $2)";
    t.execute(meta, &[&FORMAT.to_string(), &hex(&key.check())]).await.map(drop)
}

async fn count(t: &Transaction<'_>, sql: &str, schema: &str) -> Result<i64, tokio_postgres::Error> {
    Ok(t.query_one(sql, &[&schema]).await?.get(0))
}

/// Takes all steps from a format to this release's. Refused while a server of the release before has a lease: it would not
/// keep what the new tables need. What it may still have under way waits for the lock taken here, and then fails.
async fn bring_forward(db: &Database, t: &Transaction<'_>, found: u32) -> Result<(), StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    t.execute(ALONE, &[]).await.map_err(fail)?;
    let holder = "SELECT holder FROM leases WHERE holder IS NOT NULL AND expires_at > clock_timestamp() LIMIT 1";
    if let Some(row) = t.query_opt(holder, &[]).await.map_err(fail)? {
        return Err(StoreError {
            code: code::DATA_LOCKED,
            detail: format!(
                "{} has format {found} and {} works with it: stop that server, and try again when its lease has ended",
                db.place,
                row.get::<_, &str>(0)
            ),
        });
    }
    t.batch_execute(&STEPS[found as usize..].concat()).await.map_err(fail)?;
    // Format 1 kept no open questions and no usage, so those that there are must be told once by somebody who can read a
    // run.
    if found < 2 {
        t.execute("INSERT INTO meta VALUES ($1, '1'), ($2, '1')", &[&UNLISTED, &UNMETERED]).await.map_err(fail)?;
    }
    t.execute("UPDATE leases SET holder = NULL, epoch = epoch + 1", &[]).await.map_err(fail)?;
    let format = "UPDATE meta SET value = $1 WHERE key = 'format'";
    t.execute(format, &[&FORMAT.to_string()]).await.map(drop).map_err(fail)
}

/// The format of the tables, from 1 to this release's; refuses others, and tables that are not ours or not this key's.
async fn check(db: &Database, t: &Transaction<'_>, schema: &str, key: &BlobKey) -> Result<u32, StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let ours = "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'meta'";
    if count(t, ours, schema).await.map_err(fail)? == 0 {
        return Err(StoreError {
            code: code::DATA_DAMAGED,
            detail: format!("{}: the schema `{schema}` belongs to another program; choose another", db.place),
        });
    }
    let meta = t.query("SELECT key, value FROM meta", &[]).await.map_err(fail)?;
    let value = |key: &str| meta.iter().find(|r| r.get::<_, &str>(0) == key).map(|r| r.get::<_, &str>(1));
    if value("restoring").is_some() {
        return Err(StoreError {
            code: code::DATA_RESTORING,
            detail: format!("{}: a restore into the schema `{schema}` is not finished: restore again", db.place),
        });
    }
    let format = match value("format").and_then(|v| v.parse::<u32>().ok()) {
        Some(found) if found > FORMAT => {
            return Err(StoreError {
                code: code::DATA_NEWER,
                detail: format!(
                    "{}: the schema `{schema}` has format {found} and this release knows {FORMAT}\n  hint: use the \
                     release that wrote it, or a later one",
                    db.place
                ),
            });
        }
        Some(found) if found > 0 => found,
        _ => return Err(damaged(&db.place, "its format cannot be told")),
    };
    if value("blob_key_check") != Some(&hex(&key.check())) {
        return Err(StoreError {
            code: code::DATA_DAMAGED,
            detail: format!(
                "{}: the blob key is not the one it was written with; give every server the same keys/blob.key",
                db.place
            ),
        });
    }
    Ok(format)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
