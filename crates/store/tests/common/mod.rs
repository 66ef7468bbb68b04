//! Appends with few words, for tests of one store alone. What every store must do is in `stead_ports::conformance`.

use bytes::Bytes;
use stead_core::{
    budget::Spend,
    id::{LeafHash, RunId, SessionId, VersionId},
    time::Timestamp,
};
use stead_ports::journal::{Append, IndexChange, NewRun, RunState, Status, partition};

pub(crate) const TENANT: &str = "acme";

pub(crate) fn run(n: u64) -> RunId {
    RunId(u128::from(n) << 80 | u128::from(n))
}

/// An append; the first of a run creates it, running, in a session of its own.
pub(crate) fn append(run: RunId, seq: u64, epoch: u64, record: impl Into<Bytes>) -> Append {
    let session = SessionId(run.0 ^ 0xffff);
    let create = NewRun {
        tenant: TENANT.into(),
        session,
        agent: "desk".into(),
        version: VersionId([7; 32]),
        parent: None,
        user: None,
        idempotency: None,
        title: String::new(),
    };
    let spent = Spend::ZERO;
    let state = RunState { status: Status::Running, wake_at: None, turns: 0, effects: 0, spent, code: None };
    let index = IndexChange { create: Some(create), run: Some(state), ..IndexChange::default() };
    Append {
        run,
        tenant: TENANT.into(),
        partition: partition(session),
        seq,
        epoch,
        record: record.into(),
        leaf: LeafHash([seq as u8; 32]),
        at: Timestamp(1_000_000),
        blobs: Vec::new(),
        index: (seq == 0).then(|| Box::new(index)),
    }
}

/// Bytes that do not get smaller by compression; equal for equal `seed`.
pub(crate) fn noise(len: usize, seed: u64) -> Bytes {
    let mut x = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
