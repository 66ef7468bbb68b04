//! The operations of the directory of approvers.

use stead_core::code;

use super::{
    operation::Operation,
    operations::{get, post},
};
use crate::{
    approver::{AddEntry, Approvers, Entries, PasskeyRequests},
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
        get("/v1/approvers/requests", "listPasskeyRequests", "List passkeys that wait to be enrolled")
            .needs(&[Read])
            .says(
                "What people have made on the approval page, for those who may enrol it: `stead approvals keys enrol`. Kept for a day, until the \
                server ends.",
            )
            .answers::<PasskeyRequests>(200, "The requests."),
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
