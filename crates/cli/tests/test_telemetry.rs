//! `stead runs trace`, and a server that tells a collector what runs do while both are killed and away: each span is told, under the id that the
//! journal gives it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;

use crate::common::{Serving, TestEnvironment};

const AGENT: &str = r#"
stead: v1
name: walker
model: { rehearsal: ./script.yaml }
instructions: Write down where you are.
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
"#;
const SCRIPT: &str = "rules:\n  - when: { tool: notes_add }\n    say: \"Done.\"\n  - call: [{ tool: notes_add, args: { text: \"here\" } }]\n";
/// Runs that are started before each kill, and kills.
const RUNS: usize = 8;
const KILLS: usize = 4;
const LONG: Duration = Duration::from_secs(240);

/// A collector that takes every second request, and remembers the spans: each its run, name and id.
#[derive(Clone, Default)]
struct Collector {
    told: Arc<Mutex<BTreeSet<(String, String)>>>,
    asked: Arc<AtomicUsize>,
}

impl Collector {
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let this = this.clone();
                // A caller that is killed breaks off.
                std::thread::spawn(move || drop(this.serve(stream.unwrap())));
            }
        });
        url
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
        loop {
            let (mut length, mut line) = (0, String::new());
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            loop {
                let mut header = String::new();
                reader.read_line(&mut header)?;
                if header.trim().is_empty() {
                    break;
                }
                if let Some((_, n)) = header.to_ascii_lowercase().split_once("content-length:") {
                    length = n.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let taken = self.asked.fetch_add(1, Relaxed) % 2 == 1;
            if taken && line.starts_with("POST /v1/traces") {
                let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                self.told.lock().unwrap().extend(spans(&serde_json::to_value(request).unwrap()));
            }
            let status = if taken { "200 OK" } else { "503 Service Unavailable" };
            write!(writer, "HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

/// The names and ids of spans in OTLP's JSON.
fn spans(request: &Value) -> Vec<(String, String)> {
    let each = request["resourceSpans"].as_array().unwrap().iter().flat_map(|r| r["scopeSpans"].as_array().unwrap());
    let each = each.flat_map(|s| s["spans"].as_array().unwrap());
    each.map(|span| (span["name"].as_str().unwrap().to_owned(), span["spanId"].as_str().unwrap().to_owned())).collect()
}

fn walker() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("walker/agent.yaml", AGENT);
    env.write("walker/script.yaml", SCRIPT);
    env.write("walker/notes.sql", "CREATE TABLE notes (text TEXT NOT NULL);");
    env
}

#[test]
fn a_server_killed_between_facts_and_their_spans_loses_none() {
    let (env, collector) = (walker(), Collector::default());
    let url = collector.start();
    env.write(
        "stead.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[telemetry]\nendpoint = \"{url}\"\nmetrics = false\n"
        ),
    );
    let serve = || Serving::start(env.command(["serve"]), "serving");
    let mut server = serve();
    env.stead("agents apply walker").succeeds();
    let mut runs = Vec::new();
    for _ in 0..KILLS {
        for n in 0..RUNS {
            runs.push(env.stead(&format!("runs start walker 'Go {n}'")).succeeds().stdout.trim().to_owned());
        }
        server.kill();
        server = serve();
    }
    let began = Instant::now();
    loop {
        // What a run has told by its journal, once it has ended.
        let expected: Option<BTreeSet<_>> = runs.iter().try_fold(BTreeSet::new(), |mut all, run| {
            let told = spans(&env.json(&format!("runs trace {run} --otlp")));
            let ended = told.iter().any(|(name, _)| name == "invoke_agent walker");
            all.extend(told);
            ended.then_some(all)
        });
        let missing = expected.map(|all| all.difference(&collector.told.lock().unwrap()).cloned().collect::<Vec<_>>());
        match missing {
            Some(missing) if missing.is_empty() => break,
            missing => assert!(began.elapsed() < LONG, "never told: {missing:?}"),
        }
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_run_of_the_past_is_shown_exported_and_handed_to_a_collector() {
    let env = walker();
    env.stead("run walker Go").succeeds();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    let shown = env.stead(&format!("runs trace {run}")).succeeds().stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("trace ") && lines[1].starts_with("invoke_agent walker  +"), "{shown}");
    for part in
        ["  chat ", "  execute_tool notes_add", "    apply_guardrail policy", "    attempt_tool notes_add", "completed"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let exported = env.json(&format!("runs trace {run} --otlp"));
    let again = env.json(&format!("runs trace {run} --otlp"));
    assert_eq!(exported, again, "an export is the same each time");
    assert!(serde_json::from_value::<ExportTraceServiceRequest>(exported).is_ok(), "OpenTelemetry's own types read it");
    // A port at which nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = env.stead(&format!("runs trace {run} --endpoint http://{gone}"));
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("ST0400"), "{}", told.stderr);
}
