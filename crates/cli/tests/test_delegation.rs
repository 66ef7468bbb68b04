//! On whose behalf runs act: delegated tokens that a real service verifies, an exchange at a real provider, grants between agents, people
//! whose time or right ends. Needs what `./test` installs for the tests of logins.

use std::{
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::common::{Serving, Terminal, TestEnvironment, root};

const AUDIENCE: &str = "https://mail.example";

fn node(script: &str, args: &[&str]) -> Serving {
    let script = root().join("crates/cli/tests/fixtures/oidc").join(script);
    assert!(script.parent().unwrap().join("node_modules").exists(), "`./test` installs it: npm ci in {script:?}");
    let mut node = Command::new("node");
    node.arg(script).args(args);
    let serving = Serving::with_url(node);
    assert!(serving.banner.starts_with("http://"), "{}", serving.banner);
    serving
}

fn curl(url: &str, more: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]).args(more).arg(url);
    let said = curl.output().unwrap();
    assert!(said.status.success(), "{url}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// A service that takes delegated tokens, a server whose agent calls it, and maybe a provider of people.
struct Lab {
    env: TestEnvironment,
    service: Serving,
    provider: Option<Serving>,
    server: Option<Serving>,
    url: String,
}

const OIDC: &str = r#"audience = ["urn:stead"]
groups = [{ name = "stead-users", rights = ["read", "run"], roles = ["member"] }]"#;

/// An agent that asks the service who it is, after `turns` looks at a map that take a while.
fn mailer(env: &TestEnvironment, url: &str, audience: &str, turns: u32, delay: &str) {
    let manifest = format!(
        r#"
stead: v1
name: mailer
model: {{ rehearsal: ./script.yaml }}
instructions: Ask.
tools:
  mail:
    http: {{ base_url: "{url}", operations: {{ look: {{ method: GET, path: /me, description: Asks who I am. }} }} }}
    auth: {{ delegate: {{ audience: "{audience}", scopes: [mail.read] }} }}
    effect: pure
  map:
    sql: {{ url: "sqlite:${{data}}/map.db", seed: ./map.sql, allow: [SELECT], queries: {{ look: {{ description: Looks., sql: "SELECT 1" }} }} }}
    effect: pure
"#
    );
    env.write("mailer/agent.yaml", &manifest);
    let (asks, ends) = (turns + 1, turns + 2);
    let script = format!(
        "rules:\n  - {{ when: {{ turn: {ends} }}, say: Done. }}\n  \
         - {{ when: {{ turn: {asks} }}, say: Who am I?, call: [{{ tool: mail_look, args: {{}} }}] }}\n  \
         - {{ say: On., delay: {delay}, call: [{{ tool: map_look, args: {{}} }}] }}\n"
    );
    env.write("mailer/script.yaml", &script);
    env.write("mailer/map.sql", "SELECT 1;");
}

impl Lab {
    fn new(identity: &str, people: bool) -> Self {
        let env = TestEnvironment::new();
        let (service, provider) = (node("resource.mjs", &[AUDIENCE]), people.then(|| node("provider.mjs", &[])));
        let oidc = provider.as_ref().map(|p| format!("[auth.oidc]\nissuer = \"{}\"\n{OIDC}\n", p.banner));
        let audiences =
            format!("audiences = [{{ audience = \"{AUDIENCE}\", hosts = [\"127.0.0.1\"], scopes = [\"mail.read\"] }}]");
        let provided = provider.as_ref().map_or("", |p| p.banner.as_str());
        let identity = identity.replace("PROVIDER", provided);
        env.write(
            "stead.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[identity]\n{audiences}\n{identity}\n{}",
                oidc.unwrap_or_default()
            ),
        );
        let mut lab = Self { env, service, provider, server: None, url: String::new() };
        lab.serve();
        lab
    }

    /// Serves, again when it did before.
    fn serve(&mut self) {
        let server = Serving::start(self.env.command(["serve"]), "serving");
        let presence = std::fs::read_to_string(self.env.path().join(".stead/server.json")).unwrap();
        self.url = serde_json::from_str::<Value>(&presence).unwrap()["url"].as_str().unwrap().to_owned();
        self.server = Some(server);
        let encoded = self.url.replace(':', "%3A").replace('/', "%2F");
        curl(&format!("{}/trust/{encoded}", self.service.banner), &[]);
        if let Some(provider) = &self.provider {
            let encoded = provider.banner.replace(':', "%3A").replace('/', "%2F");
            curl(&format!("{}/trust/{encoded}", self.service.banner), &[]);
            self.tell("trust", &json!({ "issuer": self.url }));
        }
    }

    fn tell(&self, what: &str, body: &Value) -> String {
        let provider = self.provider.as_ref().unwrap();
        curl(&format!("{}/control/{what}", provider.banner), &["--data", &body.to_string()])
    }

    /// A token of a person of the provider.
    fn token(&self, name: &str, groups: &[&str]) -> String {
        let claims = json!({ "sub": name, "aud": "urn:stead", "groups": groups });
        self.tell("mint", &json!({ "how": "own", "header": {}, "claims": claims }))
    }

    fn with(&self, token: &str, line: &str) -> Terminal {
        let words = line.split_whitespace().chain(["--server", &self.url, "--data", "nowhere"]);
        let mut command = self.env.command(words);
        command.env("STEAD_TOKEN", token);
        self.env.finish(command)
    }

    fn start(&self, token: Option<&str>) -> String {
        let line = "runs start mailer Go --json";
        let started = match token {
            Some(token) => self.with(token, line),
            None => self.env.stead(line),
        };
        let started = started.succeeds();
        serde_json::from_str::<Value>(&started.stdout).unwrap()["run"].as_str().unwrap().to_owned()
    }

    fn status(&self, run: &str) -> String {
        self.env.json(&format!("runs show {run} --json"))["status"].as_str().unwrap().to_owned()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while !holds(self) {
            assert!(std::time::Instant::now() < patience, "{what} never comes");
        }
    }

    fn why(&self, run: &str) -> String {
        self.env.stead(&format!("runs why {run}")).stdout
    }

    /// What the model was told of its last call.
    fn told(&self, run: &str) -> String {
        let facts = self.env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
        facts
            .lines()
            .rev()
            .find(|line| line.contains("effect_returned") || line.contains("effect_refused"))
            .unwrap()
            .to_owned()
    }

    fn seen(&self) -> Vec<String> {
        serde_json::from_str(&curl(&format!("{}/seen", self.service.banner), &[])).unwrap()
    }
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Whether some file below a folder has these bytes.
fn is_in_some_file(folder: &Path, bytes: &[u8]) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return is_in_some_file(&path, bytes);
        }
        let found = std::fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes);
        found.then_some(path)
    })
}

#[test]
fn a_service_sees_the_person_and_the_run_in_a_token_for_itself_that_is_found_nowhere_else() {
    let lab = Lab::new("trust_domain = \"stead.example\"", false);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 0, "1ms");
    lab.env.stead("agents apply mailer").succeeds();
    let run = lab.start(None);
    lab.env.stead(&format!("runs watch {run}")).succeeds();
    let tokens = lab.seen();
    assert_eq!(tokens.len(), 1, "{}", lab.why(&run));
    let said = claims(&tokens[0]);
    assert_eq!((said["sub"].as_str(), said["aud"].as_str()), (Some("owner"), Some(AUDIENCE)), "{said}");
    let id = said["act"]["sub"].as_str().unwrap();
    assert!(
        id.starts_with("spiffe://stead.example/tenant/default/agent/mailer/version/") && id.ends_with(&run),
        "{id}"
    );
    assert_eq!(said["client_id"], "spiffe://stead.example/tenant/default/agent/mailer");
    assert_eq!((said["scope"].as_str(), said["iss"].as_str()), (Some("mail.read"), Some(&*lab.url)));
    assert!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap() <= 600);
    // The service verified it, and what it repeated of it was blotted out before anybody read it.
    let told = lab.told(&run);
    assert!(told.contains("effect_returned"), "{told}");
    let seen = lab.env.stead(&format!("runs context {run} 2")).succeeds().stdout;
    assert!(seen.contains("at+jwt") && seen.contains("you sent Bearer [secret]"), "{seen}");
    let exported = lab.env.stead(&format!("runs export {run}")).stdout;
    let signature = tokens[0].rsplit('.').next().unwrap();
    for secret in [&*tokens[0], signature] {
        assert!(!seen.contains(secret) && !exported.contains(secret) && !told.contains(secret));
        assert_eq!(is_in_some_file(lab.env.path(), secret.as_bytes()), None);
    }

    // A service that asks whether it counts hears that it does, and of a revocation at once.
    lab.env
        .write("mailer/script.yaml", "rules:\n  - { say: Who?, delay: 10m, call: [{ tool: mail_look, args: {} }] }\n");
    let own = std::fs::read_to_string(lab.env.path().join(".stead/token")).unwrap();
    let bearer = format!("Authorization: Bearer {}", own.trim());
    let about = |token: &str| -> Value {
        let form = format!("token={token}");
        serde_json::from_str(&curl(&format!("{}/v1/introspect", lab.url), &["-H", &bearer, "--data", &form])).unwrap()
    };
    assert_eq!(about(&tokens[0]), json!({ "active": false }), "its run has ended");
    lab.env.stead("agents apply mailer").succeeds();
    let run = lab.start(None);
    let minted =
        lab.env.json(&format!("runs token {run} --audience {AUDIENCE} --json"))["token"].as_str().unwrap().to_owned();
    let told = about(&minted);
    assert_eq!((told["active"].as_bool(), told["sub"].as_str()), (Some(true), Some("owner")), "{told}");
    assert_eq!(about(&format!("{minted}x")), json!({ "active": false }));
    let jti = told["jti"].as_str().unwrap();
    lab.env.stead(&format!("identity revoke token {jti}")).succeeds();
    assert_eq!(about(&minted), json!({ "active": false }));
    let other =
        lab.env.json(&format!("runs token {run} --audience {AUDIENCE} --json"))["token"].as_str().unwrap().to_owned();
    assert_eq!(about(&other)["active"], true);
    lab.env.stead(&format!("identity revoke run {run}")).succeeds();
    assert_eq!(about(&other), json!({ "active": false }));
}

#[test]
fn no_token_is_made_for_an_audience_a_host_or_a_scope_that_the_operator_does_not_name() {
    let lab = Lab::new("", false);
    // `localhost` is the same machine, and another host all the same.
    let elsewhere = lab.service.banner.replace("127.0.0.1", "localhost");
    for (url, audience, scope, why) in [
        (&lab.service.banner, "https://bank.example", "mail.read", "none of `identity.audiences`"),
        (&elsewhere, AUDIENCE, "mail.read", "is not shown to `localhost`"),
        (&lab.service.banner, AUDIENCE, "mail.send", "no token with the scope `mail.send` is made"),
    ] {
        mailer(&lab.env, url, audience, 0, "1ms");
        let manifest = std::fs::read_to_string(lab.env.path().join("mailer/agent.yaml")).unwrap();
        lab.env.write("mailer/agent.yaml", &manifest.replace("mail.read", scope));
        lab.env.stead("agents apply mailer").succeeds();
        let run = lab.start(None);
        lab.env.stead(&format!("runs watch {run}")).succeeds();
        let seen = lab.env.stead(&format!("runs context {run} 2")).stdout;
        assert!(seen.contains("ST0344") && seen.contains(why), "{seen}");
    }
    assert_eq!(lab.seen(), Vec::<String>::new());
}

const EXCHANGE: &str =
    "[identity.exchange]\ntoken_url = \"PROVIDER/token\"\nclient_id = \"stead-server\"\naudience = \"PROVIDER\"\n";

#[test]
fn a_token_service_exchanges_what_the_server_says_of_a_person_and_never_sees_their_token() {
    let lab = Lab::new(EXCHANGE, true);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 0, "1ms");
    lab.env.stead("agents apply mailer").succeeds();
    let inbound = lab.token("ann", &["stead-users"]);
    // Busy once: what was not sent is tried again.
    lab.tell("exchanging", &json!({ "how": "busy" }));
    let run = lab.start(Some(&inbound));
    lab.env.stead(&format!("runs watch {run}")).succeeds();
    let tokens = lab.seen();
    assert_eq!(tokens.len(), 1, "{}", lab.why(&run));
    let said = claims(&tokens[0]);
    let provider = &lab.provider.as_ref().unwrap().banner;
    assert_eq!((said["iss"].as_str(), said["sub"].as_str()), (Some(provider.as_str()), Some("ann")), "{said}");
    assert!(said["act"]["sub"].as_str().unwrap().ends_with(&run), "{said}");
    let exchanged: Value = serde_json::from_str(&lab.tell("exchanged", &json!({}))).unwrap();
    let exchanged = exchanged.as_array().unwrap();
    assert_eq!(exchanged.len(), 2);
    assert_eq!(exchanged[1]["client"], "stead-server");
    assert_eq!(exchanged[1]["subject"]["sub_id"]["iss"], provider.as_str());
    for text in exchanged.iter().map(Value::to_string).chain(tokens.clone()) {
        assert!(!text.contains(&inbound));
    }
    // Nobody keeps the inbound token, nor anything that was shown or given.
    let kept = exchanged[1]["subject_token"].as_str().unwrap();
    for secret in [&*inbound, kept, &tokens[0]] {
        assert_eq!(is_in_some_file(lab.env.path(), secret.as_bytes()), None);
    }
    let why = lab.why(&run);
    assert!(why.contains("oidc:ann, until "), "{why}");

    for (how, told) in [("denied", "HTTP 400 Bad Request (invalid_target)"), ("untold", "issued_token_type")] {
        lab.tell("exchanging", &json!({ "how": how }));
        let run = lab.start(Some(&inbound));
        lab.env.stead(&format!("runs watch {run}")).succeeds();
        let seen = lab.env.stead(&format!("runs context {run} 2")).stdout;
        assert!(seen.contains("ST0345") && seen.contains(told), "{seen}");
    }
    assert_eq!(lab.seen().len(), 1);
}

#[test]
fn a_run_whose_person_has_been_away_too_long_asks_them_and_nobody_else_lets_it_go_on() {
    let lab = Lab::new("delegation = \"1s\"", true);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 3, "700ms");
    lab.env.stead("agents apply mailer").succeeds();
    let (ann, bob) = (lab.token("ann", &["stead-users"]), lab.token("bob", &["stead-users"]));
    let run = lab.start(Some(&ann));
    lab.until("the question", |lab| lab.status(&run) == "waiting");
    let why = lab.why(&run);
    assert!(why.contains("May it go on") && why.contains("oidc:ann"), "{why}");
    let asked = lab.env.approval();
    // The owner may approve everything else.
    let refused = lab.env.stead(&format!("approvals approve {asked}"));
    assert!(refused.code != Some(0) && refused.stderr.contains("only the person"), "{refused}");
    let refused = lab.with(&bob, &format!("runs renew {run}"));
    assert!(refused.code != Some(0) && refused.stderr.contains("only the person"), "{refused}");
    assert_eq!(lab.status(&run), "waiting");
    lab.until("the end", |lab| {
        if lab.status(&run) == "waiting" {
            lab.with(&ann, &format!("runs renew {run}"));
        }
        lab.status(&run) == "completed"
    });
    assert_eq!(lab.seen().len(), 1);

    // A no of whoever may say one stops it.
    let run = lab.start(Some(&ann));
    lab.until("the question", |lab| lab.status(&run) == "waiting");
    let asked = lab.env.approval();
    lab.env.stead(&format!("approvals deny {asked}")).succeeds();
    lab.until("the end", |lab| lab.status(&run) == "cancelled");
}

#[test]
fn who_loses_the_right_to_have_runs_has_no_more_effects_over_a_kill_until_they_have_it_again() {
    let mut lab = Lab::new("", true);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 2, "1s");
    lab.env.stead("agents apply mailer").succeeds();
    let run = lab.start(Some(&lab.token("ann", &["stead-users"])));
    // She comes once more, out of every group: the server hears it from her own token.
    let refused = lab.with(&lab.token("ann", &[]), "whoami");
    assert!(refused.code != Some(0) && refused.stderr.contains("is in no group"), "{refused}");
    lab.server.take().unwrap().kill();
    lab.serve();
    let why = lab.why(&run);
    assert!(why.contains("delegation oidc:ann") && why.contains("by the server"), "{why}");
    assert_eq!(lab.seen(), Vec::<String>::new());
    // A token of before says what was so before.
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 50;
    let old = json!({ "sub": "ann", "aud": "urn:stead", "groups": ["stead-users"], "iat": before });
    let old = lab.tell("mint", &json!({ "how": "own", "header": {}, "claims": old }));
    lab.with(&old, "whoami").succeeds();
    let why = lab.why(&run);
    assert!(why.contains("delegation oidc:ann"), "{why}");
    lab.with(&lab.token("ann", &["stead-users"]), "whoami").succeeds();
    lab.until("the end", |lab| lab.status(&run) == "completed");
    assert_eq!(claims(&lab.seen()[0])["sub"], "ann");
}

#[test]
fn who_was_taken_out_of_the_configuration_has_no_more_effects() {
    let mut lab = Lab::new("", false);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 2, "1s");
    lab.env.stead("agents apply mailer").succeeds();
    let config = std::fs::read_to_string(lab.env.path().join("stead.toml")).unwrap();
    // SHA-256 of the token `carla-carla-carla-carla-carla-carla`.
    let token = "carla-carla-carla-carla-carla-carla";
    let digest = String::from_utf8(
        Command::new("sh")
            .args(["-c", &format!("printf %s {token} | sha256sum | cut -d' ' -f1")])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let entry =
        format!("[[auth.tokens]]\nsha256 = \"{}\"\nsubject = \"carla\"\nrights = [\"read\", \"run\"]\n", digest.trim());
    let restart = |lab: &mut Lab, config: &str| {
        lab.env.write("stead.toml", config);
        lab.server.take().unwrap().kill();
        lab.serve();
    };
    restart(&mut lab, &format!("{config}\n{entry}"));
    let run = lab.start(Some(token));
    restart(&mut lab, &config);
    let why = lab.why(&run);
    assert!(why.contains("the server's configuration knows nobody of that name any more"), "{why}");
    assert_eq!(lab.seen(), Vec::<String>::new());
    restart(&mut lab, &format!("{config}\n{entry}"));
    lab.until("the end", |lab| lab.status(&run) == "completed");
    assert_eq!(claims(&lab.seen()[0])["sub"], "carla");
}

#[test]
fn an_agent_that_another_one_started_does_what_it_was_granted_and_nothing_beside() {
    let lab = Lab::new("", false);
    mailer(&lab.env, &lab.service.banner, AUDIENCE, 1, "1ms");
    let boss = |grant: &str| {
        let manifest = format!(
            "stead: v1\nname: boss\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Ask.\ntools:\n  \
             helper: {{ agent: mailer, grant: {{ {grant} }} }}\n"
        );
        lab.env.write("boss/agent.yaml", &manifest);
        lab.env.write(
            "boss/script.yaml",
            "rules:\n  - { when: { turn: 2 }, say: Done. }\n  - { say: Help., call: [{ tool: helper, args: { input: Go } }] }\n",
        );
        lab.env.stead("agents apply boss").succeeds();
        let run = lab.env.json("runs start boss Go --json")["run"].as_str().unwrap().to_owned();
        lab.env.stead(&format!("runs watch {run}")).succeeds();
        let runs = lab.env.json("runs ls --json");
        let child = runs["items"].as_array().unwrap().iter().find(|run| run["agent"] == "mailer").unwrap();
        (run, child["id"].as_str().unwrap().to_owned())
    };
    lab.env.stead("agents apply mailer").succeeds();
    for (n, (grant, why)) in [
        (
            "tools: [map_look]",
            "the grant that the agent `boss` gave for this task does not hold it, so `mail_look` is not called",
        ),
        ("hosts: [api.example.com]", "nothing is sent to `127.0.0.1`"),
        ("scopes: [mail.send]", "no token with the scope `mail.read` is made"),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, child) = boss(grant);
        let told = lab.env.stead(&format!("runs context {child} 3")).stdout;
        assert!(told.contains("ST0346") && told.contains(why), "{n}: {told}");
        assert_eq!(lab.seen(), Vec::<String>::new());
    }
    let (run, child) =
        boss("tools: [map_look, \"mail_*\"], hosts: [\"127.0.0.1\"], scopes: [mail.read], for: 30m, depth: 0");
    let said = claims(&lab.seen()[0]);
    assert!(said["act"]["sub"].as_str().unwrap().ends_with(&child), "{said}");
    assert!(said["act"]["act"]["sub"].as_str().unwrap().ends_with(&run), "{said}");
    let why = lab.why(&child);
    assert!(why.contains(&format!("through boss {run}, which granted the tools map_look, mail_*")), "{why}");

    // Policies see what was granted.
    lab.env.write(
        "policies/grants.cedar",
        "@id(\"grant-without-end\") @reason(\"say `for` in the grant\")\n\
         forbid (principal is Run, action == Action::\"mail_look\", resource)\n\
         when { context has grant && context.grant.by == Agent::\"boss\" && !(context.grant has until) };\n",
    );
    lab.env.stead("policy apply policies").succeeds();
    let (_, child) = boss("tools: [map_look, mail_look]");
    let told = lab.env.stead(&format!("runs context {child} 3")).stdout;
    assert!(told.contains("ST0057") && told.contains("say `for` in the grant"), "{told}");
    assert_eq!(lab.seen().len(), 1, "nothing was sent");
    boss("tools: [map_look, mail_look], for: 30m");
    assert_eq!(lab.seen().len(), 2);
}
