//! The operations of policy sets.

use stead_core::code;

use super::{
    operation::Operation,
    operations::{get, post},
};
use crate::{
    page::Page,
    policy::{
        AppliedPolicies, ApplyPolicies, CheckPolicies, PolicyCheck, PolicyReplay, PolicySet, PolicySetFiles,
        ReplayPolicies,
    },
    right::Right::{Apply, Read},
};

const EPOCH: &str = "Its epoch, or `current`.";

/// What concerns policy sets.
pub(super) fn policies() -> Vec<Operation> {
    vec![
        post("/v1/policies", "applyPolicies", "Apply a policy set")
            .needs(&[Apply, Read])
            .says(
                "It becomes the tenant's next epoch, whole or not at all: its policies must fit the tools of all agent versions that have \
                an alias, and its own cases must pass. Where the server asks for four eyes, it is proposed and decides once another \
                person has confirmed it. The same files as those in force are no new epoch.",
            )
            .body::<ApplyPolicies>(true)
            .answers::<AppliedPolicies>(200, "These files are in force already.")
            .answers::<AppliedPolicies>(201, "The new entry.")
            .fails(422, &[code::POLICY_REFUSED]),
        get("/v1/policies", "listPolicies", "List the policy sets")
            .needs(&[Read])
            .says("The one applied last first.")
            .paged()
            .answers::<Page<PolicySet>>(200, "A page."),
        get("/v1/policies/{epoch}", "getPolicies", "Show a policy set")
            .needs(&[Read])
            .path::<String>("epoch", EPOCH)
            .answers::<PolicySetFiles>(200, "The set."),
        post("/v1/policies/check", "checkPolicies", "Check a policy set")
            .needs(&[Read])
            .says("As applying it would, and nothing is kept. Its cases are not asked.")
            .body::<CheckPolicies>(true)
            .answers::<PolicyCheck>(200, "It could be applied.")
            .fails(422, &[code::POLICY_REFUSED]),
        post("/v1/policies/replay", "replayPolicies", "Decide recorded calls again")
            .needs(&[Read])
            .says(
                "Under the default policy, these files and the agents' own policies; every decision that would turn out otherwise is \
                listed. What followed a decision is taken as it was.",
            )
            .body::<ReplayPolicies>(true)
            .answers::<PolicyReplay>(200, "What would turn out otherwise.")
            .fails(422, &[code::POLICY_REFUSED]),
        post("/v1/policies/{epoch}/rollback", "rollbackPolicies", "Go back to a policy set")
            .needs(&[Apply, Read])
            .says("Applies its files again, as a new epoch. They must fit the tools of now; its cases are not asked.")
            .path::<String>("epoch", "The epoch.")
            .answers::<AppliedPolicies>(200, "These files are in force already.")
            .answers::<AppliedPolicies>(201, "The new entry.")
            .fails(422, &[code::POLICY_REFUSED]),
        post("/v1/policies/{epoch}/confirm", "confirmPolicies", "Confirm a proposed policy set")
            .needs(&[Apply, Read])
            .says("By another person than who proposed it. It is checked again first: agents may have changed since.")
            .path::<String>("epoch", "The epoch.")
            .answers::<AppliedPolicies>(200, "It is in force.")
            .fails(409, &[code::POLICY_CONFIRM])
            .fails(422, &[code::POLICY_REFUSED]),
    ]
}
