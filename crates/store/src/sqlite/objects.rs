//! Content of workspaces: the objects port on the embedded store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Result, params};
use stead_core::{
    id::{BlobId, Name},
    time::Timestamp,
};
use stead_ports::{journal::StoreError, objects::Objects};

use super::{queries::limit as rows, store::SqliteStore};
use crate::{
    blob::Packed,
    objects::{pack, unpack},
};

#[async_trait]
impl Objects for SqliteStore {
    fn address(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.key().address(tenant, content)
    }

    async fn hold(&self, tenant: &Name, ids: &[BlobId], until: Timestamp) -> Result<Vec<BlobId>, StoreError> {
        let (tenant, ids) = (tenant.clone(), ids.to_vec());
        self.write(move |c| hold(c, &tenant, &ids, until)).await
    }

    async fn put(&self, tenant: &Name, contents: &[Bytes], until: Timestamp) -> Result<(), StoreError> {
        let ring = self.keyed(tenant).await?;
        let packed = Arc::new(pack(self.key(), ring, tenant, contents).await?);
        let tenant = tenant.clone();
        self.write(move |c| put(c, &tenant, &packed, until)).await
    }

    async fn get(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let (owner, asked, key, ring) = (tenant.clone(), ids.to_vec(), self.key().clone(), self.ring().cloned());
        let found = self.read(move |c| {
            let found = asked
                .iter()
                .map(|id| Ok(get(c, &owner, *id)?.map(|packed| unpack(ring.as_deref(), &key, &owner, *id, packed))));
            found.collect::<Result<Vec<_>>>()
        });
        found.await?.into_iter().map(Option::transpose).collect()
    }

    async fn tenant(&self, after: Option<&Name>) -> Result<Option<Name>, StoreError> {
        // Every name is greater than the empty one, which is none.
        let after = after.map(|a| a.as_str().to_owned()).unwrap_or_default();
        self.read(move |c| {
            c.prepare_cached("SELECT tenant FROM objects WHERE tenant > ? ORDER BY tenant LIMIT 1")?
                .query_row([after], |r| r.get::<_, String>(0))
                .optional()
        })
        .await
        .map(|found| found.map(|tenant| Name::from(tenant.as_str())))
    }

    async fn unheld(
        &self,
        tenant: &Name,
        at: Timestamp,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| {
            // Every id is greater than the empty one.
            let after = after.map(|a| a.0.to_vec()).unwrap_or_default();
            c.prepare_cached("SELECT id FROM objects WHERE tenant = ? AND id > ? AND held < ? ORDER BY id LIMIT ?")?
                .query_map(params![&*tenant, after, at.0, rows(limit)], |r| r.get(0).map(BlobId))?
                .collect()
        })
        .await
    }

    async fn remove(&self, tenant: &Name, ids: &[BlobId], at: Timestamp) -> Result<u64, StoreError> {
        let (tenant, ids) = (tenant.clone(), ids.to_vec());
        self.write(move |c| {
            let mut delete = c.prepare_cached("DELETE FROM objects WHERE tenant = ? AND id = ? AND held < ?")?;
            ids.iter().try_fold(0, |sum, id| Ok(sum + delete.execute(params![&*tenant, id.0, at.0])? as u64))
        })
        .await
    }
}

fn hold(conn: &Connection, tenant: &Name, ids: &[BlobId], until: Timestamp) -> Result<Vec<BlobId>> {
    let mut held = conn.prepare_cached("SELECT held FROM objects WHERE tenant = ? AND id = ?")?;
    // A row is written anew with its body, so only when it must.
    let mut longer = conn.prepare_cached("UPDATE objects SET held = ? WHERE tenant = ? AND id = ?")?;
    let mut missing = Vec::new();
    for id in ids {
        match held.query_row(params![&**tenant, id.0], |r| r.get::<_, i64>(0)).optional()? {
            None => missing.push(*id),
            Some(held) if held < until.0 => drop(longer.execute(params![until.0, &**tenant, id.0])?),
            Some(_) => {}
        }
    }
    Ok(missing)
}

fn put(conn: &Connection, tenant: &Name, packed: &[(BlobId, Packed)], until: Timestamp) -> Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO objects (tenant, id, held, codec, length, body) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (tenant, id) DO UPDATE SET held = excluded.held WHERE excluded.held > objects.held",
    )?;
    packed.iter().try_for_each(|(id, p)| {
        insert.execute(params![&**tenant, id.0, until.0, p.codec, p.len, &p.body[..]]).map(drop)
    })
}

fn get(conn: &Connection, tenant: &Name, id: BlobId) -> Result<Option<(i16, i64, Vec<u8>)>> {
    conn.prepare_cached("SELECT codec, length, body FROM objects WHERE tenant = ? AND id = ?")?
        .query_row(params![&**tenant, id.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()
}
