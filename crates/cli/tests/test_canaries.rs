//! A thousand secrets go through ten thousand tool calls of a server that is killed again and again. The service sends each one back
//! in every way that it can think of: in results, in errors, in headers, in another encoding. None is found in anything that is
//! kept, logged, shown to a model, told by a command, or in a box.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc::channel},
    thread::JoinHandle,
};

use axum::{
    Router,
    extract::{self, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::runtime::Runtime;

use crate::common::TestEnvironment;

const AGENTS: usize = 20;
/// Tools of one agent, each with a secret of its own.
const TOOLS: usize = 50;
/// How the service answers: one way each turn.
const WAYS: [&str; 10] = ["plain", "json", "error", "base64", "percent", "hex", "header", "binary", "redirect", "pair"];
/// Calls at which the server is killed.
const KILLS: [usize; 4] = [300, 1_200, 2_500, 4_500];
/// In the middle of every secret: what is looked for, in each encoding.
const MARK: &str = "Q7zXk9WmB4vT";

/// The secret of a tool: random, but for the mark.
fn canary(n: usize) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let word = || format!("{:016x}", RandomState::new().hash_one(n));
    format!("{}{MARK}{}", &word()[..12], &word()[..12])
}

/// Every form in which a secret may show.
fn needles() -> Vec<Vec<u8>> {
    let bytes = MARK.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let percent: String = bytes.iter().map(|b| format!("%{b:02x}")).collect();
    let mut all = vec![MARK.to_owned(), hex.to_uppercase(), hex, percent.to_uppercase(), percent];
    for before in 0..3 {
        let text = STANDARD.encode([&vec![b'.'; before][..], bytes].concat());
        let part = &text[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6];
        all.extend([part.to_owned(), part.replace('+', "-").replace('/', "_")]);
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// What is found, of all needles.
struct Search(Vec<Vec<u8>>);

impl Search {
    fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| {
            let mut rest = bytes;
            while let Some(at) = rest.iter().position(|b| *b == needle[0]) {
                if rest[at..].starts_with(needle) {
                    return true;
                }
                rest = &rest[at + 1..];
            }
            false
        })
    }

    /// Files below a folder that have it.
    fn files(&self, dir: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path, out);
            } else if self.is_in(&fs::read(&path).unwrap()) {
                out.push(path.display().to_string());
            }
        }
    }
}

/// What the service has seen.
#[derive(Default)]
struct Seen {
    calls: usize,
    secrets: HashSet<String>,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// The service.
struct Echo {
    shared: Shared,
    url: String,
    runtime: Option<Runtime>,
}

impl Echo {
    fn start() -> Self {
        let (runtime, shared) = (Runtime::new().unwrap(), Shared::default());
        let router = Router::new()
            .route("/echo/{way}", get(echo))
            .route("/next/{secret}", get(|extract::Path(s): extract::Path<String>| async move { format!("next {s}") }))
            .with_state(shared.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, url, runtime: Some(runtime) }
    }

    /// Waits until so many calls have come.
    fn reach(&self, calls: usize) {
        let (seen, news) = &*self.shared;
        drop(news.wait_while(seen.lock().unwrap(), |seen| seen.calls < calls).unwrap());
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn echo(State(shared): State<Shared>, extract::Path(way): extract::Path<String>, headers: HeaderMap) -> Response {
    let told = headers.get(header::AUTHORIZATION).map_or("", |v| v.to_str().unwrap());
    let secret = told.strip_prefix("Bearer ").unwrap_or_default().to_owned();
    {
        let mut seen = shared.0.lock().unwrap();
        seen.calls += 1;
        seen.secrets.insert(secret.clone());
    }
    shared.1.notify_all();
    let all = |f: fn(u8) -> String| secret.bytes().map(f).collect::<String>();
    let json = [(header::CONTENT_TYPE, "application/json")];
    match way.as_str() {
        "plain" => format!("you sent {told}, and again {secret}{secret}").into_response(),
        "json" => {
            (json, format!(r#"{{"token":"{secret}","of":[{{"header":"{told}"}}],"{secret}":1}}"#)).into_response()
        }
        "error" => {
            (StatusCode::UNPROCESSABLE_ENTITY, json, format!(r#"{{"error":"bad key {secret}"}}"#)).into_response()
        }
        "base64" => STANDARD.encode(format!("key={secret};")).into_response(),
        "percent" => {
            format!("https://x.example.com/?t={}&u={}", all(|b| format!("%{b:02X}")), all(|b| format!("%{b:02x}")))
                .into_response()
        }
        "hex" => format!("{} {}", all(|b| format!("{b:02x}")), all(|b| format!("{b:02X}"))).into_response(),
        "header" => {
            (StatusCode::BAD_REQUEST, [("x-token", secret.clone()), ("www-authenticate", secret)], "no").into_response()
        }
        "binary" => {
            let bytes = [&b"\xff\xfe"[..], secret.as_bytes(), b"\xff"].concat();
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        "redirect" => (StatusCode::FOUND, [(header::LOCATION, format!("/next/{secret}"))], secret).into_response(),
        _ => {
            format!("Basic {} {}", STANDARD.encode(format!("user:{secret}")), STANDARD.encode(&secret)).into_response()
        }
    }
}

/// A server whose log is kept.
struct Server {
    child: Child,
    log: JoinHandle<Vec<u8>>,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut from = BufReader::new(child.stderr.take().unwrap());
        let (tell, ready) = channel();
        let log = std::thread::spawn(move || {
            let (mut all, mut told) = (Vec::new(), false);
            let mut before = 0;
            while from.read_until(b'\n', &mut all).unwrap() > 0 {
                if !told && all[before..].windows(7).any(|w| w == b"serving") {
                    told = tell.send(()).is_ok();
                }
                before = all.len();
            }
            all
        });
        ready.recv().expect("the server says that it serves");
        Self { child, log }
    }

    fn kill(mut self) -> Vec<u8> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.join().unwrap()
    }
}

/// An agent whose tools each have a secret, and that calls all of them in each turn; a box besides, that looks around.
fn agent(env: &TestEnvironment, a: usize, url: &str) {
    let mut tools = String::new();
    for t in 0..TOOLS {
        let n = a * TOOLS + t;
        tools += &format!(
            "  t{t}:\n    http: {{ base_url: '{url}', operations: {{ echo: {{ method: GET, path: '/echo/{{{{args.way}}}}', params: {{ way: {{ type: string }} }} }} }} }}\n    auth: 'secret://c{}#k{}'\n    effect: pure\n",
            n / 100,
            n % 100
        );
    }
    tools += "  box:\n    command: [bash, -c]\n    workspace: rw\n    env: ['TOKEN=secret://single']\n    sandbox: { egress: [{ host: api.example.com, secrets: [{ secret: 'secret://single', inject: bearer }] }] }\n";
    env.write(
        &format!("a{a}/agent.yaml"),
        &format!("stead: v1\nname: a{a}\nmodel: {{ rehearsal: ./s.yaml }}\ninstructions: Ask all.\nprovenance: off\ntools:\n{tools}"),
    );
    let mut rules = String::new();
    for (turn, way) in WAYS.iter().enumerate() {
        let calls: Vec<_> = (0..TOOLS).map(|t| format!("{{ tool: t{t}_echo, args: {{ way: {way} }} }}")).collect();
        rules += &format!("- when: {{ turn: {} }}\n  call: [{}]\n", turn + 1, calls.join(", "));
    }
    let look = "env > seen; cat /proc/self/environ >> seen; cat seen";
    rules +=
        &format!("- when: {{ turn: {} }}\n  call: [{{ tool: box, args: {{ command: '{look}' }} }}]\n", WAYS.len() + 1);
    rules += "- when: { tool: '*' }\n  say: '{{result | text}}'\n";
    env.write(&format!("a{a}/s.yaml"), &format!("rules:\n{rules}"));
}

fn set(env: &TestEnvironment, name: &str, value: &str) {
    env.stead_with_input(&format!("secrets set {name}"), value).succeeds();
}

/// What the database keeps, unpacked: records, long texts, content of workspaces.
fn kept(dir: &Path) -> Vec<Vec<u8>> {
    let conn = rusqlite::Connection::open(dir.join("stead.db")).unwrap();
    let mut out = Vec::new();
    for table in ["records", "blobs", "objects", "snapshots", "inbox", "versions", "policies"] {
        let mut rows = conn.prepare(&format!("SELECT body FROM {table}")).unwrap();
        let bodies = rows.query_map([], |r| r.get::<_, Vec<u8>>(0)).unwrap();
        out.extend(bodies.map(|body| {
            let body = body.unwrap();
            if body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) { zstd::decode_all(&body[..]).unwrap() } else { body }
        }));
    }
    out
}

#[test]
fn a_thousand_canaries_through_ten_thousand_calls_and_kills_are_found_nowhere() {
    let (env, service, search) = (TestEnvironment::new(), Echo::start(), Search(needles()));
    let canaries: Vec<_> = (0..AGENTS * TOOLS).map(canary).collect();
    assert!(
        canaries.iter().all(|c| search.is_in(c.as_bytes())) && search.is_in(STANDARD.encode(&canaries[7]).as_bytes())
    );
    for (c, part) in canaries.chunks(100).enumerate() {
        let fields: Vec<_> = part.iter().enumerate().map(|(k, v)| format!("\"k{k}\":\"{v}\"")).collect();
        set(&env, &format!("c{c}"), &format!("{{{}}}", fields.join(",")));
    }
    let single = canary(usize::MAX);
    set(&env, "single", &single);
    let names: Vec<_> = (0..10).map(|c| format!("\"c{c}\"")).collect();
    env.write(
        "stead.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[agents]\nsecrets = [\"single\", {}]\n",
            names.join(", ")
        ),
    );
    let serve = || {
        let mut command = env.command(["serve"]);
        command.env("STEAD_LOG", "debug");
        Server::start(command)
    };
    let mut server = serve();
    let mut runs = Vec::new();
    for a in 0..AGENTS {
        agent(&env, a, &service.url);
        env.stead(&format!("agents apply a{a}")).succeeds();
        runs.push(env.stead(&format!("runs start a{a} go")).succeeds().stdout.trim().to_owned());
    }
    let mut logs = Vec::new();
    for calls in KILLS {
        service.reach(calls);
        logs.push(server.kill());
        server = serve();
    }
    // What commands tell, and what the model was shown.
    let mut told = Vec::new();
    for run in &runs {
        env.stead(&format!("runs watch {run}"));
        assert_eq!(env.json(&format!("runs show {run} --json"))["status"], "completed");
        for line in ["runs facts RUN --json", "runs context RUN 11", "runs show RUN"] {
            told.push(env.stead(&line.replace("RUN", run)).succeeds().stdout);
        }
        env.stead(&format!("runs record {run} -o {run}.cassette")).succeeds();
    }
    told.push(env.stead(&format!("runs files {} seen", runs[0])).succeeds().stdout);
    logs.push(server.kill());

    let seen = service.shared.0.lock().unwrap();
    assert!(seen.calls >= AGENTS * TOOLS * WAYS.len(), "{} calls", seen.calls);
    assert!(canaries.iter().all(|c| seen.secrets.contains(c)), "every secret reached its destination");
    let blotted = told.iter().filter(|text| text.matches("[secret]").count() >= TOOLS).count();
    assert!(blotted >= AGENTS, "echoes came back, and were blotted out: {blotted}");

    let mut found = Vec::new();
    search.files(env.path(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    let kept = kept(&env.path().join(".stead"));
    assert!(kept.len() > 1_000);
    for (what, texts) in [
        ("the database", kept),
        ("a log", logs),
        ("a command's words", told.into_iter().map(String::into_bytes).collect()),
    ] {
        for text in texts {
            assert!(!search.is_in(&text), "{what}: {}", String::from_utf8_lossy(&text));
        }
    }
}
