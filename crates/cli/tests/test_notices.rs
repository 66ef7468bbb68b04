//! Notices of questions, with the real server: it is killed with `kill -9` between a question and its notice. The receiver is in this
//! process; it answers nothing as long as it is told to hold, so that what it is sent stays on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use serde_json::Value;

use crate::common::{Serving, TestEnvironment};

/// How long something may take at most; nothing is waited for that long unless it is broken. A notice that a killed process had taken
/// is sent again after 30 seconds.
const PATIENCE: Duration = Duration::from_secs(200);

/// A webhook.
struct Receiver {
    address: SocketAddr,
    state: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Default)]
struct Heard {
    /// Whether nothing is answered.
    holds: bool,
    notices: Vec<Told>,
}

/// A notice as it came in.
#[derive(Clone, Debug)]
struct Told {
    id: String,
    approval: String,
    answered: bool,
}

impl Receiver {
    fn start(holds: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new((Mutex::new(Heard { holds, notices: Vec::new() }), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || hear(stream, &state));
            }
        });
        Self { address, state }
    }

    /// What came in, once that is enough.
    fn until(&self, enough: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let heard = self.state.0.lock().unwrap();
        let (heard, waited) =
            self.state.1.wait_timeout_while(heard, PATIENCE, |heard| !enough(&heard.notices)).unwrap();
        assert!(!waited.timed_out(), "what is waited for never comes: {:?}", heard.notices);
        heard.notices.clone()
    }

    fn config(&self) -> String {
        format!("[[approvals.notices]]\nname = \"desk\"\nwebhook = \"http://{}/hook\"\n", self.address)
    }
}

/// Takes one request. One that is not answered is held until whoever asked has given up or is dead.
fn hear(stream: TcpStream, (heard, news): &(Mutex<Heard>, Condvar)) -> Option<()> {
    let mut from = BufReader::new(stream.try_clone().ok()?);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("webhook-id", value)) => id = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if line == "\r\n" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let approval = body["data"]["approval"].as_str().unwrap().to_owned();
    let mut heard = heard.lock().unwrap();
    let answered = !heard.holds;
    heard.notices.push(Told { id, approval, answered });
    news.notify_all();
    if answered {
        drop(heard);
        let mut to = stream;
        return to.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok();
    }
    drop(heard);
    from.read_to_end(&mut Vec::new()).ok().map(drop)
}

/// An agent whose one tool needs a human.
fn with_asker() -> TestEnvironment {
    let env = TestEnvironment::new();
    let manifest = r#"
stead: v1
name: asker
model: { rehearsal: ./script.yaml }
instructions: Add a note.
tools:
  notes:
    sql:
      url: "sqlite:${data}/notes.db"
      seed: ./notes.sql
      allow: [INSERT]
      queries: { add: { description: Adds a note., sql: "INSERT INTO notes (text) VALUES ('milk')" } }
    ask: true
"#;
    env.write("asker/agent.yaml", manifest);
    env.write("asker/script.yaml", "rules:\n  - { call: [{ tool: notes_add, args: {} }] }\n");
    env.write("asker/notes.sql", "CREATE TABLE notes (text TEXT NOT NULL);");
    env
}

/// Starts so many runs, and waits until each of all that there are asks. The names of their questions.
fn asked(env: &TestEnvironment, more: usize, all: usize) -> BTreeSet<String> {
    for _ in 0..more {
        env.stead("runs start asker Go").succeeds();
    }
    loop {
        let open = env.json("approvals ls --json");
        let open: BTreeSet<String> =
            open["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        if open.len() == all {
            return open;
        }
    }
}

/// By question, the ids of its notices and how many were answered.
fn by_question(told: &[Told]) -> BTreeMap<String, (BTreeSet<String>, usize)> {
    let mut all: BTreeMap<String, (BTreeSet<String>, usize)> = BTreeMap::new();
    for one in told {
        let entry = all.entry(one.approval.clone()).or_default();
        entry.0.insert(one.id.clone());
        entry.1 += usize::from(one.answered);
    }
    all
}

#[test]
fn a_question_whose_servers_are_killed_before_its_notice_was_taken_is_told_by_the_next_under_the_same_id() {
    // Six questions, and a server sends at most four at once: some are on their way when it is killed, and some not.
    const QUESTIONS: usize = 6;
    let env = with_asker();
    // Each server has a receiver of its own: what one that is dead had sent may be read late.
    let serve = |receiver: &Receiver| {
        env.write("stead.toml", &format!("listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n{}", receiver.config()));
        Serving::start(env.command(["serve"]), "serving")
    };
    let first = Receiver::start(true);
    let server = serve(&first);
    env.stead("agents apply asker").succeeds();
    let open = asked(&env, QUESTIONS, QUESTIONS);
    first.until(|told| !told.is_empty());
    server.kill();

    // The next one is killed too, as soon as it has something on its way.
    let second = Receiver::start(true);
    let server = serve(&second);
    second.until(|told| !told.is_empty());
    server.kill();

    // The third is listened to. Each question is told, and taken once.
    let third = Receiver::start(false);
    let server = serve(&third);
    let told = by_question(&third.until(|told| told.len() >= QUESTIONS));
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), open, "each question is told of");
    assert!(told.values().all(|(ids, answered)| ids.len() == 1 && *answered == 1), "{told:?}");
    let ids: BTreeSet<_> = told.values().flat_map(|(ids, _)| ids).collect();
    assert_eq!(ids.len(), QUESTIONS, "no two questions share an id");
    // What was on its way before bore the same ids, by which a receiver knows it again.
    for (question, (ids, answered)) in
        by_question(&first.until(|_| true)).into_iter().chain(by_question(&second.until(|_| true)))
    {
        assert_eq!((&ids, answered), (&told[&question].0, 0));
    }

    // What was taken is owed no more, also after another start.
    assert_eq!(server.stop(), Some(0));
    let _server = serve(&third);
    let later = asked(&env, 1, QUESTIONS + 1);
    let told = by_question(&third.until(|told| told.len() > QUESTIONS));
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), later);
    assert!(told.values().all(|(ids, answered)| ids.len() == 1 && *answered == 1), "{told:?}");
}
