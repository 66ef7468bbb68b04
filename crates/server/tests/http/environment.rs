//! Which variables of the server's environment a manifest may name.

use stead_api::agent::ApplyAgent;

use crate::lab::{Lab, apply, config, problem, start};

/// A model elsewhere, with a variable that is set in every process; it is never called.
fn naming(variable: &str) -> ApplyAgent {
    let text = "stead: v1\nname: naming\nmodel: { use: \"openai:m\", base_url: \"http://127.0.0.1:9/v1\", key: \"env://VAR\" }\n\
        instructions: Be kind.\n";
    apply(&text.replace("VAR", variable), &[])
}

/// An MCP server that must not even be started.
fn handing(variable: &str, mark: &std::path::Path) -> ApplyAgent {
    let text = format!(
        "stead: v1\nname: handing\nmodel: rehearsal:auto\ninstructions: Be kind.\ntools:\n  srv:\n    \
         mcp: {{ command: [touch, \"{}\"], env: [{variable}] }}\n    effect: pure\n",
        mark.display()
    );
    apply(&text, &[])
}

#[tokio::test]
async fn a_server_hands_out_no_variable_that_its_operator_did_not_list() {
    let lab = Lab::new().await;
    for variable in ["PATH", "NOT_SET_ANYWHERE"] {
        let body = serde_json::to_value(naming(variable)).unwrap();
        let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0105").await;
        let detail = told["detail"].as_str().unwrap();
        for word in ["`model.key`", variable, "stead.toml", &format!("[agents] env = [\"{variable}\"]")] {
            assert!(detail.contains(word), "{word} is not in: {detail}");
        }
    }
    let mark = lab.dir.path().join("was-started");
    let body = serde_json::to_value(handing("PATH", &mark)).unwrap();
    let told = problem(lab.post("/v1/agents", &body).await, 422, "ST0105").await;
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("`tools.srv.mcp.env` names PATH") && detail.contains("[sandbox] env = [\"PATH\"]"),
        "{told}"
    );
    assert!(!mark.exists());
    assert!(lab.client.agents().await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_listed_variable_may_be_named_and_no_other() {
    let lab = Lab::with(|c| c.agents.env = ["PATH".to_owned()].into()).await;
    assert_eq!(lab.client.apply_agent(&naming("PATH")).await.unwrap().name.as_str(), "naming");
    let refused = lab.client.apply_agent(&naming("HOME")).await.unwrap_err();
    assert_eq!((refused.status, refused.code.to_string()), (Some(422), "ST0105".into()));
}

#[tokio::test]
async fn a_command_on_the_users_own_machine_may_name_all_and_a_server_over_its_data_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let settings = config(dir.path());
    let lab = Lab::own(dir, settings).await;
    lab.client.apply_agent(&naming("PATH")).await.unwrap();
    let dir = lab.stop().await;
    let settings = config(dir.path());
    let lab = Lab::over(dir, settings).await;
    let refused = lab.client.start_run(&start("naming"), None).await.unwrap_err();
    assert_eq!((refused.status, refused.code.to_string()), (Some(422), "ST0105".into()));
    assert!(lab.client.agent("naming").await.is_err_and(|e| e.code.to_string() == "ST0105"));
}
