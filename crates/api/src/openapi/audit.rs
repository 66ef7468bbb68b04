//! The operations of the audit log.

use stead_core::code;

use super::{
    operation::{Media, Operation},
    operations::get,
};
use crate::{
    audit::{AuditEntries, AuditLogs, ConsistencyProof, InclusionProof, RunVerification},
    right::Right::Read,
};

const LOG: &str = "`tenant`, the log of the caller's tenant, or `operators`, which needs the right `admin` too.";

fn log(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    get(path, id, summary).needs(&[Read]).path::<String>("log", LOG).fails(500, &[code::AUDIT_BROKEN])
}

/// What concerns the audit log.
pub(super) fn audit() -> Vec<Operation> {
    vec![
        get("/v1/audit/logs", "listAuditLogs", "List the audit logs")
            .needs(&[Read])
            .says("The tenant's, and with the right `admin` that of the operators, with the keys that verify them.")
            .answers::<AuditLogs>(200, "The logs."),
        log("/v1/audit/{log}/checkpoint", "getCheckpoint", "Get the newest checkpoint")
            .says("A signed note (C2SP tlog-checkpoint).")
            .query::<bool>("cosigned", "The newest one that witnesses have signed, which may be of a smaller size.")
            .answers_as::<String>(200, Media::Text, "The checkpoint."),
        log("/v1/audit/{log}/tile/{tile}", "getTile", "Get a tile")
            .says("Of hashes or of leaves, by its path in C2SP tlog-tiles: `0/x001/234`, `entries/000.p/17`.")
            .path::<String>("tile", "The tile's path below `tile/`, with its slashes.")
            .answers_as::<String>(200, Media::Bytes, "The tile."),
        log("/v1/audit/{log}/entries", "listEntries", "List leaves")
            .says("From an index on, or those of a run.")
            .query::<i64>("from", "The first index; below 0 it counts from the end. 0 when absent.")
            .query::<u32>("limit", "Leaves wanted: 1 to 500; 50 when absent.")
            .query::<String>("run", "Only the leaves of this run.")
            .answers::<AuditEntries>(200, "A page."),
        log("/v1/audit/{log}/inclusion", "proveInclusion", "Prove that a leaf is in the log")
            .query::<u64>("index", "The leaf.")
            .query::<u64>("size", "Leaves of the tree; those of the newest checkpoint when absent.")
            .answers::<InclusionProof>(200, "The proof."),
        log("/v1/audit/{log}/consistency", "proveConsistency", "Prove that a log contains an earlier state of it")
            .query::<u64>("old", "Leaves of the earlier state.")
            .query::<u64>("new", "Leaves of the later one; those of the newest checkpoint when absent.")
            .answers::<ConsistencyProof>(200, "The proof."),
        log("/v1/audit/{log}/bundle", "getBundle", "Get a bundle")
            .says(
                "A file that proves leaves to whoever has the log's key, without a connection to anything: those of a run, or from an \
                index to another. At most 65,536 of them.",
            )
            .query::<String>("run", "The leaves of this run.")
            .query::<u64>("from", "The first index.")
            .query::<u64>("to", "The index after the last.")
            .query::<String>("links", "Sizes of checkpoints that were kept, separated by commas: it proves that it contains them.")
            .query::<bool>("records", "Whether the records and acts themselves are in it; true when absent.")
            .query::<bool>("texts", "Whether their texts are; true when absent.")
            .query::<bool>("cosigned", "Under the newest checkpoint that witnesses have signed.")
            .answers_as::<String>(200, Media::Bundle, "The bundle."),
        get("/v1/runs/{run}/verify", "verifyRun", "Verify a run")
            .needs(&[Read])
            .says(
                "Folds the journal and checks each record's hash, its leaf in the log and the proof of that, each decision against the \
                policy set of its epoch, and each answer of a person against its question.",
            )
            .path::<String>("run", "The run.")
            .answers::<RunVerification>(200, "Whether this is what happened, or where it breaks."),
    ]
}
