//! Erasure and legal holds: their port on the shared store.
//!
//! **What is left of a row that is gone.** PostgreSQL keeps old rows until they are vacuumed, and their bytes after that. So the tables are
//! written anew (`VACUUM FULL`), which removes the files of before. Its write-ahead log is the database server's own: it goes as that
//! is set up to keep it.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use stead_core::{
    code,
    id::{BlobId, LeafHash, Name, RunId, TreeId},
    time::Timestamp,
};
use stead_ports::{
    erasure::{BareRun, ERASED_TITLE, Erasure, ErasureStore, Held, Hold, KeptTree, MAX_HOLDS, Naming, Placed},
    journal::{RunRow, StoreError},
};
use tokio::time::Instant;
use tokio_postgres::{Client, Row, Transaction, types::ToSql};

use super::{
    errors::{damaged, store_error},
    queries::{self as q, limit as rows},
    rows::{self as read, Bad, Columns},
    store::PgStore,
    subjects,
    values::{Octets, Raw, id, int, text},
};
use crate::{
    erasure::{run_ids, runs_of, strike_out, unread},
    pack::{pack, unpack},
    seal,
};

/// Those who place holds and begin erasures take turns.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('stead/holds'), hashtext(current_schema()))";
const HOLD: &str = "SELECT id, tenant, what, name, placed_by, at, reason, released_by, released_at FROM legal_holds";
/// Whether a hold of a tenant is in force beside those that are known.
const IN_FORCE: &str = "SELECT EXISTS (SELECT FROM legal_holds WHERE tenant = $1 AND released_at IS NULL
    AND id <> ALL ($2::bytea[]))";
/// Whether an erasure of a tenant has begun and is not done, beside those that are known.
const UNDER_WAY: &str = "SELECT EXISTS (SELECT FROM erasures WHERE tenant = $1 AND proposed = 0 AND certificate IS NULL
    AND id <> ALL ($2::bytea[]))";
/// What is written anew in the end.
const TABLES: [&str; 11] = [
    "records",
    "runs",
    "sessions",
    "blobs",
    "objects",
    "snapshots",
    "inbox",
    "legal_holds",
    "kept_trees",
    "erasure_blobs",
    "subject_keys",
];
/// How long those are waited for who see rows as they were.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether there are any.
const LOOK: Duration = Duration::from_millis(200);
const NAMED: &str = "SELECT p.run, p.seq, p.body FROM records p JOIN runs r ON r.id = p.run WHERE r.tenant = $1";

#[async_trait]
impl ErasureStore for PgStore {
    fn pseudonym(&self, tenant: &Name, subject: &Name) -> [u8; 32] {
        self.key().pseudonym(tenant, subject)
    }

    async fn runs_of(
        &self,
        tenant: &Name,
        subject: &Name,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let sql = q::RUN.replace(
            "WHERE r.id = $1",
            "WHERE r.tenant = $1 AND r.started_by = $2 AND r.id > $3 ORDER BY r.id LIMIT $4",
        );
        let after = after.map_or(id(0), |a| id(a.0));
        self.list(&sql, &[&text(tenant), &text(subject), &after, &rows(limit)], read::run).await
    }

    async fn subjects(&self, after: Option<(Name, Name)>, limit: u32) -> Result<Vec<(Name, Name)>, StoreError> {
        let sql =
            "SELECT DISTINCT tenant COLLATE \"C\", started_by COLLATE \"C\" FROM runs WHERE started_by IS NOT NULL
            AND ($1::text IS NULL OR (tenant COLLATE \"C\", started_by COLLATE \"C\") > ($1::text, $2::text))
            ORDER BY 1, 2 LIMIT $3";
        let (tenant, subject) = after.unzip();
        let (tenant, subject) = (tenant.as_ref().map(|t| text(t)), subject.as_ref().map(|s| text(s)));
        self.list(sql, &[&tenant, &subject, &rows(limit)], |r| {
            let mut c = Columns::of(r);
            Ok((c.name()?, c.name()?))
        })
        .await
    }

    async fn subject(&self, run: RunId) -> Result<Option<Name>, StoreError> {
        let name = |r: &Row| Ok(Columns::of(r).get::<Option<&str>>()?.map(Name::from));
        Ok(self.one("SELECT started_by FROM runs WHERE id = $1", &[&id(run.0)], name).await?.flatten())
    }

    async fn place_hold(&self, hold: Hold, known: Vec<u128>) -> Result<Placed, StoreError> {
        let Hold { id: hold, tenant, what, name, by, at, reason, .. } = hold;
        let known: Vec<Raw<16>> = known.into_iter().map(id).collect();
        self.in_turn(async |t| {
            if t.query_one(UNDER_WAY, &[&text(&tenant), &known]).await?.try_get(0)? {
                return Ok(Placed::Erasing);
            }
            let sql = "INSERT INTO legal_holds (id, tenant, what, name, placed_by, at, reason)
                SELECT $1, $2, $3, $4, $5, $6, $7
                WHERE (SELECT count(*) FROM legal_holds WHERE tenant = $2 AND released_at IS NULL) < $8";
            let most = MAX_HOLDS.cast_signed();
            let row: [&(dyn ToSql + Sync); 8] =
                [&id(hold), &text(&tenant), &what.as_str(), &text(&name), &text(&by), &at.0, &text(&reason), &most];
            let written = t.execute(sql, &row).await?;
            Ok(if written == 1 { Placed::InForce } else { Placed::TooMany })
        })
        .await
    }

    async fn release_hold(&self, tenant: &Name, hold: u128, by: &Name, at: Timestamp) -> Result<bool, StoreError> {
        self.in_turn(async |t| {
            let sql = "UPDATE legal_holds SET released_by = $1, released_at = $2
                WHERE id = $3 AND tenant = $4 AND released_at IS NULL";
            t.execute(sql, &[&text(by), &at.0, &id(hold), &text(tenant)]).await.map(|changed| changed == 1)
        })
        .await
    }

    async fn holds(&self, tenant: Option<&Name>, all: bool) -> Result<Vec<Hold>, StoreError> {
        let sql = format!(
            "{HOLD} WHERE ($1::text IS NULL OR tenant = $1) AND ($2::bool OR released_at IS NULL) ORDER BY id DESC"
        );
        self.list(&sql, &[&tenant.map(|t| text(t)), &all], hold).await
    }

    async fn begin_erasure(
        &self,
        erasure: Erasure,
        subject: Option<Name>,
        known: Vec<u128>,
    ) -> Result<bool, StoreError> {
        let known: Vec<Raw<16>> = known.into_iter().map(id).collect();
        self.in_turn(async |t| {
            let whole = &erasure;
            let Erasure { id: erasure, tenant, subject: pseudonym, by, at, runs, proposed, confirmed_by, certificate } =
                whole;
            if t.query_one(IN_FORCE, &[&text(tenant), &known]).await?.try_get(0)? {
                return Ok(false);
            }
            // A mere proposal changes nothing.
            if let (Some(subject), false) = (&subject, *proposed) {
                let erased = format!("erased:{}", super::format::hex(pseudonym));
                let sql = "UPDATE legal_holds SET name = $1
                    WHERE tenant = $2 AND what = 'subject' AND name = $3 AND released_at IS NOT NULL";
                t.execute(sql, &[&erased, &text(tenant), &text(subject)]).await?;
            }
            let sql = "INSERT INTO erasures (id, tenant, subject, asked_by, at, runs, proposed, confirmed_by)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                ON CONFLICT (id) DO UPDATE SET at = excluded.at, runs = excluded.runs, proposed = 0,
                    confirmed_by = excluded.confirmed_by WHERE erasures.proposed = 1";
            let begun = !*proposed;
            let (runs, proposed) = (Octets(runs_of(runs).into()), i64::from(*proposed));
            let confirmed_by = confirmed_by.as_ref().map(|by| text(by));
            let pseudonym = Raw(*pseudonym);
            let row: [&(dyn ToSql + Sync); 8] =
                [&id(*erasure), &text(tenant), &pseudonym, &text(by), &at.0, &runs, &proposed, &confirmed_by];
            let written = t.execute(sql, &row).await? == 1;
            // One that has begun already is as it was, and so are keys.
            if written && begun {
                subjects::retire(t, whole, certificate.is_some()).await?;
            }
            Ok(written)
        })
        .await
    }

    async fn erasures(&self) -> Result<Vec<Erasure>, StoreError> {
        let sql = "SELECT id, tenant, subject, asked_by, at, runs, proposed, confirmed_by, certificate FROM erasures ORDER BY id";
        self.list(sql, &[], erasure).await
    }

    async fn erase_run(&self, erasure: u128, mut run: BareRun) -> Result<bool, StoreError> {
        for record in &mut run.records {
            record.bytes = pack(record.bytes.clone());
        }
        if let Some(ring) = self.keyed(&run.tenant).await? {
            for record in &mut run.records {
                record.bytes = seal::seal_record(ring, &run.tenant, run.run, record.seq, &record.bytes)?;
            }
        }
        self.in_turn(async |t| erase(t, erasure, &run).await).await
    }

    async fn leave_sessions(&self, runs: Vec<RunId>) -> Result<(), StoreError> {
        let runs: Vec<Raw<16>> = runs.iter().map(|run| id(run.0)).collect();
        self.in_turn(async |t| {
            let snapshots = "DELETE FROM snapshots WHERE run IN (SELECT id FROM runs
                WHERE session IN (SELECT session FROM runs WHERE id = ANY ($1::bytea[])))";
            t.execute(snapshots, &[&runs]).await?;
            // Whoever's run it was: it carried on what was said before.
            let heads = "UPDATE sessions SET head = NULL
                WHERE id IN (SELECT session FROM runs WHERE id = ANY ($1::bytea[]))";
            t.execute(heads, &[&runs]).await?;
            let sql = "UPDATE sessions SET key = NULL WHERE key IS NOT NULL
                AND id IN (SELECT session FROM runs WHERE id = ANY ($1::bytea[]))
                AND NOT EXISTS (SELECT FROM runs WHERE runs.session = sessions.id AND runs.id <> ALL ($1::bytea[]))";
            t.execute(sql, &[&runs]).await.map(drop)
        })
        .await
    }

    async fn remove_blobs(&self, erasure: u128, tenant: &Name, names: Naming) -> Result<u64, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let mut left: HashSet<BlobId> = self
            .list("SELECT id FROM erasure_blobs WHERE erasure = $1", &[&id(erasure)], |r| {
                Columns::of(r).digest().map(BlobId)
            })
            .await?
            .into_iter()
            .collect();
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        t.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await
            .map_err(fail)?;
        // Every transaction before this one has ended, and is seen by the first look.
        let oldest: String = t
            .query_one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text", &[])
            .await
            .and_then(|r| r.try_get(0))
            .map_err(fail)?;
        self.strike(&t, NAMED, tenant, &names, &mut left).await?;
        // Whoever appends a record with a blob waits from here on, and who did before has committed.
        t.batch_execute("LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE").await.map_err(fail)?;
        let since = format!("{NAMED} AND age(p.xmin) <= age(({oldest} % 4294967296)::text::xid)");
        self.strike(&t, &since, tenant, &names, &mut left).await?;
        let gone: Vec<Raw<32>> = left.iter().map(|blob| Raw(blob.0)).collect();
        let sql = "DELETE FROM blobs WHERE tenant = $1 AND id = ANY ($2::bytea[])";
        let removed = t.execute(sql, &[&text(tenant), &gone]).await.map_err(fail)?;
        t.execute("DELETE FROM erasure_blobs WHERE erasure = $1", &[&id(erasure)]).await.map_err(fail)?;
        t.commit().await.map_err(fail)?;
        Ok(removed)
    }

    async fn held_until(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<(BlobId, Timestamp)>, StoreError> {
        let ids: Vec<Raw<32>> = ids.iter().map(|id| Raw(id.0)).collect();
        let sql = "SELECT id, held FROM objects WHERE tenant = $1 AND id = ANY ($2::bytea[])";
        self.list(sql, &[&text(tenant), &ids], |r| {
            let mut c = Columns::of(r);
            Ok((BlobId(c.digest()?), Timestamp(c.get()?)))
        })
        .await
    }

    async fn remove_held(&self, tenant: &Name, ids: Vec<(BlobId, Timestamp)>) -> Result<u64, StoreError> {
        let (ids, held): (Vec<Raw<32>>, Vec<i64>) = ids.into_iter().map(|(id, held)| (Raw(id.0), held.0)).unzip();
        // A row that somebody holds at this moment is looked at anew when he has done so.
        let sql = "DELETE FROM objects o USING unnest($2::bytea[], $3::int8[]) AS u (id, held)
            WHERE o.tenant = $1 AND o.id = u.id AND o.held = u.held";
        self.in_turn(async |t| t.execute(sql, &[&text(tenant), &ids, &held]).await).await
    }

    async fn purge(&self) -> Result<(), StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let client = db.client().await?;
        if !unseen(&client).await.map_err(fail)? {
            return Err(StoreError {
                code: code::ERASURE_UNFINISHED,
                detail: format!(
                    "{}: rows that are gone stay while an older state is read or a transaction is open, by a backup say; it is tried again",
                    db.place
                ),
            });
        }
        client.batch_execute("SET statement_timeout = 0").await.map_err(fail)?;
        let mut done = Ok(());
        for table in TABLES {
            done = client.batch_execute(&format!("VACUUM FULL {table}")).await;
            if done.is_err() {
                break;
            }
        }
        let reset = client.batch_execute("RESET statement_timeout").await;
        done.and(reset).map_err(fail)
    }

    async fn destroy_keys(&self, erasure: &Erasure) -> Result<u64, StoreError> {
        self.in_turn(async |t| subjects::destroy(t, erasure).await).await
    }

    async fn finish_erasure(&self, erasure: u128, certificate: String) -> Result<(), StoreError> {
        self.in_turn(async |t| {
            let sql = "UPDATE erasures SET certificate = $1 WHERE id = $2";
            t.execute(sql, &[&text(&certificate), &id(erasure)]).await.map(drop)
        })
        .await
    }

    async fn keep_tree(&self, tree: KeptTree, now: Timestamp) -> Result<(), StoreError> {
        self.in_turn(async |t| {
            // Not those of a tenant or a person that a hold is on.
            let old = "DELETE FROM kept_trees WHERE until < $1 AND NOT EXISTS (
                SELECT FROM legal_holds h WHERE h.tenant = kept_trees.tenant AND h.released_at IS NULL
                    AND (h.what = 'tenant' OR h.what = 'subject' AND h.name = kept_trees.owner))";
            t.execute(old, &[&now.0]).await?;
            let KeptTree { tenant, owner, tree, until } = &tree;
            let sql = "INSERT INTO kept_trees (tenant, owner, tree, until) VALUES ($1, $2, $3, $4)
                ON CONFLICT (tenant, owner, tree) DO UPDATE SET until = greatest(kept_trees.until, excluded.until)";
            t.execute(sql, &[&text(tenant), &text(owner), &Raw(tree.0), &until.0]).await.map(drop)
        })
        .await
    }

    async fn kept_trees(&self, tenant: &Name, owner: Option<&Name>) -> Result<Vec<KeptTree>, StoreError> {
        let sql = "SELECT tenant, tree, owner, until FROM kept_trees
            WHERE tenant = $1 AND ($2::text IS NULL OR owner = $2)";
        self.list(sql, &[&text(tenant), &owner.map(|o| text(o))], |r| {
            let mut c = Columns::of(r);
            let (tenant, tree) = (c.name()?, TreeId(c.digest()?));
            Ok(KeptTree { tenant, tree, owner: c.name()?, until: Timestamp(c.get()?) })
        })
        .await
    }

    async fn forget_trees(&self, tenant: &Name, owner: &Name) -> Result<(), StoreError> {
        self.in_turn(async |t| {
            let sql = "DELETE FROM kept_trees WHERE tenant = $1 AND owner = $2";
            t.execute(sql, &[&text(tenant), &text(owner)]).await.map(drop)
        })
        .await
    }
}

impl PgStore {
    /// Does something in one transaction, one after another.
    async fn in_turn<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        t.execute(TURN, &[]).await.map_err(fail)?;
        let done = work(&t).await.map_err(fail)?;
        t.commit().await.map_err(fail)?;
        Ok(done)
    }

    /// Strikes out what records name.
    async fn strike(
        &self,
        t: &Transaction<'_>,
        sql: &str,
        tenant: &Name,
        names: &Naming,
        left: &mut HashSet<BlobId>,
    ) -> Result<(), StoreError> {
        let place = &self.database().place;
        let fail = |e: tokio_postgres::Error| store_error(place, &e);
        let tenant = text(tenant);
        let params: [&(dyn ToSql + Sync); 1] = [&tenant];
        let found = t.query_raw(sql, params).await.map_err(fail)?;
        let mut found = std::pin::pin!(found);
        while let Some(row) = found.next().await {
            let row = row.map_err(fail)?;
            let mut c = Columns::of(&row);
            let mut record =
                || -> Result<(RunId, u64, Bytes), Bad> { Ok((RunId(c.ulid()?), c.unsigned()?, c.bytes()?)) };
            let (run, seq, stored) = record().map_err(|e| damaged(place, e))?;
            let bytes = match self.ring() {
                Some(ring) => seal::open_record(ring, run, seq, &stored),
                None => unpack(stored.to_vec()),
            };
            if !strike_out(left, names, &bytes) {
                return Err(unread());
            }
        }
        Ok(())
    }
}

/// Waits a while until nobody sees rows as they were before now: what is written anew keeps such rows. False when somebody still does.
async fn unseen(client: &Client) -> Result<bool, tokio_postgres::Error> {
    // All that was changed before has a lower number.
    let now: String = client.query_one("SELECT pg_current_xact_id()::text", &[]).await?.try_get(0)?;
    let before = format!("age(({now} % 4294967296)::text::xid)");
    let seen = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (age(backend_xid) > {before}
                OR age(backend_xmin) > {before} AND (datname IS NULL OR datname = current_database())))
            OR EXISTS (SELECT FROM pg_prepared_xacts WHERE age(transaction) > {before})
            OR EXISTS (SELECT FROM pg_replication_slots WHERE age(xmin) > {before})"
    );
    let begun = Instant::now();
    while client.query_one(&seen, &[]).await?.try_get(0)? {
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

fn hold(row: &Row) -> Result<Hold, Bad> {
    let mut c = Columns::of(row);
    let (id, tenant) = (c.ulid()?, c.name()?);
    let what = Held::parse(c.get()?).ok_or_else(|| "an unknown kind of hold".to_owned())?;
    let (name, by, at, reason) = (c.name()?, c.name()?, Timestamp(c.get()?), c.get::<&str>()?.to_owned());
    let (released_by, released_at) = (c.get::<Option<&str>>()?, c.get::<Option<i64>>()?);
    let released = released_by.zip(released_at).map(|(by, at)| (by.into(), Timestamp(at)));
    Ok(Hold { id, tenant, what, name, by, at, reason, released })
}

fn erasure(row: &Row) -> Result<Erasure, Bad> {
    let mut c = Columns::of(row);
    let (id, tenant, subject) = (c.ulid()?, c.name()?, c.digest()?);
    let (by, at, runs) = (c.name()?, Timestamp(c.get()?), run_ids(c.get::<&[u8]>()?));
    let (proposed, confirmed_by) = (c.get::<i64>()? != 0, c.get::<Option<&str>>()?.map(Name::from));
    Ok(Erasure { id, tenant, subject, by, at, runs, proposed, confirmed_by, certificate: c.get()? })
}

async fn erase(t: &Transaction<'_>, erasure: u128, run: &BareRun) -> Result<bool, tokio_postgres::Error> {
    let BareRun { run, records, blobs, .. } = run;
    let leaves: Vec<(i64, Vec<u8>)> = t
        .query("SELECT seq, leaf FROM records WHERE run = $1", &[&id(run.0)])
        .await?
        .iter()
        .map(|r| Ok((r.try_get(0)?, r.try_get(1)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let same = |seq: u64, leaf: LeafHash| leaves.iter().any(|(s, l)| *s == int(seq) && l[..] == leaf.0);
    if leaves.is_empty() {
        return Ok(true);
    }
    if !records.iter().all(|r| same(r.seq, r.leaf)) {
        return Ok(false);
    }
    let blobs: Vec<Raw<32>> = blobs.iter().map(|blob| Raw(blob.0)).collect();
    let keep = "INSERT INTO erasure_blobs (erasure, id) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING";
    t.execute(keep, &[&id(erasure), &blobs]).await?;
    let (seqs, bodies): (Vec<i64>, Vec<Octets>) = records.iter().map(|r| (int(r.seq), Octets(r.bytes.clone()))).unzip();
    let bare = "UPDATE records SET body = u.body FROM unnest($2::int8[], $3::bytea[]) AS u (seq, body)
        WHERE records.run = $1 AND records.seq = u.seq";
    t.execute(bare, &[&id(run.0), &seqs, &bodies]).await?;
    let title = "UPDATE runs SET title = $1, idempotency = NULL, request = NULL WHERE id = $2";
    t.execute(title, &[&ERASED_TITLE, &id(run.0)]).await?;
    t.execute("DELETE FROM inbox WHERE receiver = $1 OR sender = $1", &[&id(run.0)]).await?;
    let snapshots = "DELETE FROM snapshots WHERE run IN (SELECT id FROM runs
        WHERE session = (SELECT session FROM runs WHERE id = $1))";
    t.execute(snapshots, &[&id(run.0)]).await?;
    Ok(true)
}
