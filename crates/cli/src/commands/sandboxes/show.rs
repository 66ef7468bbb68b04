//! Sandboxes and commands as people read them.

use serde_json::Value;
use stead_api::sandbox::{Exec, ExecEnd, ExecState, Sandbox, SandboxPressure};
use stead_core::time::Timestamp;

use crate::ui::{
    table::{fields, table},
    term::{clean, short},
    text,
};

/// A list.
pub(super) fn all(sandboxes: &[Sandbox]) -> String {
    let now = text::now();
    let rows: Vec<_> = sandboxes.iter().map(|s| row(s, now)).collect();
    table(["SANDBOX", "LABEL", "TEMPLATE", "TIER", "OWNER", "LEFT", "AGE"], &rows)
}

fn row(s: &Sandbox, now: Timestamp) -> [String; 7] {
    let label = s.label.as_deref().map_or_else(|| "-".to_owned(), |l| short(l, 40));
    // What is left reads as an age from then.
    let left = text::age(now, s.expires);
    [s.id.to_string(), label, clean(&s.template), s.tier.to_string(), clean(&s.owner), left, text::age(s.created, now)]
}

/// One, with its commands.
pub(super) fn one(s: &Sandbox, commands: &[Exec]) -> String {
    let limits = s.limits;
    let number = |n: Option<u64>| n.map_or_else(String::new, text::thousands);
    let usage = s.usage.unwrap_or_default();
    let used = s.usage.is_some();
    let egress: Vec<String> = s.egress.iter().map(rule).collect();
    let not_held: Vec<String> = s.not_held.iter().map(|(what, why)| format!("{what}: {}", clean(why))).collect();
    let shown: Vec<String> = commands.iter().map(command).collect();
    fields(&[
        ("sandbox", s.id.to_string()),
        ("label", s.label.as_deref().map(clean).unwrap_or_default()),
        ("template", clean(&s.template)),
        ("tier", s.tier.to_string()),
        ("owner", clean(&s.owner)),
        ("created", text::instant(s.created)),
        ("expires", text::instant(s.expires)),
        ("tree", s.tree.to_string()),
        ("memory", number(limits.memory)),
        ("cpu", limits.cpu_milli.map_or_else(String::new, |m| format!("{}.{:03}", m / 1000, m % 1000))),
        ("pids", number(limits.pids.map(u64::from))),
        ("disk", number(limits.disk)),
        ("egress", if egress.is_empty() { "nothing".to_owned() } else { egress.join("\n") }),
        ("not held", not_held.join("\n")),
        ("used cpu", usage.cpu.map_or_else(String::new, |cpu| text::span(cpu.0))),
        ("used now", number(usage.memory)),
        ("used peak", number(usage.memory_peak)),
        ("waits", usage.pressure.map(waits).unwrap_or_default()),
        ("requests", if used { format!("{} allowed, {} refused", usage.allowed, usage.denied) } else { String::new() }),
        ("sent", if used { format!("{} bytes", text::thousands(usage.sent)) } else { String::new() }),
        ("received", if used { format!("{} bytes", text::thousands(usage.received)) } else { String::new() }),
        ("commands", shown.join("\n")),
    ])
}

/// How much of the last ten seconds it waited, and for what.
fn waits(pressure: SandboxPressure) -> String {
    let part = |(of, share): (&str, Option<u16>)| share.map(|n| format!("{}.{:02}% for {of}", n / 100, n % 100));
    let parts = [("a processor", pressure.cpu), ("memory", pressure.memory), ("input and output", pressure.io)];
    parts.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

fn rule(rule: &Value) -> String {
    match rule {
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

fn command(exec: &Exec) -> String {
    format!("{}  {}  {}", exec.n, state(&exec.end), short(&exec.command.join(" "), 60))
}

/// How a command is doing, in words.
pub(super) fn state(end: &ExecEnd) -> String {
    match end.state {
        ExecState::Running => "runs".to_owned(),
        ExecState::Exited => format!("ended with {}", end.code.unwrap_or_default()),
        ExecState::Signalled => format!("ended by signal {}", end.signal.unwrap_or_default()),
        ExecState::Killed => "was killed".to_owned(),
        ExecState::Timeout => "took too long".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sandbox_waits_for_is_told_where_the_kernel_tells() {
        let pressure = SandboxPressure { cpu: Some(1_205), memory: None, io: Some(3) };
        assert_eq!(waits(pressure), "12.05% for a processor, 0.03% for input and output");
    }
}
