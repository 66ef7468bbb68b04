//! The clients that agents use: curl, Python's requests and urllib.

use std::process::Output;

use serde_json::json;
use tokio::process::Command;

use crate::{
    server::{Server, ok},
    world::World,
};

/// The words on stdout of curl through the proxy.
pub(crate) async fn curl(world: &World, arguments: &[&str]) -> String {
    let proxy = format!("http://{}", world.proxy);
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--max-time", "30", "--proxy", &proxy])
        .args(arguments)
        .env("no_proxy", "")
        .env("NO_PROXY", "");
    let output = run(command, "apt-get install curl").await;
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a program; it must be there.
pub(crate) async fn run(mut command: Command, install: &str) -> Output {
    match command.kill_on_drop(true).output().await {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}; install it with `{install}`"),
    }
}

/// Python with the proxy and the session's authority in its environment, as a box has them.
async fn python(world: &World, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, world.session.authority_pem()).unwrap();
    let proxy = format!("http://{}", world.proxy);
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env(name, &proxy);
    }
    command
        .env("SSL_CERT_FILE", &authority)
        .env("REQUESTS_CA_BUNDLE", &authority)
        .env("no_proxy", "")
        .env("NO_PROXY", "");
    let output = run(command, "apt-get install python3 && pip install requests").await;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("No module named"), "pip install requests: {text}");
    text
}

#[tokio::test]
async fn curl_and_python_reach_what_is_allowed_and_are_told_what_is_not() {
    let world = World::new().await;
    let http = Server::http(|r| ok(format!("plain {}", r.body.len()))).await;
    let https = Server::https(&world.ca, "api.test", |r| ok(format!("secure {}", r.body.len()))).await;
    world.host("api.test");
    world.rules(json!([
        { "host": "api.test", "scheme": "http", "ports": [http.port], "addresses": ["127.0.0.0/8"] },
        { "host": "api.test", "ports": [https.port], "addresses": ["127.0.0.0/8"], "paths": ["/v1/**"] },
    ]));
    let folder = tempfile::tempdir().unwrap();
    let (authority, large) = (folder.path().join("authority.pem"), folder.path().join("large"));
    std::fs::write(&authority, world.session.authority_pem()).unwrap();
    std::fs::write(&large, vec![b'x'; 3 << 20]).unwrap();
    let (plain, secure) = (format!("http://api.test:{}/", http.port), format!("https://api.test:{}", https.port));
    let trust = ["--cacert", authority.to_str().unwrap()];

    assert_eq!(curl(&world, &[&plain]).await, "plain 0");
    let upload = format!("@{}", large.display());
    assert_eq!(curl(&world, &["--data-binary", &upload, &plain]).await, format!("plain {}", 3 << 20));
    let [ca, file] = trust;
    assert_eq!(curl(&world, &[ca, file, &format!("{secure}/v1/x")]).await, "secure 0");
    assert_eq!(
        curl(&world, &[ca, file, "--data-binary", &upload, &format!("{secure}/v1/x")]).await,
        format!("secure {}", 3 << 20)
    );
    let denied = curl(&world, &[ca, file, &format!("{secure}/v2/x")]).await;
    assert!(denied.contains("ST0250") && denied.contains("add the method and the path"), "{denied}");
    assert!(curl(&world, &["http://other.test/"]).await.contains("no egress rule names other.test"));

    let script = format!(
        "import json, requests, urllib.request, urllib.error\n\
         print(requests.get({plain:?}).text, requests.post('{secure}/v1/x', data=b'abc').text)\n\
         s = requests.Session()\n\
         print([s.get('{secure}/v1/x').text for _ in range(3)])\n\
         print(requests.get('{secure}/v2/x').json()['code'])\n\
         print(urllib.request.urlopen('{secure}/v1/x').read().decode())\n\
         try: urllib.request.urlopen('http://other.test/')\n\
         except urllib.error.HTTPError as e: print(e.code, json.load(e)['hint'])\n\
         try: requests.get('https://other.test/')\n\
         except requests.exceptions.ProxyError as e: print('403' in str(e))\n"
    );
    let said = python(&world, &script).await;
    let want = "plain 0 secure 3\n['secure 0', 'secure 0', 'secure 0']\nST0250\nsecure 0\n\
        403 add `http://other.test:80` to `egress`, if the agent should reach it\nTrue\n";
    assert_eq!(said, want);
}
