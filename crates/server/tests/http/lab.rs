//! A server in this process, on a free port and in a folder of its own, with a client and plain HTTP beside it.

use std::{collections::BTreeMap, path::Path};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use stead_api::{
    agent::{Agent, ApplyAgent, Bundle},
    right::Right,
    run::{Run, StartRun, WaitUntil},
};
use stead_client::Client;
use stead_core::id::RunId;
use stead_server::{
    config::{Config, TokenEntry, hash_token},
    serve::{Local, Server},
};
use tokio::{sync::oneshot, task::JoinHandle};

/// An agent that answers at once.
pub(crate) const HELLO: &str = "stead: v1\nname: hello\nmodel: { rehearsal: ./script.yaml }\ninstructions: Be kind.\n";
/// Its script.
pub(crate) const HELLO_SCRIPT: &str = "rules:\n  - say: \"Hello there, friend.\"\n    stream: 4\n";

/// An agent whose one tool needs a human.
pub(crate) const ASKING: &str = r#"
stead: v1
name: asking
model: { rehearsal: ./script.yaml }
instructions: Change what you are told to.
tools:
  notes:
    sql:
      url: "sqlite:${data}/notes.db"
      seed: ./notes.sql
      allow: [INSERT]
      queries:
        add:
          description: Adds a note.
          sql: INSERT INTO notes (text) VALUES (:text)
          params: { text: { type: string } }
    ask: true
"#;
/// Its files.
pub(crate) const ASKING_FILES: [(&str, &str); 2] = [
    ("./notes.sql", "CREATE TABLE notes (text TEXT NOT NULL);"),
    (
        "./script.yaml",
        "rules:\n  - when: { tool: notes_add, error: true }\n    say: \"It was not added.\"\n  - when: { tool: notes_add }\n    \
         say: \"It was added.\"\n  - call: [{ tool: notes_add, args: { text: \"milk\" } }]\n",
    ),
];

/// See the module.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) token: String,
    plain: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

pub(crate) fn config(dir: &Path) -> Config {
    Config { listen: ([127, 0, 0, 1], 0).into(), data_dir: dir.join("data"), ..Config::default() }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server whose configuration was changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        Self::over(dir, config).await
    }

    /// A server over the folder of one that was there before.
    pub(crate) async fn over(dir: tempfile::TempDir, config: Config) -> Self {
        let server = Server::open(config).await.unwrap();
        Self::serving(dir, server)
    }

    /// The same as a command on the user's own machine opens it.
    pub(crate) async fn own(dir: tempfile::TempDir, config: Config) -> Self {
        let server = Server::open_with(config, Local::default()).await.unwrap();
        Self::serving(dir, server)
    }

    /// A server that listens already.
    pub(crate) fn serving(dir: tempfile::TempDir, server: Server) -> Self {
        let (url, token) = (server.url().to_owned(), server.token().to_owned());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        let client = Client::new(&url, &token).unwrap();
        let plain = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { dir, client, url, token, plain, stop: Some(stop), serving: Some(serving) }
    }

    /// Shuts the server down in order and gives its folder back.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        self.serving.take().unwrap().await.unwrap();
        self.dir
    }

    /// Tells the server to shut down; [`Lab::stop`] waits for it.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn apply(&self, manifest: &str, files: &[(&str, &str)]) -> Agent {
        self.client.apply_agent(&apply(manifest, files)).await.unwrap()
    }

    pub(crate) async fn hello(&self) -> Agent {
        self.apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)]).await
    }

    pub(crate) async fn asking(&self) -> Agent {
        self.apply(ASKING, &ASKING_FILES).await
    }

    pub(crate) async fn start(&self, agent: &str) -> RunId {
        self.client.start_run(&start(agent), None).await.unwrap().run
    }

    pub(crate) async fn ended(&self, run: RunId) -> Run {
        self.client.wait(run, WaitUntil::Ended).await.unwrap()
    }

    /// A run that waits for a human.
    pub(crate) async fn waiting(&self) -> Run {
        self.asking().await;
        let run = self.start("asking").await;
        self.client.wait(run, WaitUntil::Waiting).await.unwrap()
    }

    /// A request with the token.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    /// A request without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    /// A GET request with the token and more.
    pub(crate) async fn get_with(&self, path: &str, more: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Response {
        more(self.ask(Method::GET, path)).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.ask(Method::POST, path).json(body).send().await.unwrap()
    }
}

pub(crate) fn apply(manifest: &str, files: &[(&str, &str)]) -> ApplyAgent {
    let files: BTreeMap<_, _> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    ApplyAgent {
        bundle: Bundle { format: 1, manifest: manifest.into(), files, ..Bundle::default() },
        dir: None,
        alias: None,
    }
}

/// The entry of a token that may do those things.
pub(crate) fn entry_for(token: &str, subject: &str, tenant: &str, rights: &[Right]) -> TokenEntry {
    let sha256 = hash_token(token).iter().map(|b| format!("{b:02x}")).collect();
    TokenEntry {
        sha256,
        subject: subject.into(),
        tenant: tenant.into(),
        rights: rights.to_vec(),
        roles: Vec::new(),
        mends: false,
        agent: None,
        session: None,
    }
}

/// The entry of a token with the usual rights.
pub(crate) fn entry(token: &str, subject: &str, tenant: &str) -> TokenEntry {
    entry_for(token, subject, tenant, &Right::USUAL)
}

pub(crate) fn start(agent: &str) -> StartRun {
    StartRun { agent: agent.into(), input: "Hi".into(), ..StartRun::default() }
}

/// Checks that an answer is a problem document of that status and code.
pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.status().as_u16(), status);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:stead:error:{code}"));
    assert!(problem["title"].as_str().is_some_and(|t| !t.is_empty()));
    problem
}
