//! Keys of persons in the shared store: made when a backup first needs them, destroyed by erasures, the same for all servers. No backup
//! has them.

use std::collections::HashSet;

use bytes::Bytes;
use deadpool_postgres::{GenericClient, Transaction as Pooled};
use futures_util::StreamExt as _;
use stead_core::{id::RunId, time::Timestamp};
use stead_ports::{
    erasure::{ERASED_TITLE, Erasure},
    journal::StoreError,
};
use tokio_postgres::{Error, Row, Transaction, types::ToSql};

use super::{
    connect::Database,
    errors::{damaged, store_error},
    format::hex,
    values::{Raw, id, text},
};
use crate::{
    backup::{
        send::wrong_key,
        subject::{Gone, KeptKey, KeySet, Marks, Owners, Run, SubjectKey, opened},
    },
    blob::BlobKey,
    erasure::run_ids,
    seal::WrappingKey,
};

/// Who makes keys and who destroys them take turns: that of holds and erasures.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('stead/holds'), hashtext(current_schema()))";
const GONE: &str = "INSERT INTO subject_keys_gone (id, erasure) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// Whether the data has such keys: it is of this format or a later one.
pub(crate) async fn are_there(client: &impl GenericClient) -> Result<bool, Error> {
    client.query_one("SELECT to_regclass('subject_keys') IS NOT NULL", &[]).await?.try_get(0)
}

/// All keys; none in data of an older format.
pub(crate) async fn all(client: &impl GenericClient) -> Result<Vec<KeptKey>, Error> {
    if !are_there(client).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT id, tenant, subject, made, until, wrapper, body FROM subject_keys ORDER BY id";
    let key = |r: &Row| {
        Ok(KeptKey {
            id: r.try_get::<_, Raw<16>>(0)?.0,
            tenant: r.try_get(1)?,
            subject: r.try_get::<_, Raw<32>>(2)?.0,
            made: r.try_get(3)?,
            until: r.try_get(4)?,
            wrapper: r.try_get::<_, Option<Raw<8>>>(5)?.map(|id| id.0),
            body: r.try_get(6)?,
        })
    };
    client.query(sql, &[]).await?.iter().map(key).collect()
}

async fn insert(client: &impl GenericClient, key: &KeptKey) -> Result<(), Error> {
    let sql =
        "INSERT INTO subject_keys (id, tenant, subject, made, until, wrapper, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING";
    let KeptKey { id, tenant, subject, made, until, wrapper, body } = key;
    let row: [&(dyn ToSql + Sync); 7] =
        [&Raw(*id), &text(tenant), &Raw(*subject), made, until, &wrapper.map(Raw), body];
    client.execute(sql, &row).await.map(drop)
}

/// How far erasures are.
pub(crate) async fn marks(client: &impl GenericClient) -> Result<Marks, Error> {
    let sql = "SELECT count(*), count(certificate), (SELECT count(*) FROM subject_keys_gone) FROM erasures WHERE proposed = 0";
    let row = client.query_one(sql, &[]).await?;
    Ok(Marks(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// Keeps fresh keys; false when an erasure has gone on meanwhile, so that it may have passed them by.
pub(crate) async fn settle(db: &Database, seen: Marks, fresh: &[KeptKey]) -> Result<bool, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute(TURN, &[]).await.map_err(fail)?;
    if marks(&t).await.map_err(fail)? != seen {
        return Ok(false);
    }
    for key in fresh {
        insert(&t, key).await.map_err(fail)?;
    }
    t.commit().await.map(|()| true).map_err(fail)
}

/// Looks at all runs: whose what is.
pub(crate) async fn owners(
    db: &Database,
    t: &Pooled<'_>,
    digests: &BlobKey,
    keys: Vec<SubjectKey>,
) -> Result<Owners, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let mut erased: HashSet<RunId> = HashSet::new();
    for row in t.query("SELECT runs FROM erasures WHERE certificate IS NOT NULL", &[]).await.map_err(fail)? {
        erased.extend(run_ids(row.try_get(0).map_err(fail)?));
    }
    let mut owners = Owners::new(digests.clone(), keys);
    let sql = "SELECT id, session, tenant, started_by, created, title FROM runs ORDER BY id";
    let rows = t.query_raw(sql, std::iter::empty::<&(dyn ToSql + Sync)>()).await.map_err(fail)?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.next().await {
        let row = row.map_err(fail)?;
        let run = || -> Result<Run, Error> {
            let id = RunId(u128::from_be_bytes(row.try_get::<_, Raw<16>>(0)?.0));
            let bare = row.try_get::<_, &str>(5)? == ERASED_TITLE;
            Ok(Run {
                id,
                session: row.try_get::<_, Raw<16>>(1)?.0,
                tenant: row.try_get(2)?,
                person: row.try_get(3)?,
                created: row.try_get(4)?,
                erased: bare && erased.contains(&id),
            })
        };
        owners.add(&run().map_err(|e| damaged(&db.place, format!("a row of runs: {e}")))?);
    }
    for row in t.query("SELECT tenant, owner, tree FROM kept_trees", &[]).await.map_err(fail)? {
        let kept = || -> Result<_, Error> { Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<_, Raw<32>>(2)?.0)) };
        let (tenant, owner, tree) = kept().map_err(fail)?;
        owners.keeps(tenant, owner, tree);
    }
    Ok(owners)
}

/// Erasures of a tenant's person that are not finished: their times.
pub(crate) async fn under_way(
    client: &impl GenericClient,
    tenant: &str,
    subject: &[u8; 32],
) -> Result<Vec<i64>, Error> {
    let sql = "SELECT at FROM erasures WHERE tenant = $1 AND subject = $2 AND proposed = 0 AND certificate IS NULL";
    client.query(sql, &[&text(tenant), &Raw(*subject)]).await?.iter().map(|r| r.try_get(0)).collect()
}

/// From now on the key of an erasure's person is for runs of before it, and later ones get another. Not when its keys were destroyed, and
/// `again` not one that was made after it.
pub(super) async fn retire(t: &Transaction<'_>, erasure: &Erasure, again: bool) -> Result<(), Error> {
    let Erasure { id: erasure, tenant, subject, at, .. } = erasure;
    let sql = "UPDATE subject_keys SET until = $1 WHERE tenant = $2 AND subject = $3 AND until IS NULL AND (NOT $5 OR made <= $1)
        AND NOT EXISTS (SELECT FROM subject_keys_gone WHERE erasure = $4)";
    t.execute(sql, &[&at.0, &text(tenant), &Raw(*subject), &id(*erasure), &again]).await.map(drop)
}

/// Destroys the keys of an erasure's person; how many it has destroyed in all. What is left of the rows goes when the table is written anew.
pub(super) async fn destroy(t: &Transaction<'_>, erasure: &Erasure) -> Result<u64, Error> {
    let Erasure { id: erasure, tenant, subject, at, .. } = erasure;
    let erasure = id(*erasure);
    let sql = "DELETE FROM subject_keys WHERE tenant = $1 AND subject = $2 AND until <= $3 RETURNING id";
    let deleted = t.query(sql, &[&text(tenant), &Raw(*subject), &at.0]).await?;
    for row in &deleted {
        t.execute(GONE, &[&row.try_get::<_, Raw<16>>(0)?, &erasure]).await?;
    }
    t.execute(GONE, &[&erasure, &erasure]).await?;
    let count = "SELECT count(*) FROM subject_keys_gone WHERE erasure = $1 AND id <> $1";
    t.query_one(count, &[&erasure]).await?.try_get::<_, i64>(0).map(i64::unsigned_abs)
}

/// What leaves the store, as the bytes of a file: all keys, what became of those that were destroyed, and the certificates of erasures that are
/// finished. A key may be destroyed by an erasure that has no certificate yet, or of which a restored store knows nothing: it is told all the
/// same. So is each erasure that has destroyed what there was, with itself in the place of a key.
pub(super) async fn file(
    db: &Database,
    own: &BlobKey,
    wrapping: Option<&WrappingKey>,
    now: Timestamp,
) -> Result<Bytes, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    let check = t.query_opt("SELECT value FROM meta WHERE key = 'blob_key_check'", &[]).await.map_err(fail)?;
    if check.is_none_or(|row| row.get::<_, &str>(0) != hex(&own.check())) {
        return Err(wrong_key(&db.place));
    }
    // All of one moment: what an erasure destroys meanwhile is in both or in neither.
    t.execute(TURN, &[]).await.map_err(fail)?;
    let kept = all(&t).await.map_err(fail)?;
    let (mut gone, mut certificates) = (Vec::new(), Vec::new());
    if are_there(&t).await.map_err(fail)? {
        let sql = "SELECT id, erasure FROM subject_keys_gone ORDER BY id";
        for row in t.query(sql, &[]).await.map_err(fail)? {
            let ids = || -> Result<_, Error> { Ok((row.try_get::<_, Raw<16>>(0)?.0, row.try_get::<_, Raw<16>>(1)?.0)) };
            let (id, erasure) = ids().map_err(fail)?;
            gone.push(Gone { id, erasure });
        }
        let sql = "SELECT certificate FROM erasures WHERE certificate IS NOT NULL ORDER BY id";
        for row in t.query(sql, &[]).await.map_err(fail)? {
            certificates.push(row.try_get(0).map_err(fail)?);
        }
    }
    let keys = opened(&db.place, &kept, wrapping)?;
    let addresses = Some(own.clone());
    let set = KeySet { store: own.check(), taken: now, keys, gone, certificates, addresses };
    Ok(Bytes::copy_from_slice(&set.to_bytes()))
}

/// Takes keys in that a restore was given.
pub(crate) async fn import(
    db: &Database,
    t: &Pooled<'_>,
    set: &KeySet,
    wrapping: Option<&WrappingKey>,
) -> Result<(), StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    for key in &set.keys {
        insert(t, &key.kept(wrapping)?).await.map_err(fail)?;
    }
    for one in &set.gone {
        for id in [one.id, one.erasure] {
            t.execute(GONE, &[&Raw(id), &Raw(one.erasure)]).await.map_err(fail)?;
        }
    }
    Ok(())
}
