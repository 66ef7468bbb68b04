//! The schema and the parser say the same.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::schema;
use crate::{parse, yaml};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn examples() -> Vec<String> {
    let folder = repository().join("examples");
    let texts: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("agent.yaml")).ok())
        .collect();
    assert!(texts.len() >= 2, "the examples are gone");
    texts
}

fn json(text: &str) -> Value {
    yaml::parse(text).unwrap().json().unwrap()
}

#[test]
fn the_schema_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn parser_and_schema_take_every_example() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for text in examples() {
        parse(&text, "agent.yaml").unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json(&text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[test]
fn what_is_wrong_in_itself_is_refused_by_both() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    for (bad, mend) in [
        ("nme: x", "description: x"),
        ("name: Big", "name: big"),
        ("description: 42", "description: '42'"),
        ("max_turns: 0", "max_turns: 1"),
        ("max_turns: many", "max_turns: 9"),
        ("budget: { active: 10 }", "budget: { active: 10m }"),
        ("budget: { usd: -1 }", "budget: { usd: 1 }"),
        ("budget: [1]", "budget: {}"),
        ("sandbox: { tier: vm }", "sandbox: { tier: microvm }"),
        ("sandbox: docker", "sandbox: oci"),
        (
            "sandbox: { egress: [{ hosts: a.example }] }",
            "sandbox: { egress: [a.example, { host: b.example, methods: [GET] }] }",
        ),
        ("sandbox: { requires: [speed] }", "sandbox: { requires: [memory_limit] }"),
        ("include: [a.py]", "include: [./a.py]"),
        ("model: {}", "model: { use: 'openai:b' }"),
        ("model: { use: 'openai:b', rehearsal: ./x }", "model: { rehearsal: ./x }"),
        ("model: { use: 'openai:b', key: sk-123 }", "model: { use: 'openai:b', key: 'env://K' }"),
        ("model: { use: 'openai:b', fallback: [] }", "model: { use: 'openai:b', fallback: ['openai:d'] }"),
        ("tools: { x: {} }", "tools: {}"),
        ("tools: { x: { agent: a, sql: { url: 'sqlite:./x' } } }", "tools: { x: { agent: a } }"),
        ("tools: { x: { agent: a, max_output: 1Xi } }", "tools: { x: { agent: a, max_output: 1Ki } }"),
        ("tools: { X: { agent: a } }", "tools: { x: { agent: a } }"),
        ("tools: { x: { mcp: { command: [] } } }", "tools: { x: { mcp: { command: [y] } } }"),
        ("tools: { x: { command: bash } }", "tools: { x: { command: [bash] } }"),
        ("tools: { x: { files: write } }", "tools: { x: { files: rw } }"),
        (
            "tools: { x: { command: [sh], workspace: w } }",
            "tools: { x: { command: [sh], workspace: rw, effect: contained, sandbox: { memory: 64Mi } } }",
        ),
        (
            "tools: { x: { sql: { url: 'postgres://u:pw@h/d' } } }",
            "tools: { x: { sql: { url: 'postgres://u@h:5432/d' } } }",
        ),
        (
            "tools: { x: { mcp: { command: [y] }, effects: { z: safe } } }",
            "tools: { x: { mcp: { command: [y] }, effects: { z: pure } } }",
        ),
    ] {
        let whole = |line: &str| {
            let base = [
                ("stead", "stead: v1"),
                ("name", "name: a"),
                ("model", "model: 'openai:b'"),
                ("instructions", "instructions: x"),
            ];
            let rest: Vec<&str> =
                base.iter().filter(|(k, _)| !line.starts_with(&format!("{k}:"))).map(|b| b.1).collect();
            format!("{}\n{line}\n", rest.join("\n"))
        };
        let good = whole(mend);
        parse(&good, "agent.yaml").unwrap_or_else(|e| panic!("{good}: {}", e[0]));
        assert!(validator.is_valid(&json(&good)), "the schema refuses {good}");
        let bad = whole(bad);
        assert!(parse(&bad, "agent.yaml").is_err(), "the parser takes {bad}");
        assert!(!validator.is_valid(&json(&bad)), "the schema takes {bad}");
    }
}

proptest! {
    #[test]
    fn a_damaged_manifest_never_panics_and_what_is_taken_the_schema_takes(
        which in 0_usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[ -~\n]{0,6}"), 1..6),
    ) {
        let mut chars: Vec<char> = examples()[which].chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        match parse(&text, "agent.yaml") {
            Ok(_) => prop_assert!(jsonschema::draft202012::new(&schema()).unwrap().is_valid(&json(&text))),
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(error.source_text.get(error.span.clone()).is_some());
                    prop_assert!(error.line >= 1 && error.column >= 1);
                }
            }
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text, "agent.yaml");
    }
}
