//! The sections of a backup: tables, with columns that both databases have, and rows as plain values.

use std::borrow::Cow;

use bytes::Bytes;
use minicbor::{Decoder, Encoder, data::Type, decode};

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// A signed number.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed number.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
}

/// A section, which is a table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its number in the stream; sections come in the order of their numbers.
    pub(crate) number: u8,
    /// Its name, in both databases.
    pub(crate) name: &'static str,
    /// Its columns.
    pub(crate) columns: &'static [Column],
    /// How SQLite reads it.
    pub(crate) sqlite: &'static str,
    /// How SQLite writes a row.
    pub(crate) sqlite_insert: &'static str,
    /// How PostgreSQL reads it; its small numbers are made large ones.
    pub(crate) postgres: &'static str,
    /// How both read it from data of an older format.
    pub(crate) former: Former,
}

/// How the rows of a section are read from data of an older format.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Former {
    /// As from data of this release's format.
    Same,
    /// There are such rows from this format on.
    Since(u32),
    /// From another table of format 1, in words that both databases know.
    Read(&'static str),
    /// The same, but for this column, which there was not in format 1.
    Without(&'static str),
    /// The same, but for these columns, which are numbers and are there from this format on.
    Gained(u32, &'static str),
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int, optional: false }
}
const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, optional: false }
}
const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, optional: false }
}
const fn maybe(column: Column) -> Column {
    Column { optional: true, ..column }
}

/// All sections. A number is never used again; a column is only ever added, at the end and optional.
pub(crate) static TABLES: &[Table] = &[
    Table {
        number: VERSIONS,
        name: "versions",
        columns: &[text("tenant"), text("agent"), bytes("version"), bytes("body"), int("created")],
        sqlite: "SELECT tenant, agent, version, body, created FROM versions ORDER BY vid",
        sqlite_insert: "INSERT INTO versions (tenant, agent, version, body, created) VALUES (?, ?, ?, ?, ?)",
        postgres: "SELECT tenant, agent, version, body, created FROM versions ORDER BY vid",
        former: Former::Same,
    },
    Table {
        number: 2,
        name: "aliases",
        columns: &[text("tenant"), text("agent"), text("alias"), bytes("version")],
        sqlite: "SELECT tenant, agent, alias, version FROM aliases ORDER BY tenant, agent, alias",
        sqlite_insert: "INSERT INTO aliases (tenant, agent, alias, version) VALUES (?, ?, ?, ?)",
        postgres: "SELECT tenant, agent, alias, version FROM aliases ORDER BY tenant, agent, alias",
        former: Former::Read("SELECT tenant, agent, 'live', version FROM live ORDER BY tenant, agent"),
    },
    Table {
        number: SESSIONS,
        name: "sessions",
        columns: &[
            bytes("id"),
            text("tenant"),
            text("agent"),
            maybe(text("key")),
            maybe(bytes("active")),
            maybe(bytes("head")),
            int("tokens"),
            maybe(int("usd")),
            int("created"),
            maybe(int("tool_calls")),
            maybe(int("active_time")),
            maybe(int("cpu")),
            maybe(int("traffic")),
            maybe(int("disk")),
            maybe(int("children")),
        ],
        sqlite: "SELECT id, tenant, agent, key, active, head, tokens, usd, created,
            tool_calls, active_time, cpu, traffic, disk, children FROM sessions ORDER BY id",
        sqlite_insert: "INSERT INTO sessions (id, tenant, agent, key, active, head, tokens, usd, created,
                tool_calls, active_time, cpu, traffic, disk, children)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, agent, key, active, head, tokens, usd, created,
            tool_calls, active_time, cpu, traffic, disk, children FROM sessions ORDER BY id",
        former: Former::Gained(6, ",\n            tool_calls, active_time, cpu, traffic, disk, children"),
    },
    Table {
        number: RUNS,
        name: "runs",
        columns: &[
            bytes("id"),
            bytes("session"),
            text("tenant"),
            text("agent"),
            bytes("version"),
            maybe(bytes("parent")),
            text("title"),
            maybe(text("idempotency")),
            maybe(bytes("request")),
            int("created"),
            int("updated"),
            text("status"),
            maybe(int("wake_at")),
            int("turns"),
            int("effects"),
            int("tokens"),
            maybe(int("usd")),
            maybe(int("code")),
            maybe(text("started_by")),
        ],
        sqlite:
            "SELECT r.id, s.id, r.tenant, r.agent, r.version, r.parent, r.title, r.idempotency, r.request, r.created,
                r.updated, r.status, r.wake_at, r.turns, r.effects, r.tokens, r.usd, r.code, started_by
            FROM runs r JOIN sessions s ON s.sid = r.sid ORDER BY r.id",
        sqlite_insert:
            "INSERT INTO runs (id, sid, tenant, agent, version, parent, title, idempotency, request, created,
                updated, status, wake_at, turns, effects, tokens, usd, code, started_by)
            VALUES (?, (SELECT sid FROM sessions WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, session, tenant, agent, version, parent, title, idempotency, request, created, updated,
                status, wake_at, turns, effects, tokens, usd, code::bigint, started_by FROM runs ORDER BY id",
        former: Former::Without("started_by"),
    },
    // By run, so that the chain of each can be checked with no more in memory than its last hash.
    Table {
        number: RECORDS,
        name: "records",
        columns: &[bytes("run"), int("seq"), bytes("leaf"), bytes("body")],
        sqlite: "SELECT r.id, c.seq, c.leaf, c.body FROM runs r CROSS JOIN records c ON c.rid = r.rid
            ORDER BY r.id, c.seq",
        sqlite_insert: "INSERT INTO records (rid, seq, leaf, body) VALUES ((SELECT rid FROM runs WHERE id = ?), ?, ?, ?)",
        postgres: "SELECT run, seq, leaf, body FROM records ORDER BY run, seq",
        former: Former::Same,
    },
    Table {
        number: INBOX,
        name: "inbox",
        columns: &[bytes("receiver"), bytes("sender"), int("effect"), bytes("body")],
        sqlite: "SELECT receiver, sender, effect, body FROM inbox ORDER BY id",
        sqlite_insert: "INSERT INTO inbox (receiver, sender, effect, body) VALUES (?, ?, ?, ?)",
        postgres: "SELECT receiver, sender, effect, body FROM inbox ORDER BY id",
        former: Former::Same,
    },
    Table {
        number: BLOBS,
        name: "blobs",
        columns: &[bytes("id"), text("tenant"), int("codec"), int("length"), bytes("body")],
        sqlite: "SELECT id, tenant, codec, length, body FROM blobs ORDER BY bid",
        sqlite_insert: "INSERT INTO blobs (id, tenant, codec, length, body) VALUES (?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, codec::bigint, length, body FROM blobs ORDER BY id",
        former: Former::Same,
    },
    Table {
        number: 8,
        name: "alias_moves",
        columns: &[
            text("tenant"),
            text("agent"),
            text("alias"),
            maybe(bytes("was")),
            maybe(bytes("version")),
            int("at"),
            text("moved_by"),
            text("why"),
        ],
        sqlite: "SELECT tenant, agent, alias, was, version, at, moved_by, why FROM alias_moves ORDER BY mid",
        sqlite_insert: "INSERT INTO alias_moves (tenant, agent, alias, was, version, at, moved_by, why)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT tenant, agent, alias, was, version, at, moved_by, why FROM alias_moves ORDER BY mid",
        former: Former::Since(2),
    },
    Table {
        number: 9,
        name: "usage",
        columns: &[
            text("tenant"),
            int("hour"),
            bytes("run"),
            text("model"),
            int("replies"),
            int("failures"),
            int("tool_calls"),
            int("input"),
            int("cached"),
            int("cache_write"),
            int("output"),
            int("reasoning"),
            int("usd"),
            int("unpriced"),
            int("estimated_tokens"),
            int("estimated_usd"),
        ],
        sqlite: "SELECT u.tenant, u.hour, r.id, u.model, u.replies, u.failures, u.tool_calls, u.input, u.cached,
                u.cache_write, u.output, u.reasoning, u.usd, u.unpriced, u.estimated_tokens, u.estimated_usd
            FROM usage u JOIN runs r ON r.rid = u.rid ORDER BY u.tenant, u.hour, r.id, u.model",
        sqlite_insert: "INSERT INTO usage (tenant, hour, rid, model, replies, failures, tool_calls, input, cached,
                cache_write, output, reasoning, usd, unpriced, estimated_tokens, estimated_usd)
            VALUES (?, ?, (SELECT rid FROM runs WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT tenant, hour, run, model, replies, failures, tool_calls, input, cached, cache_write, output,
                reasoning, usd, unpriced, estimated_tokens, estimated_usd
            FROM usage ORDER BY tenant, hour, run, model",
        former: Former::Since(2),
    },
    Table {
        number: OBJECTS,
        name: "objects",
        columns: &[bytes("id"), text("tenant"), int("codec"), int("length"), bytes("body"), int("held")],
        sqlite: "SELECT id, tenant, codec, length, body, held FROM objects ORDER BY tenant, id",
        sqlite_insert: "INSERT INTO objects (id, tenant, codec, length, body, held) VALUES (?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, codec::bigint, length, body, held FROM objects ORDER BY tenant, id",
        former: Former::Since(3),
    },
    Table {
        number: POLICIES,
        name: "policies",
        columns: &[
            text("tenant"),
            int("epoch"),
            bytes("digest"),
            bytes("body"),
            text("applied_by"),
            int("at"),
            int("proposed"),
            maybe(int("rollback_to")),
            maybe(text("confirmed_by")),
            maybe(int("confirmed_at")),
        ],
        sqlite: "SELECT tenant, epoch, digest, body, applied_by, at, proposed, rollback_to, confirmed_by, confirmed_at
            FROM policies ORDER BY tenant, epoch",
        sqlite_insert: "INSERT INTO policies (tenant, epoch, digest, body, applied_by, at, proposed, rollback_to,
                confirmed_by, confirmed_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres:
            "SELECT tenant, epoch, digest, body, applied_by, at, proposed, rollback_to, confirmed_by, confirmed_at
            FROM policies ORDER BY tenant, epoch",
        former: Former::Since(4),
    },
    Table {
        number: 13,
        name: "budgets",
        columns: &[
            int("id"),
            text("tenant"),
            text("agent"),
            text("per"),
            maybe(int("tokens")),
            maybe(int("usd")),
            maybe(int("tool_calls")),
            maybe(int("active")),
            maybe(int("cpu")),
            maybe(int("traffic")),
            maybe(int("disk")),
            maybe(int("children")),
            int("at"),
            text("set_by"),
        ],
        sqlite: "SELECT id, tenant, agent, per, tokens, usd, tool_calls, active, cpu, traffic, disk, children, at, set_by
            FROM budgets ORDER BY id",
        sqlite_insert: "INSERT INTO budgets (id, tenant, agent, per, tokens, usd, tool_calls, active, cpu, traffic, disk, children, at, set_by)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, agent, per, tokens, usd, tool_calls, active, cpu, traffic, disk, children, at, set_by
            FROM budgets ORDER BY id",
        former: Former::Since(6),
    },
    Table {
        number: 14,
        name: "budget_use",
        columns: &[
            int("budget"),
            int("start"),
            int("held_tokens"),
            int("held_usd"),
            int("held_tool_calls"),
            int("held_active"),
            int("held_cpu"),
            int("held_traffic"),
            int("held_disk"),
            int("held_children"),
            int("used_tokens"),
            int("used_usd"),
            int("used_tool_calls"),
            int("used_active"),
            int("used_cpu"),
            int("used_traffic"),
            int("used_disk"),
            int("used_children"),
        ],
        sqlite: "SELECT budget, start, held_tokens, held_usd, held_tool_calls, held_active, held_cpu, held_traffic, held_disk, held_children,
                used_tokens, used_usd, used_tool_calls, used_active, used_cpu, used_traffic, used_disk, used_children
            FROM budget_use ORDER BY budget, start",
        sqlite_insert: "INSERT INTO budget_use (budget, start, held_tokens, held_usd, held_tool_calls, held_active, held_cpu, held_traffic, held_disk, held_children,
                used_tokens, used_usd, used_tool_calls, used_active, used_cpu, used_traffic, used_disk, used_children)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT budget, start, held_tokens, held_usd, held_tool_calls, held_active, held_cpu, held_traffic, held_disk, held_children,
                used_tokens, used_usd, used_tool_calls, used_active, used_cpu, used_traffic, used_disk, used_children
            FROM budget_use ORDER BY budget, start",
        former: Former::Since(6),
    },
    Table {
        number: 17,
        name: "directories",
        columns: &[text("tenant"), int("seq"), bytes("body"), text("added_by"), int("at")],
        sqlite: "SELECT tenant, seq, body, added_by, at FROM directories ORDER BY tenant, seq",
        sqlite_insert: "INSERT INTO directories (tenant, seq, body, added_by, at) VALUES (?, ?, ?, ?, ?)",
        postgres: "SELECT tenant, seq, body, added_by, at FROM directories ORDER BY tenant, seq",
        former: Former::Since(8),
    },
    Table {
        number: 20,
        name: "switches",
        columns: &[
            int("number"),
            text("tenant"),
            text("what"),
            text("name"),
            int("turned_on"),
            text("turned_by"),
            int("at"),
            text("reason"),
            int("heard"),
        ],
        sqlite: "SELECT number, tenant, what, name, turned_on, turned_by, at, reason, heard FROM switches ORDER BY number",
        sqlite_insert: "INSERT INTO switches (number, tenant, what, name, turned_on, turned_by, at, reason, heard)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT number, tenant, what, name, turned_on, turned_by, at, reason, heard FROM switches ORDER BY number",
        former: Former::Since(8),
    },
    // The logs themselves are in no backup: what was restored begins new ones.
    Table {
        number: 21,
        name: "audit_acts",
        columns: &[bytes("id"), int("at"), text("topic"), bytes("salt"), bytes("body")],
        sqlite: "SELECT id, at, topic, salt, body FROM audit_acts ORDER BY n",
        sqlite_insert: "INSERT INTO audit_acts (id, at, topic, salt, body) VALUES (?, ?, ?, ?, ?)",
        postgres: "SELECT id, at, topic, salt, body FROM audit_acts ORDER BY at, id",
        former: Former::Since(8),
    },
    Table {
        number: 22,
        name: "erasures",
        columns: &[
            bytes("id"),
            text("tenant"),
            bytes("subject"),
            text("asked_by"),
            int("at"),
            bytes("runs"),
            int("proposed"),
            maybe(text("confirmed_by")),
            maybe(text("certificate")),
        ],
        sqlite: "SELECT id, tenant, subject, asked_by, at, runs, proposed, confirmed_by, certificate FROM erasures ORDER BY id",
        sqlite_insert: "INSERT INTO erasures (id, tenant, subject, asked_by, at, runs, proposed, confirmed_by, certificate)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, subject, asked_by, at, runs, proposed, confirmed_by, certificate FROM erasures ORDER BY id",
        former: Former::Since(9),
    },
    Table {
        number: 23,
        name: "legal_holds",
        columns: &[
            bytes("id"),
            text("tenant"),
            text("what"),
            text("name"),
            text("placed_by"),
            int("at"),
            text("reason"),
            maybe(text("released_by")),
            maybe(int("released_at")),
        ],
        sqlite: "SELECT id, tenant, what, name, placed_by, at, reason, released_by, released_at FROM legal_holds ORDER BY id",
        sqlite_insert: "INSERT INTO legal_holds (id, tenant, what, name, placed_by, at, reason, released_by, released_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        postgres: "SELECT id, tenant, what, name, placed_by, at, reason, released_by, released_at FROM legal_holds ORDER BY id",
        former: Former::Since(9),
    },
];

/// The files of recorded runs, in pieces. No table: see [`super::cassettes`].
pub(super) static CASSETTES: Table = Table {
    number: 11,
    name: "cassettes",
    columns: &[bytes("run"), int("at"), bytes("body")],
    sqlite: "",
    sqlite_insert: "",
    postgres: "",
    former: Former::Same,
};

/// All tables, parted at the place of [`CASSETTES`]: sections come in the order of their numbers.
pub(super) fn around_cassettes() -> (&'static [Table], &'static [Table]) {
    TABLES.split_at(TABLES.partition_point(|table| table.number < CASSETTES.number))
}

/// The section of agent versions.
pub(crate) const VERSIONS: u8 = 1;
/// The section of sessions.
pub(crate) const SESSIONS: u8 = 3;
/// The section of runs.
pub(crate) const RUNS: u8 = 4;
/// The section of records.
pub(crate) const RECORDS: u8 = 5;
/// The section of messages between runs.
pub(crate) const INBOX: u8 = 6;
/// The section of blobs.
pub(crate) const BLOBS: u8 = 7;
/// The section of the content of workspaces.
pub(crate) const OBJECTS: u8 = 10;
/// The section of policy sets.
pub(crate) const POLICIES: u8 = 12;

/// Whether rows of a section have one value more in a backup than their table has columns: what of them is sealed, or nothing.
pub(crate) const fn has_seal(section: u8) -> bool {
    matches!(section, SESSIONS | RUNS | RECORDS)
}

/// The section of that number.
pub(super) fn table(number: u8) -> Option<&'static Table> {
    TABLES.iter().chain([&CASSETTES]).find(|t| t.number == number)
}

/// Adds a row to a chunk: an array of its values.
pub(super) fn encode(row: &[Value], out: &mut Vec<u8>) {
    let mut e = Encoder::new(out);
    // Writing to a Vec cannot fail.
    let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(row.len() as u64)?;
        for value in row {
            match value {
                Value::Null => e.null()?,
                Value::Int(n) => e.i64(*n)?,
                Value::Text(t) => e.str(t)?,
                Value::Bytes(b) => e.bytes(b)?,
            };
        }
        Ok(())
    };
    write().expect("encodes to memory");
}

impl Table {
    /// How SQLite reads it from data of that format; nothing when it has no such rows.
    pub(super) fn in_sqlite(&self, format: u32) -> Option<Cow<'static, str>> {
        self.former.of(format, self.sqlite)
    }

    /// How PostgreSQL reads it from data of that format; nothing when it has no such rows.
    pub(super) fn in_postgres(&self, format: u32) -> Option<Cow<'static, str>> {
        self.former.of(format, self.postgres)
    }

    /// Reads a row and proves that it has this table's columns, and one value more where something of it may be sealed. Columns of a later release are skipped.
    pub(super) fn decode(&self, d: &mut Decoder<'_>) -> Result<Vec<Value>, decode::Error> {
        let len = d.array()?.ok_or_else(|| decode::Error::message("a row of indefinite length"))?;
        let mut row = Vec::with_capacity(self.columns.len());
        for (i, column) in self.columns.iter().enumerate() {
            let absent = i as u64 >= len;
            if absent && !column.optional {
                return Err(decode::Error::message("a row with too few columns"));
            }
            row.push(if absent { Value::Null } else { column.decode(d)? });
        }
        let mut known = self.columns.len() as u64;
        if has_seal(self.number) {
            let sealed = maybe(bytes("sealed"));
            row.push(if known < len { sealed.decode(d)? } else { Value::Null });
            known += 1;
        }
        for _ in known..len {
            d.skip()?;
        }
        Ok(row)
    }
}

impl Former {
    fn of(self, format: u32, now: &'static str) -> Option<Cow<'static, str>> {
        match self {
            Self::Since(first) if format < first => None,
            Self::Read(sql) if format < 2 => Some(sql.into()),
            // Both databases must be told what kind of nothing it is.
            Self::Gained(first, columns) if format < first => {
                let nothing = ", CAST(NULL AS bigint)".repeat(columns.matches(',').count());
                Some(now.replace(columns, &nothing).into())
            }
            Self::Without(column) if format < 2 => Some(now.replace(column, "NULL").into()),
            _ => Some(now.into()),
        }
    }
}

impl Column {
    fn decode(&self, d: &mut Decoder<'_>) -> Result<Value, decode::Error> {
        if self.optional && d.datatype()? == Type::Null {
            d.null()?;
            return Ok(Value::Null);
        }
        Ok(match self.kind {
            Kind::Int => Value::Int(d.i64()?),
            Kind::Text => Value::Text(d.str()?.to_owned()),
            Kind::Bytes => Value::Bytes(Bytes::copy_from_slice(d.bytes()?)),
        })
    }
}

/// The value as bytes of a fixed length.
pub(crate) fn fixed<const N: usize>(value: &Value) -> Option<[u8; N]> {
    match value {
        Value::Bytes(b) => b[..].try_into().ok(),
        _ => None,
    }
}

/// The value as a number.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sections_have_their_own_numbers_in_order_and_read_what_they_write() {
        assert!(TABLES.is_sorted_by(|a, b| a.number < b.number));
        for table in TABLES {
            assert_eq!(table.sqlite_insert.matches('?').count(), table.columns.len(), "{}", table.name);
            let row: Vec<Value> = table
                .columns
                .iter()
                .map(|c| match c.kind {
                    _ if c.optional => Value::Null,
                    Kind::Int => Value::Int(-7),
                    Kind::Text => Value::Text("é".into()),
                    Kind::Bytes => Value::Bytes(Bytes::from_static(&[0, 255])),
                })
                .collect();
            let mut out = Vec::new();
            encode(&row, &mut out);
            let mut read = table.decode(&mut Decoder::new(&out)).unwrap();
            assert!(!has_seal(table.number) || read.pop() == Some(Value::Null));
            assert_eq!(read, row);
            let short = row.len() - 1;
            let mut out = Vec::new();
            encode(&row[..short], &mut out);
            let last = table.columns[short].optional;
            assert_eq!(table.decode(&mut Decoder::new(&out)).is_ok(), last, "{}", table.name);
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let mut out = Vec::new();
        encode(&[Value::Int(1), Value::Int(2), Value::Int(3)], &mut out);
        assert!(table(2).unwrap().decode(&mut Decoder::new(&out)).is_err());
    }
}
