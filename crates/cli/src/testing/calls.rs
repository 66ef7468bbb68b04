//! Judging calls: expected and made ones side by side.

use stead_core::effect::Ended;
use stead_manifest::cases::{Call, Decision, OtherCalls};

use super::{
    trace::Made,
    values::{differences, mismatch, short},
};

/// What is not as expected about one call that was made.
fn wrong(expected: &Call, made: &Made) -> Vec<String> {
    if expected.tool != made.tool {
        return vec![format!("expected {}, found {}", expected.tool, made.tool)];
    }
    let mut out = Vec::new();
    if let Some(args) = &expected.args {
        out.extend(differences("$", args, &made.arguments, false));
    }
    if let Some(args) = &expected.exactly {
        out.extend(differences("$", args, &made.arguments, true));
    }
    out.extend(expected.places.iter().filter_map(|(place, e)| mismatch(&made.arguments, place, e)));
    if let Some(decision) = expected.decision
        && !decided(decision, made)
    {
        out.push(format!("decision: expected {}, found {}", word(decision), found(made)));
    }
    if let Some(outcome) = expected.outcome
        && made.outcome != Some(outcome)
    {
        let found = made.outcome.map_or("none", ended);
        out.push(format!("outcome: expected {}, found {found}", ended(outcome)));
    }
    out
}

fn decided(decision: Decision, made: &Made) -> bool {
    match decision {
        Decision::Allowed => !made.asked && !made.denied,
        Decision::Asked => made.asked,
        Decision::Approved => made.asked && made.approved,
        Decision::Denied => made.denied,
    }
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::Asked => "asked",
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    }
}

fn found(made: &Made) -> &'static str {
    match (made.asked, made.approved, made.denied) {
        (_, _, true) => "denied",
        (true, true, false) => "approved",
        (true, false, false) => "asked",
        (false, ..) => "allowed",
    }
}

fn ended(outcome: Ended) -> &'static str {
    match outcome {
        Ended::Returned => "returned",
        Ended::Refused => "refused",
        Ended::NotSent => "not_sent",
        Ended::Unknown => "unknown",
        Ended::Withdrawn => "withdrawn",
        Ended::Denied => "denied",
    }
}

/// One line of the comparison, by places in both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Both(usize, usize),
    Expected(usize),
    Made(usize),
}

/// The two lists side by side, with as many pairs that fit as there can be.
fn aligned(expected: &[Call], made: &[Made]) -> Vec<Line> {
    let fits = |e: usize, m: usize| wrong(&expected[e], &made[m]).is_empty();
    let width = made.len() + 1;
    // Pairs to be had from here on.
    let mut best = vec![0_u32; (expected.len() + 1) * width];
    let mut fit = vec![false; expected.len() * made.len()];
    for e in (0..expected.len()).rev() {
        for m in (0..made.len()).rev() {
            fit[e * made.len() + m] = fits(e, m);
            let pair = if fit[e * made.len() + m] { best[(e + 1) * width + m + 1] + 1 } else { 0 };
            best[e * width + m] = pair.max(best[(e + 1) * width + m]).max(best[e * width + m + 1]);
        }
    }
    let (mut e, mut m, mut out) = (0, 0, Vec::new());
    while e < expected.len() || m < made.len() {
        let here = best[e * width + m];
        if e < expected.len() && m < made.len() && fit[e * made.len() + m] && here == best[(e + 1) * width + m + 1] + 1
        {
            out.push(Line::Both(e, m));
            (e, m) = (e + 1, m + 1);
        } else if e < expected.len() && here == best[(e + 1) * width + m] {
            out.push(Line::Expected(e));
            e += 1;
        } else {
            out.push(Line::Made(m));
            m += 1;
        }
    }
    out
}

/// What is not as expected about the calls: the place of the first expected call that was not made, and all side by side.
pub(super) fn judge(expected: &[Call], others: OtherCalls, made: &[Made]) -> Option<(Option<usize>, String)> {
    let lines = aligned(expected, made);
    let missing = lines.iter().find_map(|line| if let Line::Expected(e) = line { Some(*e) } else { None });
    let more = lines.iter().any(|line| matches!(line, Line::Made(_)));
    if missing.is_none() && (!more || others == OtherCalls::Allowed) {
        return None;
    }
    let mut text = String::from("the calls are others (- expected, + made)");
    for (n, line) in lines.iter().enumerate() {
        text.push('\n');
        match *line {
            Line::Both(_, m) => text.push_str(&format!("  {} {}", made[m].tool, short(&made[m].arguments))),
            Line::Expected(e) => text.push_str(&format!("- {}", told(&expected[e]))),
            Line::Made(m) => {
                let mark = if others == OtherCalls::Allowed { ' ' } else { '+' };
                text.push_str(&format!("{mark} {} {}", made[m].tool, short(&made[m].arguments)));
                // The call that was meant, most likely.
                let meant =
                    lines[..n].iter().rev().map_while(|l| if let Line::Expected(e) = l { Some(*e) } else { None });
                if let Some(e) = meant.filter(|e| expected[*e].tool == made[m].tool).last() {
                    wrong(&expected[e], &made[m]).iter().for_each(|w| text.push_str(&format!("\n    {w}")));
                }
            }
        }
    }
    Some((missing, text))
}

fn told(call: &Call) -> String {
    let mut out = call.tool.to_string();
    if let Some(args) = call.exactly.as_ref().or(call.args.as_ref()) {
        out.push_str(&format!(" {}", short(args)));
    }
    call.places.iter().for_each(|(place, e)| out.push_str(&format!(" {place} =~ /{e}/")));
    call.decision.iter().for_each(|d| out.push_str(&format!(" ({})", word(*d))));
    call.outcome.iter().for_each(|o| out.push_str(&format!(" ({})", ended(*o))));
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};
    use stead_core::{
        effect::EffectClass,
        id::{EffectId, RunId},
    };

    use super::*;

    fn call(json: Value) -> Call {
        serde_json::from_value(json).unwrap()
    }

    fn made(tool: &str, arguments: Value) -> Made {
        Made {
            effect: EffectId { run: RunId(1), n: 1 },
            tool: tool.into(),
            class: EffectClass::Keyed,
            arguments,
            asked: false,
            approved: false,
            denied: false,
            outcome: Some(Ended::Returned),
        }
    }

    #[test]
    fn calls_are_told_side_by_side_with_what_differs() {
        let expected = [
            call(json!({ "tool": "look" })),
            call(json!({ "tool": "pay", "args": { "cents": 5 }, "decision": "approved" })),
            call(json!({ "tool": "mail" })),
        ];
        let made = [made("look", json!({})), made("pay", json!({ "cents": 4 })), made("mail", json!({ "to": "x" }))];
        let (missing, text) = judge(&expected, OtherCalls::Refused, &made).unwrap();
        assert_eq!(missing, Some(1));
        insta::assert_snapshot!(text, @r#"
        the calls are others (- expected, + made)
          look {}
        - pay {"cents":5} (approved)
        + pay {"cents":4}
            $.cents: expected 5, found 4
            decision: expected approved, found allowed
          mail {"to":"x"}
        "#);
    }

    #[test]
    fn other_calls_are_wrong_unless_they_are_allowed() {
        let expected = [call(json!({ "tool": "b" }))];
        let made = [made("a", json!({})), made("b", json!({})), made("b", json!({}))];
        assert!(judge(&expected, OtherCalls::Allowed, &made).is_none());
        let (missing, text) = judge(&expected, OtherCalls::Refused, &made).unwrap();
        assert_eq!(missing, None);
        assert!(text.contains("+ a {}") && text.contains("\n  b {}"), "{text}");
        assert!(judge(&expected, OtherCalls::Allowed, &made[..1]).is_some());
    }
}
