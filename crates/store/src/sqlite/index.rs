//! What one append writes: its record, and the changes to the indexes that belong to it. Every statement is prepared
//! once. Called by the writer inside its transaction; no decision about whether an append is taken is made here.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, Result, params};
use stead_core::{
    budget::Spend,
    id::{Name, RunId, SessionId},
    time::Timestamp,
};
use stead_ports::journal::{Append, InboxRow, NewRun, RunState, SessionChange, Status};

use super::{approvals, counted, usage};
use crate::{
    blob::Packed,
    book::{SESSION_COLUMNS, session_cells},
    check::{Known, Slot, Slots},
};

/// A signed 64-bit number, as SQLite has no other; what is larger is kept as the largest.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn id(n: u128) -> [u8; 16] {
    n.to_be_bytes()
}

fn usd(spent: Spend) -> Option<i64> {
    spent.usd.map(|u| int(u.0))
}

/// The state of a run whose creator says nothing about it.
const NEW: RunState =
    RunState { status: Status::Queued, wake_at: None, turns: 0, effects: 0, spent: Spend::ZERO, code: None };

/// Rows of a run and of its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    pub(crate) run: i64,
    pub(crate) session: i64,
}

/// What the database and the slots know; appends earlier in the transaction are visible to it.
pub(crate) struct Lookup<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) slots: &'c mut Slots<Home>,
}

impl Known for Lookup<'_> {
    type Home = Home;
    type Error = rusqlite::Error;

    fn slot(&mut self, run: RunId) -> Result<Option<Slot<Home>>> {
        if let Some(slot) = self.slots.get(run) {
            return Ok(Some(slot));
        }
        let found = self
            .conn
            .prepare_cached(
                "SELECT rid, sid, (SELECT max(seq) FROM records WHERE rid = runs.rid) FROM runs WHERE id = ?",
            )?
            .query_row([id(run.0)], |r| {
                let last: Option<i64> = r.get(2)?;
                let next = last.map_or(0, |l| l.unsigned_abs() + 1);
                Ok(Slot { home: Home { run: r.get(0)?, session: r.get(1)? }, next })
            })
            .optional()?;
        if let Some(slot) = found {
            self.slots.put(run, slot);
        }
        Ok(found)
    }

    fn keyed(&mut self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>> {
        by_key(self.conn, tenant, key)
    }

    fn active(&mut self, home: Home) -> Result<Option<RunId>> {
        self.conn
            .prepare_cached("SELECT active FROM sessions WHERE sid = ?")?
            .query_row([home.session], |r| r.get::<_, Option<[u8; 16]>>(0))
            .optional()
            .map(|a| a.flatten().map(|a| RunId(u128::from_be_bytes(a))))
    }

    fn active_of(&mut self, session: SessionId) -> Result<Option<RunId>> {
        self.conn
            .prepare_cached("SELECT active FROM sessions WHERE id = ?")?
            .query_row([id(session.0)], |r| r.get::<_, Option<[u8; 16]>>(0))
            .optional()
            .map(|a| a.flatten().map(|a| RunId(u128::from_be_bytes(a))))
    }
}

/// The run that was created with this key, and the digest of its request.
pub(crate) fn by_key(conn: &Connection, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>> {
    conn.prepare_cached("SELECT id, request FROM runs WHERE tenant = ? AND idempotency = ?")?
        .query_row(params![tenant.as_str(), key.as_str()], |r| Ok((RunId(u128::from_be_bytes(r.get(0)?)), r.get(1)?)))
        .optional()
}

/// Writes everything of an append but its record, and returns the slot of its run.
pub(crate) fn change(
    conn: &Connection,
    append: &Append,
    slot: Option<Slot<Home>>,
    blobs: &[Packed],
) -> Result<Option<Slot<Home>>> {
    for (blob, packed) in append.blobs.iter().zip(blobs) {
        conn.prepare_cached("INSERT OR IGNORE INTO blobs (id, tenant, codec, length, body) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![blob.id.0, blob.tenant.as_str(), packed.codec, packed.len, &packed.body[..]])?;
    }
    let Some(index) = append.index.as_deref() else { return Ok(slot) };
    let slot = match (&index.create, slot) {
        (Some(new), None) => Some(create(conn, append, new, index.run.as_ref().unwrap_or(&NEW))?),
        (_, Some(slot)) => {
            if let Some(state) = &index.run {
                update(conn, slot.home, append.at, state)?;
            }
            Some(slot)
        }
        (None, None) => None,
    };
    if let (Some(change), Some(slot)) = (&index.session, slot) {
        session(conn, append.run, slot.home, change)?;
    }
    for row in &index.send {
        send(conn, row)?;
    }
    for (from, effect) in &index.taken {
        conn.prepare_cached("DELETE FROM inbox WHERE receiver = ? AND sender = ? AND effect = ?")?.execute(params![
            id(append.run.0),
            id(from.0),
            effect
        ])?;
    }
    if let Some(body) = &index.counted {
        counted::add(conn, &append.tenant, body)?;
    }
    if let Some(slot) = slot {
        approvals::change(conn, append.run, slot.home.run, index)?;
        usage::settle(conn, slot.home.run, &index.settled)?;
    }
    Ok(slot)
}

fn create(conn: &Connection, append: &Append, new: &NewRun, state: &RunState) -> Result<Slot<Home>> {
    conn.prepare_cached("INSERT OR IGNORE INTO sessions (id, tenant, agent, created) VALUES (?, ?, ?, ?)")?
        .execute(params![id(new.session.0), new.tenant.as_str(), new.agent.as_str(), append.at.0])?;
    let session: i64 =
        conn.prepare_cached("SELECT sid FROM sessions WHERE id = ?")?.query_row([id(new.session.0)], |r| r.get(0))?;
    let (key, request) = new.idempotency.as_ref().map(|(k, d)| (k.as_str(), d)).unzip();
    conn.prepare_cached(
        "INSERT INTO runs (id, sid, tenant, agent, version, parent, title, idempotency, request, created, updated,
             status, wake_at, turns, effects, tokens, usd, code, started_by)
         VALUES (?, ?, ?, ?, ?, ?6, ?, ?, ?, ?10, ?10, ?, ?, ?, ?, ?, ?, ?,
             iif(?6 IS NULL, ?18, (SELECT started_by FROM runs WHERE id = ?6)))",
    )?
    .execute(params![
        id(append.run.0),
        session,
        new.tenant.as_str(),
        new.agent.as_str(),
        new.version.0,
        new.parent.map(|p| id(p.0)),
        new.title,
        key,
        request,
        append.at.0,
        state.status.as_str(),
        state.wake_at.map(|t| t.0),
        state.turns,
        state.effects,
        int(state.spent.tokens),
        usd(state.spent),
        state.code.map(|c| c.0),
        new.user.as_deref(),
    ])?;
    Ok(Slot { home: Home { run: conn.last_insert_rowid(), session }, next: 0 })
}

fn update(conn: &Connection, home: Home, at: Timestamp, state: &RunState) -> Result<()> {
    conn.prepare_cached(
        "UPDATE runs SET updated = ?, status = ?, wake_at = ?, turns = ?, effects = ?, tokens = ?, usd = ?, code = ?
         WHERE rid = ?",
    )?
    .execute(params![
        at.0,
        state.status.as_str(),
        state.wake_at.map(|t| t.0),
        state.turns,
        state.effects,
        int(state.spent.tokens),
        usd(state.spent),
        state.code.map(|c| c.0),
        home.run,
    ])?;
    Ok(())
}

static RELEASE: LazyLock<String> = LazyLock::new(|| {
    let sums: Vec<_> = (6..)
        .zip(SESSION_COLUMNS)
        .map(|(n, c)| format!("{c} = min(coalesce({c}, 0), 9223372036854775807 - ?{n}) + ?{n}"))
        .collect();
    format!(
        "UPDATE sessions SET active = iif(active = ?1, NULL, active), head = iif(?2, ?1, head),
             tokens = min(tokens, 9223372036854775807 - ?4) + ?4, usd = min(usd, 9223372036854775807 - ?5) + ?5, {}
         WHERE sid = ?3",
        sums.join(", ")
    )
});

fn session(conn: &Connection, run: RunId, home: Home, change: &SessionChange) -> Result<()> {
    match change {
        SessionChange::Claim => {
            conn.prepare_cached("UPDATE sessions SET active = ? WHERE sid = ?")?
                .execute(params![id(run.0), home.session])?;
        }
        // A run that ends while another is in the foreground leaves that one there. NULL + n is NULL: money that is
        // not known stays so.
        SessionChange::Release { head, spent, used } => {
            let [tool_calls, active, cpu, traffic, disk, children] = session_cells(*used);
            conn.prepare_cached(&RELEASE)?.execute(params![
                id(run.0),
                head,
                home.session,
                int(spent.tokens),
                usd(*spent),
                tool_calls,
                active,
                cpu,
                traffic,
                disk,
                children
            ])?;
        }
    }
    Ok(())
}

fn send(conn: &Connection, row: &InboxRow) -> Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO inbox (receiver, sender, effect, body) VALUES (?, ?, ?, ?)")?
        .execute(params![id(row.to.0), id(row.from.0), row.effect, &row.body[..]])?;
    Ok(())
}
