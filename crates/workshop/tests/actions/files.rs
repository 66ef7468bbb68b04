//! Operations on the files of a workspace, without a box.

use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    sandbox::Access,
};
use stead_tools::config::FilesConfig;

use crate::kit::{Kit, Run, run, told};

async fn file(kit: &Kit, run: &mut Run, operation: &str, arguments: Value) -> Value {
    let tool = kit.files(operation);
    told(kit.call(run, &tool, arguments).await)
}

async fn refused(kit: &Kit, run: &mut Run, operation: &str, arguments: Value) -> String {
    let tool = kit.files(operation);
    match kit.call(run, &tool, arguments).await {
        Outcome::Refused(output) if output.error => output.content,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_are_written_read_edited_moved_found_and_removed_as_commands_see_them() {
    let kit = Kit::new().await;
    let mut run = run(1);
    let made = file(&kit, &mut run, "write", json!({"path": "src/main.py", "content": "a = 1\nprint(a)\n"})).await;
    assert_eq!(made["changed"], json!(["+ src", "+ src/main.py"]));
    file(&kit, &mut run, "edit", json!({"path": "src/main.py", "old": "a = 1", "new": "a = 41 + 1"})).await;
    let ran = kit.sh(&mut run, "python3 src/main.py | tee out").await;
    assert_eq!(ran["stdout"], "42\n", "{ran}");
    let read = file(&kit, &mut run, "read", json!({"path": "src/main.py", "offset": 2})).await;
    assert_eq!((&read["text"], &read["lines"]), (&json!("print(a)\n"), &json!(2)), "{read}");
    let found = file(&kit, &mut run, "search", json!({"pattern": "print("})).await;
    assert_eq!(found["matches"], json!(["src/main.py:2: print(a)"]));
    let found = file(&kit, &mut run, "search", json!({"pattern": r"^\d+$", "regex": true})).await;
    assert_eq!(found["matches"], json!(["out:1: 42"]));
    file(&kit, &mut run, "move", json!({"path": "out", "to": "kept/out.txt"})).await;
    let list = file(&kit, &mut run, "list", json!({"recursive": true})).await;
    assert_eq!(
        list["entries"],
        json!(["kept/ (1 entries)", "src/ (1 entries)", "kept/out.txt (3 bytes)", "src/main.py (20 bytes)"])
    );
    file(&kit, &mut run, "remove", json!({"path": "src"})).await;
    assert_eq!(kit.file(&run, "kept/out.txt").await.unwrap(), "42\n");
    assert_eq!(kit.file(&run, "src/main.py").await, None);
    kit.close().await;
}

#[tokio::test]
async fn what_cannot_be_meant_changes_nothing_and_says_what_to_do() {
    let kit = Kit::new().await;
    let mut run = run(1);
    file(&kit, &mut run, "write", json!({"path": "a", "content": "x x"})).await;
    kit.sh(&mut run, "ln -s /etc/passwd link; printf 'a\\0b' > bytes").await;
    let before = run.tree;
    for (operation, arguments, why) in [
        ("edit", json!({"path": "a", "old": "x", "new": "y"}), "more than once"),
        ("edit", json!({"path": "a", "old": "z", "new": "y"}), "is not in a"),
        ("read", json!({"path": "../a"}), "ST0243"),
        ("read", json!({"path": "/etc/passwd"}), "ST0243"),
        ("read", json!({"path": "link"}), "none is followed"),
        ("read", json!({"path": "bytes"}), "no text"),
        ("write", json!({"path": ".stead/agent.yaml", "content": ""}), "Stead's own name"),
        ("write", json!({"path": "link/x", "content": ""}), "none is followed"),
        ("move", json!({"path": "a", "to": "bytes"}), "there already"),
        ("search", json!({"pattern": "(", "regex": true}), "cannot be used"),
        ("remove", json!({"path": ""}), "top cannot"),
    ] {
        let told = refused(&kit, &mut run, operation, arguments.clone()).await;
        assert!(told.contains(why), "{operation} {arguments}: {told}");
    }
    assert_eq!(run.tree, before);
    kit.close().await;
}

#[tokio::test]
async fn a_workspace_that_is_read_only_has_no_operation_that_writes() {
    let kit = Kit::new().await;
    let config = FilesConfig { workspace: Access::Read, only: None };
    let offered = kit.shop.files("files", &config).unwrap();
    let names: Vec<_> = offered.iter().map(|o| o.def.name.as_str()).collect();
    assert_eq!(names, ["files_list", "files_read", "files_search"]);
    assert!(offered.iter().all(|o| o.default_class == EffectClass::Pure));
    for config in [
        FilesConfig { workspace: Access::Read, only: Some(vec!["write".into()]) },
        FilesConfig { workspace: Access::None, only: None },
    ] {
        kit.shop.files("files", &config).unwrap_err();
    }
    kit.close().await;
}
