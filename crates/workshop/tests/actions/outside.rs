//! What an action reaches: what its rules allow, with secrets that it never has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    sandbox::{BoxLimits, Traffic},
};
use stead_egress::{Event, Trust};
use stead_ports::{sandbox::Limits, tool::Left};
use stead_workshop::{Settings, Variable, Work};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::{
    hosts::{Authority, host, tls_host},
    kit::{Kit, Run, run, settings, told},
};

const SECRET: &str = "ghp_Zk8vN3qLw0RtY7uXbC5mA2sD";

fn reaching(port: u16) -> Settings {
    let egress = serde_json::from_value(json!([{
        "host": "api.test", "ports": [port], "scheme": "http", "methods": ["GET"], "paths": ["/v1/*"],
        "addresses": ["127.0.0.0/8"], "secrets_in_clear": true,
        "secrets": [{"secret": "github", "inject": "bearer"}],
    }]));
    let env = [("GITHUB_TOKEN".to_owned(), Variable::Secret("github".to_owned()))].into();
    Settings { egress: egress.unwrap(), env, ..settings() }
}

const CLIENT: &str = r#"
import os, sys, urllib.request, urllib.error, socket, ssl
def ask(url, **fields):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=fields), timeout=10) as a: return a.status, a.read().decode()
    except urllib.error.HTTPError as e: return e.code, e.read().decode()
port = PORT
token = os.environ['GITHUB_TOKEN']
print('allowed', *ask(f'http://api.test:{port}/v1/me', Authorization='Bearer ' + token))
print('path', *ask(f'http://api.test:{port}/v2/me'))
print('host', *ask(f'http://other.test:{port}/v1/me'))
print('elsewhere', *ask(f'http://api.test:{port}/v1/x', **{'X-Copy': token}))
try: socket.create_connection(('127.0.0.1', port), 2); print('direct reached')
except OSError as e: print('direct', e.errno)
print('env', dict(os.environ))
print('proc', open('/proc/self/environ').read())
print('authorities', len(ssl.create_default_context(cafile=os.environ['SSL_CERT_FILE']).get_ca_certs()) > 0)
open('/workspace/token', 'w').write(token)
"#;

/// Abuse 37, 40.
#[tokio::test]
async fn an_action_reaches_what_its_rules_allow_and_never_has_the_secret_that_goes_with_it() {
    let kit = Kit::new().await;
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let (address, heard) = host().await;
    let tool = kit.shell_with(&reaching(address.port()));
    assert_eq!(tool.default_class, EffectClass::Irreversible, "what it does outside cannot be thrown away");
    let script = format!("python3 - <<'END'{}END", CLIENT.replace("PORT", &address.port().to_string()));
    let mut run = run(1);
    let outcome = kit.call(&mut run, &tool, json!({"command": script})).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    let report: Value = serde_json::from_str(&output.content).unwrap();
    let out = report["stdout"].as_str().unwrap();
    assert_eq!(report["exit_code"], 0, "{report}");
    // The host was shown the secret, and its echo came back without it.
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() == 1 && heard[0].contains(&format!("Bearer {SECRET}")), "{heard:?}");
    assert!(out.contains("allowed 200 GET /v1/me") && out.contains("Bearer ***"), "{out}");
    for (what, code) in [("path 403", "ST0250"), ("host 403", "ST0250"), ("elsewhere 403", "ST0255")] {
        let line = out.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {report}"));
        assert!(line.contains(code), "{line}");
    }
    assert!(out.contains("direct 111") && out.contains("authorities True"), "{out}");
    let placeholder = kit.file(&run, "token").await.unwrap();
    assert!(placeholder.starts_with("stead-secret-"), "{placeholder}");
    assert!(!output.content.contains(SECRET));
    // The environment has NULs between its variables, so the output is kept as a file too.
    assert!(output.files.iter().all(|file| !String::from_utf8_lossy(&file.content).contains(SECRET)));
    // All of it is on record, and is the action's.
    let used = output.action.unwrap().sandbox.unwrap().traffic.unwrap();
    assert_eq!(
        Traffic { sent: 0, ..used },
        Traffic { allowed: 1, denied: 3, sent: 0, received: heard[0].len() as u64 }
    );
    assert!(report["notes"].to_string().contains("3 requests were refused"), "{report}");
    let record = kit.world.record.lock().unwrap().clone();
    assert!(record.iter().all(|(whose, _)| whose.run() == Some(run.run)
        && matches!(whose.work, Work::Action { .. })
        && whose.tenant == run.tenant));
    let denied = record.iter().filter(|(_, e)| matches!(e.event, Event::Denied { .. })).count();
    assert_eq!(denied, 3);
    assert!(!format!("{record:?}").contains(SECRET));
    kit.close().await;
}

#[tokio::test]
async fn programs_trust_the_proxy_where_it_looks_into_https_without_being_told_how() {
    let authority = Authority::new();
    let kit = Kit::trusting(Trust::pem(&authority.pem).unwrap(), |_| {}).await;
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let (address, heard) = tls_host(authority.acceptor("api.test")).await;
    let egress = json!([{
        "host": "api.test", "ports": [address.port()], "addresses": ["127.0.0.0/8"],
        "secrets": [{"secret": "github", "inject": "bearer"}],
    }]);
    let settings = Settings { egress: serde_json::from_value(egress).unwrap(), ..settings() };
    let tool = kit.shell_with(&settings);
    let url = format!("https://api.test:{}/v1/me", address.port());
    let script = format!(
        "curl -sS {url} >/dev/null && echo curl; python3 -c 'import urllib.request as r; r.urlopen(\"{url}\")' && echo python"
    );
    let outcome = kit.call(&mut run(1), &tool, json!({"command": script})).await;
    let report = told(outcome);
    assert_eq!(report["stdout"], "curl\npython\n", "{report}");
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() == 2 && heard.iter().all(|head| head.contains(SECRET)), "{heard:?}");
    kit.close().await;
}

#[tokio::test]
async fn what_an_action_that_was_killed_had_loaded_counts_as_its_traffic() {
    let kit = Kit::new().await;
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = vec![b'x'; 100_000];
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
        // The rest never comes.
        std::future::pending::<()>().await;
    });
    let limits = Limits { wall: Duration::from_millis(1500), ..settings().limits };
    let tool = kit.shell_with(&Settings { limits, ..reaching(port) });
    let script = format!("curl -s http://api.test:{port}/v1/all -o /dev/null");
    let outcome = kit.call(&mut run(1), &tool, json!({"command": script})).await;
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.contains("ST0227"), "{}", output.content);
    let used = output.action.unwrap().sandbox.unwrap().traffic.unwrap();
    assert!(used.received >= 100_000, "{used:?}");
    kit.close().await;
}

#[tokio::test]
async fn an_action_moves_no_more_bytes_than_its_run_has_left_and_reaches_nobody_after() {
    let kit = Kit::new().await;
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n").await;
                let _ = stream.write_all(&vec![b'x'; 10_000_000]).await;
            });
        }
    });
    let tool = kit.shell_with(&reaching(port));
    let url = format!("http://api.test:{port}/v1/all");
    let script = format!("curl -s {url} | wc -c; curl -s {url} -w '%{{http_code}}'");
    let mut run = Run { left: Left { traffic: Some(300_000), ..Left::default() }, ..run(1) };
    let Outcome::Returned(output) = kit.call(&mut run, &tool, json!({"command": script})).await else { panic!() };
    let used = output.action.as_ref().unwrap().sandbox.as_ref().unwrap().traffic.unwrap();
    assert!(used.sent + used.received <= 300_000 && used.received > 0, "{used:?}");
    assert!(output.content.contains("used up"), "the second is refused and told why: {}", output.content);
    assert_eq!((used.allowed, used.denied, asked.load(Ordering::Relaxed)), (1, 1, 1), "and the host never hears of it");
    kit.close().await;
}

#[tokio::test]
async fn an_operator_takes_hosts_from_a_run_at_once_and_gives_them_back_and_none_that_its_manifest_does_not_name() {
    let kit = Arc::new(Kit::new().await);
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let (address, heard) = host().await;
    let tool = kit.shell_with(&reaching(address.port()));
    let only = |hosts: &[&str]| BoxLimits {
        egress: Some(hosts.iter().map(|host| (*host).into()).collect()),
        ..BoxLimits::default()
    };
    // It asks until it is refused, and then until it is not.
    let url = format!("http://api.test:{}/v1/me", address.port());
    let script = format!(
        "until curl -sf {url}; do :; done; echo began; while curl -sf {url}; do :; done >/dev/null; echo refused; until curl -sf {url}; do :; done >/dev/null; echo again"
    );
    let mut of = Run { limits: only(&[]), ..run(1) };
    let task = {
        let (kit, script) = (Arc::clone(&kit), script.clone());
        tokio::spawn(async move { kit.call(&mut of, &tool, json!({"command": script})).await })
    };
    let told = |n: usize| heard.lock().unwrap().len() >= n;
    let until = async |is: &dyn Fn() -> bool| {
        while !is() && !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    while kit.shop.counts().0 == 0 && !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(heard.lock().unwrap().is_empty());
    kit.shop.limit(run(1).run, only(&["API.test"])).await;
    until(&|| told(2)).await;
    kit.shop.limit(run(1).run, only(&["other.test"])).await;
    let denied = || {
        let record = kit.world.record.lock().unwrap();
        record.iter().rev().take(2).all(|(_, entry)| matches!(entry.event, Event::Denied { .. }))
    };
    until(&denied).await;
    kit.shop.limit(run(1).run, only(&["*"])).await;
    let report = crate::kit::told(task.await.unwrap());
    let out = report["stdout"].as_str().unwrap();
    assert!(out.ends_with("refused\nagain\n") && out.contains("began"), "{report}");
    Arc::into_inner(kit).unwrap().close().await;
}

/// Abuse 33.
#[tokio::test]
async fn an_action_without_rules_reaches_nothing() {
    let kit = Kit::new().await;
    let (address, heard) = host().await;
    let script = format!("env | grep -ci proxy; exec 3<>/dev/tcp/127.0.0.1/{}; echo $?", address.port());
    let report = kit.sh(&mut run(1), &script).await;
    assert!(
        report["stdout"].as_str().unwrap().starts_with("0\n") && report["stderr"].to_string().contains("refused"),
        "{report}"
    );
    assert!(heard.lock().unwrap().is_empty());
    kit.close().await;
}
