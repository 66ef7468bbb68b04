//! The questions that readers ask. Every list is bounded, whatever its caller asks for.

use stead_ports::journal::{RunFilter, Status};
use tokio_postgres::types::ToSql;

use super::values::{id, text};

/// The most rows that one question gets.
const ROWS_MAX: u32 = 10_000;

/// The bound of a list.
pub(crate) fn limit(asked: u32) -> i64 {
    i64::from(asked.min(ROWS_MAX))
}

pub(crate) const READ: &str = "SELECT seq, leaf, body FROM records WHERE run = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
/// The records that the snapshot does not include.
pub(crate) const READ_REST: &str = "SELECT seq, leaf, body FROM records
    WHERE run = $1 AND seq >= coalesce((SELECT seq FROM snapshots WHERE run = $1), 0) ORDER BY seq LIMIT $2";
pub(crate) const RUN: &str = concat!(
    "SELECT r.id, r.tenant, s.id, s.key, r.agent, r.version, r.parent, r.title, r.created, r.updated, r.status, ",
    "r.wake_at, r.turns, r.effects, r.tokens, r.usd, r.code FROM runs r JOIN sessions s ON s.id = r.session ",
    "WHERE r.id = $1"
);
pub(crate) const BY_KEY: &str = "SELECT id, request FROM runs WHERE tenant = $1 AND idempotency = $2";
pub(crate) const COUNT: &str = "SELECT status, count(*) FROM runs GROUP BY status";
pub(crate) const DEPTHS: &str =
    "SELECT (SELECT count(*) FROM runs WHERE status = 'queued'), (SELECT count(*) FROM approvals)";
pub(crate) const COUNT_OF: &str = "SELECT status, count(*) FROM runs WHERE tenant = $1 GROUP BY status";
pub(crate) const UNFINISHED: &str = "(SELECT id FROM runs WHERE status = 'running' AND id > $1 ORDER BY id LIMIT $2)
    UNION
    (SELECT DISTINCT receiver FROM inbox WHERE receiver > $1 AND EXISTS (SELECT 1 FROM runs WHERE runs.id = receiver)
     ORDER BY receiver LIMIT $2)
    ORDER BY 1 LIMIT $2";
pub(crate) const DUE: &str = "SELECT id FROM runs WHERE wake_at <= $1 ORDER BY wake_at, id LIMIT $2";
pub(crate) const NEXT_WAKE: &str = "SELECT min(wake_at) FROM runs WHERE wake_at IS NOT NULL";
pub(crate) const INBOX: &str = "SELECT sender, effect, body FROM inbox WHERE receiver = $1 ORDER BY id LIMIT $2";
pub(crate) const SESSION: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu,
    traffic, disk, children FROM sessions WHERE id = $1";
pub(crate) const SESSION_OF_KEY: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu,
    traffic, disk, children FROM sessions
    WHERE tenant = $1 AND agent = $2 AND key = $3";
pub(crate) const OPEN_SESSION: &str =
    "INSERT INTO sessions (tenant, agent, key, id, created) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant, agent, key) WHERE key IS NOT NULL DO NOTHING";
pub(crate) const SESSIONS: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu,
    traffic, disk, children FROM sessions
    WHERE tenant = $1 AND ($2::bytea IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
pub(crate) const SESSIONS_OF: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu,
    traffic, disk, children FROM sessions
    WHERE tenant = $1 AND agent = $4 AND ($2::bytea IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
pub(crate) const SESSIONS_OF_KEY: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu,
    traffic, disk, children FROM sessions
    WHERE tenant = $1 AND key = $2 ORDER BY agent COLLATE \"C\" LIMIT $3";
pub(crate) const QUEUED: &str = "SELECT id FROM runs WHERE session = $1 AND status = 'queued' ORDER BY id LIMIT $2";
pub(crate) const STRANDED: &str = "SELECT DISTINCT s.id FROM runs r JOIN sessions s ON s.id = r.session
    WHERE r.status = 'queued' AND s.active IS NULL ORDER BY s.id LIMIT $1";
pub(crate) const BLOB: &str = "SELECT codec, length, body FROM blobs WHERE id = $1 AND tenant = $2";
pub(crate) const SNAPSHOT: &str = "SELECT seq, leaf, version, body FROM snapshots WHERE run = $1";
pub(crate) const PUT_SNAPSHOT: &str =
    "INSERT INTO snapshots (run, seq, leaf, version, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, leaf = excluded.leaf, version = excluded.version,
        body = excluded.body";

/// The question for a list of runs, and its parameters: an index gives the rows in their order, whatever is asked for,
/// so that a page of few among many is as cheap as one of all.
pub(crate) fn runs(filter: &RunFilter) -> (String, Vec<Box<dyn ToSql + Sync + Send>>) {
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> =
        vec![Box::new(text(&filter.tenant).into_owned()), Box::new(limit(filter.limit))];
    let mut conditions = String::new();
    let mut and = |column: &str, value: Box<dyn ToSql + Sync + Send>| {
        params.push(value);
        conditions += &format!(" AND {column} ${}", params.len());
    };
    if let Some(agent) = &filter.agent {
        and("agent =", Box::new(text(agent).into_owned()));
    }
    if let Some(session) = filter.session {
        and("session =", Box::new(id(session.0)));
    }
    if let Some(parent) = filter.parent {
        and("parent =", Box::new(id(parent.0)));
    }
    if let Some(before) = filter.before {
        and("id <", Box::new(id(before.0)));
    }
    // A session's runs and a run's children are few, and gone through. Else there is one branch for each status, each
    // in its index's order; without a word about it, that is every status.
    let asked = |s: &&Status| filter.status.is_empty() || filter.status.contains(s);
    let words: Vec<_> = Status::ALL.iter().filter(asked).map(|s| format!("'{}'", s.as_str())).collect();
    let ids = |status: &str| {
        format!("(SELECT id FROM runs WHERE tenant = $1{conditions} AND status {status} ORDER BY id DESC LIMIT $2)")
    };
    let ids = match filter.session.is_some() || filter.parent.is_some() {
        true => ids(&format!("IN ({})", words.join(","))),
        false => words.iter().map(|word| ids(&format!("= {word}"))).collect::<Vec<_>>().join(" UNION ALL "),
    };
    let sql = RUN.replace("WHERE r.id = $1", &format!("WHERE r.id IN ({ids}) ORDER BY r.id DESC LIMIT $2"));
    (sql, params)
}
