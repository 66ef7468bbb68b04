//! Keys of encrypted texts in the shared store: read when it is opened and when one is met that is not known, made when a tenant's
//! first text is written, changed by a rotation.

use deadpool_postgres::GenericClient;
use stead_core::code;
use stead_ports::journal::StoreError;
use tokio_postgres::{Error, Row};

use super::{
    connect::{Database, PgOptions},
    errors::store_error,
    format::alone,
    leases::ALONE,
    subjects,
    values::Raw,
};
use crate::backup::subject::KeptKey;
use crate::seal::{Rotated, WrappedKey, WrappingKey, rotated, told};

const ALL: &str = "SELECT id, tenant, wrapper, wrapped, current FROM data_keys ORDER BY id";
const INSERT: &str = "INSERT INTO data_keys (id, tenant, wrapper, wrapped, current) VALUES ($1, $2, $3, $4, $5)";

fn row(row: &Row) -> Result<WrappedKey, Error> {
    Ok(WrappedKey {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        wrapper: row.try_get::<_, Raw<8>>(2)?.0,
        wrapped: row.try_get(3)?,
        current: row.try_get(4)?,
    })
}

/// All keys; none in data of an older format.
pub(crate) async fn all(client: &impl GenericClient) -> Result<Vec<WrappedKey>, Error> {
    let known = client.query_one("SELECT to_regclass('data_keys') IS NOT NULL", &[]).await?;
    if !known.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    client.query(ALL, &[]).await?.iter().map(row).collect()
}

/// All keys of a database.
pub(super) async fn load(db: &Database) -> Result<Vec<WrappedKey>, StoreError> {
    let client = db.client().await?;
    all(&client).await.map_err(|e| store_error(&db.place, &e))
}

/// Keeps a key.
pub(crate) async fn insert(client: &impl GenericClient, key: &WrappedKey) -> Result<(), Error> {
    let sql = format!("{INSERT} ON CONFLICT DO NOTHING");
    client.execute(&sql, &[&key.id, &key.tenant, &Raw(key.wrapper), &key.wrapped, &key.current]).await.map(drop)
}

/// Keeps the fresh key of a tenant, unless another server has made one meanwhile; gives the one that counts.
pub(super) async fn settle(db: &Database, fresh: &WrappedKey) -> Result<WrappedKey, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let client = db.client().await?;
    insert(&client, fresh).await.map_err(fail)?;
    let sql = "SELECT id, tenant, wrapper, wrapped, current FROM data_keys WHERE tenant = $1 AND current";
    client.query_one(sql, &[&fresh.tenant]).await.and_then(|r| row(&r)).map_err(fail)
}

/// Gives every tenant a new key for what is written from now on, and wraps all keys with `to`, in one transaction. Refused while a
/// server works on the database: it would go on with the keys that it has.
pub(super) async fn rotate(
    db: &Database,
    options: &PgOptions,
    wrapping: &WrappingKey,
    to: &WrappingKey,
) -> Result<Rotated, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    alone(&t, &options.schema).await.map_err(fail)?;
    t.execute(ALONE, &[]).await.map_err(fail)?;
    let holder = "SELECT holder FROM leases WHERE holder IS NOT NULL AND expires_at > clock_timestamp() LIMIT 1";
    if let Some(row) = t.query_opt(holder, &[]).await.map_err(fail)? {
        let holder: &str = row.try_get(0).map_err(fail)?;
        let detail = format!("{}: {holder} works with it: stop that server, and try again", db.place);
        return Err(StoreError { code: code::DATA_LOCKED, detail });
    }
    let rows = all(&t).await.map_err(fail)?;
    let next = rotated(&db.place, wrapping, to, &rows)?;
    t.execute("DELETE FROM data_keys", &[]).await.map_err(fail)?;
    for key in &next {
        insert(&t, key).await.map_err(fail)?;
    }
    for key in subjects::all(&t).await.map_err(fail)? {
        let KeptKey { id, wrapper, body, .. } = key.open(&db.place, Some(wrapping))?.kept(Some(to))?;
        let sql = "UPDATE subject_keys SET wrapper = $1, body = $2 WHERE id = $3";
        t.execute(sql, &[&wrapper.map(Raw), &body, &Raw(id)]).await.map_err(fail)?;
    }
    t.commit().await.map_err(fail)?;
    // What the old key opens must not stay in free space of the table's file.
    for table in ["data_keys", "subject_keys"] {
        client.batch_execute(&format!("VACUUM FULL {table}")).await.map_err(fail)?;
    }
    Ok(told(&next))
}
