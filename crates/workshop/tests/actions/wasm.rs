//! Components as an agent's commands: what they can, and what is refused before anything starts.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    sandbox::{Access, BoxUse, Property, Tier},
};
use stead_egress::Trust;
use stead_ports::sandbox::{Limits, Root};
use stead_tools::{config::CommandConfig, offer::Offered};
use stead_workshop::Settings;

use crate::{
    kit::{Kit, run, settings, told},
    text::{alone, opens},
};

/// A kit, and the agent's files with a component in them.
async fn kit(component: &str) -> (Kit, Settings) {
    let kit = Kit::everywhere(Trust::system().unwrap(), Vec::new()).await;
    let files = kit.dir.path().join("agent");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("it.wasm"), wat::parse_str(component).unwrap_or_else(|e| panic!("{e}"))).unwrap();
    (kit, Settings { tier: Tier::Wasm, files: Some(files), ..settings() })
}

fn config(words: &[&str], workspace: Access) -> CommandConfig {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    let params = [("path".to_owned(), json!({"type": "string"}))].into();
    CommandConfig { command, workspace, params, ..CommandConfig::default() }
}

fn offered(kit: &Kit, settings: &Settings) -> Offered {
    let config = config(&["/opt/agent/it.wasm", "{{args.path}}", "01"], Access::Read);
    kit.shop.command("look", &config, settings).unwrap().pop().unwrap()
}

async fn look(kit: &Kit, settings: &Settings, path: &str) -> (Value, BoxUse) {
    let mut run = run(1);
    told(kit.call(&mut run, &kit.files("write"), json!({ "path": "sub/a", "content": "read" })).await);
    let outcome = kit.call(&mut run, &offered(kit, settings), json!({ "path": path })).await;
    let Outcome::Returned(output) = &outcome else { panic!("{outcome:?}") };
    let used = output.action.as_ref().unwrap().sandbox.clone().unwrap();
    (told(outcome), used)
}

#[tokio::test]
async fn a_component_of_the_agents_files_reads_the_workspace_and_the_fact_says_what_it_ran_in() {
    let (kit, settings) = kit(&opens()).await;
    assert_eq!(offered(&kit, &settings).default_class, EffectClass::Contained);
    let (report, used) = look(&kit, &settings, "sub/a").await;
    assert_eq!((&report["exit_code"], &report["stdout"]), (&json!(0), &json!("read")), "{report}");
    assert!(report.get("workspace").is_none(), "{report}");
    assert_eq!((used.tier, used.traffic), (Tier::Wasm, None));
    assert!(used.held.contains(&Property::EgressControl) && used.held.contains(&Property::MemoryLimit), "{used:?}");
    assert!(used.not_held.contains(&Property::CpuLimit), "{used:?}");
    kit.close().await;
}

#[tokio::test]
async fn a_component_ends_at_its_limits_and_is_told_so() {
    let (endless, own) = kit(&alone("", "(loop (br 0)) (i32.const 0)")).await;
    let short = Settings { limits: Limits { wall: Duration::from_millis(300), ..own.limits }, ..own };
    let (report, used) = look(&endless, &short, "x").await;
    assert!(report["ended"].as_str().unwrap().starts_with("ST0227") && used.tier == Tier::Wasm, "{report}");
    endless.close().await;
    let grows = alone(
        "(memory 1)",
        "(if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then (return (i32.const 1)))) (i32.const 0)",
    );
    let (greedy, own) = kit(&grows).await;
    let small = Settings { limits: Limits { memory: Some(16 << 20), ..own.limits }, ..own };
    let (report, _) = look(&greedy, &small, "x").await;
    assert!(report["ended"].as_str().unwrap().starts_with("ST0226"), "{report}");
    greedy.close().await;
}

#[tokio::test]
async fn what_a_component_cannot_is_refused_before_anything_starts_with_the_reason() {
    let (kit, settings) = kit(&opens()).await;
    let words = ["/opt/agent/it.wasm", "{{args.path}}"];
    let refused = |settings: &Settings, access| match kit.shop.command("look", &config(&words, access), settings) {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.detail,
    };
    assert!(refused(&settings, Access::Write).contains("a component writes nothing"));
    let egress = serde_json::from_value(json!(["api.example.com:443"])).unwrap();
    let reaching = Settings { egress, ..settings.clone() };
    assert!(refused(&reaching, Access::Read).contains("a component has no way out"));
    let rooted = Settings { root: Root::Folder("/".into()), ..settings.clone() };
    assert!(refused(&rooted, Access::Read).contains("a component has no root"));
    let error = kit.shop.check("mail", &settings).unwrap_err();
    assert!(error.detail.contains("an MCP server needs another tier"), "{error}");
    let requires = [Property::PidsLimit].into();
    let tool = offered(&kit, &Settings { requires, ..settings.clone() });
    let outcome = kit.call(&mut run(1), &tool, json!({ "path": "x" })).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0221") && output.content.contains("no processes"), "{}", output.content);
    // And a program of the host is none of its folders'.
    let config = config(&["true", "{{args.path}}"], Access::Read);
    let tool = kit.shop.command("sh", &config, &settings).unwrap().pop().unwrap();
    let outcome = kit.call(&mut run(1), &tool, json!({ "path": "x" })).await;
    let Outcome::Refused(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0223"), "{}", output.content);
    kit.close().await;
}
