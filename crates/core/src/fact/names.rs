//! Kinds of facts by their numbers, for whoever has only those: a leaf of the audit log.

/// The word for a kind, as it stands in a fact's JSON; `None` when this release knows no such kind.
pub fn kind_name(kind: u8) -> Option<&'static str> {
    KINDS.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// All kinds.
pub const KINDS: &[(u8, &str)] = &[
    (0, "run_started"),
    (1, "run_admitted"),
    (3, "context_compacted"),
    (4, "model_requested"),
    (5, "model_replied"),
    (6, "model_failed"),
    (7, "effect_decided"),
    (8, "approval_requested"),
    (9, "approval_given"),
    (10, "approval_expired"),
    (11, "effect_intended"),
    (12, "effect_returned"),
    (13, "effect_refused"),
    (14, "effect_not_sent"),
    (15, "effect_unknown"),
    (16, "effect_reconciled"),
    (17, "effect_withdrawn"),
    (18, "child_started"),
    (19, "child_finished"),
    (20, "paused"),
    (21, "resumed"),
    (22, "cancel_requested"),
    (23, "run_completed"),
    (24, "run_failed"),
    (25, "run_cancelled"),
    (26, "timer_fired"),
    (27, "restored"),
    (28, "answer_rejected"),
    (29, "model_denied"),
    (30, "sandbox_limited"),
    (31, "budget_moved"),
    (32, "plan_drawn"),
    (33, "plan_rejected"),
    (34, "history_read"),
    (43, "approvals_used"),
    (47, "preview_decided"),
    (48, "previewed"),
    (45, "approval_reminded"),
    (46, "approval_escalated"),
    (50, "delegation_renewed"),
];
