//! `stead audit erase`, `erasures` and `hold`, and what is left of a person's texts anywhere: in files as they are, in the database row by
//! row, unpacked, in cassettes, in a backup. Each search finds the words before the erasure, so that it can fail.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use rusqlite::{Connection, types::ValueRef};
use serde_json::Value;
use stead_core::{record::Record, run::GENESIS};
use stead_server::config::hash_token;
use stead_testkit::postgres::TestPostgres;

use crate::common::{Serving, TestEnvironment, root};

/// Words that only one person's texts have.
pub(crate) const ADA: &str = "Zq7adaXw9marker";
pub(crate) const BOB: &str = "Kp3bobTr5marker";
pub(crate) const OTHER: &str = "Mv8globexHn2marker";

/// An agent that looks up what it is told and says it again; with `boxes` it also writes a file.
const DESK: &str = r#"
stead: v1
name: desk
model: { rehearsal: ./script.yaml }
instructions: Look it up.
tools:
  db:
    sql:
      url: "sqlite:${data}/desk.db"
      seed: ./desk.sql
      allow: [SELECT]
      queries:
        find: { description: Finds., sql: "SELECT :word || ' found' AS said", params: { word: { type: string } } }
    effect: pure
"#;

const SCRIPT: &str = "rules:
- when: { tool: db_find }
  say: 'It says {{result | text}}'
- say: 'Looking.'
  call: [{ tool: db_find, args: { word: '{{user}}' } }]
";

fn token(name: &str) -> String {
    format!("token-of-{name}")
}

/// A server with two people and an operator in one tenant, and the same name in another one.
pub(crate) fn environment(database: Option<&str>) -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("desk/agent.yaml", DESK);
    env.write("desk/script.yaml", SCRIPT);
    env.write("desk/desk.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);");
    let mut config = "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n".to_owned();
    if let Some(database) = database {
        config += &format!("database = \"{database}\"\n");
    }
    for (name, subject, tenant, rights) in [
        ("ada", "ada", "acme", "[\"read\", \"run\"]"),
        ("bob", "bob", "acme", "[\"read\", \"run\"]"),
        ("op", "grace", "acme", "[\"read\", \"run\", \"apply\", \"admin\", \"approve\"]"),
        ("second", "henry", "acme", "[\"read\", \"admin\"]"),
        ("globex", "ada", "globex", "[\"read\", \"run\", \"apply\", \"admin\"]"),
    ] {
        let digest = hash_token(&token(name)).iter().fold(String::new(), |out, b| format!("{out}{b:02x}"));
        config += &format!(
            "[[auth.tokens]]\nsha256 = \"{digest}\"\nsubject = \"{subject}\"\ntenant = \"{tenant}\"\nrights = {rights}\n"
        );
    }
    env.write("stead.toml", &config);
    env
}

/// An agent whose only tool is a shell on the workspace of the session.
pub(crate) const WRITER: &str = "stead: v1
name: writer
model: { rehearsal: ./script.yaml }
instructions: Write it down.
provenance: off
tools:
  shell: { command: [sh, -c], workspace: rw, effect: contained }
";

#[test]
fn files_of_a_workspace_go_with_the_texts_and_those_of_others_stay() {
    let env = environment(None);
    env.write("writer/agent.yaml", WRITER);
    let script = "rules:\n- when: { tool: shell }\n  say: Written.\n- say: Writing.\n  \
        call: [{ tool: shell, args: { command: 'echo {{user}} > note.txt' } }]\n";
    env.write("writer/script.yaml", script);
    let server = serve(&env);
    As(&env, "op").does(&["agents", "apply", "writer"]).succeeds();
    for (who, mark) in [("ada", ADA), ("bob", BOB)] {
        As(&env, who).does(&["--quiet", "runs", "start", "writer", mark, "--watch"]).succeeds();
    }
    let data = env.path().join(".stead");
    for mark in [ADA, BOB] {
        let found = places(&data, mark);
        assert!(found.iter().any(|place| place.contains("objects")), "{mark}: {found:?}");
    }
    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    assert_eq!(places(&data, ADA), Vec::<String>::new());
    assert!(places(&data, BOB).iter().any(|place| place.contains("objects")));
    let listed = As(&env, "op").json(&["runs", "ls"]);
    let of = |title: &str| {
        let all = listed["items"].as_array().unwrap();
        all.iter().find(|run| run.to_string().contains(title)).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let gone = As(&env, "op").does(&["runs", "files", &of("[erased]")]);
    assert!(gone.stderr.contains("were erased"), "{gone}");
    As(&env, "op").does(&["runs", "files", &of(BOB)]).succeeds();
    server.stop();
}

/// The binary as one of the people, talking to the server.
pub(crate) struct As<'e>(pub(crate) &'e TestEnvironment, pub(crate) &'static str);

impl As<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let server: Value =
            serde_json::from_str(&fs::read_to_string(self.0.path().join(".stead/server.json")).unwrap()).unwrap();
        let mut command = self.0.command(args);
        command.env("STEAD_TOKEN", token(self.1)).args(["--server", server["url"].as_str().unwrap()]);
        command
    }

    pub(crate) fn does(&self, args: &[&str]) -> crate::common::Terminal {
        self.0.finish(self.command(args))
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let told = self.does(&[args, &["--json"]].concat());
        serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {told}"))
    }
}

pub(crate) fn serve(env: &TestEnvironment) -> Serving {
    Serving::start(env.command(["serve"]), "serving")
}

/// Each of the people lets a run work: with a long text, an attached file, a session's key and, the first time, in a session of two runs.
pub(crate) fn work(env: &TestEnvironment) {
    for (who, mark) in [("ada", ADA), ("bob", BOB), ("globex", OTHER)] {
        env.write("note.txt", &format!("attached {mark}\n"));
        let long = format!("{} {mark} {}", "so ".repeat(3_000), "end ".repeat(1_000));
        let session = format!("customer/{mark}");
        let work = |more: &[&str]| {
            As(env, who).does(&[&["--quiet", "runs", "start", "desk", "--watch"], more].concat()).succeeds()
        };
        work(&[mark, "--session", &session, "--attach", "note.txt", "--idempotency-key", &format!("key-{mark}")]);
        work(&[&format!("{mark} again"), "--session", &session]);
        work(&[&long]);
        // As one that a provider's wire was recorded to.
        let run = As(env, who).json(&["runs", "ls"])["items"][0]["id"].as_str().unwrap().to_owned();
        env.write(&format!(".stead/cassettes/{run}.jsonl"), &format!("{{\"said\":\"{mark}\"}}\n"));
    }
    fs::remove_file(env.path().join("note.txt")).unwrap();
}

fn has(bytes: &[u8], mark: &str) -> bool {
    bytes.windows(mark.len()).any(|part| part == mark.as_bytes())
}

/// Where a word stands in bytes that may hold packed ones.
pub(crate) fn is_in(bytes: &[u8], mark: &str) -> bool {
    if has(bytes, mark) {
        return true;
    }
    // Every zstd frame in it, wherever it begins: rows of a database file, chunks of a backup.
    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    (0..bytes.len().saturating_sub(4)).filter(|at| bytes[*at..].starts_with(&magic)).any(|at| {
        let mut plain = Vec::new();
        if let Ok(mut frame) = zstd::Decoder::new(&bytes[at..]) {
            // What cannot be unpacked to its end is looked at as far as it went.
            let _ = frame.by_ref().take(64 << 20).read_to_end(&mut plain);
        }
        // A frame may have frames in it: a record within a chunk.
        !plain.is_empty() && is_in(&plain, mark)
    })
}

/// All places below a folder that have a word: files, and tables of databases.
pub(crate) fn places(dir: &Path, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(places(&path, mark));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            if is_in(&bytes, mark) {
                found.push(path.display().to_string());
            }
            if bytes.starts_with(b"SQLite format 3") {
                found.extend(tables(&path, mark));
            }
        }
    }
    found
}

/// Tables of a database with a word in any column of any row, packed or not.
fn tables(database: &Path, mark: &str) -> Vec<String> {
    let conn = Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let names: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap()
        .query_map([], |r| r.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut found = Vec::new();
    for name in names {
        let mut all = conn.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let hit = (0..columns).any(|n| match row.get_ref(n).unwrap() {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => is_in(bytes, mark),
                _ => false,
            });
            if hit {
                found.push(format!("{}: {name}", database.display()));
            }
        }
    }
    found
}

/// Takes a bundle of all of the tenant's log, and holds it against both verifiers.
pub(crate) fn verified(env: &TestEnvironment, name: &str) {
    let op = As(env, "op");
    op.does(&["audit", "bundle", "-o", name]).succeeds();
    both(env, name);
}

fn both(env: &TestEnvironment, name: &str) {
    let logs = As(env, "op").json(&["audit", "logs"]);
    let key = logs["items"].as_array().unwrap().iter().find(|log| log["log"] == "tenant").unwrap()["key"].clone();
    let key = key.as_str().unwrap();
    env.finish(env.command(["audit", "verify", name, "--key", key])).succeeds();
    let script = root().join("crates/audit/verifier/verify.py");
    let mut python = Command::new("python3");
    python.arg(script).args(["bundle", name, "--log", key]).current_dir(env.path());
    env.finish(python).succeeds();
}

/// How many texts the journal has, and how many different bytes blind them.
fn blinded(env: &TestEnvironment) -> (usize, usize) {
    let conn = Connection::open(env.path().join(".stead/stead.db")).unwrap();
    let mut all = conn.prepare("SELECT body FROM records").unwrap();
    let bodies: Vec<Vec<u8>> = all.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let (mut texts, mut blinds) = (0, std::collections::BTreeSet::new());
    for body in bodies {
        let body = if body[0] == 0x28 { zstd::decode_all(&body[..]).unwrap() } else { body };
        let (record, _) = Record::decode(&body, GENESIS).unwrap();
        texts += record.payloads.len();
        blinds.extend(record.payloads.iter().filter_map(|payload| payload.blind));
    }
    (texts, blinds.len())
}

fn runs_of(env: &TestEnvironment, who: &'static str) -> usize {
    As(env, who).json(&["runs", "ls"])["items"].as_array().unwrap().len()
}

#[test]
fn nothing_of_a_persons_texts_is_left_and_every_proof_still_holds() {
    let env = environment(None);
    let server = serve(&env);
    As(&env, "op").does(&["agents", "apply", "desk"]).succeeds();
    As(&env, "globex").does(&["agents", "apply", "desk"]).succeeds();
    work(&env);
    verified(&env, "before.bundle");
    let all = runs_of(&env, "op");
    let (texts, blinds) = blinded(&env);
    assert!(texts > 0 && texts == blinds, "{texts} texts, {blinds} blinds");
    let data = env.path().join(".stead");
    // The search finds what there is: in the tables, in cassettes, packed and as it is.
    let before = places(&data, ADA);
    for place in ["records", "runs", "sessions", "blobs", "cassettes"] {
        assert!(before.iter().any(|found| found.contains(place)), "{place}: {before:?}");
    }
    env.stead("backup old.backup").succeeds();
    // In the backup it stands sealed: with its keys it comes out of it.
    assert!(!is_in(&fs::read(env.path().join("old.backup")).unwrap(), ADA));
    fs::copy(env.path().join("old.backup.keys"), env.path().join("old.keys")).unwrap();

    let op = As(&env, "op");
    let dry = op.does(&["audit", "erase", "ada", "--dry-run"]).succeeds();
    assert!(dry.stdout.starts_with("would erase ") && dry.stdout.contains(" of 3 runs in acme"), "{dry}");
    assert!(!places(&data, ADA).is_empty(), "a dry run erases nothing");
    let refused = As(&env, "ada").does(&["audit", "erase", "bob"]);
    assert!(refused.stderr.contains("ST0053") || refused.code == Some(1), "{refused}");
    let erased = op.does(&["audit", "erase", "ada", "--reason", "asked for", "-o", "certificate"]).succeeds();
    assert!(erased.stdout.starts_with("erased the texts of 3 runs in acme"), "{erased}");

    assert_eq!(places(&data, ADA), Vec::<String>::new());
    env.stead("backup new.backup").succeeds();
    // Others' texts are where they were: another person's, and those of the same name in another tenant.
    for mark in [BOB, OTHER] {
        for place in ["records", "runs", "sessions", "blobs", "cassettes"] {
            assert!(places(&data, mark).iter().any(|found| found.contains(place)), "{mark}: {place}");
        }
    }
    // The runs are still there, with their facts; they can be listed, looked at and verified.
    assert_eq!(runs_of(&env, "op"), all);
    let listed = op.json(&["runs", "ls"]);
    let gone: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["input"] == "[erased]" || run["title"] == "[erased]")
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    assert_eq!(gone.len(), 3, "{listed}");
    for run in gone {
        op.does(&["runs", "show", run]).succeeds();
        op.does(&["runs", "verify", run]).succeeds();
    }
    both(&env, "before.bundle");
    verified(&env, "after.bundle");
    // The certificate holds, by both verifiers, with the key of the operators' log, and names nobody.
    let logs = op.json(&["audit", "logs"]);
    let key = logs["items"].as_array().unwrap().iter().find(|log| log["log"] == "operators").unwrap()["key"].clone();
    let key = key.as_str().unwrap().to_owned();
    let told = env.finish(env.command(["audit", "verify", "certificate", "--key", &key])).succeeds();
    assert!(told.stdout.contains("of 3 runs"), "{told}");
    let mut python = Command::new("python3");
    python.arg(root().join("crates/audit/verifier/verify.py")).args(["certificate", "certificate", "--log", &key]);
    env.finish({
        python.current_dir(env.path());
        python
    })
    .succeeds();
    let certificate = fs::read_to_string(env.path().join("certificate")).unwrap();
    // As a word: three letters are in a hash by chance.
    assert!(!certificate.split_whitespace().any(|word| word == "ada"), "{certificate}");
    fs::write(env.path().join("forged"), certificate.replace("\nruns 3\n", "\nruns 2\n")).unwrap();
    let forged = env.finish(env.command(["audit", "verify", "forged", "--key", &key]));
    assert!(forged.stderr.contains("error[ST0364]"), "{forged}");
    let acts = op.json(&["audit", "ls", "--log", "operators"]);
    // Somebody of that name in another tenant is another person.
    let ours = |act: &&serde_json::Value| act["act"]["body"]["tenant"] != "globex";
    let acts: String = acts["items"].as_array().unwrap().iter().filter(ours).map(ToString::to_string).collect();
    assert!(acts.contains("erasure_done") && !acts.contains("\"ada\""), "{acts}");

    // A run that comes later is another matter, and a second erasure takes that too.
    As(&env, "ada").does(&["--quiet", "runs", "start", "desk", ADA, "--watch"]).succeeds();
    assert!(!places(&data, ADA).is_empty());
    op.does(&["audit", "erase", "ada"]).succeeds();
    assert_eq!(places(&data, ADA), Vec::<String>::new());
    server.stop();
    assert_eq!(places(&data, ADA), Vec::<String>::new(), "nor after the server has ended");

    // A backup of before has the texts: restored beside the file of certificates they go again.
    fs::copy(data.join("erasures"), env.path().join("kept.erasures")).unwrap();
    let restored =
        env.stead("restore old.backup --data other --subject-keys old.keys --erasures kept.erasures").succeeds();
    assert!(restored.stdout.contains("2 erasures done again: the texts of 3 runs are gone"), "{restored}");
    assert_eq!(places(&env.path().join("other"), ADA), Vec::<String>::new());
    assert!(!places(&env.path().join("other"), BOB).is_empty());
    // Without it they are there, so the test before can fail.
    env.stead("restore old.backup --data third --subject-keys old.keys").succeeds();
    assert!(!places(&env.path().join("third"), ADA).is_empty());
    // A later backup has the erasures, and is restored without anything being done again.
    let later = env.stead("restore new.backup --data fourth").succeeds();
    assert!(!later.stdout.contains("done again"), "{later}");
    assert_eq!(places(&env.path().join("fourth"), ADA), Vec::<String>::new());
}

#[test]
fn nothing_of_a_persons_texts_is_left_in_postgresql() {
    let postgres = TestPostgres::start();
    let env = environment(Some(&postgres.url()));
    let _server = serve(&env);
    As(&env, "op").does(&["agents", "apply", "desk"]).succeeds();
    As(&env, "globex").does(&["agents", "apply", "desk"]).succeeds();
    work(&env);
    let dump = |mark: &str| {
        let url = postgres.url();
        let _ = (fs::remove_file(env.path().join("dump")), fs::remove_dir_all(env.path().join("dumped")));
        env.finish(env.command(["backup", "dump", "--store", &url])).succeeds();
        assert!(!is_in(&fs::read(env.path().join("dump")).unwrap(), mark), "it stands sealed in it");
        env.stead("restore dump --data dumped").succeeds();
        !places(&env.path().join("dumped"), mark).is_empty()
    };
    assert!(dump(ADA) && dump(BOB) && dump(OTHER));
    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    assert!(!dump(ADA) && dump(BOB) && dump(OTHER));
    assert_eq!(places(&env.path().join(".stead"), ADA), Vec::<String>::new());
    verified(&env, "after.bundle");
}

#[test]
fn a_legal_hold_refuses_an_erasure_until_it_is_released() {
    let env = environment(None);
    let _server = serve(&env);
    let op = As(&env, "op");
    op.does(&["agents", "apply", "desk"]).succeeds();
    As(&env, "ada").does(&["--quiet", "runs", "start", "desk", ADA, "--watch"]).succeeds();
    let run = op.json(&["runs", "ls"])["items"][0].clone();
    let (run, session) = (run["id"].as_str().unwrap().to_owned(), run["session"].as_str().unwrap().to_owned());
    for (what, name) in [("subject", "ada"), ("run", &*run), ("session", &*session), ("tenant", "acme")] {
        let placed = op.json(&["audit", "hold", "place", what, name, "--reason", "case 7"]);
        let id = placed["id"].as_str().unwrap().to_owned();
        let refused = op.does(&["audit", "erase", "ada"]);
        assert!(refused.stderr.contains("error[ST0361]") && refused.stderr.contains("case 7"), "{what}: {refused}");
        assert!(!places(&env.path().join(".stead"), ADA).is_empty());
        let listed = op.does(&["audit", "hold", "ls"]).succeeds();
        assert!(listed.stdout.contains(&id) && listed.stdout.contains("case 7"), "{listed}");
        // Another tenant's operator neither sees nor ends it.
        assert!(!As(&env, "globex").does(&["audit", "hold", "ls"]).stdout.contains(&id));
        assert_ne!(As(&env, "globex").does(&["audit", "hold", "release", &id]).code, Some(0));
        op.does(&["audit", "hold", "release", &id]).succeeds();
        assert_ne!(op.does(&["audit", "hold", "release", &id]).code, Some(0), "once");
    }
    op.does(&["audit", "erase", "ada"]).succeeds();
    assert_eq!(places(&env.path().join(".stead"), ADA), Vec::<String>::new());
    // The name in a hold that was released went too.
    let all = op.does(&["audit", "hold", "ls", "--all"]).succeeds();
    assert!(!all.stdout.contains("subject ada") && all.stdout.contains("erased:"), "{all}");
}

#[test]
fn an_erasure_waits_for_a_second_person_where_four_eyes_are_asked_for() {
    let env = environment(None);
    let config = fs::read_to_string(env.path().join("stead.toml")).unwrap();
    env.write("stead.toml", &format!("{config}[erasure]\nfour_eyes = true\n"));
    let _server = serve(&env);
    let op = As(&env, "op");
    op.does(&["agents", "apply", "desk"]).succeeds();
    As(&env, "ada").does(&["--quiet", "runs", "start", "desk", ADA, "--watch"]).succeeds();
    As(&env, "bob").does(&["--quiet", "runs", "start", "desk", BOB, "--watch"]).succeeds();
    let proposed = op.json(&["audit", "erase", "ada"]);
    assert_eq!(proposed["state"], "proposed");
    let id = proposed["id"].as_str().unwrap().to_owned();
    assert!(!places(&env.path().join(".stead"), ADA).is_empty());
    assert_ne!(op.does(&["audit", "erase", "ada", "--confirm", &id]).code, Some(0), "not by oneself");
    let second = As(&env, "second");
    assert_ne!(second.does(&["audit", "erase", "bob", "--confirm", &id]).code, Some(0), "not for somebody else");
    second.does(&["audit", "erase", "ada", "--confirm", &id]).succeeds();
    assert_eq!(places(&env.path().join(".stead"), ADA), Vec::<String>::new());
    assert!(!places(&env.path().join(".stead"), BOB).is_empty());
}

#[test]
fn an_erasure_that_is_killed_at_any_point_is_finished_by_the_next_process() {
    let env = environment(None);
    let mut server = Some(serve(&env));
    As(&env, "op").does(&["agents", "apply", "desk"]).succeeds();
    for n in 0..40 {
        As(&env, "ada").does(&["runs", "start", "desk", &format!("{ADA} {n} {}", "so ".repeat(2_000))]).succeeds();
    }
    As(&env, "bob").does(&["--quiet", "runs", "start", "desk", BOB, "--watch"]).succeeds();
    while As(&env, "op").json(&["runs", "ls", "--status", "running"])["items"]
        .as_array()
        .is_some_and(|all| !all.is_empty())
    {}
    let done = |env: &TestEnvironment| {
        let all = As(env, "op").json(&["audit", "erasures"]);
        all["erasures"].as_array().unwrap().iter().filter(|e| e["state"] == "done").count()
    };
    let begin = |env: &TestEnvironment| -> Child {
        let mut erase = As(env, "op").command(&["audit", "erase", "ada"]);
        erase.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    // Killed as soon as something was erased, whatever that is, again and again.
    let mut left = i64::MAX;
    for _ in 0..4 {
        let mut client = begin(&env);
        let database = env.path().join(".stead/stead.db");
        loop {
            let conn = Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            let sql = "SELECT count(*) FROM runs WHERE title <> '[erased]' AND started_by = 'ada'";
            let now: i64 = conn.query_row(sql, [], |r| r.get(0)).unwrap();
            if now < left {
                left = now;
                break;
            }
            if client.try_wait().unwrap().is_some() {
                break;
            }
        }
        server.take().unwrap().kill();
        let _ = client.wait();
        server = Some(serve(&env));
    }
    // Nobody asks again: the server goes on by itself.
    while done(&env) == 0 {}
    assert_eq!(places(&env.path().join(".stead"), ADA), Vec::<String>::new());
    assert!(!places(&env.path().join(".stead"), BOB).is_empty());
    verified(&env, "after.bundle");
}
