//! Logs, leaves and proofs as text.

use stead_api::audit::{AuditEntry, AuditLogs, InclusionProof};

use crate::ui::{
    table::{fields, table},
    term::{clean, short},
    text,
};

pub(super) fn logs(logs: &AuditLogs) -> String {
    let each = logs.items.iter().map(|log| {
        fields(&[
            ("log", log.log.clone()),
            ("key", clean(&log.key)),
            ("leaves", log.size.to_string()),
            ("root", log.root.clone()),
            ("since", log.at.map_or_else(String::new, text::instant)),
            ("cosigned", log.cosigned.map_or_else(String::new, |size| format!("at {size} leaves"))),
            (
                "unread",
                if log.unread > 0 { format!("{} records, which are in no log", log.unread) } else { String::new() },
            ),
        ])
    });
    each.collect::<Vec<_>>().join("\n")
}

/// What a leaf is about: whose, and what.
fn about(entry: &AuditEntry) -> [String; 2] {
    match (&entry.record, &entry.act) {
        (Some(record), _) => [format!("{} {}", record.run, record.seq), record.kinds.join(", ")],
        (_, Some(act)) => {
            let body = act.body.as_ref();
            let of = |name: &str| body.and_then(|body| body.get(name)?.as_str().map(clean)).unwrap_or_default();
            [of("who"), format!("{} {}", clean(&act.topic), of("to")).trim_end().to_owned()]
        }
        (None, None) => [String::new(), "something that this release does not know".to_owned()],
    }
}

pub(super) fn list(entries: &[AuditEntry]) -> String {
    let row = |entry: &AuditEntry| {
        let [whose, what] = about(entry);
        [entry.index.to_string(), text::instant(entry.at), whose, short(&what, 100)]
    };
    table(["INDEX", "AT", "WHOSE", "WHAT"], &entries.iter().map(row).collect::<Vec<_>>())
}

/// The same without headings, one line each.
pub(super) fn lines(entries: &[AuditEntry]) -> String {
    let line = |entry: &AuditEntry| {
        let [whose, what] = about(entry);
        format!("{}  {}  {whose}  {}\n", entry.index, text::instant(entry.at), short(&what, 100))
    };
    entries.iter().map(line).collect()
}

pub(super) fn one(entry: &AuditEntry) -> String {
    let mut pairs =
        vec![("leaf", entry.index.to_string()), ("hash", entry.hash.clone()), ("at", text::instant(entry.at))];
    if let Some(record) = &entry.record {
        let epoch = |epoch: Option<u64>| epoch.map_or_else(String::new, |epoch| format!(" under policy set {epoch}"));
        let decisions = record.decisions.iter().map(|d| format!("{} {}{}", d.effect, d.verdict, epoch(d.epoch)));
        let word = |approved: bool| if approved { "approved" } else { "denied" };
        let approvals = record.approvals.iter().map(|a| format!("{} {}", a.effect, word(a.approved)));
        pairs.extend([
            ("run", record.run.to_string()),
            ("record", format!("{} {}", record.seq, record.leaf)),
            ("facts", record.kinds.join("\n")),
            ("decided", decisions.collect::<Vec<_>>().join("\n")),
            ("answered", approvals.collect::<Vec<_>>().join("\n")),
        ]);
    }
    if let Some(act) = &entry.act {
        let body = act.body.as_ref().map(|body| serde_json::to_string_pretty(body).unwrap_or_default());
        pairs.extend([
            ("act", clean(&act.id)),
            ("topic", clean(&act.topic)),
            ("what", clean(&body.unwrap_or_else(|| "(not kept)".to_owned()))),
        ]);
    }
    fields(&pairs)
}

pub(super) fn proof(proof: &InclusionProof) -> String {
    fields(&[
        ("leaf", proof.index.to_string()),
        ("of", format!("{} leaves", proof.size)),
        ("proof", proof.path.join("\n")),
        ("holds", "yes: the leaf is in the log that the checkpoint signs".to_owned()),
    ])
}
