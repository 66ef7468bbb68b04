//! Rows into the port's types.

use bytes::Bytes;
use stead_core::{
    budget::{MicroUsd, Spend},
    code::Code,
    id::{LeafHash, Name, RunId, SessionId, VersionId},
    time::Timestamp,
};
use stead_ports::journal::{InboxRow, RunRow, RunState, SessionRow, Snapshot, Status, StoredRecord, VersionRow};
use tokio_postgres::{Row, types::FromSql};

use super::values::Raw;
use crate::{book::session_used, pack::unpack};

/// What is wrong with a row.
pub(crate) type Bad = String;

/// Reads the columns of a row one after the other.
pub(crate) struct Columns<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r Row) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn get<T: FromSql<'r>>(&mut self) -> Result<T, Bad> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|e| e.to_string())
    }

    pub(crate) fn name(&mut self) -> Result<Name, Bad> {
        self.get::<&str>().map(Name::from)
    }

    pub(crate) fn ulid(&mut self) -> Result<u128, Bad> {
        self.get::<Raw<16>>().map(|r| u128::from_be_bytes(r.0))
    }

    fn optional_run(&mut self) -> Result<Option<RunId>, Bad> {
        Ok(self.get::<Option<Raw<16>>>()?.map(|r| RunId(u128::from_be_bytes(r.0))))
    }

    pub(crate) fn digest(&mut self) -> Result<[u8; 32], Bad> {
        self.get::<Raw<32>>().map(|r| r.0)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Bad> {
        self.get::<i64>().map(i64::unsigned_abs)
    }

    pub(crate) fn small(&mut self) -> Result<u32, Bad> {
        u32::try_from(self.get::<i64>()?).map_err(|e| e.to_string())
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Bad> {
        self.get::<&[u8]>().map(Bytes::copy_from_slice)
    }

    fn spend(&mut self) -> Result<Spend, Bad> {
        Ok(Spend { tokens: self.unsigned()?, usd: self.get::<Option<i64>>()?.map(|u| MicroUsd(u.unsigned_abs())) })
    }
}

pub(crate) fn record(row: &Row) -> Result<StoredRecord, Bad> {
    let mut c = Columns::of(row);
    Ok(StoredRecord { seq: c.unsigned()?, leaf: LeafHash(c.digest()?), bytes: unpack(c.get()?) })
}

pub(crate) fn run_id(row: &Row) -> Result<RunId, Bad> {
    Columns::of(row).ulid().map(RunId)
}

pub(crate) fn session_id(row: &Row) -> Result<SessionId, Bad> {
    Columns::of(row).ulid().map(SessionId)
}

pub(crate) fn status(word: &str) -> Result<Status, Bad> {
    Status::parse(word).ok_or_else(|| "a run has an unknown status".into())
}

pub(crate) fn run(row: &Row) -> Result<RunRow, Bad> {
    let mut c = Columns::of(row);
    Ok(RunRow {
        id: RunId(c.ulid()?),
        tenant: c.name()?,
        session: SessionId(c.ulid()?),
        session_key: c.get::<Option<&str>>()?.map(Name::from),
        agent: c.name()?,
        version: VersionId(c.digest()?),
        parent: c.optional_run()?,
        title: c.get()?,
        created: Timestamp(c.get()?),
        updated: Timestamp(c.get()?),
        state: RunState {
            status: status(c.get()?)?,
            wake_at: c.get::<Option<i64>>()?.map(Timestamp),
            turns: c.small()?,
            effects: c.small()?,
            spent: c.spend()?,
            code: match c.get::<Option<i32>>()? {
                Some(n) => Some(Code(u16::try_from(n).map_err(|e| e.to_string())?)),
                None => None,
            },
        },
    })
}

pub(crate) fn session(row: &Row) -> Result<SessionRow, Bad> {
    let mut c = Columns::of(row);
    Ok(SessionRow {
        id: SessionId(c.ulid()?),
        tenant: c.name()?,
        agent: c.name()?,
        key: c.get::<Option<&str>>()?.map(Name::from),
        active: c.optional_run()?,
        head: c.optional_run()?,
        spent: c.spend()?,
        created: Timestamp(c.get()?),
        used: session_used([c.get()?, c.get()?, c.get()?, c.get()?, c.get()?, c.get()?]),
    })
}

pub(crate) fn message(to: RunId, row: &Row) -> Result<InboxRow, Bad> {
    let mut c = Columns::of(row);
    Ok(InboxRow { to, from: RunId(c.ulid()?), effect: c.small()?, body: c.bytes()? })
}

pub(crate) fn snapshot(row: &Row) -> Result<Snapshot, Bad> {
    let mut c = Columns::of(row);
    Ok(Snapshot {
        seq: c.unsigned()?,
        leaf: LeafHash(c.digest()?),
        version: u16::try_from(c.get::<i32>()?).map_err(|e| e.to_string())?,
        body: c.bytes()?,
    })
}

pub(crate) fn version(row: &Row) -> Result<VersionRow, Bad> {
    let mut c = Columns::of(row);
    Ok(VersionRow {
        tenant: c.name()?,
        agent: c.name()?,
        version: VersionId(c.digest()?),
        body: c.bytes()?,
        created: Timestamp(c.get()?),
        live: c.get()?,
    })
}
