//! Previews with real tools: what people are shown before they say yes, and that nothing else is done than what they were shown.

use std::{fs, process::Command};

use rusqlite::Connection;

use crate::common::{Serving, TestEnvironment};

/// An agent that empties carts; people are shown how many.
fn carts() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write(
        "desk/agent.yaml",
        r#"stead: v1
name: desk
model: { rehearsal: ./script.yaml }
instructions: Keep the shop tidy.
tools:
  shop:
    sql:
      url: "sqlite:${data}/shop.db"
      seed: ./shop.sql
      allow: [SELECT, DELETE]
      queries:
        count_old:
          sql: SELECT count(*) AS n FROM carts WHERE age > :days
          params: { days: { type: integer } }
        purge:
          description: Deletes old carts.
          sql: DELETE FROM carts WHERE age > :days
          params: { days: { type: integer } }
    effects:
      count_old: pure
      purge: { class: irreversible, ask: true, preview: { call: count_old, binds: rows } }
    trust: { "$": trusted }
"#,
    );
    env.write(
        "desk/script.yaml",
        r#"rules:
  - when: { user: "(?i)purge" }
    call: [{ tool: shop_purge, args: { days: 30 } }]
  - when: { tool: shop_purge }
    say: "It said: {{result | text}}"
"#,
    );
    env.write(
        "desk/shop.sql",
        "CREATE TABLE carts (id INTEGER PRIMARY KEY, age INTEGER NOT NULL);
         INSERT INTO carts (age) VALUES (10), (40), (50), (60);",
    );
    env
}

fn left(env: &TestEnvironment) -> i64 {
    shop(env).query_row("SELECT count(*) FROM carts", [], |row| row.get(0)).unwrap()
}

fn shop(env: &TestEnvironment) -> Connection {
    let found = walk(env.path()).into_iter().find(|path| path.ends_with("shop.db"));
    Connection::open(found.expect("the shop's file is there")).unwrap()
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_statement_changes_as_many_rows_as_people_were_shown_or_none() {
    let env = carts();
    env.stead("run --quiet desk 'Purge old carts'");
    let approval = env.approval();
    let shown = env.stead(&format!("approvals show {approval}"));
    assert!(shown.stdout.contains("3 rows (done only while this holds: exactly 3 rows are changed)"), "{shown}");
    // Somebody leaves another cart before the yes.
    shop(&env).execute("INSERT INTO carts (age) VALUES (70)", []).unwrap();
    env.stead(&format!("approvals approve {approval}")).succeeds();
    let run = approval.split('.').next().unwrap();
    let ended = env.stead(&format!("run --resume {run}"));
    assert!(ended.stdout.contains("ST0386") && ended.stdout.contains("would have changed 4"), "{ended}");
    assert_eq!(left(&env), 5, "nothing was deleted");
    // Asked anew, people are shown how it is now.
    env.stead("run --quiet desk 'Purge old carts, again'");
    let approval = env.approval();
    assert!(env.stead(&format!("approvals show {approval}")).stdout.contains("4 rows"));
    env.stead(&format!("approvals approve {approval}")).succeeds();
    let run = approval.split('.').next().unwrap();
    let ended = env.stead(&format!("run --resume {run}"));
    assert!(!ended.stdout.contains("ST0386"), "{ended}");
    assert_eq!(left(&env), 1);
    let why = env.stead(&format!("runs why {run} e1"));
    assert!(why.stdout.contains("shop_count_old looks at what it would do"), "{why}");
    assert!(why.stdout.contains("preview (exactly 4 rows are changed)"), "{why}");
    let verified = env.json(&format!("runs verify {run} --json"));
    assert_eq!(verified["holds"], true, "{verified}");
}

#[test]
fn what_was_shown_is_in_the_text_that_is_signed_and_in_its_evidence() {
    let env = carts();
    let dev = Serving::start(env.command(["dev", "--port", "0", "desk"]), "try");
    env.stead("run --quiet desk 'Purge old carts'");
    let approval = env.approval();
    let shown = env.stead(&format!("approvals show {approval} --signed")).stdout;
    assert!(shown.contains("preview           3 rows\n"), "{shown}");
    assert!(shown.contains("done only while this holds: exactly 3 rows are changed"), "{shown}");
    env.stead(&format!("approvals approve {approval} --key .stead/keys/approver.key")).succeeds();
    let run = approval.split('.').next().unwrap();
    env.stead(&format!("runs watch {run}"));
    assert_eq!(left(&env), 1);
    env.stead(&format!("approvals receipt {approval} --output purge.evidence")).succeeds();
    let root = env.json("approvals keys ls --json")["anchor"].as_str().unwrap().to_owned();
    let found = env.json(&format!("runs verify {run} --json"));
    assert_eq!((&found["holds"], &found["signed"]), (&true.into(), &1.into()), "{found}");
    assert_eq!(dev.stop(), Some(0));
    env.stead(&format!("approvals verify purge.evidence --root {root}")).succeeds();
    let evidence = fs::read_to_string(env.path().join("purge.evidence")).unwrap();
    for (was, is) in [("exactly 3 rows", "exactly 4 rows"), ("3 rows\\", "4 rows\\")] {
        assert!(evidence.contains(was), "{was}: {evidence}");
        env.write("changed.evidence", &evidence.replace(was, is));
        let said = env.stead(&format!("approvals verify changed.evidence --root {root}"));
        assert!(said.stderr.contains("error[ST0374]"), "{was}: {said}");
    }
}

/// A service that has one order, with an entity tag, and does nothing for who holds another one. The first look at it hangs as long as the
/// file `hang` is there.
const ORDERS: &str = r#"
import http.server, json, os, sys, threading
folder = sys.argv[1]
state = {"version": 1, "cancelled": 0}
hung = threading.Event()
class Orders(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, tag=None):
        text = json.dumps(body).encode()
        self.send_response(status)
        if tag: self.send_header("ETag", tag)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def tag(self):
        return '"v%d"' % state["version"]
    def do_GET(self):
        if os.path.exists(os.path.join(folder, "hang")):
            open(os.path.join(folder, "looked"), "w").close()
            hung.wait()
        self.answer(200, {"status": "open", "total": 49, "version": state["version"]}, self.tag())
    def do_POST(self):
        if self.path == "/touch":
            state["version"] += 1
            return self.answer(200, {})
        if self.headers.get("If-Match") != self.tag():
            return self.answer(412, {"error": "it is another one now"})
        state["cancelled"] += 1
        state["version"] += 1
        self.answer(200, {"cancelled": state["cancelled"]})
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Orders)
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
"#;

fn orders() -> (TestEnvironment, Serving) {
    let env = TestEnvironment::new();
    env.write("orders.py", ORDERS);
    let mut service = Command::new("python3");
    service.args(["-I", "-B"]).arg(env.path().join("orders.py")).arg(env.path());
    let service = Serving::with_url(service);
    let manifest = r#"stead: v1
name: desk
model: { rehearsal: ./script.yaml }
instructions: Help with orders.
tools:
  orders:
    http:
      base_url: "URL"
      operations:
        get: { method: GET, path: "/orders/{{args.order_id}}", params: { order_id: { type: string } } }
        cancel:
          method: POST
          path: "/orders/{{args.order_id}}/cancel"
          params: { order_id: { type: string }, reason: { type: string } }
    effects:
      get: pure
      cancel:
        class: irreversible
        ask: true
        preview: { call: get, with: { order_id: "$.order_id" }, show: "$.status", binds: etag }
    trust: { "$": trusted }
"#;
    env.write("desk/agent.yaml", &manifest.replace("URL", &service.banner));
    env.write(
        "desk/script.yaml",
        r#"rules:
  - when: { user: "(?i)cancel" }
    call: [{ tool: orders_cancel, args: { order_id: "1042", reason: "late" } }]
  - when: { tool: orders_cancel }
    say: "It said: {{result | text}}"
"#,
    );
    (env, service)
}

#[test]
fn a_request_is_held_to_the_entity_tag_that_people_were_shown() {
    let (env, service) = orders();
    env.stead("run --quiet desk 'Cancel it'");
    let approval = env.approval();
    let shown = env.stead(&format!("approvals show {approval}"));
    assert!(shown.stdout.contains("open (done only while this holds: the entity tag is still \"v1\")"), "{shown}");
    // The order changes before the yes: the service refuses, and the model is told that nothing was done.
    touch(&service.banner);
    env.stead(&format!("approvals approve {approval}")).succeeds();
    let run = approval.split('.').next().unwrap();
    let ended = env.stead(&format!("run --resume {run}"));
    assert!(ended.stdout.contains("ST0386") && ended.stdout.contains("nothing was changed"), "{ended}");
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert!(facts.contains("effect_refused") && !facts.contains("effect_unknown"), "{facts}");
    env.stead("run --quiet desk 'Cancel it again'");
    let approval = env.approval();
    env.stead(&format!("approvals approve {approval}")).succeeds();
    let run = approval.split('.').next().unwrap();
    let ended = env.stead(&format!("run --resume {run}"));
    assert!(ended.stdout.contains(r#""cancelled": 1"#), "{ended}");
}

/// Changes the order.
fn touch(url: &str) {
    use std::io::{Read as _, Write as _};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "POST /touch HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

#[test]
fn a_process_that_is_killed_while_it_looks_is_followed_by_one_that_looks_again() {
    let (env, _service) = orders();
    env.write("hang", "");
    let mut child = env.command(["run", "--quiet", "desk", "Cancel it"]).spawn().unwrap();
    while !env.path().join("looked").exists() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(env.path().join("hang")).unwrap();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    env.stead(&format!("run --quiet --resume {run}"));
    let approval = env.approval();
    let shown = env.stead(&format!("approvals show {approval}"));
    assert!(shown.stdout.contains("open (done only while this holds: the entity tag is still \"v1\")"), "{shown}");
    env.stead(&format!("approvals approve {approval}")).succeeds();
    let ended = env.stead(&format!("run --resume {run}"));
    assert!(ended.stdout.contains(r#""cancelled": 1"#), "{ended}");
    let verified = env.json(&format!("runs verify {run} --json"));
    assert_eq!(verified["holds"], true, "{verified}");
}

#[test]
fn a_preview_that_is_none_is_refused_when_the_manifest_is_read() {
    for (preview, why) in [
        ("{ call: nothing, binds: rows }", "there is no operation `nothing`"),
        ("{ call: purge, binds: rows }", "cannot be its own"),
        ("{ call: count_old, binds: etag }", "`etag` binds one operation of an HTTP service"),
        ("{ call: count_old, bind: rows }", "bind"),
        ("{ call: also_purges }", "more than to look"),
    ] {
        let env = carts();
        let path = env.path().join("desk/agent.yaml");
        let manifest = fs::read_to_string(&path).unwrap();
        let manifest = manifest.replace("{ call: count_old, binds: rows }", preview).replace(
            "        purge:\n",
            "        also_purges:\n          sql: DELETE FROM carts WHERE age > :days\n          params: { days: { type: integer } }\n        purge:\n",
        );
        fs::write(&path, manifest).unwrap();
        let said = env.stead("agents apply desk");
        assert!(said.code != Some(0) && said.stderr.contains(why), "{preview}: {said}");
    }
}
