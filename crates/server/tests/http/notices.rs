//! People are told that they are asked: by webhook and by mail, once, also when nobody listened at first; and a stream tells what
//! happens. The receivers are real ones on loopback; the mail server is Python's `aiosmtpd`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use stead_api::{approval::event, right::Right, run::WaitUntil};
use stead_client::{Client, HeardAsked};
use stead_server::config::{Config, Format, Notice};
use tokio::sync::Notify;

use crate::lab::{ASKING, ASKING_FILES, Lab, config, entry_for, problem};

const LONG: Duration = Duration::from_secs(120);
/// The key of the example of Standard Webhooks.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What a model writes that wants to be more than text.
const HOSTILE: &str = "<!channel> *b* [a](http://evil.example) <a href='x'>y</a> \\u202e";

/// What a double was sent, and how it answers.
#[derive(Clone, Default)]
struct Hook(Arc<HookState>);

#[derive(Default)]
struct HookState {
    heard: Mutex<Vec<(HeaderMap, Value)>>,
    bell: Notify,
    /// Requests that it refuses first.
    refuses: Mutex<usize>,
}

impl Hook {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.on(listener)
    }

    fn on(&self, listener: tokio::net::TcpListener) -> String {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hear = async |State(hook): State<Self>, headers: HeaderMap, body: String| {
            hook.0.heard.lock().unwrap().push((headers, serde_json::from_str(&body).unwrap()));
            hook.0.bell.notify_one();
            let mut refuses = hook.0.refuses.lock().unwrap();
            if *refuses > 0 {
                *refuses -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/hook", post(hear)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    async fn until(&self, n: usize) -> Vec<(HeaderMap, Value)> {
        let wait = async {
            while self.0.heard.lock().unwrap().len() < n {
                self.0.bell.notified().await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap();
        self.0.heard.lock().unwrap().clone()
    }
}

fn notice(name: &str, url: &str) -> Notice {
    Notice { name: name.into(), webhook: Some(url.into()), ..Notice::default() }
}

/// A file of secrets that the server reads.
fn secrets(c: &mut Config, dir: &Path, all: &[(&str, &str)]) {
    let folder = dir.join("secrets");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, value) in all {
        let file = folder.join(name);
        std::fs::write(&file, value).unwrap();
        // Others must not be able to read a secret.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    c.secrets.dir = Some(folder);
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers[name].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_told_at_a_webhook_signed_and_again_under_the_same_id_until_it_is_taken() {
    let hook = Hook::default();
    *hook.0.refuses.lock().unwrap() = 1;
    let url = hook.start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut c = config(dir.path());
    secrets(&mut c, dir.path(), &[("key", KEY), ("url", &url)]);
    c.public_url = Some("https://stead.example.com/".into());
    let desk = Notice { secret: Some("secret://key".into()), resolved: true, ..notice("desk", "secret://url") };
    c.approvals.notices = vec![desk];
    let lab = Lab::over(dir, c).await;
    let waiting = lab.waiting().await;
    let id = waiting.approvals[0].id;
    let heard = hook.until(2).await;
    for (headers, body) in &heard {
        assert_eq!(header(headers, "webhook-id"), header(&heard[0].0, "webhook-id"), "the same notice");
        let text = body.to_string();
        let signed = format!("{}.{}.{text}", header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(
            &BASE64_STANDARD.decode(KEY.strip_prefix("whsec_").unwrap()).unwrap(),
        )
        .unwrap();
        hmac::Mac::update(&mut mac, signed.as_bytes());
        let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac::Mac::finalize(mac).into_bytes()));
        assert_eq!(header(headers, "webhook-signature"), expected);
        assert_eq!(body["type"], "approval.asked");
        assert_eq!(body["data"]["link"], format!("https://stead.example.com/approvals/{id}"));
        assert_eq!(body["data"]["details"], Value::Null);
        assert!(text.contains("notes_add") && !text.contains("milk"), "no arguments: {text}");
    }
    lab.client.approve(id, None).await.unwrap();
    let heard = hook.until(3).await;
    assert_eq!(heard[2].1["type"], "approval.resolved");
    assert_eq!(heard[2].1["data"]["rows"][0]["value"], "approved by owner");
    assert_ne!(header(&heard[2].0, "webhook-id"), header(&heard[0].0, "webhook-id"));
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("stead_notices_total{notice=\"desk\",result=\"sent\"} "), "{metrics}");
    assert!(metrics.contains("stead_notices_total{notice=\"desk\",result=\"failed\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_nobody_took_is_sent_by_the_next_process_and_no_other_twice() {
    let hook = Hook::default();
    // A port that nobody listens at yet.
    let kept = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = kept.local_addr().unwrap();
    drop(kept);
    let url = format!("http://{address}/hook");
    let change = |c: &mut Config| c.approvals.notices = vec![notice("desk", &url)];
    let lab = Lab::with(change).await;
    let waiting = lab.waiting().await;
    let dir = lab.stop().await;
    hook.on(tokio::net::TcpListener::bind(address).await.unwrap());
    let mut c = config(dir.path());
    change(&mut c);
    let lab = Lab::over(dir, c).await;
    let heard = hook.until(1).await;
    assert_eq!(heard[0].1["data"]["approval"], waiting.approvals[0].id.to_string());
    // What another process begins finds nothing owed; a question of a run that comes later is told after it.
    let dir = lab.stop().await;
    let mut c = config(dir.path());
    change(&mut c);
    let lab = Lab::over(dir, c).await;
    let later = lab.start("asking").await;
    lab.client.wait(later, WaitUntil::Waiting).await.unwrap();
    let heard = hook.until(2).await;
    let ids: BTreeSet<&str> = heard.iter().map(|(headers, _)| header(headers, "webhook-id")).collect();
    assert_eq!((heard.len(), ids.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_that_policies_overrule_is_told_as_that_and_not_as_an_approval() {
    let hook = Hook::default();
    let url = hook.start().await;
    let desk = Notice { resolved: true, ..notice("desk", &url) };
    let lab = Lab::with(|c| c.approvals.notices = vec![desk]).await;
    let waiting = lab.waiting().await;
    hook.until(1).await;
    let closed =
        r#"@id("closed") @reason("closed for today") forbid (principal, action in Action::"call_tool", resource);"#;
    let files = BTreeMap::from([("closed.cedar".to_owned(), closed.to_owned())]);
    lab.client.apply_policies(files).await.unwrap();
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    let ended = lab.ended(waiting.summary.id).await;
    assert_eq!(ended.output.as_deref(), Some("It was not added."));
    let heard = hook.until(2).await;
    assert_eq!(heard[1].1["type"], "approval.resolved");
    let outcome = "approved by owner, and denied by policy: closed after that";
    assert_eq!(heard[1].1["data"]["rows"][0]["value"], outcome);
    // The model hears the same, and so does whoever asks why.
    let facts = lab.client.facts(waiting.summary.id, &Default::default()).await.unwrap().items;
    let told = "ST0057: approved by owner, and denied after that by the policy `closed`: Not done: closed for today (policy `closed`)";
    assert!(facts.iter().any(|fact| fact.text.as_deref() == Some(told)), "{facts:?}");
}

/// All objects in a document.
fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Object(map) => [map].into_iter().chain(map.values().flat_map(objects)).collect(),
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_model_wrote_is_text_for_slack_and_teams_and_nothing_there_answers() {
    let (slack, teams) = (Hook::default(), Hook::default());
    let (to_slack, to_teams) = (slack.start().await, teams.start().await);
    let with = |name: &str, url: &str, format| Notice { format: Some(format), details: true, ..notice(name, url) };
    let lab = Lab::with(|c| {
        c.approvals.notices = vec![with("slack", &to_slack, Format::Slack), with("teams", &to_teams, Format::Teams)];
    })
    .await;
    let script = ASKING_FILES[1].1.replace("\"milk\"", &format!("\"{HOSTILE}\""));
    lab.apply(ASKING, &[ASKING_FILES[0], ("./script.yaml", &script)]).await;
    let run = lab.start("asking").await;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    let link = format!("{}/approvals/{}", lab.url.replace("127.0.0.1", "localhost"), waiting.approvals[0].id);
    for (hook, plain) in [(&slack, "plain_text"), (&teams, "TextRun")] {
        let body = hook.until(1).await[0].1.clone();
        let text = body.to_string();
        assert!(text.contains(&link) && text.contains("evil.example") && !text.contains('\u{202e}'), "{text}");
        for object in objects(&body) {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            assert!(
                !["actions", "button", "Action.Submit", "Action.Execute", "Action.Http"].contains(&kind),
                "{object:?}"
            );
            if object.get("text").and_then(Value::as_str).is_some_and(|text| text.contains("evil.example")) {
                assert_eq!(kind, plain, "{object:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_goes_nowhere_that_is_guarded_and_follows_nobody() {
    let hook = Hook::default();
    let elsewhere = hook.start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let moved = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(async move || axum::response::Redirect::temporary(&elsewhere)));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let lab = Lab::with(|c| {
        c.approvals.notices = vec![notice("meta", "http://169.254.169.254/hook"), notice("moved", &moved)];
    })
    .await;
    let told = problem(lab.post("/v1/approvals/notices/meta/test", &json!({})).await, 502, "ST0381").await;
    assert!(told["detail"].as_str().unwrap().contains("link-local"), "{told}");
    let told = problem(lab.post("/v1/approvals/notices/moved/test", &json!({})).await, 502, "ST0381").await;
    assert!(told["detail"].as_str().unwrap().contains("307"), "{told}");
    assert!(hook.0.heard.lock().unwrap().is_empty());
    problem(lab.post("/v1/approvals/notices/nobody/test", &json!({})).await, 404, "ST0382").await;
    let listed = lab.client.notices().await.unwrap().items;
    assert_eq!(listed.iter().map(|n| (&*n.name, &*n.kind)).collect::<Vec<_>>(), [("meta", "json"), ("moved", "json")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_for_other_people_agents_or_tenants_is_not_sent() {
    let (hook, all) = (Hook::default(), Hook::default());
    let (url, to_all) = (hook.start().await, all.start().await);
    let lab = Lab::with(|c| {
        let only = |name: &str| notice(name, &url);
        c.approvals.notices = vec![
            Notice { agents: ["hello".to_owned()].into(), ..only("agents") },
            Notice { tenant: Some("globex".into()), ..only("tenant") },
            Notice { roles: ["cfo".to_owned()].into(), ..only("roles") },
            notice("all", &to_all),
        ];
    })
    .await;
    lab.waiting().await;
    all.until(1).await;
    lab.client.test_notice("roles").await.unwrap();
    assert_eq!(hook.until(1).await.iter().map(|(_, body)| body["type"].clone()).collect::<Vec<_>>(), ["approval.test"]);
}

// -------------------------------------------------------------------------------------------------- mail

/// Prints each mail that it is sent as a line of JSON. Without TLS or without the right password it takes none.
const MAIL_SERVER: &str = r#"
import json, socket, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

class Handler:
    async def handle_DATA(self, server, session, envelope):
        data = envelope.content.decode("utf-8", "replace")
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "data": data, "tls": session.ssl is not None}
        print(json.dumps(told), flush=True)
        return "250 OK"

def authenticate(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"stead", b"open sesame")
    return AuthResult(success=ok)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
controller = Controller(Handler(), hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True,
                        authenticator=authenticate, auth_required=True)
port = lambda: controller.server.sockets[0].getsockname()[1]
# It waits for a first connection, to the port that it was told: any.
controller._trigger_server = lambda: socket.create_connection(("127.0.0.1", port())).close()
controller.start()
print(port(), flush=True)
sys.stdin.read()
controller.stop()
"#;

struct MailServer {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl MailServer {
    fn start(dir: &Path) -> Self {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        let python = cache.join("stead/aiosmtpd-1.4.6/bin/python3");
        assert!(python.exists(), "{} is missing: ./test installs it", python.display());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new(python);
        command.args(["-c", MAIL_SERVER]).arg(dir.join("cert.pem")).arg(dir.join("key.pem"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self { child, out, port: line.trim().parse().unwrap() }
    }

    /// The next mail.
    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_told_by_mail_over_tls_after_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(dir.path());
    let mut c = config(dir.path());
    secrets(&mut c, dir.path(), &[("smtp", "open sesame"), ("wrong", "shut sesame")]);
    let mail = Notice {
        name: "on-call".into(),
        smtp: Some(format!("smtp://localhost:{}", server.port)),
        username: Some("stead".into()),
        password: Some("secret://smtp".into()),
        ca: Some(dir.path().join("cert.pem")),
        from: Some("Stead <stead@stead.example>".into()),
        to: vec!["ann@x.example".into(), "Bob <bob@x.example>".into()],
        details: true,
        ..Notice::default()
    };
    let wrong = Notice {
        name: "wrong".into(),
        password: Some("secret://wrong".into()),
        agents: ["none".to_owned()].into(),
        ..mail.clone()
    };
    // The certificates of this host vouch for nobody there.
    let unknown = Notice {
        name: "unknown".into(),
        ca: None,
        smtp: Some(format!("smtps://localhost:{}", server.port)),
        agents: ["none".to_owned()].into(),
        ..mail.clone()
    };
    c.approvals.notices = vec![mail, wrong, unknown];
    let lab = Lab::over(dir, c).await;
    let script = ASKING_FILES[1].1.replace("\"milk\"", "\"<script>x</script>\\r\\nBcc: eve@evil.example\"");
    lab.apply(ASKING, &[ASKING_FILES[0], ("./script.yaml", &script)]).await;
    let run = lab.start("asking").await;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    let (told, server) = tokio::task::spawn_blocking(move || (server.mail(), server)).await.unwrap();
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!("stead@stead.example"), &json!(["ann@x.example", "bob@x.example"]))
    );
    assert_eq!(told["tls"], true);
    let data = told["data"].as_str().unwrap().replace("=\r\n", "").replace("=3D", "=");
    assert!(
        data.contains(&format!("{}/approvals/{}", lab.url.replace("127.0.0.1", "localhost"), waiting.approvals[0].id)),
        "{data}"
    );
    assert!(data.contains("List-Id: <on-call.approvals.stead.example>") && data.contains("text/html"), "{data}");
    let head = data.split("\r\n\r\n").next().unwrap();
    assert!(!head.contains("evil.example") && !head.contains("Bcc"), "{head}");
    assert!(data.contains("&lt;script&gt;") && !data.contains("<img") && !data.contains("<form"), "{data}");
    for name in ["wrong", "unknown"] {
        problem(lab.post(&format!("/v1/approvals/notices/{name}/test"), &json!({})).await, 502, "ST0381").await;
    }
    drop(server);
}

// ------------------------------------------------------------------------------------------------ stream

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_happens_to_approvals_and_goes_on_where_it_was_left() {
    let lab = Lab::with(|c| {
        c.auth.tokens = vec![
            entry_for("reader", "ann", "default", &[Right::Read]),
            entry_for("other", "bob", "globex", &[Right::Read, Right::Approve]),
        ];
    })
    .await;
    let first = lab.waiting().await.approvals[0].id;
    let mut follow = lab.client.follow_approvals(None);
    assert_eq!(follow.next().await.unwrap(), HeardAsked::Reset);
    let mut next = async || match follow.next().await.unwrap() {
        HeardAsked::Event(name, told) => (name, told),
        HeardAsked::Reset => panic!("nothing was missed"),
    };
    let (name, told) = next().await;
    assert_eq!((&*name, told.id), (event::OPENED, first), "what is open comes first");
    let run = lab.start("asking").await;
    let (name, told) = next().await;
    let second = told.id;
    assert_eq!((&*name, second.run), (event::OPENED, run));
    assert_eq!(told.approval.unwrap().tool.as_str(), "notes_add");
    lab.client.deny(second, None).await.unwrap();
    let (name, told) = next().await;
    assert_eq!((&*name, told.id, told.by.as_deref()), (event::DENIED, second, Some("owner")));
    let left = follow.last().unwrap().to_owned();

    lab.client.approve(first, None).await.unwrap();
    let mut again = lab.client.follow_approvals(Some(left));
    for expected in [event::APPROVED, event::CLOSED] {
        let HeardAsked::Event(name, told) = again.next().await.unwrap() else { panic!("nothing was missed") };
        assert_eq!((&*name, told.id), (expected, first));
    }
    // Another life of the server knows nothing of that id: it begins again, with nothing open.
    let mut elsewhere = lab.client.follow_approvals(Some("0000000000000001.7".into()));
    assert_eq!(elsewhere.next().await.unwrap(), HeardAsked::Reset);

    let stream_of = |token: &str, path: &str| {
        lab.bare(reqwest::Method::GET, path).bearer_auth(token).header("accept", "text/event-stream")
    };
    let stream = |token: &str| stream_of(token, "/v1/approvals");
    problem(stream("reader").send().await.unwrap(), 403, "ST0209").await;
    problem(stream(&lab.token).header("last-event-id", "x").send().await.unwrap(), 400, "ST0201").await;
    problem(stream_of(&lab.token, "/v1/approvals?agent=asking").send().await.unwrap(), 400, "ST0201").await;
    let mut other = Client::new(&lab.url, "other").unwrap().follow_approvals(None);
    assert_eq!(other.next().await.unwrap(), HeardAsked::Reset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_asks_no_more_than_the_operator_lets_it() {
    let lab = Lab::with(|c| c.approvals.max_per_run = 1).await;
    let again = ASKING_FILES[1].1.replace(
        "  - when: { tool: notes_add, error: true }",
        "  - when: { tool: notes_add, error: true, turn: 2 }\n    call: [{ tool: notes_add, args: { text: \"please\" } }]\n  - when: { tool: notes_add, error: true }",
    );
    lab.apply(ASKING, &[ASKING_FILES[0], ("./script.yaml", &again)]).await;
    let run = lab.start("asking").await;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    lab.client.deny(waiting.approvals[0].id, None).await.unwrap();
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("It was not added."));
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    for counted in ["stead_approvals_asked_total 1", "stead_approvals_refused_total 1"] {
        assert!(metrics.contains(counted), "{metrics}");
    }
}
