//! The two round trips of a flush: the questions, when there are any, and the transaction. Each sends all its
//! statements at once and only then waits.

use std::sync::LazyLock;

use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, join_all};
use stead_core::{
    budget::Spend,
    id::{Name, RunId, SessionId},
};
use tokio_postgres::{Error, Row, Statement, types::ToSql};

use super::{
    audit::QUEUE,
    budgets::{self, Book, FORGET},
    counted,
    plan::{Found, Keys, Memory, Plan, Questions},
    usage,
    values::{Octets, Raw, id, int, text},
};
use crate::{
    book::{SESSION_COLUMNS, session_cells},
    check::Slot,
};

const ASK_RUNS: &str =
    "SELECT r.id, r.session, coalesce((SELECT max(seq) + 1 FROM records WHERE run = r.id), 0), s.active
    FROM runs r JOIN sessions s ON s.id = r.session WHERE r.id = ANY($1)";
const ASK_SESSIONS: &str = "SELECT id, active FROM sessions WHERE id = ANY($1)";
const ASK_KEYS: &str = "SELECT r.tenant, r.idempotency, r.id, r.request FROM unnest($1::text[], $2::text[]) AS a (t, k)
    JOIN runs r ON r.tenant = a.t AND r.idempotency = a.k";

/// Looks up what a batch must know, into `memory` and what is given back.
pub(crate) async fn ask(client: &Object, questions: &Questions, memory: &mut Memory) -> Result<Found, Error> {
    let runs: Vec<_> = questions.runs.iter().map(|r| id(r.0)).collect();
    let sessions: Vec<_> = questions.sessions.iter().map(|s| id(s.0)).collect();
    let (tenants, keys): (Vec<_>, Vec<_>) = questions.keys.iter().map(|(t, k)| (text(t), text(k))).unzip();
    let (ask_runs, ask_sessions, ask_keys) = (
        client.prepare_cached(ASK_RUNS).await?,
        client.prepare_cached(ASK_SESSIONS).await?,
        client.prepare_cached(ASK_KEYS).await?,
    );
    let params: [&(dyn ToSql + Sync); 2] = [&tenants, &keys];
    let (runs, sessions, taken, book) = futures_util::future::try_join4(
        client.query(&ask_runs, &[&runs]),
        client.query(&ask_sessions, &[&sessions]),
        client.query(&ask_keys, &params),
        Book::ask(client, &questions.windows),
    )
    .await?;
    for row in runs {
        let (run, session): (RunId, SessionId) = (RunId(ulid(&row, 0)?), SessionId(ulid(&row, 1)?));
        let next = row.try_get::<_, i64>(2)?.unsigned_abs();
        memory.slots.put(run, Slot { home: session, next });
        remember(memory, session, &row, 3)?;
    }
    for row in sessions {
        remember(memory, SessionId(ulid(&row, 0)?), &row, 1)?;
    }
    let mut found = Keys::new();
    for row in taken {
        let key = (Name::from(row.try_get::<_, &str>(0)?), Name::from(row.try_get::<_, &str>(1)?));
        found.insert(key, (RunId(ulid(&row, 2)?), row.try_get::<_, Raw<32>>(3)?.0));
    }
    Ok(Found { keys: found, book })
}

fn ulid(row: &Row, column: usize) -> Result<u128, Error> {
    Ok(u128::from_be_bytes(row.try_get::<_, Raw<16>>(column)?.0))
}

fn remember(memory: &mut Memory, session: SessionId, row: &Row, column: usize) -> Result<(), Error> {
    let active = row.try_get::<_, Option<Raw<16>>>(column)?.map(|a| RunId(u128::from_be_bytes(a.0)));
    memory.active.put(session, active);
    Ok(())
}

const FENCE: &str = "SELECT fence($1, $2)";
const BLOBS: &str = "INSERT INTO blobs (id, tenant, codec, length, body)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::int2[], $4::int8[], $5::bytea[]) ON CONFLICT DO NOTHING";
const SESSIONS: &str = "INSERT INTO sessions (id, tenant, agent, created)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int8[]) ON CONFLICT (id) DO NOTHING";
const RUNS: &str =
    "INSERT INTO runs (id, session, tenant, agent, version, parent, title, idempotency, request, created,
        updated, status, wake_at, turns, effects, tokens, usd, code, started_by)
    SELECT a, b, c, d, e, f, g, h, i, j, j, k, l, m, n, o, p, q,
        CASE WHEN f IS NULL THEN s ELSE (SELECT started_by FROM runs WHERE id = f) END
    FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::text[], $8::text[],
        $9::bytea[], $10::int8[], $11::text[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::int8[],
        $17::int4[], $18::text[]) AS u (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, s)";
const STATES: &str =
    "UPDATE runs SET updated = b, status = c, wake_at = d, turns = e, effects = f, tokens = g, usd = h,
        code = i
    FROM unnest($1::bytea[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[],
        $9::int4[]) AS u (a, b, c, d, e, f, g, h, i) WHERE runs.id = a";
// least() passes over NULL, and money that is not known must stay so.
static HANDED: LazyLock<String> = LazyLock::new(|| {
    let sum = |c| format!("{c} = least(coalesce(sessions.{c}, 0)::numeric + u.{c}, 9223372036854775807)::int8");
    format!(
        "UPDATE sessions SET active = b, head = coalesce(c, head),
            tokens = least(tokens::numeric + d, 9223372036854775807)::int8,
            usd = CASE WHEN usd IS NULL OR e IS NULL THEN NULL
                ELSE least(usd::numeric + e, 9223372036854775807)::int8 END, {}
        FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[],
            $9::int8[], $10::int8[], $11::int8[]) AS u (a, b, c, d, e, {})
        WHERE sessions.id = a",
        SESSION_COLUMNS.map(sum).join(", "),
        SESSION_COLUMNS.join(", ")
    )
});
const SENT: &str = "INSERT INTO inbox (receiver, sender, effect, body)
    SELECT a, b, c, d FROM unnest($1::bytea[], $2::bytea[], $3::int8[], $4::bytea[]) WITH ORDINALITY
        AS u (a, b, c, d, n) ORDER BY n ON CONFLICT DO NOTHING";
const TAKEN: &str = "DELETE FROM inbox USING unnest($1::bytea[], $2::bytea[], $3::int8[]) AS u (a, b, c)
    WHERE receiver = a AND sender = b AND effect = c";
const RECORDS: &str = "INSERT INTO records (run, seq, leaf, body)
    SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[], $4::bytea[])";

pub(super) const ASKED: &str = "INSERT INTO approvals (run, effect, session, tenant, agent, asked, round)
    SELECT r.id, b, r.session, r.tenant, r.agent, c, d
    FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[]) AS u (a, b, c, d) JOIN runs r ON r.id = a
    ON CONFLICT (run, effect) DO UPDATE SET asked = excluded.asked, round = excluded.round";
const CLOSED: &str = "DELETE FROM approvals USING unnest($1::bytea[], $2::int8[]) AS u (a, b)
    WHERE run = a AND effect = b";

type Param = Box<dyn ToSql + Sync + Send>;

/// A statement and its columns.
struct Step {
    sql: &'static str,
    params: Vec<Param>,
}

macro_rules! step {
    ($sql:ident, $($column:expr),+ $(,)?) => {
        Step { sql: &$sql, params: vec![$(Box::new($column.collect::<Vec<_>>()) as Param),+] }
    };
}

fn usd(spent: Spend) -> Option<i64> {
    spent.usd.map(|u| int(u.0))
}

/// The statements of a plan; those that would write nothing are left out.
fn steps(plan: &Plan<'_>) -> Vec<Step> {
    let mut steps = vec![step!(
        FENCE,
        plan.fence.iter().map(|(p, _)| i16::try_from(*p).unwrap_or(i16::MAX)),
        plan.fence.iter().map(|(_, e)| int(*e)),
    )];
    // In the order of their ids, like sessions and states in `Plan`.
    let mut blobs: Vec<_> = plan.blobs.iter().collect();
    blobs.sort_by_key(|(b, _)| b.id);
    if !blobs.is_empty() {
        steps.push(step!(
            BLOBS,
            blobs.iter().map(|(b, _)| Raw(b.id.0)),
            blobs.iter().map(|(b, _)| text(&b.tenant).into_owned()),
            blobs.iter().map(|(_, p)| p.codec),
            blobs.iter().map(|(_, p)| p.len),
            blobs.iter().map(|(_, p)| Octets(p.body.clone())),
        ));
    }
    if !plan.created.is_empty() {
        let c = || plan.created.iter();
        steps.push(step!(
            SESSIONS,
            c().map(|c| id(c.new.session.0)),
            c().map(|c| text(&c.new.tenant).into_owned()),
            c().map(|c| text(&c.new.agent).into_owned()),
            c().map(|c| c.at.0),
        ));
        steps.push(step!(
            RUNS,
            c().map(|c| id(c.run.0)),
            c().map(|c| id(c.new.session.0)),
            c().map(|c| text(&c.new.tenant).into_owned()),
            c().map(|c| text(&c.new.agent).into_owned()),
            c().map(|c| Raw(c.new.version.0)),
            c().map(|c| c.new.parent.map(|p| id(p.0))),
            c().map(|c| text(&c.new.title).into_owned()),
            c().map(|c| c.new.idempotency.as_ref().map(|(k, _)| text(k).into_owned())),
            c().map(|c| c.new.idempotency.as_ref().map(|(_, d)| Raw(*d))),
            c().map(|c| c.at.0),
            c().map(|c| c.state.status.as_str()),
            c().map(|c| c.state.wake_at.map(|t| t.0)),
            c().map(|c| i64::from(c.state.turns)),
            c().map(|c| i64::from(c.state.effects)),
            c().map(|c| int(c.state.spent.tokens)),
            c().map(|c| usd(c.state.spent)),
            c().map(|c| c.state.code.map(|c| i32::from(c.0))),
            c().map(|c| c.new.user.as_ref().map(|u| text(u).into_owned())),
        ));
    }
    if !plan.states.is_empty() {
        let s = || plan.states.iter();
        steps.push(step!(
            STATES,
            s().map(|(run, _)| id(run.0)),
            s().map(|(_, (at, _))| at.0),
            s().map(|(_, (_, s))| s.status.as_str()),
            s().map(|(_, (_, s))| s.wake_at.map(|t| t.0)),
            s().map(|(_, (_, s))| i64::from(s.turns)),
            s().map(|(_, (_, s))| i64::from(s.effects)),
            s().map(|(_, (_, s))| int(s.spent.tokens)),
            s().map(|(_, (_, s))| usd(s.spent)),
            s().map(|(_, (_, s))| s.code.map(|c| i32::from(c.0))),
        ));
    }
    if !plan.handed.is_empty() {
        let h = || plan.handed.iter();
        let used = |n: usize| h().map(move |(_, h)| session_cells(h.used)[n]);
        steps.push(step!(
            HANDED,
            h().map(|(session, _)| id(session.0)),
            h().map(|(_, h)| h.active.map(|r| id(r.0))),
            h().map(|(_, h)| h.head.map(|r| id(r.0))),
            h().map(|(_, h)| int(h.spent.tokens)),
            h().map(|(_, h)| usd(h.spent)),
            used(0),
            used(1),
            used(2),
            used(3),
            used(4),
            used(5),
        ));
    }
    if !plan.sent.is_empty() {
        let s = || plan.sent.iter();
        steps.push(step!(
            SENT,
            s().map(|s| id(s.to.0)),
            s().map(|s| id(s.from.0)),
            s().map(|s| i64::from(s.effect)),
            s().map(|s| Octets(s.body.clone())),
        ));
    }
    if !plan.taken.is_empty() {
        let t = || plan.taken.iter();
        steps.push(step!(
            TAKEN,
            t().map(|(to, _, _)| id(to.0)),
            t().map(|(_, from, _)| id(from.0)),
            t().map(|(_, _, effect)| i64::from(*effect)),
        ));
    }
    if !plan.counted.is_empty() {
        steps.push(Step {
            sql: counted::ADD,
            params: vec![
                Box::new(plan.counted.iter().map(|(tenant, _)| text(tenant).into_owned()).collect::<Vec<_>>()),
                Box::new(plan.counted.iter().map(|(_, body)| Octets((*body).clone())).collect::<Vec<_>>()),
            ],
        });
    }
    if !plan.begun.is_empty() {
        let b = || plan.begun.iter();
        steps.push(step!(FORGET, b().map(|(budget, _)| *budget), b().map(|(_, start)| *start)));
    }
    steps.extend(budgets::steps(&plan.booked, &plan.begun).into_iter().map(|(sql, params)| Step { sql, params }));
    if !plan.settled.is_empty() {
        steps.push(Step { sql: &usage::ADD, params: usage::params(&plan.settled) });
    }
    let asked: Vec<_> = plan.asked.iter().filter_map(|(q, asked)| asked.map(|at| (q, at))).collect();
    if !asked.is_empty() {
        steps.push(step!(
            ASKED,
            asked.iter().map(|((run, _), _)| id(run.0)),
            asked.iter().map(|((_, effect), _)| i64::from(*effect)),
            asked.iter().map(|(_, (at, _))| at.0),
            asked.iter().map(|(_, (_, round))| i64::from(*round)),
        ));
    }
    if asked.len() < plan.asked.len() {
        let closed = || plan.asked.iter().filter(|(_, asked)| asked.is_none());
        steps.push(step!(
            CLOSED,
            closed().map(|((run, _), _)| id(run.0)),
            closed().map(|((_, effect), _)| i64::from(*effect)),
        ));
    }
    if !plan.records.is_empty() {
        let r = || plan.records.iter();
        steps.push(step!(
            RECORDS,
            r().map(|r| id(r.run.0)),
            r().map(|r| int(r.seq)),
            r().map(|r| Raw(r.leaf.0)),
            r().map(|r| Octets(r.record.clone())),
        ));
        steps.push(step!(QUEUE, r().map(|r| id(r.run.0)), r().map(|r| int(r.seq))));
    }
    steps
}

/// A transaction, ready to be sent.
pub(crate) struct Prepared {
    steps: Vec<(Statement, Vec<Param>)>,
}

/// Prepares the statements of a plan; a connection prepares each only once. Nothing is written yet.
pub(crate) async fn prepare(client: &Object, plan: &Plan<'_>) -> Result<Prepared, Error> {
    let mut prepared = Vec::new();
    for Step { sql, params } in steps(plan) {
        prepared.push((client.prepare_cached(sql).await?, params));
    }
    Ok(Prepared { steps: prepared })
}

/// Sends the transaction and waits for all its answers. The error is that of the first statement that failed; when
/// that is not the commit, the server has refused all that follow, and the commit as well.
pub(crate) async fn commit(client: &Object, prepared: &Prepared) -> Result<(), Error> {
    let params: Vec<Vec<&(dyn ToSql + Sync)>> =
        prepared.steps.iter().map(|(_, p)| p.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect()).collect();
    let mut answers: Vec<BoxFuture<'_, Result<(), Error>>> = vec![Box::pin(client.batch_execute("BEGIN"))];
    for ((statement, _), params) in prepared.steps.iter().zip(&params) {
        answers.push(Box::pin(async { client.execute(statement, params).await.map(drop) }));
    }
    answers.push(Box::pin(client.batch_execute("COMMIT")));
    // Requests leave in the order in which these are first polled, which is the order they stand in.
    join_all(answers).await.into_iter().collect()
}
