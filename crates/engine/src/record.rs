//! A decision on its way into the journal: the record that says it, and the append that carries the record.

use stead_core::{
    id::LeafHash,
    record::{Actor as By, Header, Record, VERSION},
    run::{Decision, State},
    time::Timestamp,
};
use stead_ports::journal::{Append, IndexChange, NewBlob, partition};

use crate::Engine;

/// A decision that is not durable yet.
pub(crate) struct Outgoing {
    pub(crate) record: Record,
    /// The state once it is.
    pub(crate) state: Box<State>,
    /// The time that the record carries.
    pub(crate) at: Timestamp,
}

impl Outgoing {
    /// The record of a decision that has facts.
    pub(crate) fn new(engine: &Engine, decision: Decision, by: By) -> Self {
        let Decision { facts, mut payloads, state, at } = decision;
        let clock = &engine.0.ports.clock;
        payloads.iter_mut().for_each(|payload| payload.blind = Some(clock.random()));
        let header = Header {
            v: VERSION,
            run: state.run,
            seq: state.next_seq - 1,
            at,
            activation: state.activation,
            epoch: engine.0.lease.lease.epoch,
            tenant: state.tenant.clone(),
            actor: by,
            salt: clock.random(),
            subject_key: None,
        };
        Self { record: Record { header, facts, payloads }, state, at }
    }

    /// The append that makes it durable, after the record with the hash `prev`.
    pub(crate) fn append(&self, prev: LeafHash, blobs: Vec<NewBlob>, index: Option<Box<IndexChange>>) -> Append {
        let encoded = self.record.encode(prev);
        let header = &self.record.header;
        Append {
            run: header.run,
            tenant: header.tenant.clone(),
            partition: partition(self.state.session),
            seq: header.seq,
            epoch: header.epoch,
            record: encoded.bytes,
            leaf: encoded.leaf,
            at: self.at,
            blobs,
            index,
        }
    }
}
