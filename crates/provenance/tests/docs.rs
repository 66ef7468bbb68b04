//! The examples of `docs/provenance.md`, run.
#![expect(clippy::unwrap_used, reason = "tests")]

use pulldown_cmark::{CodeBlockKind, Event as Mark, Parser, Tag};
use serde_json::json;
use stead_provenance::{
    declare::{Declared, Tool},
    entitle::{Entitlements, Reader},
    ledger::{Ledger, Said},
    plan::{Answer, Event, Plan, PlanState, Standing},
    trust::{Label, Origin, Trust},
};

const PAGE: &str = include_str!("../../../docs/provenance.md");

/// The blocks of that kind, in order.
fn blocks(kind: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    for mark in Parser::new(PAGE) {
        match mark {
            Mark::Start(Tag::CodeBlock(CodeBlockKind::Fenced(of))) => {
                inside = *of == *kind;
                if inside {
                    out.push(String::new());
                }
            }
            Mark::End(_) => inside = false,
            Mark::Text(text) if inside => out.last_mut().unwrap().push_str(&text),
            _ => {}
        }
    }
    assert!(!out.is_empty(), "the page has no block `{kind}`");
    out
}

/// A word and the rest of the line.
fn word(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    (word, rest.trim())
}

fn trust(word: &str) -> Option<Trust> {
    [Trust::Untrusted, Trust::Attested, Trust::Trusted].into_iter().find(|t| t.as_str() == word)
}

fn traced(ledger: &Ledger, tool: &str, arguments: &str) -> stead_provenance::trace::Traced {
    ledger.trace(&Tool::named(tool).effect(), arguments, &ledger.window(0..ledger.len())).unwrap()
}

#[test]
fn values_count_as_the_page_says() {
    for block in blocks("provenance") {
        let mut ledger = Ledger::default();
        for line in block.lines() {
            let (first, rest) = word(line);
            match (first, word(rest)) {
                ("user", _) => drop(ledger.hear(Said::User(rest))),
                ("sends", (tool, arguments)) => {
                    let call = traced(&ledger, tool, arguments);
                    ledger.sent(&call);
                }
                (tool, (says, content)) if tool.contains('_') && trust(says).is_some() => {
                    let tool = Tool::named(tool).trust(Declared::all(trust(says).unwrap()));
                    ledger.hear(Said::Result { tool: &tool, content, error: false });
                }
                _ => value(&ledger, line),
            }
        }
    }
}

/// `VALUE   TRUST   said by ORIGIN` or `VALUE   TRUST   looks like VALUE`.
fn value(ledger: &Ledger, line: &str) {
    let (value, rest) = line.split_once("  ").unwrap_or_else(|| panic!("`{line}` says nothing"));
    let (says, more) = word(rest.trim());
    let call = traced(ledger, "use", &json!({"value": value.trim()}).to_string());
    let argument = &call.arguments[0];
    assert_eq!(Some(argument.label.trust), trust(says), "{line}");
    if let Some(origin) = more.strip_prefix("said by ") {
        assert_eq!(argument.label.origins.to_string(), origin, "{line}");
    } else if let Some(original) = more.strip_prefix("looks like ") {
        assert_eq!(argument.leaves[0].look_alike.as_deref(), Some(original), "{line}");
    } else {
        assert_eq!(more, "", "{line}");
    }
}

/// A tool whose results are attested but for some fields.
fn attests(name: &str, but: &[(&str, Trust)]) -> Tool {
    Tool::named(name).trust(Declared::new(but.iter().copied().chain([("$", Trust::Attested)])).unwrap())
}

/// The tools that the page's plans use.
fn tools() -> Vec<Tool> {
    let text = json!({"type": "string"});
    let row = json!({"type": "object", "properties": {
        "name": text, "rating": {"type": "number"}, "price": {"type": "number"}, "review": text}});
    let hotels = Declared::new([
        ("$", Trust::Attested),
        ("$[*]", Trust::Untrusted),
        ("$[*].name", Trust::Attested),
        ("$[*].rating", Trust::Attested),
        ("$[*].price", Trust::Attested),
    ]);
    let input = |properties: serde_json::Value, required: serde_json::Value| json!({"type": "object", "properties": properties, "required": required});
    vec![
        Tool::named("hotels_list")
            .input(input(json!({"city": text}), json!(["city"])))
            .output(json!({"type": "array", "items": row}))
            .trust(hotels.unwrap()),
        Tool::named("hotel_reserve")
            .effect()
            .input(input(json!({"hotel": text, "from": text, "until": text}), json!(["hotel", "from"]))),
        Tool::named("mail_send")
            .effect()
            .input(input(json!({"to": {"type": "array", "items": text}, "subject": text, "body": text}), json!(["to"])))
            .content(["body"])
            .recipients(["to"]),
        Tool::named("mail_delete").effect(),
        attests("channels_list", &[]),
        attests("channel_read", &[("$[*].text", Trust::Untrusted)]),
        attests("times_search", &[]),
        attests("times_list", &[]),
        attests("note_create", &[("$.body", Trust::Untrusted)]).effect().content(["body"]),
        Tool::named("note_share").effect(),
        Tool::named("table_reserve").effect(),
        Tool::named("hall_reserve").effect(),
    ]
}

#[test]
fn plans_allow_what_the_page_says() {
    let (plans, outcomes) = (blocks("plan"), blocks("outcomes"));
    assert_eq!(plans.len(), outcomes.len());
    for (plan, outcomes) in plans.iter().zip(&outcomes) {
        let tools = tools();
        let plan = Plan::draw("plan", plan, &tools, &Label::nothing()).unwrap();
        let mut entitled = Entitlements::default();
        for source in ["hotels_list", "channel_read", "channels_list", "times_search", "times_list"] {
            entitled.allow(Origin::Tool(source.into()), Reader::parse("ada@example.com"));
        }
        let (mut ledger, mut state, mut last) = (Ledger::default(), PlanState::default(), None);
        for (effect, line) in outcomes.lines().enumerate() {
            let (first, rest) = word(line);
            let effect = effect as u32;
            match first {
                "user" => drop(ledger.hear(Said::User(rest))),
                "returns" => {
                    let (tool, effect, arguments): (&Tool, u32, serde_json::Map<_, _>) = last.take().unwrap();
                    let heard = ledger.hear(Said::Result { tool, content: rest, error: false });
                    state.returned(effect, &Answer { tool: tool.name.clone(), arguments, value: heard.value.unwrap() });
                }
                "calls" => {
                    let (name, rest) = word(rest);
                    let (arguments, expected) = rest.split_once("->").unwrap();
                    let tool = tools.iter().find(|t| *t.name == *name).unwrap();
                    let call = ledger.trace(tool, arguments, &ledger.window(0..ledger.len())).unwrap();
                    let standing = state.judge(Some(&plan), tool, &call, &entitled);
                    let told = match &standing {
                        Standing::Free { .. } => "free".to_owned(),
                        Standing::Planned(_) => "planned".to_owned(),
                        Standing::Unplanned(why) => why[0].to_string(),
                    };
                    assert_eq!(told, expected.trim(), "{line}");
                    match standing {
                        Standing::Free { read: Some(read) } => state.apply(&Event::Read { effect, read }),
                        Standing::Planned(used) => state.apply(&Event::Used { effect, used }),
                        _ => {}
                    }
                    last = Some((tool, effect, call.values.clone()));
                }
                other => panic!("`{other}` is no line of outcomes"),
            }
        }
    }
}

#[test]
fn mistakes_are_told_as_the_page_says() {
    for block in blocks("mistakes") {
        let mut plan = "";
        let mut told: Vec<String> = Vec::new();
        let mut compared = 0;
        for line in block.lines() {
            match line.strip_prefix("-> ") {
                None if line.starts_with(' ') => {
                    assert_eq!(told.get(1).map(|l| l.trim()), Some(line.trim()));
                }
                None => plan = line,
                Some(expected) => {
                    let errors = Plan::draw("plan", plan, &tools(), &Label::nothing()).unwrap_err();
                    told = errors[0].to_string().lines().map(str::to_owned).collect();
                    assert_eq!(told[0], expected);
                    compared += 1;
                }
            }
        }
        assert!(compared > 0);
    }
}

#[test]
fn every_function_stands_on_the_page() {
    let rows: Vec<String> = Plan::functions().map(|(word, about)| format!("| `{word}` | {about} |")).collect();
    for row in &rows {
        assert!(PAGE.lines().any(|l| l == row), "{row}");
    }
    let (_, table) = PAGE.split_once("<!-- functions -->").unwrap();
    assert_eq!(table.lines().skip(3).take_while(|l| l.starts_with('|')).count(), rows.len());
}

#[test]
fn the_declaration_on_the_page_can_be_used() {
    let block = blocks("yaml").into_iter().find(|block| block.starts_with("trust:")).unwrap();
    let fields: Vec<(&str, Trust)> = block
        .lines()
        .filter_map(|l| l.trim().strip_prefix('"')?.split_once("\": "))
        .map(|(path, rest)| (path, trust(word(rest).0).unwrap()))
        .collect();
    assert_eq!(fields.len(), 5);
    Declared::new(fields).unwrap();
}
