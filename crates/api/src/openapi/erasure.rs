//! The operations of erasures and legal holds.

use stead_core::code;

use super::{
    operation::Operation,
    operations::{get, post},
};
use crate::{
    erasure::{Erase, Erasure, Erasures, LegalHold, LegalHolds, PlaceHold, ReleaseHold},
    right::Right::{Admin, Read},
};

/// What concerns erasures and legal holds.
pub(super) fn erasure() -> Vec<Operation> {
    vec![
        post("/v1/audit/erasures", "erase", "Erase the texts of a person")
            .needs(&[Admin, Read])
            .says(
                "All texts of the runs that work on behalf of the person go, with their files, workspaces and cassettes; facts, hashes and \
                 proofs stay. It is answered when all is erased, with a signed certificate; an erasure that is cut off goes on by itself.",
            )
            .body::<Erase>(true)
            .answers::<Erasure>(200, "All is erased, or it was only asked what would be, or it waits for a second person.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::HELD, code::SUBJECT_AT_WORK, code::ERASURE_UNFINISHED]),
        get("/v1/audit/erasures", "listErasures", "List erasures")
            .needs(&[Admin, Read])
            .answers::<Erasures>(200, "Those of the caller's tenant, oldest first."),
        post("/v1/audit/holds", "placeHold", "Place a legal hold")
            .needs(&[Admin, Read])
            .says("Until it is released nothing that it is about is erased, and no retention removes it.")
            .body::<PlaceHold>(true)
            .answers::<LegalHold>(200, "It is in force.")
            .fails(404, &[code::NOT_FOUND])
            .fails(409, &[code::ERASURE_UNFINISHED])
            .fails(422, &[code::TOO_MANY_HOLDS]),
        get("/v1/audit/holds", "listHolds", "List legal holds")
            .needs(&[Admin, Read])
            .query::<bool>("all", "Those that were released too.")
            .answers::<LegalHolds>(200, "Those of the caller's tenant, the last one first."),
        post("/v1/audit/holds/{hold}/release", "releaseHold", "Release a legal hold")
            .needs(&[Admin, Read])
            .path::<String>("hold", "Its id.")
            .body::<ReleaseHold>(true)
            .answers::<LegalHold>(200, "It is in force no more.")
            .fails(404, &[code::NOT_FOUND]),
    ]
}
