//! `stead login`, `logout` and `whoami`, at a real OpenID Connect provider: `oidc-provider` of npm, on loopback.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::common::{Serving, Terminal, TestEnvironment, root};

/// A provider, and a server that knows it.
struct Lab {
    env: TestEnvironment,
    provider: Serving,
    _server: Serving,
    url: String,
}

/// What the configuration says beside the issuer.
const USUAL: &str = r#"audience = ["urn:stead"]
client_id = "stead-cli"
scopes = ["openid", "offline_access", "api"]
resource = "urn:stead"
groups = [
  { name = "stead-users", rights = ["read", "run"], roles = ["member"] },
  { name = "finance", rights = ["approve"], roles = ["finance"] },
  { name = "stead-readers", rights = ["read"] },
  { name = "globex-users", tenant = "globex" },
]"#;

fn provider() -> Serving {
    let script = root().join("crates/cli/tests/fixtures/oidc/provider.mjs");
    assert!(script.parent().unwrap().join("node_modules").exists(), "`./test` installs it: npm ci in {script:?}");
    let mut node = Command::new("node");
    node.arg(script);
    let serving = Serving::with_url(node);
    assert!(serving.banner.starts_with("http://"), "{}", serving.banner);
    serving
}

impl Lab {
    fn new(oidc: &str) -> Self {
        let env = TestEnvironment::new();
        let provider = provider();
        let issuer = provider.banner.clone();
        let config =
            format!("listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[auth.oidc]\nissuer = \"{issuer}\"\n{oidc}\n");
        env.write("stead.toml", &config);
        let server = Serving::start(env.command(["serve"]), "serving");
        let presence = std::fs::read_to_string(env.path().join("data/server.json")).unwrap();
        let presence: Value = serde_json::from_str(&presence).unwrap();
        let url = presence["url"].as_str().unwrap().to_owned();
        Self { env, provider, _server: server, url }
    }

    /// Tells the provider something.
    fn tell(&self, what: &str, body: &Value) -> String {
        let url = format!("{}/control/{what}", self.provider.banner);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--data", &body.to_string(), &url]);
        let said = curl.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    /// A token that a provider would never give, or one that it would.
    fn mint(&self, how: &str, header: &Value, claims: &Value) -> String {
        self.tell("mint", &json!({ "how": how, "header": header, "claims": claims }))
    }

    /// A command at the server, with nothing but what a login came to.
    fn stead(&self, line: &str) -> Terminal {
        self.env.stead(&format!("{line} --server {} --data nowhere", self.url))
    }

    /// A command at the server with a token.
    fn with(&self, token: &str, line: &str) -> Terminal {
        let words = line.split_whitespace().chain(["--server", &self.url, "--data", "nowhere"]);
        let mut command = self.env.command(words);
        command.env("STEAD_TOKEN", token);
        self.env.finish(command)
    }

    /// Logs in, and a browser goes where the command line says.
    fn login(&self, options: &str, page: &str) -> Terminal {
        let words = format!("login {options} --server {} --data nowhere", self.url);
        let mut command = self.env.command(words.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                break None;
            }
            told.push_str(&line);
            if let Some(address) = line.trim().strip_prefix(page) {
                break Some(address.to_owned());
            }
        };
        if let Some(address) = address {
            let script = root().join("crates/cli/tests/fixtures/oidc/browser.py");
            let page = Command::new("python3").arg(script).arg(&address).output().unwrap();
            assert!(page.status.success(), "{address}: {}", String::from_utf8_lossy(&page.stderr));
        }
        std::io::Read::read_to_string(&mut lines, &mut told).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stderr = told.into_bytes();
        self.env.told(output)
    }

    fn browser_login(&self) -> Terminal {
        self.login("--no-browser", "log in at ")
    }
}

#[test]
fn a_person_logs_in_by_a_browser_and_may_do_what_their_groups_may() {
    let lab = Lab::new(USUAL);
    let nobody = lab.stead("whoami");
    assert!(nobody.code == Some(1) && nobody.stderr.contains("log in with `stead login`"), "{nobody}");

    let ann = lab.browser_login().succeeds();
    assert!(ann.stdout.contains("subject  oidc:ann\ntenant   default\nrights   read, run, approve\n"), "{ann}");
    lab.stead("runs ls").succeeds();
    let refused = lab.stead("agents apply refund-desk");
    assert_ne!(refused.code, Some(0));

    // The token is nobody else's to read.
    use std::os::unix::fs::PermissionsExt as _;
    let kept = lab.env.path().join(".config/stead/credentials.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    lab.stead("logout").succeeds();
    let nobody = lab.stead("whoami");
    assert!(nobody.code == Some(1) && nobody.stderr.contains("there is no token for"), "{nobody}");
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("refresh"));
}

#[test]
fn a_person_logs_in_by_another_device() {
    let lab = Lab::new(USUAL);
    lab.tell("person", &json!({ "name": "bob" }));
    let bob = lab.login("--device", "or open ").succeeds();
    assert!(bob.stdout.contains("subject  oidc:bob\ntenant   default\nrights   read\n"), "{bob}");
}

#[test]
fn an_id_token_does_where_it_is_meant_for_the_server() {
    let lab = Lab::new(
        &USUAL
            .replace("urn:stead\"]", "stead-cli\"]")
            .replace("resource = \"urn:stead\"\n", "")
            .replace("\"api\"", "\"groups\""),
    );
    let ann = lab.browser_login().succeeds();
    assert!(ann.stdout.contains("oidc:ann"), "{ann}");
}

#[test]
fn who_is_in_no_group_or_in_groups_of_two_tenants_may_do_nothing() {
    let lab = Lab::new(USUAL);
    for (name, why) in [("eve", "is in no group that may do anything here"), ("two", "belong to more than one tenant")]
    {
        lab.tell("person", &json!({ "name": name }));
        let refused = lab.browser_login();
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{refused}");
        // What the server does not take is not kept.
        assert!(!lab.env.path().join(".config/stead/credentials.json").exists());
    }
}

#[test]
fn a_token_that_ends_is_replaced_and_a_login_that_was_revoked_is_over() {
    let lab = Lab::new(USUAL);
    // Shorter than what is left of a token when it is replaced: each command gets another one.
    lab.tell("seconds", &json!({ "seconds": 20 }));
    lab.browser_login().succeeds();
    let kept = || std::fs::read_to_string(lab.env.path().join(".config/stead/credentials.json")).unwrap();
    let first = kept();
    lab.stead("whoami").succeeds();
    assert_ne!(kept(), first);
    lab.stead("logout").succeeds();
    // Whoever kept a copy of the file has nothing of it.
    std::fs::write(lab.env.path().join(".config/stead/credentials.json"), first).unwrap();
    let over = lab.stead("whoami");
    assert!(over.code == Some(1) && over.stderr.contains("error[ST0343]") && over.stderr.contains("is over"), "{over}");
}

/// Each token differs in one thing from one that is taken.
#[test]
fn a_token_is_refused_whose_algorithm_issuer_audience_time_type_or_signature_is_another() {
    let lab = Lab::new(USUAL);
    let good = json!({ "sub": "ann", "aud": "urn:stead", "groups": ["stead-users"] });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let none = json!({});
    lab.with(&lab.mint("own", &none, &good), "whoami").succeeds();
    // Clocks may differ by a minute, and not by more.
    lab.with(&lab.mint("own", &none, &with("exp", json!(now - 30))), "whoami").succeeds();
    lab.with(&lab.mint("own", &none, &with("aud", json!(["other", "urn:stead"]))), "whoami").succeeds();
    let wrong = [
        ("own", none.clone(), with("exp", json!(now - 90)), "it has expired"),
        ("own", none.clone(), with("nbf", json!(now + 600)), "it is not valid yet"),
        ("own", none.clone(), with("iat", json!(now + 600)), "it is not valid yet"),
        ("own", none.clone(), with("exp", Value::Null), "a time in it is no number"),
        ("own", none.clone(), with("aud", json!("urn:bank")), "meant for somebody else"),
        ("own", none.clone(), with("aud", Value::Null), "meant for somebody else"),
        ("own", none.clone(), with("iss", json!("https://elsewhere.example")), "of another issuer"),
        ("own", none.clone(), with("sub", Value::Null), "it has no claim `sub`"),
        ("own", json!({ "typ": "logout+jwt" }), good.clone(), "a token for something else"),
        ("own", json!({ "kid": "key-99" }), good.clone(), "its key is not one of the issuer's"),
        ("none", none.clone(), good.clone(), "which is not allowed here"),
        ("shared", none.clone(), good.clone(), "signed with `HS256`, which is not allowed here"),
        ("foreign", none.clone(), good.clone(), "its signature is not the issuer's"),
    ];
    for (how, header, claims, why) in wrong {
        let refused = lab.with(&lab.mint(how, &header, &claims), "whoami");
        let known = refused.stderr.contains("error[ST0341]") || refused.stderr.contains("error[ST0200]");
        assert!(refused.code == Some(1) && known, "{how} {header} {claims}: {refused}");
        if how != "none" {
            assert!(refused.stderr.contains(why), "{how} {header} {claims}: {refused}");
        }
    }
}

#[test]
fn an_email_that_nobody_verified_names_nobody() {
    let lab = Lab::new(&format!("subject = \"email\"\n{USUAL}"));
    let claims = |verified: Value| json!({ "sub": "x", "email": "ann@example.org", "email_verified": verified, "aud": "urn:stead", "groups": ["stead-users"] });
    let ann = lab.with(&lab.mint("own", &json!({}), &claims(json!(true))), "whoami").succeeds();
    assert!(ann.stdout.contains("oidc:ann@example.org"), "{ann}");
    for verified in [json!(false), json!("true"), Value::Null] {
        let refused = lab.with(&lab.mint("own", &json!({}), &claims(verified)), "whoami");
        assert!(refused.stderr.contains("has not verified the e-mail address"), "{refused}");
    }
}

#[test]
fn nobody_at_the_provider_bears_the_name_of_somebody_of_the_configuration() {
    let lab = Lab::new(&format!("prefix = \"\"\n{USUAL}"));
    let of = |name: &str| {
        lab.mint("own", &json!({}), &json!({ "sub": name, "aud": "urn:stead", "groups": ["stead-users"] }))
    };
    lab.with(&of("ann"), "whoami").succeeds();
    let refused = lab.with(&of("owner"), "whoami");
    assert!(refused.stderr.contains("bears the name of somebody"), "{refused}");
}

#[test]
fn other_keys_of_the_provider_are_found_and_those_before_are_not_taken_any_more() {
    let lab = Lab::new(USUAL);
    let claims = json!({ "sub": "ann", "aud": "urn:stead", "groups": ["stead-users"] });
    let before = lab.mint("own", &json!({}), &claims);
    lab.with(&before, "whoami").succeeds();
    lab.tell("rotate", &json!({}));
    // The server asks the provider again, not more often than each two seconds.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while lab.with(&lab.mint("own", &json!({}), &claims), "whoami").code != Some(0) {
        assert!(std::time::Instant::now() < patience, "the new key is never found");
    }
    let refused = lab.with(&before, "whoami");
    assert!(refused.stderr.contains("its key is not one of the issuer's"), "{refused}");
}

#[test]
fn a_provider_that_does_not_answer_lets_nobody_in_and_tokens_of_the_configuration_do_as_before() {
    let lab = Lab::new(USUAL);
    let claims = json!({ "sub": "ann", "aud": "urn:stead", "groups": ["stead-users"] });
    let token = lab.mint("own", &json!({}), &claims);
    let Lab { env, provider, _server, url } = lab;
    provider.kill();
    let mut command = env.command(["whoami", "--server", &url, "--data", "nowhere"]);
    command.env("STEAD_TOKEN", token);
    let refused = env.finish(command);
    assert!(refused.stderr.contains("error[ST0342]"), "{refused}");
    env.stead("whoami --data data").succeeds();
}
