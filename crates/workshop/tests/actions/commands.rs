//! Commands: what they keep, what they tell, and where they end.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    sandbox::{Access, Property},
};
use stead_ports::sandbox::Limits;
use stead_tools::config::CommandConfig;
use stead_workshop::{Settings, Variable};

use crate::kit::{Kit, run, settings, told};

#[tokio::test]
async fn what_one_command_writes_the_next_one_finds_and_only_there() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let first =
        kit.sh(&mut run, "mkdir notes && echo one > notes/a && echo planted > /tmp/p && echo x > $HOME/q").await;
    assert_eq!((&first["exit_code"], &first["workspace"]["added"]), (&json!(0), &json!(2)), "{first}");
    assert_eq!(first["workspace"]["paths"], json!(["+ notes", "+ notes/a"]));
    // Abuse 43: what was planted elsewhere is nowhere.
    let second = kit.sh(&mut run, "pwd; cat notes/a; ls -A /tmp $HOME; echo two >> notes/a").await;
    assert_eq!(second["stdout"], "/workspace\none\n/home/box:\n\n/tmp:\n", "{second}");
    assert_eq!(second["workspace"]["changed"], 1);
    assert_eq!(kit.file(&run, "notes/a").await.unwrap(), "one\ntwo\n");
    let third = kit.sh(&mut run, "rm -r notes").await;
    assert_eq!(third["workspace"]["removed"], 2, "{third}");
    assert_eq!(kit.file(&run, "notes/a").await, None);
    kit.close().await;
}

#[tokio::test]
async fn a_command_that_fails_by_itself_keeps_what_it_wrote_and_says_how_it_failed() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let tool = kit.shell();
    let outcome = kit.call(&mut run, &tool, json!({"command": "echo half > a; echo oh >&2; exit 3"})).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    let report: Value = serde_json::from_str(&output.content).unwrap();
    assert!(output.error);
    assert_eq!((&report["exit_code"], &report["stderr"], &report["stdout"]), (&json!(3), &json!("oh\n"), &json!("")));
    assert_eq!(kit.file(&run, "a").await.unwrap(), "half\n");
    let action = output.action.unwrap();
    let used = action.sandbox.unwrap();
    assert!(used.wall.0 > 0 && used.traffic.is_none());
    assert!(!used.held.is_empty());
    let said = |property: &Property| used.words(*property).is_some_and(|words| !words.is_empty());
    assert!(used.held.iter().chain(&used.not_held).all(said), "each says what held it, or why it did not: {used:?}");
    kit.close().await;
}

#[tokio::test]
async fn a_command_at_its_deadline_is_dead_and_the_workspace_is_as_before() {
    let kit = Kit::new().await;
    let mut run = run(1);
    kit.sh(&mut run, "echo before > a").await;
    let before = run.tree;
    let limits = Limits { wall: Duration::from_millis(300), ..Limits::default() };
    let tool = kit.shell_with(&Settings { limits, ..settings() });
    let report =
        told(kit.call(&mut run, &tool, json!({"command": "echo after > a; setsid sleep 100 & sleep 100"})).await);
    assert!(report["ended"].as_str().unwrap().starts_with("ST0227"), "{report}");
    assert_eq!(report["workspace"]["kept"], false, "{report}");
    assert!(report.get("exit_code").is_none());
    assert_eq!((run.tree, kit.file(&run, "a").await.unwrap().as_str()), (before, "before\n"));
    kit.close().await;
}

#[tokio::test]
async fn output_is_shown_safely_and_kept_byte_for_byte_when_it_is_no_text() {
    let kit = Kit::new().await;
    let mut run = run(1);
    // Abuse 7, 46: nothing of it reaches whoever reads it as it is.
    let report = kit.sh(&mut run, r"printf 'a\033[31mred\n'; printf '\342\200\256x'").await;
    assert_eq!(report["stdout"], "a\\u{1b}[31mred\n\\u{202e}x", "{report}");
    let tool = kit.shell();
    let outcome = kit.call(&mut run, &tool, json!({"command": r"printf 'a\0\377b'"})).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    let [file] = output.files.as_slice() else { panic!("{:?}", output.files) };
    assert_eq!(&file.content[..], b"a\0\xffb");
    assert!(output.content.contains(&file.name), "the content names the file: {}", output.content);
    kit.close().await;
}

/// Abuse 6.
#[tokio::test]
async fn output_without_end_is_cut_and_both_ends_of_what_is_kept_are_told() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let tool = kit.shell();
    let outcome =
        kit.call(&mut run, &tool, json!({"command": "echo begin; yes | head -c 8000000; echo kept > a"})).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.len() <= 64 << 10, "{}", output.content.len());
    let report: Value = serde_json::from_str(&output.content).unwrap();
    let stdout = report["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("begin\ny\n") && stdout.contains("left out") && stdout.ends_with("y\n"));
    assert!(
        report["notes"][0].as_str().unwrap().contains("of 8000006 bytes the first 1048576 are kept"),
        "{}",
        report["notes"]
    );
    assert_eq!(kit.file(&run, "a").await.unwrap(), "kept\n");
    kit.close().await;
}

/// 40: what is inside as it is does not get out in what is told.
#[tokio::test]
async fn a_value_of_the_environment_is_blotted_out_of_what_a_command_writes() {
    let kit = Kit::new().await;
    let env = BTreeMap::from([("KEY".to_owned(), Variable::Text("sk-live-4242".to_owned()))]);
    let shell = kit.shell_with(&Settings { env, ..settings() });
    let script = "echo $KEY; printf '\\377%s\\0' $KEY >&2; test ${#KEY} = 12";
    let outcome = kit.call(&mut run(1), &shell, json!({ "command": script })).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.contains("[secret]") && !output.content.contains("4242"), "{}", output.content);
    assert!(output.content.contains("\"exit_code\":0"), "it has the value all the same: {}", output.content);
    assert!(output.files.iter().all(|file| !file.content.windows(4).any(|w| w == b"4242")));
    kit.close().await;
}

#[tokio::test]
async fn a_reader_sees_the_workspace_and_cannot_write_it_and_others_see_none() {
    let kit = Kit::new().await;
    let mut run = run(1);
    kit.sh(&mut run, "echo data > a").await;
    let mut config = CommandConfig {
        command: vec!["python3".into(), "-".into()],
        stdin: Some("{{args.code}}".into()),
        params: [("code".to_owned(), json!({"type": "string"}))].into(),
        workspace: Access::Read,
        ..CommandConfig::default()
    };
    let python = kit.shop.command("python", &config, &settings()).unwrap().pop().unwrap();
    assert_eq!((python.def.name.as_str(), python.default_class), ("python", EffectClass::Contained));
    let code = "print(open('a').read())\ntry: open('b', 'w')\nexcept OSError as e: print(e.errno)";
    let report = told(kit.call(&mut run, &python, json!({"code": code})).await);
    assert_eq!(report["stdout"], "data\n\n30\n", "{report}");
    assert!(report.get("workspace").is_none());
    config.workspace = Access::None;
    let blind = kit.shop.command("python", &config, &settings()).unwrap().pop().unwrap();
    let code = "import os\nprint(os.getcwd(), os.listdir('/workspace'))";
    let report = told(kit.call(&mut run, &blind, json!({"code": code})).await);
    assert_eq!(report["stdout"], "/home/box []\n", "{report}");
    kit.close().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_and_what_cannot_be_given_is_not_sent() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let config = CommandConfig { command: vec!["no-such-program".into()], ..CommandConfig::default() };
    let tool = kit.shop.command("odd", &config, &settings()).unwrap().pop().unwrap();
    let outcome = kit.call(&mut run, &tool, json!({"command": "x"})).await;
    let Outcome::Refused(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0223"), "{}", output.content);
    let tier = stead_core::sandbox::Tier::Microvm;
    let tool = kit.shop.command("vm", &config, &Settings { tier, ..settings() }).unwrap().pop().unwrap();
    let outcome = kit.call(&mut run, &tool, json!({"command": "x"})).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0220"), "{}", output.content);
    let requires = [stead_core::sandbox::Property::OwnKernel].into();
    let tool = kit.shell_with(&Settings { requires, ..settings() });
    let outcome = kit.call(&mut run, &tool, json!({"command": "true"})).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0221"), "{}", output.content);
    kit.close().await;
}

#[tokio::test]
async fn the_name_of_steads_own_folder_cannot_be_written() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let report = kit.sh(&mut run, "mkdir .stead; echo evil > .stead/agent.yaml; echo x > b").await;
    assert!(report["workspace"]["why"].as_str().unwrap().contains("`.stead` at the top"), "{report}");
    assert_eq!((kit.file(&run, ".stead/agent.yaml").await, kit.file(&run, "b").await.unwrap().as_str()), (None, "x\n"));
    kit.close().await;
}
