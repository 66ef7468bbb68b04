//! What must hold for all texts, labels and plans.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::{collection::vec, option, prelude::*};
use serde_json::json;
use stead_provenance::{
    declare::{Declared, Tool},
    ledger::{Ledger, Said},
    normal, plan, tokens,
    trust::{Label, Origin, Trust},
};

fn trusts() -> impl Strategy<Value = Trust> {
    prop_oneof![Just(Trust::Untrusted), Just(Trust::Attested), Just(Trust::Trusted)]
}

fn labels() -> impl Strategy<Value = Label> {
    let origin = (0..60u8).prop_map(|n| Origin::Tool(format!("t{n}").into()));
    let known = (trusts(), vec(origin, 0..40)).prop_map(|(trust, origins)| {
        origins.into_iter().map(|o| Label::new(trust, o)).collect::<Label>().at_most(trust)
    });
    prop_oneof![known, Just(Label::default())]
}

/// Values that differ and values that are the same in other words, so that texts meet.
fn values() -> impl Strategy<Value = String> {
    const FIXED: &[&str] = &[
        "ada@example.com",
        "ADA@example.com",
        "eve@example.net",
        "1,000.00",
        "1000",
        "1.000,00",
        "12,50",
        "May 26th, 2024",
        "2024-05-26",
        "10:00",
        "3 pm",
        "Acme Ltd",
        "acme  ltd",
        "https://example.com",
        "https://EXAMPLE.com/",
        "#general",
        "GB29 NWBK 6016 1331 9268 19",
        "аda@example.com",
        "10\u{b2}",
        "x",
    ];
    prop_oneof![4 => proptest::sample::select(FIXED).prop_map(str::to_owned), 1 => "[a-zA-Z0-9@., ]{0,12}", 1 => any::<String>()]
}

fn texts() -> impl Strategy<Value = String> {
    let quoted =
        prop_oneof![values(), values().prop_map(|v| format!("'{v}'")), values().prop_map(|v| format!("({v}),"))];
    vec(quoted, 0..6).prop_map(|words| words.join(" "))
}

/// What a run hears: its user, tools of each trust, and what it sends in between.
#[derive(Clone, Debug)]
enum Step {
    User(String),
    Result(Trust, String, String),
    Send(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        texts().prop_map(Step::User),
        (trusts(), texts(), values()).prop_map(|(t, a, b)| Step::Result(t, a, b)),
        texts().prop_map(Step::Send),
    ];
    vec(step, 0..8)
}

fn tool(trust: Trust) -> Tool {
    Tool::named(trust.as_str()).trust(Declared::all(trust))
}

fn take(ledger: &mut Ledger, step: &Step) {
    match step {
        Step::User(text) => drop(ledger.hear(Said::User(text))),
        Step::Result(trust, a, b) => {
            let content = json!({"text": a, "list": [b]}).to_string();
            ledger.hear(Said::Result { tool: &tool(*trust), content: &content, error: false });
        }
        Step::Send(text) => {
            let window = ledger.window(0..ledger.len());
            let call = ledger.trace(&Tool::named("send"), &json!({"text": text}).to_string(), &window).unwrap();
            ledger.sent(&call);
        }
    }
}

fn label_of(ledger: &Ledger, value: &str) -> Label {
    let window = ledger.window(0..ledger.len());
    ledger.trace(&Tool::named("t"), &json!({"v": value}).to_string(), &window).unwrap().label()
}

/// Whether a text says a value, found by looking at each of its tokens.
fn says(text: &str, value: &str) -> bool {
    let keys = normal::of_text(value);
    let mut found = false;
    tokens::each(text, |token| found |= normal::of_text(token).iter().any(|k| keys.contains(k)));
    found
}

proptest! {
    #[test]
    fn labels_join_in_any_order_and_only_downwards(a in labels(), b in labels(), c in labels()) {
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert!(a.join(&b).trust <= a.trust);
        prop_assert_eq!(a.join(&Label::nothing()), a.clone());
        let bytes = minicbor::to_vec(&a).unwrap();
        prop_assert_eq!(minicbor::decode::<Label>(&bytes).unwrap(), a);
    }

    #[test]
    fn an_untrusted_source_more_never_raises_a_label(
        before in steps(), after in steps(), more in texts(), values in vec(values(), 1..6)
    ) {
        let (mut without, mut with) = (Ledger::default(), Ledger::default());
        for step in &before {
            take(&mut without, step);
            take(&mut with, step);
        }
        take(&mut with, &Step::Result(Trust::Untrusted, more.clone(), more));
        for step in &after {
            take(&mut without, step);
            take(&mut with, step);
        }
        for value in &values {
            let (a, b) = (label_of(&without, value), label_of(&with, value));
            prop_assert!(b.trust <= a.trust, "{value}: {a:?} and then {b:?}");
        }
    }

    #[test]
    fn folding_a_folded_text_changes_nothing(text in any::<String>()) {
        let folded = normal::fold(&text);
        prop_assert_eq!(normal::fold(&folded), folded);
    }

    #[test]
    fn a_value_is_itself_and_being_the_same_goes_both_ways(a in values(), b in values()) {
        let (of_a, of_b) = (normal::of_text(&a), normal::of_text(&b));
        prop_assert_eq!(of_a.iter().any(|k| of_b.contains(k)), of_b.iter().any(|k| of_a.contains(k)));
        if let Some(text) = of_a.first() {
            prop_assert!(normal::of_text(&normal::fold(&a)).contains(text));
        }
    }

    #[test]
    fn the_index_finds_exactly_what_a_look_at_every_text_finds(
        said in vec(texts(), 0..6), trusted in vec(texts(), 0..4), untrusted in vec(texts(), 0..4), value in values()
    ) {
        let mut ledger = Ledger::default();
        said.iter().for_each(|t| take(&mut ledger, &Step::User(t.clone())));
        trusted.iter().for_each(|t| take(&mut ledger, &Step::Result(Trust::Trusted, t.clone(), "x".to_owned())));
        untrusted.iter().for_each(|t| take(&mut ledger, &Step::Result(Trust::Untrusted, t.clone(), t.clone())));
        ledger.hear(Said::Result { tool: &tool(Trust::Untrusted), content: "taint", error: false });
        let mut sources: Vec<&str> = said.iter().chain(&trusted).map(String::as_str).collect();
        // Names of fields and the other leaf are said by the trusted results too.
        if !trusted.is_empty() {
            sources.extend(["text", "list", "x"]);
        }
        let expected = sources.iter().any(|text| says(text, &value));
        prop_assert_eq!(label_of(&ledger, &value).trust == Trust::Trusted, expected, "{}", value);
    }

    #[test]
    fn the_same_entries_give_the_same_labels(steps in steps(), value in values()) {
        let (mut a, mut b) = (Ledger::default(), Ledger::default());
        steps.iter().for_each(|s| take(&mut a, s));
        steps.iter().for_each(|s| take(&mut b, s));
        prop_assert_eq!(label_of(&a, &value), label_of(&b, &value));
        prop_assert_eq!(a.held(), b.held());
    }

    #[test]
    fn no_text_makes_the_reader_of_plans_panic(text in any::<String>(), words in vec(option::of(proptest::sample::select(&[
        "let", "do", "x", "=", "t", "(", ")", "a", ":", "1", "\"s\"", "max_by", ",", "[", "]", ".", "-", "not", "in", "each",
        "if", "times", "any", "it", "==", "+",
    ][..])), 0..40)) {
        let tools = [Tool::named("t").effect()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        for text in [text, words.join(" ")] {
            if let Err(errors) = plan::Plan::draw("p", &text, &tools, &Label::nothing()) {
                prop_assert!(!errors.is_empty() && errors.iter().all(|e| e.line >= 1 && e.column >= 1));
            }
        }
    }
}
