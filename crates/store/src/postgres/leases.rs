//! Ownership: who may write, since when and until when. Time is the database server's.

use std::time::{Duration, Instant};

use stead_core::{code, time::Span};
use stead_ports::journal::StoreError;

use super::{
    connect::Database,
    errors::{FENCED, store_error},
    values::{int, text},
};

/// Alone against all transactions that append: none of an older epoch is under way when the epoch moves.
pub(super) const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('stead'), hashtext(current_schema()))";

/// Waits this much longer than a lease has left before it gives up on its holder.
const PATIENCE: Duration = Duration::from_secs(1);

enum Attempt {
    Taken(u64),
    Held { holder: String, left: Duration },
}

/// Takes all partitions, once the lease of another holder has ended; does not wait for one that is renewed.
pub(crate) async fn acquire(db: &Database, holder: &str, ttl: Span) -> Result<u64, StoreError> {
    let mut until = None;
    loop {
        match attempt(db, holder, ttl).await? {
            Attempt::Taken(epoch) => return Ok(epoch),
            Attempt::Held { holder, left } => {
                let until = *until.get_or_insert_with(|| {
                    tracing::info!(%holder, ?left, "waiting for the lease of the owner before to end");
                    Instant::now() + left + PATIENCE
                });
                let wait = until.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    return Err(StoreError {
                        code: code::DATA_LOCKED,
                        detail: format!(
                            "{} is held by {holder}: use that server, stop it, or choose another database",
                            db.place
                        ),
                    });
                }
                tokio::time::sleep(wait.min(left + Duration::from_millis(2))).await;
            }
        }
    }
}

async fn attempt(db: &Database, holder: &str, ttl: Span) -> Result<Attempt, StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute(ALONE, &[]).await.map_err(fail)?;
    let row = t
        .query_one(
            "SELECT coalesce(max(holder), ''), coalesce(extract(epoch FROM max(expires_at)
                 FILTER (WHERE holder IS NOT NULL) - clock_timestamp())::float8, 0) FROM leases",
            &[],
        )
        .await
        .map_err(fail)?;
    let (owner, left): (String, f64) = (row.get(0), row.get(1));
    if left > 0.0 {
        return Ok(Attempt::Held {
            holder: owner,
            left: Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX / 4),
        });
    }
    let row = t
        .query_one(
            "WITH taken AS (UPDATE leases SET holder = $1, epoch = (SELECT max(epoch) + 1 FROM leases),
                 expires_at = clock_timestamp() + $2 * interval '1 microsecond' RETURNING epoch)
             SELECT max(epoch) FROM taken",
            &[&text(holder), &micros(ttl)],
        )
        .await
        .map_err(fail)?;
    let epoch: i64 = row.get(0);
    t.commit().await.map_err(fail)?;
    Ok(Attempt::Taken(epoch.unsigned_abs()))
}

/// What a write under an epoch failed with.
pub(super) fn fenced(db: &Database, epoch: u64, e: &tokio_postgres::Error) -> StoreError {
    match e.code() {
        Some(state) if state.code() == FENCED => StoreError {
            code: code::DATA_LOCKED,
            detail: format!("{}: another owner has taken over from epoch {epoch}", db.place),
        },
        _ => store_error(&db.place, e),
    }
}

/// Extends a lease that nobody else has taken.
pub(crate) async fn renew(db: &Database, epoch: u64, ttl: Span) -> Result<(), StoreError> {
    let client = db.client().await?;
    let renewed = client
        .execute(
            "UPDATE leases SET expires_at = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE epoch = $1 AND holder IS NOT NULL",
            &[&int(epoch), &micros(ttl)],
        )
        .await
        .map_err(|e| store_error(&db.place, &e))?;
    held(db, epoch, renewed)
}

/// Gives a lease back; its epoch writes no more.
pub(crate) async fn release(db: &Database, epoch: u64) -> Result<(), StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute(ALONE, &[]).await.map_err(fail)?;
    let released = t
        .execute(
            "UPDATE leases SET holder = NULL, epoch = epoch + 1, expires_at = clock_timestamp() WHERE epoch = $1",
            &[&int(epoch)],
        )
        .await
        .map_err(fail)?;
    t.commit().await.map_err(fail)?;
    held(db, epoch, released)
}

fn held(db: &Database, epoch: u64, partitions: u64) -> Result<(), StoreError> {
    if partitions == u64::from(stead_ports::journal::PARTITIONS) {
        return Ok(());
    }
    Err(StoreError {
        code: code::DATA_LOCKED,
        detail: format!("{}: another owner has taken over from epoch {epoch}", db.place),
    })
}

fn micros(span: Span) -> f64 {
    // A lease of more than a century is one.
    span.0.min(100 * 365 * 86_400 * 1_000_000) as f64
}
