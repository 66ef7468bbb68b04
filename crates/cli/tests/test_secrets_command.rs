//! `stead secrets`, and where secrets go and do not go.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use insta::assert_snapshot;
use tokio::runtime::Runtime;

use crate::common::{Serving, TestEnvironment, root};

/// A service that wants a key, repeats it in every answer, and is a model provider besides.
struct Service {
    seen: Arc<Mutex<Vec<String>>>,
    url: String,
    runtime: Option<Runtime>,
}

impl Service {
    fn start() -> Self {
        let (runtime, seen) = (Runtime::new().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let router = Router::new()
            .route("/echo", get(echo))
            .route("/v1/chat/completions", post(complete))
            .with_state(seen.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { seen, url, runtime: Some(runtime) }
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn note(seen: &Mutex<Vec<String>>, headers: &HeaderMap) -> String {
    let told = headers.get(header::AUTHORIZATION).map_or("nothing", |v| v.to_str().unwrap()).to_owned();
    seen.lock().unwrap().push(told.clone());
    told
}

async fn echo(State(seen): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap) -> String {
    format!("you sent {}", note(&seen, &headers))
}

async fn complete(State(seen): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap) -> impl IntoResponse {
    let told = note(&seen, &headers);
    if told.contains("revoked") {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::CONTENT_TYPE, "application/json")],
            format!(r#"{{"error":{{"message":"wrong key {told}"}}}}"#),
        );
    }
    let reply = r#"{"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#;
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/event-stream")], format!("data: {reply}\n\ndata: [DONE]\n\n"))
}

/// An agent that asks the service and the MCP server, both with a secret.
fn desk(env: &TestEnvironment, service: &Service) {
    let script = root().join("crates/cli/tests/fixtures/keyed_mcp.py");
    env.allow_none();
    env.write(
        "desk/agent.yaml",
        &format!(
            "stead: v1\nname: desk\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Ask.\ntools:\n  pay:\n    http: {{ base_url: '{}', operations: {{ echo: {{ method: GET, path: /echo }} }} }}\n    auth: 'secret://payments'\n  mail:\n    mcp: {{ command: [python3, '{}'], env: ['KEY=secret://mail.token'] }}\n    sandbox: none\n    effect: pure\n",
            service.url,
            script.display(),
        ),
    );
    env.write(
        "desk/script.yaml",
        "rules:\n- when: { user: go }\n  call: [{ tool: pay_echo, args: {} }]\n- when: { tool: pay_echo }\n  call: [{ tool: mail_tell, args: {} }]\n- when: { tool: mail_tell }\n  say: '{{result | text}}'\n",
    );
}

fn set(env: &TestEnvironment, name: &str, value: &str) {
    env.stead_with_input(&format!("secrets set {name}"), format!("{value}\n")).succeeds();
}

/// Whether a file below a folder holds one of these texts, in the clear or in an encoding that tools use.
fn holds(dir: &Path, values: &[&str]) -> Option<String> {
    use std::fmt::Write as _;
    let forms: Vec<Vec<u8>> = values
        .iter()
        .flat_map(|value| {
            let hex = value.bytes().fold(String::new(), |mut out, b| {
                write!(out, "{b:02x}").unwrap();
                out
            });
            [value.as_bytes().to_vec(), hex.into_bytes()]
        })
        .collect();
    fs::read_dir(dir).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, values);
        }
        let bytes = fs::read(&path).unwrap();
        let found = forms.iter().any(|form| bytes.windows(form.len()).any(|w| w == form));
        found.then(|| path.display().to_string())
    })
}

#[test]
fn secrets_are_set_listed_and_removed_and_never_shown() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("secrets ls"), @"
    exit 0
    --- stderr
    no secrets
    ");
    assert_snapshot!(env.stead_with_input("secrets set payments", "pay-live-0123\n"), @"
    exit 0
    --- stderr
    payments set
    made the key .stead/keys/secrets.key: keep a copy of it elsewhere, nothing opens without it
    ");
    env.write("token", "mail-live-0123\n");
    env.stead("secrets set mail --from-file token").succeeds();
    let mut command = env.command(["secrets", "set", "payments", "--from-env", "FRESH"]);
    command.env("FRESH", "pay-live-4567");
    assert_snapshot!(env.finish(command), @"
    exit 0
    --- stderr
    payments changed
    ");
    assert_snapshot!(env.stead("secrets ls"), @"
    exit 0
    --- stdout
    NAME      SET
    mail      [time]
    payments  [time]
    ");
    let listed = env.stead("secrets ls --json").succeeds();
    assert!(listed.stdout.contains("\"payments\"") && !listed.stdout.contains("live"), "{listed}");
    assert_snapshot!(env.stead("secrets rm mail"), @"
    exit 0
    --- stderr
    mail removed
    ");
    assert_snapshot!(env.stead("secrets rm mail"), @"
    exit 1
    --- stderr
    error[ST0195]: there is no secret `mail`
    see: stead errors ST0195
    ");
    assert_eq!(holds(&env.path().join(".stead"), &["pay-live-0123", "pay-live-4567", "mail-live-0123"]), None);
}

#[test]
fn a_value_is_no_argument_and_what_cannot_be_one_is_refused_without_being_repeated() {
    let env = TestEnvironment::new();
    assert_eq!(env.stead("secrets set payments pay-live-0123").code, Some(2));
    assert_snapshot!(env.stead_with_input("secrets set sk/live", "x"), @"
    exit 1
    --- stderr
    error[ST0194]: a secret's name has letters, digits, `_`, `-` and `.`, a letter or `_` first
    see: stead errors ST0194
    ");
    assert_snapshot!(env.stead_with_input("secrets set payments", "\n"), @"
    exit 1
    --- stderr
    error[ST0194]: the value is empty
    see: stead errors ST0194
    ");
    let long = env.stead_with_input("secrets set payments", "x".repeat(70_000));
    assert!(long.code == Some(1) && long.stderr.contains("ST0194"), "{long}");
    let binary = env.stead_with_input("secrets set payments", b"\xff\xfe");
    assert!(binary.code == Some(1) && binary.stderr.contains("ST0194"), "{binary}");
    assert!(!env.path().join(".stead").exists());
}

#[test]
fn a_damaged_file_and_a_wrong_key_are_told_apart() {
    let env = TestEnvironment::new();
    set(&env, "payments", "pay-live-0123");
    let file = env.path().join(".stead/secrets.sealed");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert_snapshot!(env.stead("secrets ls"), @"
    exit 1
    --- stderr
    error[ST0191]: .stead/secrets.sealed: it was changed, or cut off
    see: stead errors ST0191
    ");
    fs::write(&file, &whole).unwrap();
    let mut command = env.command(["secrets", "ls"]);
    command.env("STEAD_SECRETS_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    assert_snapshot!(env.finish(command), @"
    exit 1
    --- stderr
    error[ST0192]: .stead/secrets.sealed: another key sealed it
    see: stead errors ST0192
    ");
    let doctor = env.json("doctor --json");
    let secrets = doctor.as_array().unwrap().iter().find(|f| f["what"] == "secrets").unwrap();
    assert_eq!(secrets["state"], "ok");
}

#[test]
fn secrets_reach_their_destination_and_nothing_else() {
    let (env, service) = (TestEnvironment::new(), Service::start());
    desk(&env, &service);
    let (payments, mail) = ("pay-live-0123456789", "mail-live-abcdefgh");
    let missing = env.stead("run --quiet desk go");
    assert!(missing.code == Some(1) && missing.stderr.contains("ST0195"), "{missing}");
    set(&env, "payments", payments);
    set(&env, "mail.token", mail);
    let mut command = env.command(["run", "desk", "go"]);
    command.env("STEAD_LOG", "trace");
    let done = env.finish(command).succeeds();
    assert_eq!(service.seen(), [format!("Bearer {payments}")]);
    assert!(done.stdout.contains("KEY has 18 letters: [secret]"), "{}", done.stdout);
    let facts = env.stead("runs ls --json").succeeds().stdout;
    let run = serde_json::from_str::<serde_json::Value>(&facts).unwrap()["items"][0]["id"].as_str().unwrap().to_owned();
    let told = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert!(told.contains("you sent Bearer [secret]"), "{told}");
    for text in [&done.stdout, &done.stderr, &told] {
        assert!(!text.contains(payments) && !text.contains(mail), "{text}");
    }
    assert_eq!(holds(&env.path().join(".stead"), &[payments, mail]), None);
}

#[test]
fn a_changed_secret_is_used_at_the_next_call_of_a_running_server() {
    let (env, service) = (TestEnvironment::new(), Service::start());
    desk(&env, &service);
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    set(&env, "payments", "pay-one-0123456789");
    set(&env, "mail.token", "mail-one");
    let server = Serving::start(env.command(["serve"]), "serving");
    let refused = env.stead("run --quiet desk go");
    assert!(
        refused.code == Some(1) && refused.stderr.contains("ST0105") && refused.stderr.contains("[agents] secrets"),
        "{refused}"
    );
    assert_eq!(server.stop(), Some(0));
    env.write(
        "stead.toml",
        "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[agents]\nsecrets = [\"payments\", \"mail.token\"]\n[sandbox]\nallow_none = true\n",
    );
    let _server = Serving::start(env.command(["serve"]), "serving");
    env.stead("agents apply desk").succeeds();
    let go = || env.stead("run --quiet desk go").stdout;
    assert!(go().contains("KEY has 8 letters"));
    set(&env, "payments", "pay-two-0123456789");
    set(&env, "mail.token", "mail-second");
    assert!(go().contains("KEY has 11 letters"));
    assert_eq!(service.seen(), ["Bearer pay-one-0123456789", "Bearer pay-two-0123456789"]);
    env.stead("secrets rm payments").succeeds();
    env.stead("run --quiet desk go");
    assert!(service.seen().is_empty());
}

#[test]
fn the_secret_of_a_providers_usual_name_is_its_key_until_the_variable_is_set() {
    let (env, service) = (TestEnvironment::new(), Service::start());
    env.write(
        "a/agent.yaml",
        "stead: v1\nname: a\nmodel: { use: 'openai:gpt-5-mini', attempts: 1 }\ninstructions: Be kind.\n",
    );
    let run = |key: Option<&str>| {
        let mut command = env.command(["run", "a", "Hello"]);
        command.env("OPENAI_BASE_URL", format!("{}/v1", service.url)).env("STEAD_LOG", "trace");
        command.envs(key.map(|key| ("OPENAI_API_KEY", key)));
        env.finish(command)
    };
    set(&env, "OPENAI_API_KEY", "sk-kept-0123456789");
    let done = run(None).succeeds();
    assert!(done.stdout.contains("Hello.") && !done.stderr.contains("sk-kept-0123456789"), "{done}");
    run(Some("sk-told-0123456789")).succeeds();
    assert_eq!(service.seen(), ["Bearer sk-kept-0123456789", "Bearer sk-told-0123456789"]);
    set(&env, "OPENAI_API_KEY", "sk-revoked-0123456789");
    let refused = run(None);
    assert!(refused.code != Some(0) && !refused.stderr.contains("sk-revoked-0123456789"), "{refused}");
    assert_eq!(
        holds(&env.path().join(".stead"), &["sk-kept-0123456789", "sk-told-0123456789", "sk-revoked-0123456789"]),
        None
    );
}
