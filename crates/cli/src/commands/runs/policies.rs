//! The policies behind a decision, in lines.

use serde_json::Value;
use stead_core::ruling::{Asked, CounterRead, Ruled};

use crate::ui::term::{clean, short};

/// Longest value that is shown, in characters.
const SHOWN: usize = 200;

/// Which policies decided, behind the verdict.
pub(super) fn by(ruled: Option<&Ruled>) -> String {
    let Some(ruled) = ruled else { return String::new() };
    let ids = ruled.by.iter().map(|id| clean(id)).collect::<Vec<_>>().join(", ");
    let ids = if ids.is_empty() { "no policy permits it".to_owned() } else { format!("by {ids}") };
    format!(" {ids} (policy epoch {})", ruled.epoch)
}

/// What counters said.
pub(super) fn read(read: &[CounterRead]) -> String {
    let one = |read: &CounterRead| format!("{} = {}", clean(&read.name), clean(&read.said.to_string()));
    read.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What gates ask for.
pub(super) fn wanted(asked: Option<&Asked>) -> String {
    let Some(asked) = asked else { return String::new() };
    let gate = |gate: &stead_core::ruling::GateAsks| {
        let who = gate.approvers.iter().map(|who| clean(who)).collect::<Vec<_>>().join(" or ");
        format!("{} of {who} for {}", gate.quorum, clean(&gate.policy))
    };
    format!("; {}", asked.gates.iter().map(gate).collect::<Vec<_>>().join(", "))
}

/// The reasons of a decision: a line for each policy, and below it what its conditions read.
pub(super) fn tree(why: &Value) -> String {
    let groups = [
        ("permitted by", "permitted"),
        ("forbidden by", "forbade"),
        ("gated by", "gated"),
        ("rewritten by", "transformed"),
        ("not evaluated", "erred"),
    ];
    let mut out = String::new();
    for (words, key) in groups {
        for reason in why[key].as_array().into_iter().flatten() {
            let text = |key: &str| reason[key].as_str().map(|t| short(&clean(t), SHOWN));
            let said = text("said").or(text("error")).map_or_else(String::new, |t| format!(": {t}"));
            out.push_str(&format!("    {words} {}{said}\n", text("policy").unwrap_or_default()));
            for (name, value) in reason["values"].as_object().into_iter().flatten() {
                let value = value.as_str().map(clean).unwrap_or_default();
                out.push_str(&format!("      {} = {}\n", clean(name), short(&value, SHOWN)));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stead_core::ruling::Counted;

    use super::*;

    #[test]
    fn a_decision_is_told_with_its_policies_and_their_values() {
        let ruled = Ruled { epoch: 4, by: vec!["large-refund".into()], why: Some(0) };
        assert_eq!(by(Some(&ruled)), " by large-refund (policy epoch 4)");
        assert_eq!(by(Some(&Ruled::default())), " no policy permits it (policy epoch 0)");
        assert_eq!(by(None), "");
        let said = |name: &str, said| CounterRead { name: name.into(), said };
        let counters = [
            said("mails", Counted::Number(3)),
            said("moved", Counted::Sum(-15_000)),
            said("small", Counted::Sum(1)),
            said("known", Counted::Seen(true)),
        ];
        assert_eq!(read(&counters), "mails = 3, moved = -1.5, small = 0.0001, known = true");
        let why = json!({ "gated": [{ "policy": "large-refund", "said": "it is more than 1000",
            "values": { "context.args.amount": "1001" } }] });
        assert_eq!(tree(&why), "    gated by large-refund: it is more than 1000\n      context.args.amount = 1001\n");
    }
}
