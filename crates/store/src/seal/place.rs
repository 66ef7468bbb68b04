//! What a sealed text is bound to: whose it is, what it is, and where it stands. One that is moved does not open.

use stead_core::id::{BlobId, RunId, VersionId};

/// Where a text stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// A record of a run.
    Record { run: RunId, seq: u64 },
    /// A long text of a run, or content of a workspace: both are found by their address.
    Content { id: BlobId, codec: i16, len: i64 },
    /// The folded state of a run.
    Snapshot { run: RunId, seq: u64 },
    /// A message that waits for its receiver.
    Message { to: RunId, from: RunId, effect: u32 },
    /// An agent's bundle.
    Version { agent: &'a str, version: VersionId },
    /// What lists show of a run.
    Title { run: RunId },
    /// A policy set: under its digest, for it is sealed before it has an epoch.
    Policy { digest: [u8; 32] },
    /// A line of a file beside the database, which begins at this byte.
    Line { file: &'a str, at: u64 },
    /// What a run's row has of a person's texts, in a backup.
    Row { run: RunId },
    /// The key of a session, in a backup.
    SessionKey { session: [u8; 16] },
    /// A piece of a run's cassette, in a backup.
    Piece { run: RunId, at: i64 },
}

impl Place<'_> {
    /// The bytes that are authenticated with the text: the tenant with its length first, so that no two places have the same.
    pub(crate) fn bound(&self, tenant: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.extend_from_slice(b"stead/sealed/v1");
        out.extend_from_slice(&(tenant.len() as u64).to_be_bytes());
        out.extend_from_slice(tenant.as_bytes());
        let mut put = |kind: u8, parts: &[&[u8]]| {
            out.push(kind);
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        // A number is never used again. What has no fixed length comes last.
        match *self {
            Self::Record { run, seq } => put(1, &[&run.0.to_be_bytes(), &seq.to_be_bytes()]),
            Self::Content { id, codec, len } => put(2, &[&id.0, &codec.to_be_bytes(), &len.to_be_bytes()]),
            Self::Snapshot { run, seq } => put(3, &[&run.0.to_be_bytes(), &seq.to_be_bytes()]),
            Self::Message { to, from, effect } => {
                put(4, &[&to.0.to_be_bytes(), &from.0.to_be_bytes(), &effect.to_be_bytes()]);
            }
            Self::Version { agent, version } => put(5, &[&version.0, agent.as_bytes()]),
            Self::Title { run } => put(6, &[&run.0.to_be_bytes()]),
            Self::Policy { digest } => put(8, &[&digest]),
            Self::Row { run } => put(9, &[&run.0.to_be_bytes()]),
            Self::SessionKey { session } => put(10, &[&session]),
            Self::Piece { run, at } => put(11, &[&run.0.to_be_bytes(), &at.to_be_bytes()]),
            Self::Line { file, at } => put(7, &[&at.to_be_bytes(), file.as_bytes()]),
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_places_are_bound_alike() {
        let (run, id) = (RunId(7), BlobId([7; 32]));
        let places = [
            Place::Record { run, seq: 1 },
            Place::Record { run, seq: 2 },
            Place::Record { run: RunId(8), seq: 1 },
            Place::Snapshot { run, seq: 1 },
            Place::Content { id, codec: 0, len: 1 },
            Place::Content { id, codec: 1, len: 1 },
            Place::Content { id, codec: 0, len: 2 },
            Place::Message { to: run, from: run, effect: 1 },
            Place::Version { agent: "a", version: VersionId([7; 32]) },
            Place::Version { agent: "b", version: VersionId([7; 32]) },
            Place::Title { run },
            Place::Policy { digest: [7; 32] },
            Place::Line { file: "f", at: 1 },
            Place::Row { run },
            Place::SessionKey { session: [7; 16] },
            Place::Piece { run, at: 1 },
            Place::Piece { run, at: 2 },
        ];
        let bound: BTreeSet<_> = ["a", "b", ""].iter().flat_map(|t| places.iter().map(|p| p.bound(t))).collect();
        assert_eq!(bound.len(), 3 * places.len());
    }
}
