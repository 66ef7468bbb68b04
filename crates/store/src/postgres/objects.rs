//! Content of workspaces: the objects port on the shared store.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{
    id::{BlobId, Name},
    time::Timestamp,
};
use stead_ports::{journal::StoreError, objects::Objects};

use super::{
    errors::store_error,
    queries::limit as rows,
    rows::Columns,
    store::PgStore,
    values::{Octets, Raw, text},
};
use crate::objects::pack;

// Rows are locked in the order of their ids, by those who hold and those who put, so that none wait in a circle.
const HOLD: &str =
    "WITH found AS (SELECT id, held FROM objects WHERE tenant = $1 AND id = ANY($2::bytea[]) ORDER BY id FOR UPDATE),
    longer AS (UPDATE objects o SET held = $3 FROM found f WHERE o.tenant = $1 AND o.id = f.id AND f.held < $3)
    SELECT id FROM found";
const PUT: &str = "INSERT INTO objects (tenant, id, held, codec, length, body)
    SELECT $1, a, $2, b, c, d FROM unnest($3::bytea[], $4::int2[], $5::int8[], $6::bytea[]) AS u (a, b, c, d) ORDER BY a
    ON CONFLICT (tenant, id) DO UPDATE SET held = excluded.held WHERE excluded.held > objects.held";
const GET: &str = "SELECT id, codec, length, body FROM objects WHERE tenant = $1 AND id = ANY($2::bytea[])";
const TENANT: &str = "SELECT tenant FROM objects WHERE tenant > $1 ORDER BY tenant LIMIT 1";
const UNHELD: &str = "SELECT id FROM objects WHERE tenant = $1 AND id > $2 AND held < $3 ORDER BY id LIMIT $4";
// A row that somebody holds at this moment is looked at anew when he has done so.
const REMOVE: &str = "WITH gone AS (DELETE FROM objects WHERE tenant = $1 AND id IN (
        SELECT id FROM objects WHERE tenant = $1 AND id = ANY($2::bytea[]) AND held < $3 ORDER BY id FOR UPDATE)
        AND held < $3 RETURNING 1)
    SELECT count(*) FROM gone";

fn raw(ids: &[BlobId]) -> Vec<Raw<32>> {
    ids.iter().map(|id| Raw(id.0)).collect()
}

#[async_trait]
impl Objects for PgStore {
    fn address(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.key().address(tenant, content)
    }

    async fn hold(&self, tenant: &Name, ids: &[BlobId], until: Timestamp) -> Result<Vec<BlobId>, StoreError> {
        let read = |row: &_| Columns::of(row).digest().map(BlobId);
        let found = self.list(HOLD, &[&text(tenant), &raw(ids), &until.0], read).await?;
        let found: std::collections::HashSet<BlobId> = found.into_iter().collect();
        Ok(ids.iter().copied().filter(|id| !found.contains(id)).collect())
    }

    async fn put(&self, tenant: &Name, contents: &[Bytes], until: Timestamp) -> Result<(), StoreError> {
        let ring = self.keyed(tenant).await?;
        let packed = pack(self.key(), ring, tenant, contents).await?;
        let ids: Vec<Raw<32>> = packed.iter().map(|(id, _)| Raw(id.0)).collect();
        let codecs: Vec<i16> = packed.iter().map(|(_, p)| p.codec).collect();
        let lengths: Vec<i64> = packed.iter().map(|(_, p)| p.len).collect();
        let bodies: Vec<Octets> = packed.into_iter().map(|(_, p)| Octets(p.body)).collect();
        let db = self.database();
        let client = db.client().await?;
        let sql = client.prepare_cached(PUT).await.map_err(|e| store_error(&db.place, &e))?;
        let put = client.execute(&sql, &[&text(tenant), &until.0, &ids, &codecs, &lengths, &bodies]).await;
        put.map(drop).map_err(|e| store_error(&db.place, &e))
    }

    async fn get(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let read = |row: &_| {
            let mut c = Columns::of(row);
            Ok((BlobId(c.digest()?), (c.get::<i16>()?, c.get::<i64>()?, c.get::<Vec<u8>>()?)))
        };
        let found = self.list(GET, &[&text(tenant), &raw(ids)], read).await?;
        let mut contents = HashMap::with_capacity(found.len());
        for (id, packed) in found {
            contents.insert(id, self.unpacked(tenant, id, packed).await?);
        }
        Ok(ids.iter().map(|id| contents.get(id).cloned()).collect())
    }

    async fn tenant(&self, after: Option<&Name>) -> Result<Option<Name>, StoreError> {
        // Every name is greater than the empty one, which is none.
        let after = after.map(Name::as_str).unwrap_or_default();
        let read = |row: &_| Columns::of(row).get::<String>();
        Ok(self.one(TENANT, &[&text(after)], read).await?.map(|tenant| Name::from(tenant.as_str())))
    }

    async fn unheld(
        &self,
        tenant: &Name,
        at: Timestamp,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, StoreError> {
        // Every id is greater than the empty one.
        let after = after.map(|a| a.0.to_vec()).unwrap_or_default();
        let read = |row: &_| Columns::of(row).digest().map(BlobId);
        self.list(UNHELD, &[&text(tenant), &after, &at.0, &rows(limit)], read).await
    }

    async fn remove(&self, tenant: &Name, ids: &[BlobId], at: Timestamp) -> Result<u64, StoreError> {
        let read = |row: &_| Columns::of(row).get::<i64>();
        let gone = self.one(REMOVE, &[&text(tenant), &raw(ids), &at.0], read).await?;
        Ok(gone.unwrap_or(0).unsigned_abs())
    }
}
