//! Checks plans against tools: `check_plans TOOLS.json PLAN…`. `TOOLS.json` is a list of tools: `name`, `arguments` and
//! `result` (JSON Schemas), `effect` (whether a call does something outside), `content` and `recipients` (names of arguments).
//! Prints what is wrong with each plan, and ends with 1 if anything is.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr,
    reason = "a program reads files and prints"
)]

use std::{env, fs, process::ExitCode};

use serde_json::Value;
use stead_provenance::{declare::Tool, plan::Plan, trust::Label};

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let Some(tools) = args.next() else {
        eprintln!("usage: check_plans TOOLS.json PLAN…");
        return ExitCode::from(2);
    };
    let tools = match fs::read_to_string(&tools).map(|text| serde_json::from_str::<Vec<Value>>(&text)) {
        Ok(Ok(tools)) => tools.iter().map(tool).collect::<Vec<_>>(),
        Ok(Err(error)) => return wrong(&format!("{tools}: {error}")),
        Err(error) => return wrong(&format!("{tools}: {error}")),
    };
    let mut code = ExitCode::SUCCESS;
    for file in args {
        let drawn = match fs::read_to_string(&file) {
            Ok(text) => Plan::draw(&file, &text, &tools, &Label::nothing()).map(drop),
            Err(error) => return wrong(&format!("{file}: {error}")),
        };
        for error in drawn.err().into_iter().flatten() {
            code = wrong(&error.to_string());
        }
    }
    code
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

fn tool(said: &Value) -> Tool {
    let names = |key: &str| said[key].as_array().map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let mut tool = Tool::named(said["name"].as_str().unwrap_or_default()).input(said["arguments"].clone());
    if said["result"].is_object() {
        tool = tool.output(said["result"].clone());
    }
    if said["effect"].as_bool().unwrap_or(true) {
        tool = tool.effect();
    }
    tool = tool.content(names("content").unwrap_or_default());
    match names("recipients") {
        Some(recipients) => tool.recipients(recipients),
        None => tool,
    }
}
