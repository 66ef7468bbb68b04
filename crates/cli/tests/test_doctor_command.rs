//! `stead doctor`.

use stead_testkit::postgres::TestPostgres;

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
    let (state, words) = found(&report, "sandbox namespace");
    assert!(state == "ok" && words.contains("a box starts"), "{words}");
    assert_eq!(found(&report, "  control of egress").0, "ok");
    // Whether a machine boots depends on the host's KVM; if it does not, the reason or the command that helps is told.
    let (state, words) = found(&report, "sandbox microvm");
    let told = ["says hello", "KVM", "apt-get", "x86-64"].iter().any(|word| words.contains(word));
    assert!(matches!(state.as_str(), "ok" | "info") && told, "{words}");
    // One finding says what the kernel offers, and not another that something is missing.
    assert!(report.as_array().unwrap().iter().all(|f| f["what"] != "isolation"), "{report}");
    assert!(found(&report, "sandbox").1.contains("stdio MCP servers of agents run in one"));
    assert!(found(&report, "session sandboxes").1.contains("the tier `namespace`, and of no other"));
    assert!(found(&report, "provider openai").1.contains("no key: neither a variable nor a secret OPENAI_API_KEY"));
    assert!(found(&report, "secrets").1.starts_with("none in "));
    assert_eq!(std::fs::read_dir(env.path()).unwrap().count(), 0);
    let text = env.stead("doctor").succeeds().stdout;
    assert_eq!(text.lines().count(), report.as_array().unwrap().len() + 1);
}

#[test]
fn each_provider_is_listed_with_where_its_key_comes_from_and_no_key_is_shown() {
    let env = TestEnvironment::new();
    env.stead_with_input("secrets set ANTHROPIC_API_KEY", "sk-ant-not-to-be-shown").succeeds();
    env.stead_with_input("secrets set OPENAI_API_KEY", "sk-not-to-be-shown").succeeds();
    let doctor = |json: bool| {
        let mut command = env.command(["doctor"].into_iter().chain(json.then_some("--json")));
        command.env("OPENAI_API_KEY", "sk-not-to-be-shown").env("GOOGLE_API_KEY", "not-to-be-shown");
        env.finish(command).succeeds().stdout
    };
    let report: serde_json::Value = serde_json::from_str(&doctor(true)).unwrap();
    let key = |provider: &str| {
        let what = format!("provider {provider}");
        report.as_array().unwrap().iter().find(|f| f["what"] == what.as_str()).unwrap()["key"].clone()
    };
    for (provider, from) in [
        ("openai", "environment"),
        ("openai-responses", "environment"),
        ("anthropic", "secret"),
        ("gemini", "environment"),
        ("groq", "missing"),
        ("ollama", "not needed"),
    ] {
        assert_eq!(key(provider), from, "{provider}");
    }
    assert!(found(&report, "provider gemini").1.contains("GOOGLE_API_KEY"));
    assert!(found(&report, "secrets").1.starts_with("2 secrets in "));
    for text in [doctor(false), report.to_string()] {
        assert!(!text.contains("not-to-be-shown"), "{text}");
    }
}

#[test]
fn a_model_server_of_this_machine_that_answers_is_found_and_none_elsewhere_is_asked() {
    let env = TestEnvironment::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let list = || async { r#"{"object":"list","data":[{"id":"smol"}]}"# };
    let router = axum::Router::new().route("/v1/models", axum::routing::get(list));
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let ollama = |host: &str| {
        let mut command = env.command(["doctor", "--json"]);
        command.env("OLLAMA_HOST", host);
        let report = serde_json::from_str(&env.finish(command).succeeds().stdout).unwrap();
        found(&report, "local ollama")
    };
    assert_eq!(ollama(&address.to_string()), ("ok".to_owned(), format!("http://{address}/v1 answers with 1 model")));
    assert_eq!(ollama("192.0.2.1").1, "http://192.0.2.1:11434/v1 is not this machine: not asked");
    runtime.shutdown_background();
}

#[test]
fn what_a_configuration_offers_is_told_with_what_is_refused_and_why() {
    let env = TestEnvironment::new();
    for folder in ["proc", "dev", "tmp", "home/box", "workspace"] {
        std::fs::create_dir_all(env.path().join("py").join(folder)).unwrap();
    }
    env.write(".stead/stead.toml", "[sandbox]\ntiers = [\"wasm\"]\nroots = { py = \"../py\" }\n");
    let refused = env.stead("doctor");
    assert!(refused.code == Some(1) && refused.stderr.contains("has no folder /opt"), "{refused}");
    std::fs::create_dir(env.path().join("py/opt")).unwrap();
    let terminal = env.stead("doctor --json");
    let report: serde_json::Value = serde_json::from_str(&terminal.stdout).unwrap();
    let words = found(&report, "sandbox").1;
    assert!(words.contains("stead.toml: wasm; a manifest that names no tier is refused"), "{words}");
    for tier in ["namespace", "oci", "microvm"] {
        let (state, words) = found(&report, &format!("sandbox {tier}"));
        assert!(
            state == "info" && words.ends_with("agents are refused it: `tiers` of [sandbox] leaves it out"),
            "{words}"
        );
    }
    // Who offers what this build has not is told that it is bad.
    let (state, words) = found(&report, "sandbox wasm");
    if cfg!(feature = "wasm") {
        assert_eq!((state.as_str(), terminal.code), ("ok", Some(0)), "{words}");
    } else {
        assert_eq!((state.as_str(), terminal.code), ("bad", Some(1)), "{words}");
        assert!(words.starts_with("agents that ask for it are refused: not in this build"), "{words}");
    }
    assert_eq!(found(&report, "sandbox root py").0, "ok");
}

#[test]
fn what_a_server_with_a_configuration_would_have_is_told_of_its_folder_its_port_and_its_database() {
    let env = TestEnvironment::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    env.write("etc/stead.toml", &format!("listen = \"{listen}\"\ndata_dir = \"../var\"\n"));
    let _server = {
        let own = format!("listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n", env.path().join("var").display());
        env.write("etc/serves.toml", &own);
        Serving::start(env.command(["serve", "--config", "etc/serves.toml"]), "serving")
    };
    let report = env.json("doctor --json --config etc/stead.toml");
    let (state, words) = found(&report, "data folder");
    assert!(state == "ok" && words.contains("/var can be written"), "{words}");
    assert!(found(&report, "journal").1.contains("never restored"), "{report}");
    assert!(found(&report, "server").1.starts_with("http://127.0.0.1:"), "{report}");
    let (state, words) = found(&report, "port");
    assert!(state == "info" && words.starts_with(&format!("{listen}: ")), "{words}");
    // Nothing is looked at or made where the command runs.
    assert!(!env.path().join(".stead").exists());

    let postgres = TestPostgres::start();
    let url = postgres.url();
    env.write("etc/stead.toml", &format!("data_dir = \"../other\"\ndatabase = \"{url}\"\n"));
    let journal = || found(&env.json("doctor --json --config etc/stead.toml"), "journal");
    assert_eq!(journal(), ("info".to_owned(), "in PostgreSQL: none yet".to_owned()));
    drop(postgres);
    let told = env.stead("doctor --json --config etc/stead.toml");
    let (state, words) = found(&serde_json::from_str(&told.stdout).unwrap(), "journal");
    assert!(state == "bad" && words.starts_with("in PostgreSQL: ST0145"), "{words}");
    assert_eq!(told.code, Some(1), "{told}");
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

#[test]
fn a_template_of_a_tier_whose_boxes_cannot_stay_is_refused_before_anything_is_served() {
    let env = TestEnvironment::new();
    env.write("stead.toml", "data_dir = \"data\"\n[sandbox]\ntiers = [\"namespace\", \"microvm\"]\n[sandboxes.templates.vm]\ntier = \"microvm\"\n");
    for line in ["doctor --config stead.toml", "serve --config stead.toml"] {
        let told = env.stead(line);
        assert_ne!(told.code, Some(0), "{told}");
        let wanted = ["`sandboxes.templates.vm`", "the tier `microvm` has none", "write `tier = \"namespace\"`"];
        assert!(wanted.iter().all(|words| told.stderr.contains(words)), "{told}");
    }
    assert!(!env.path().join("data").exists());
    env.write("stead.toml", "data_dir = \"data\"\n[sandboxes.templates.small]\nmemory = \"64Mi\"\n");
    env.stead("doctor --config stead.toml").succeeds();
}
