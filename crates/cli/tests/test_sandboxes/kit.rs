//! A server with session sandboxes, and small words for what callers do with it.

use std::{
    fs,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use stead_api::sandbox::{CreateSandbox, OutputSource, Sandbox, StartExec};
use stead_client::{Client, ClientError, Output};
use stead_core::{id::SandboxId, time::Span};

use crate::common::{Serving, TestEnvironment};

pub(crate) struct Lab {
    pub(crate) env: TestEnvironment,
    pub(crate) server: Serving,
    pub(crate) client: Client,
}

pub(crate) fn second(n: u64) -> Span {
    Span(n * 1_000_000)
}

pub(crate) const OTHER: &str = "token-of-another-tenant-that-is-long-enough";

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(config: &str) -> Self {
        let env = TestEnvironment::new();
        let digest = sha256(OTHER);
        env.write(
            "stead.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\nmetrics_open = true\n[[auth.tokens]]\nsubject = \"eve\"\ntenant = \"other\"\n\
                 sha256 = \"{digest}\"\nrights = [\"sandbox\"]\n{config}"
            ),
        );
        let (server, client) = serve(&env, "serve");
        Self { env, server, client }
    }

    /// One of a command line on the user's own machine, where callers may write every rule.
    pub(crate) fn dev() -> Self {
        let env = TestEnvironment::new();
        let (server, client) = serve(&env, "dev");
        Self { env, server, client }
    }

    pub(crate) fn other(&self) -> Client {
        Client::new(self.client.base().as_str(), OTHER).unwrap()
    }

    pub(crate) async fn create(&self) -> Sandbox {
        self.client.create_sandbox(&CreateSandbox::default()).await.unwrap()
    }

    /// Runs a command to its end: output, errors, code.
    pub(crate) async fn run(&self, id: SandboxId, script: &str) -> (String, String, Option<i32>) {
        run(&self.client, id, script).await
    }
}

pub(crate) fn serve(env: &TestEnvironment, word: &str) -> (Serving, Client) {
    let words: &[&str] = if word == "dev" { &["dev", "--port", "0", "--json"] } else { &["serve", "--json"] };
    let (server, line) = Serving::watch(env.command(words)).until("\n");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let token = fs::read_to_string(told["token"].as_str().unwrap()).unwrap();
    (server, Client::new(told["url"].as_str().unwrap(), token.trim()).unwrap())
}

/// By the program that is everywhere.
pub(crate) fn sha256(text: &str) -> String {
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

pub(crate) fn sh(script: &str) -> StartExec {
    StartExec { command: ["sh", "-c", script].map(str::to_owned).to_vec(), ..StartExec::default() }
}

pub(crate) async fn run(client: &Client, id: SandboxId, script: &str) -> (String, String, Option<i32>) {
    let exec = client.exec(id, &sh(script), None).await.unwrap();
    let mut follow = client.follow_exec(id, exec.n, 0).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => {
                let to = if chunk.source == OutputSource::Stderr { &mut err } else { &mut out };
                to.extend(STANDARD.decode(chunk.data).unwrap());
            }
            Output::Lost(lost) => panic!("{lost:?}"),
            Output::Exit(exit) => return (text(&out), text(&err), exit.end.code),
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T, ClientError>,
    status: u16,
    code: stead_core::code::Code,
) -> ClientError {
    let error = result.unwrap_err();
    assert_eq!((error.status, error.code), (Some(status), code), "{error}");
    error
}

pub(crate) async fn read(client: &Client, id: SandboxId, path: &str) -> Result<Vec<u8>, ClientError> {
    let mut pieces = client.read_file(id, path).await?;
    let mut out = Vec::new();
    while let Some(piece) = pieces.next().await {
        out.extend_from_slice(&piece?);
    }
    Ok(out)
}

pub(crate) async fn write(client: &Client, id: SandboxId, path: &str, text: &str) -> Result<u64, ClientError> {
    let piece = bytes::Bytes::from(text.to_owned());
    Ok(client.write_file(id, path, None, stream::iter([Ok(piece)])).await?.size)
}

/// Waits until something holds; what it waits for comes from elsewhere and cannot be waited for itself.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process of this host has that word among its arguments.
pub(crate) fn runs(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words.split(|b| *b == 0).any(|w| w == word.as_bytes())
    })
}

/// A number of seconds that no other test sleeps.
pub(crate) fn unique(n: u32) -> String {
    format!("{}.{n}", 1_000_000 + u64::from(std::process::id()))
}
