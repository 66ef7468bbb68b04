//! `stead doctor`.

use crate::common::{Serving, TestEnvironment};

fn found(report: &serde_json::Value, what: &str) -> (String, String) {
    let finding = report.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap();
    (finding["state"].as_str().unwrap().to_owned(), finding["found"].as_str().unwrap().to_owned())
}

#[test]
fn doctor_tells_what_this_host_gives_and_leaves_nothing_behind() {
    let env = TestEnvironment::new();
    let report = env.json("doctor --json");
    assert!(found(&report, "kernel").1.starts_with("Linux "));
    assert_eq!(found(&report, "data folder").0, "ok");
    assert!(found(&report, "disk").1.contains("durably"));
    assert!(found(&report, "sandbox").1.contains("no tier in this release"));
    assert_eq!(found(&report, "OPENAI_API_KEY").1, "not set");
    assert_eq!(std::fs::read_dir(env.path()).unwrap().count(), 0);
    let text = env.stead("doctor").succeeds().stdout;
    assert_eq!(text.lines().count(), report.as_array().unwrap().len() + 1);
}

#[test]
fn a_key_is_told_to_be_there_and_never_shown() {
    let env = TestEnvironment::new();
    let mut command = env.command(["doctor"]);
    command.env("OPENAI_API_KEY", "sk-not-to-be-shown");
    let terminal = env.finish(command).succeeds();
    assert!(!terminal.stdout.contains("not-to-be-shown"));
    assert!(terminal.stdout.contains("OPENAI_API_KEY  info   set"), "{terminal}");
}

#[test]
fn a_running_server_is_found() {
    let env = TestEnvironment::new();
    let _dev = Serving::start(env.command(["dev", "--port", "0"]), "try");
    assert!(found(&env.json("doctor --json"), "server").1.starts_with("http://127.0.0.1:"));
}

#[test]
fn a_data_folder_that_cannot_be_written_is_bad() {
    let env = TestEnvironment::new();
    env.write("file", "");
    let terminal = env.stead("doctor --data /proc/stead --json");
    assert_eq!(terminal.code, Some(1), "{terminal}");
}
