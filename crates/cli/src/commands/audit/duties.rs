//! Duties of the EU's AI Act that are about logs and oversight, each with the question to the log that answers it. The words are ours; the law's are in the
//! [Official Journal](http://data.europa.eu/eli/reg/2024/1689/oj) (Regulation (EU) 2024/1689 of 13 June 2024).

use stead_api::audit::AuditEntry;

/// The source of all of them.
pub(super) const SOURCE: &str = "http://data.europa.eu/eli/reg/2024/1689/oj";

/// A duty, and which leaves speak of it.
pub(super) struct Duty {
    /// Where it stands.
    pub(super) article: &'static str,
    /// What it asks for, in our words.
    pub(super) asks: &'static str,
    /// What is looked for, in words.
    pub(super) query: &'static str,
    /// Whether a leaf speaks of it.
    pub(super) speaks: fn(&AuditEntry) -> bool,
}

fn kinds(entry: &AuditEntry, any: &[&str]) -> bool {
    entry.record.as_ref().is_some_and(|record| record.kinds.iter().any(|kind| any.contains(&kind.as_str())))
}

fn decided(entry: &AuditEntry, verdicts: &[&str]) -> bool {
    let decisions = entry.record.iter().flat_map(|record| &record.decisions);
    decisions.into_iter().any(|decision| verdicts.contains(&decision.verdict.as_str()))
}

fn topic(entry: &AuditEntry, any: &[&str]) -> bool {
    entry.act.as_ref().is_some_and(|act| any.contains(&act.topic.as_str()))
}

/// All of them.
pub(super) const EU_AI_ACT: &[Duty] = &[
    Duty {
        article: "12(1)",
        asks: "events are recorded automatically over the lifetime of the system",
        query: "every record of every run, and every act of an operator",
        speaks: |_| true,
    },
    Duty {
        article: "12(2)(a)",
        asks: "the log shows situations that may be a risk, or a substantial modification",
        query: "calls that policies denied or put before a human, outcomes that nobody knows, runs that failed; agents and policies that were applied",
        speaks: |e| {
            decided(e, &["deny", "ask"])
                || kinds(e, &["effect_unknown", "run_failed", "model_denied"])
                || topic(e, &["apply_agent", "apply_policy", "mended"])
        },
    },
    Duty {
        article: "12(2)(b), 72",
        asks: "the log serves monitoring after the system was put on the market",
        query: "ends of runs, failures of models, answers that were rejected, outcomes that nobody knows",
        speaks: |e| {
            kinds(
                e,
                &["run_completed", "run_failed", "run_cancelled", "model_failed", "answer_rejected", "effect_unknown"],
            )
        },
    },
    Duty {
        article: "12(2)(c), 26(5)",
        asks: "the log serves whoever deploys the system to monitor its operation",
        query: "decisions of policies, questions to humans and their answers, stops and pauses",
        speaks: |e| {
            decided(e, &["allow", "deny", "ask"])
                || kinds(
                    e,
                    &[
                        "approval_requested",
                        "approval_given",
                        "approval_expired",
                        "cancel_requested",
                        "paused",
                        "resumed",
                    ],
                )
        },
    },
    Duty {
        article: "12(3)(a)",
        asks: "where the Act demands it (Annex III, 1(a)): beginning and end of each use",
        query: "starts and ends of runs, with their times",
        speaks: |e| kinds(e, &["run_started", "run_completed", "run_failed", "run_cancelled"]),
    },
    Duty {
        article: "12(3)(d), 14(5)",
        asks: "where the Act demands it (Annex III, 1(a)): who verified a result",
        query: "answers of people; the records have their names",
        speaks: |e| kinds(e, &["approval_given"]),
    },
    Duty {
        article: "14(1)",
        asks: "people can oversee the system effectively while it is in use",
        query: "questions that waited for a human, and what became of them",
        speaks: |e| {
            kinds(
                e,
                &[
                    "approval_requested",
                    "approval_reminded",
                    "approval_escalated",
                    "approval_given",
                    "approval_expired",
                ],
            )
        },
    },
    Duty {
        article: "14(4)(d)",
        asks: "people can decide not to use the output, or disregard, override or reverse it",
        query: "calls that a human denied, and those that were withdrawn",
        speaks: |e| {
            let denied = e.record.iter().flat_map(|record| &record.approvals).any(|answer| !answer.approved);
            denied || kinds(e, &["effect_withdrawn"])
        },
    },
    Duty {
        article: "14(4)(e)",
        asks: "people can intervene, or stop the system",
        query: "stops, kills, pauses, limits that were set for sandboxes",
        speaks: |e| kinds(e, &["cancel_requested", "run_cancelled", "paused", "resumed", "sandbox_limited"]),
    },
    Duty {
        article: "19(1)",
        asks: "the provider keeps the logs that are under its control, six months at least",
        query: "the oldest leaf, and that none since is missing",
        speaks: |e| e.index == 0,
    },
    Duty {
        article: "26(2)",
        asks: "the deployer gives oversight to people who are able to do it",
        query: "who was asked and answered: answers of people; that they are able the log does not say",
        speaks: |e| kinds(e, &["approval_given"]),
    },
    Duty {
        article: "26(6)",
        asks: "the deployer keeps the logs that are under its control, six months at least",
        query: "the oldest leaf, and that none since is missing",
        speaks: |e| e.index == 0,
    },
];
