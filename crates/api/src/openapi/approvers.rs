//! The operations of the directory of approvers.

use stead_core::code;

use super::{
    operation::Operation,
    operations::{get, post},
};
use crate::{
    approver::{AddEntry, Approvers, Entries},
    right::Right::Read,
};

/// What concerns the directory of approvers.
pub(super) fn approvers() -> Vec<Operation> {
    vec![
        get("/v1/approvers", "getApprovers", "Show the directory of approvers")
            .needs(&[Read])
            .says("Whose keys count, and who may say so.")
            .answers::<Approvers>(200, "The directory."),
        get("/v1/approvers/entries", "listApproverEntries", "List the entries of the directory of approvers")
            .needs(&[Read])
            .says("In order, with their signatures: whoever has all of them need not believe the server.")
            .query::<u64>("from", "From this number on.")
            .query::<u32>("limit", "How many at most.")
            .answers::<Entries>(200, "Entries."),
        post("/v1/approvers/entries", "addApproverEntry", "Add an entry to the directory of approvers")
            .needs(&[Read])
            .says(
                "Its signatures say who wants it, and not the token: the root, or two approvers who are not the person that it is about; who \
                delegates; two keys of the root for a break-glass. The first entry, the root, is taken from tokens with the right `admin` alone.",
            )
            .body::<AddEntry>(true)
            .answers::<Approvers>(200, "The directory with it.")
            .fails(403, &[code::FORBIDDEN])
            .fails(422, &[code::APPROVER_ENTRY]),
    ]
}
