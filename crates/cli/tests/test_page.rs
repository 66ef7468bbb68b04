//! The approval page in a real Chromium, with passkeys of a virtual authenticator, on real servers: what people do on it, and what others
//! try.

use std::process::Command;

use serde_json::{Value, json};
use stead_core::id::EffectId;
use stead_server::config::hash_token;

use crate::common::{
    Serving, Terminal, TestEnvironment,
    browser::{Browser, Tab},
    root,
};

/// An agent that pays whom it is told to, and says so in a table: a line for each payment.
const PAYER: &str = r#"
stead: v1
name: payer
model: { rehearsal: ./script.yaml }
instructions: Pay.
tools:
  book:
    sql:
      url: "sqlite:${data}/book.db"
      seed: ./book.sql
      allow: [INSERT]
      queries:
        pay: { description: Pays., sql: "INSERT INTO paid (who) VALUES (:who)", params: { who: { type: string } } }
    effects:
      pay: irreversible
"#;
const SCRIPT: &str = r#"
rules:
  - when: { tool: book_pay, error: false }
    say: Paid.
  - when: { tool: "*", error: true }
    say: "Not paid: {{result}}"
  - when: { user: '(?s)(?<who>.+)' }
    call: [{ tool: book_pay, args: { who: "{{who}}" } }]
"#;
/// A text that a page could take for more than a text.
const HOSTILE: &str =
    "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=2</script>\u{202e}lol\u{200b} p\u{430}ypal";

/// A server with a directory of approvers whose root is in files, and two people with tokens.
struct Lab {
    env: TestEnvironment,
    _server: Serving,
    /// As programs reach it.
    api: String,
    /// As people do.
    page: String,
}

impl Lab {
    /// Policies ask about each payment, as the annotations say.
    fn new(annotations: &str, config: &str) -> Self {
        let env = TestEnvironment::new();
        env.write("payer/agent.yaml", PAYER);
        env.write("payer/script.yaml", SCRIPT);
        env.write("payer/book.sql", "CREATE TABLE paid (who TEXT);");
        env.write(
            "set/pay.cedar",
            &format!(
                "@id(\"pay\") @reason(\"money leaves\") @require(\"approval\") @approvers(\"supervisor\") @quorum(\"1\") @ttl(\"1h\") {annotations}\n\
                 forbid (principal, action == Action::\"book_pay\", resource);\n"
            ),
        );
        let people: String = ["ann", "bob"].iter().map(|name| token(name)).collect();
        env.write("stead.toml", &format!("listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n{config}\n{people}"));
        let server = Serving::start(env.command(["serve"]), "serving");
        let (api, page) = places(&env);
        let lab = Self { env, _server: server, api, page };
        lab.env.stead("agents apply payer").succeeds();
        lab.env.stead("policy apply set").succeeds();
        lab.env.stead("init root --holder xenia --threshold 1").succeeds();
        lab.env.stead("approvals keys submit root/root.entry").succeeds();
        lab
    }

    /// A command as one of the people.
    fn with(&self, name: &str, line: &str) -> Terminal {
        let words = line.split_whitespace().chain(["--server", &self.api, "--data", "nowhere"]);
        let mut command = self.env.command(words);
        command.env("STEAD_TOKEN", format!("token of {name}"));
        self.env.finish(command)
    }

    /// A browser signs in as one of them.
    fn enter(&self, browser: &mut Browser, name: &str) -> Tab {
        let link = self.with(name, "approvals open --no-browser").succeeds();
        let tab = browser.tab();
        browser.go(&tab, link.stdout.trim());
        browser.press(&tab, "Sign in");
        browser.until_text(&tab, &format!("{name} · default"));
        tab
    }

    /// The same, with a passkey that is enrolled.
    fn approver(&self, browser: &mut Browser, name: &str) -> Tab {
        let tab = self.enter(browser, name);
        let made = make(browser, &tab, &self.page);
        let enrol = format!("approvals keys enrol {made} --role supervisor --sign-with root/xenia.key");
        let told = self.env.stead(&enrol).succeeds();
        assert!(told.stderr.contains(&format!("a passkey of {name} on {}", self.page)), "{told}");
        assert!(told.stdout.contains("passkey") && told.stdout.contains("counts"), "{told}");
        tab
    }

    /// Makes an SSH key for one of them, in a file of their name, and enrols it.
    fn ssh_key(&self, name: &str) {
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-f", name];
        let made = Command::new("ssh-keygen").args(keygen).current_dir(self.env.path()).status();
        assert!(made.expect("install openssh-client").success());
        let enrol = "--role supervisor --sign-with root/xenia.key";
        self.env.stead(&format!("approvals keys enrol {name}.pub --subject {name} {enrol}")).succeeds();
    }

    /// Starts a run that asks, and gives the approval.
    fn asks(&self, whom: &str) -> String {
        asks(&self.env, whom)
    }

    /// Shows an approval on the page.
    fn show(&self, browser: &mut Browser, tab: &Tab, approval: &str) {
        browser.go(tab, &format!("{}/approvals/{approval}", self.page));
        browser.until_text(tab, "Your answer");
    }

    fn paid(&self) -> Vec<String> {
        paid(&self.env)
    }

    /// Waits until the run of an approval has ended.
    fn ended(&self, approval: &str) -> Terminal {
        ended(&self.env, approval)
    }

    /// Asks what the page's scripts ask, from a tab; gives the status and the code.
    fn asked(&self, browser: &mut Browser, tab: &Tab, path: &str, body: &Value) -> (u64, String) {
        let js = format!(
            "import('/approvals/assets/server.js').then((s) => s.ask({}, {body})).then(() => [200, ''], (e) => [e.status, e.code])",
            json!(path)
        );
        let told = browser.eval(tab, &js);
        (told[0].as_u64().unwrap(), told[1].as_str().unwrap().to_owned())
    }
}

fn token(name: &str) -> String {
    let sha256: String = hash_token(&format!("token of {name}")).iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "[[auth.tokens]]\nsubject = \"{name}\"\nsha256 = \"{sha256}\"\nrights = [\"read\", \"approve\"]\nroles = [\"supervisor\"]\n"
    )
}

/// Where a server is, for programs and for people.
fn places(env: &TestEnvironment) -> (String, String) {
    let presence = std::fs::read_to_string(env.path().join(".stead/server.json")).unwrap();
    let presence: Value = serde_json::from_str(&presence).unwrap();
    let api = presence["url"].as_str().unwrap().to_owned();
    let page = api.replace("127.0.0.1", "localhost");
    (api, page)
}

/// Makes a passkey on the page; gives its fingerprint.
fn make(browser: &mut Browser, tab: &Tab, page: &str) -> String {
    browser.go(tab, &format!("{page}/approvals/passkeys"));
    browser.press(tab, "Make a passkey");
    let enrol = browser.until(tab, "document.getElementById('enrol').innerText");
    enrol.as_str().unwrap().split(' ').nth(4).unwrap().to_owned()
}

fn asks(env: &TestEnvironment, whom: &str) -> String {
    let run = env.json(&format!("runs start payer '{whom}' --json"))["run"].as_str().unwrap().to_owned();
    loop {
        let open = env.json(&format!("approvals ls --run {run} --json"));
        if let Some(id) = open["items"][0]["id"].as_str() {
            return id.to_owned();
        }
    }
}

fn ended(env: &TestEnvironment, approval: &str) -> Terminal {
    let id: EffectId = approval.parse().unwrap();
    env.stead(&format!("runs watch {}", id.run))
}

fn paid(env: &TestEnvironment) -> Vec<String> {
    // In the agent's own folder; it is there as soon as the agent was loaded for a run.
    let Some(book) = find(&env.path().join(".stead"), "book.db") else { return Vec::new() };
    let book = rusqlite::Connection::open(book).unwrap();
    let mut all = book.prepare("SELECT who FROM paid ORDER BY rowid").unwrap();
    all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// A file of that name, wherever it is in a folder.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.into_iter().find_map(|entry| match entry.path() {
        path if path.is_dir() => find(&path, name),
        path => (entry.file_name() == name).then_some(path),
    })
}

/// What a server answers somebody without a browser: its status, and all of its head and body.
fn curl(arguments: &[&str]) -> (String, String) {
    let said = Command::new("curl").args(["--silent", "--noproxy", "*", "--include"]).args(arguments).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    (text.split_whitespace().nth(1).unwrap_or_default().to_owned(), text)
}

#[test]
fn a_passkey_is_made_enrolled_and_approves_what_is_shown_exactly_once() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    let ann = lab.approver(&mut browser, "ann");
    let approval = lab.asks(HOSTILE);

    browser.go(&ann, &format!("{}/approvals", lab.page));
    browser.until_text(&ann, "book_pay");
    lab.show(&mut browser, &ann, &approval);
    // The very text that the command line would show, as text.
    let shown = browser.eval(&ann, "document.getElementById('shown').textContent");
    let told = lab.with("ann", &format!("approvals show {approval} --signed")).succeeds();
    assert_eq!(shown.as_str().unwrap(), told.stdout);
    assert!(told.stdout.contains("<script>window.pwned=2</script>\\u{202e}lol\\u{200b}"), "{told}");
    assert!(told.stdout.contains("BEWARE            it has invisible"), "{told}");
    let beware = browser.eval(&ann, "[...document.querySelectorAll('.beware')].map((row) => row.innerText).join()");
    assert!(beware.as_str().unwrap().contains("mixes alphabets"), "{beware}");
    let inside =
        browser.eval(&ann, "[window.pwned ?? null, document.querySelectorAll('main img, main script').length]");
    assert_eq!(inside, json!([null, 0]));
    if let Some(folder) = std::env::var_os("STEAD_PICTURES") {
        for (name, width, height) in [("wide", 1_100, 1_500), ("narrow", 390, 1_900)] {
            let picture = browser.picture(&ann, width, height);
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
        }
    }

    let press =
        "(() => { const yes = document.querySelector('button.yes'); for (let i = 0; i < 5; i += 1) yes.click(); })()";
    browser.eval(&ann, press);
    browser.until_text(&ann, "Approved.");
    browser.until_text(&ann, "ann approved on a page of this server");
    lab.ended(&approval).succeeds();
    assert_eq!(lab.paid(), [HOSTILE]);
    let run = approval.split('.').next().unwrap();
    let facts = lab.env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert_eq!(facts.matches("\"approval_given\"").count(), 1, "{facts}");
    assert_eq!(browser.complaints(), [""; 0]);

    // Years later, without the server: over which way it came is read off the signature.
    lab.env.stead(&format!("approvals receipt {approval} --output paid.evidence")).succeeds();
    let verified = lab.env.json("approvals verify paid.evidence --json");
    let answer = &verified["answers"][0];
    assert_eq!([&answer["subject"], &answer["page"], &answer["verified"]], [&json!("ann"), &json!(true), &json!(true)]);
}

#[test]
fn who_works_alone_enrols_their_passkey_by_one_command() {
    let env = TestEnvironment::new();
    for (name, text) in [("agent.yaml", PAYER), ("script.yaml", SCRIPT), ("book.sql", "CREATE TABLE paid (who TEXT);")]
    {
        env.write(
            &format!("payer/{name}"),
            &text.replace("pay: irreversible", "pay: { class: irreversible, risk: critical }"),
        );
    }
    let dev = Serving::start(env.command(["dev", "--port", "0", "payer"]), "try");
    let (_, page) = places(&env);
    assert!(dev.banner.contains(&format!("{page}/approvals")), "{}", dev.banner);
    let approval = asks(&env, "zoe");
    let mut browser = Browser::start();
    let tab = browser.tab();
    let link = env.stead(&format!("approvals open {approval} --no-browser")).succeeds();
    browser.go(&tab, link.stdout.trim());
    browser.press(&tab, "Sign in");
    browser.until_text(&tab, "you have no passkey for this page");
    let made = make(&mut browser, &tab, &page);
    env.stead(&format!("approvals keys enrol {made}")).succeeds();
    browser.go(&tab, &format!("{page}/approvals/{approval}"));
    browser.press(&tab, "Approve with passkey");
    browser.until_text(&tab, "Approved.");
    ended(&env, &approval).succeeds();
    assert_eq!(paid(&env), ["zoe"]);
    // A link counts once, and none is made where no server stays.
    let other = browser.tab();
    browser.go(&other, link.stdout.trim());
    browser.press(&other, "Sign in");
    browser.until_text(&other, "the link was used already");
    assert_eq!(dev.stop(), Some(0));
    let none = env.stead("approvals open");
    assert!(none.code == Some(1) && none.stderr.contains("no server is running"), "{none}");
}

#[test]
fn where_a_person_must_be_verified_an_assertion_without_that_is_refused() {
    let lab = Lab::new("@verify(\"person\")", "");
    let mut browser = Browser::start();
    let ann = lab.approver(&mut browser, "ann");
    let approval = lab.asks("zoe");
    browser.verifies(&ann, false);
    lab.show(&mut browser, &ann, &approval);
    // The page asks for it, and this authenticator cannot give it.
    browser.press(&ann, "Approve with passkey");
    browser.until_text(&ann, "The passkey was not used");
    // Who does not ask for it gets a signature that counts for nothing.
    browser.eval(
        &ann,
        "{ const get = navigator.credentials.get.bind(navigator.credentials); \
         navigator.credentials.get = ({ publicKey }) => get({ publicKey: { ...publicKey, userVerification: 'discouraged' } }); }",
    );
    let receipt = receipt(&mut browser, &ann, &approval, "false");
    let path = format!("approvals/{approval}/approve");
    let refused = lab.asked(&mut browser, &ann, &path, &json!({ "receipt": receipt }));
    assert_eq!(refused, (422, "ST0375".to_owned()));
    assert_eq!(lab.paid(), [""; 0]);
    browser.verifies(&ann, true);
    lab.show(&mut browser, &ann, &approval);
    browser.press(&ann, "Approve with passkey");
    browser.until_text(&ann, "Approved.");
    lab.ended(&approval).succeeds();
    assert_eq!(lab.paid(), ["zoe"]);
}

/// Signs an approval in a tab as its page would, and gives the receipt instead of sending it.
fn receipt(browser: &mut Browser, tab: &Tab, approval: &str, verify: &str) -> String {
    let js = format!(
        "(async () => {{
            const at = '/approvals/assets/';
            const [{{ ask }}, {{ statement }}, {{ receipt, random }}] = await Promise.all(
                ['server.js', 'statement.js', 'passkey.js'].map((file) => import(at + file)));
            const [found, me, place] = await Promise.all([ask('approvals/{approval}'), ask('me'), ask('place')]);
            const key = me.passkeys[0];
            const text = await statement(JSON.parse(found.question), found.shown, {{
                approved: true, issuer: me.issuer, subject: me.subject, key: key.id, now: found.now, nonce: random(16) }});
            return receipt(text, key.key, place, key.credential, {verify});
        }})()"
    );
    browser.eval(tab, &js).as_str().unwrap().to_owned()
}

#[test]
fn an_assertion_for_another_approval_of_another_person_or_from_another_origin_is_refused() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    let ann = lab.approver(&mut browser, "ann");
    let (first, second) = (lab.asks("zoe"), lab.asks("zoe"));
    let path = |approval: &str| format!("approvals/{approval}/approve");
    let signed = receipt(&mut browser, &ann, &first, "true");
    let body = json!({ "receipt": signed });
    let replayed = lab.asked(&mut browser, &ann, &path(&second), &body);
    assert_eq!(replayed, (422, "ST0371".to_owned()), "to another approval");
    let bob = lab.enter(&mut browser, "bob");
    let taken = lab.asked(&mut browser, &bob, &path(&first), &body);
    assert_eq!(taken, (422, "ST0371".to_owned()), "by another person");
    // A page elsewhere that has got everything but the origin: the same statement, key and relying party.
    let other = Lab::new("", "");
    let text = serde_json::from_str::<Value>(&signed).unwrap();
    let credential = browser.eval(
        &ann,
        "import('/approvals/assets/server.js').then((s) => s.ask('me')).then((me) => me.passkeys[0].credential)",
    );
    browser.go(&ann, &format!("{}/approvals", other.page));
    browser.until_text(&ann, "Sign in");
    let forged = browser.eval(
        &ann,
        &format!(
            "import('/approvals/assets/passkey.js').then((p) => p.receipt({}, {}, {{ rp_id: 'localhost' }}, {credential}, true))",
            text["statement"], text["key"]
        ),
    );
    browser.go(&ann, &format!("{}/approvals", lab.page));
    browser.until_text(&ann, "ann · default");
    let forged = lab.asked(&mut browser, &ann, &path(&first), &json!({ "receipt": forged }));
    assert_eq!(forged, (422, "ST0371".to_owned()), "from another origin");
    assert_eq!(lab.paid(), [""; 0]);
    // The right one counts, once.
    assert_eq!(lab.asked(&mut browser, &ann, &path(&first), &body), (200, String::new()));
    lab.ended(&first).succeeds();
    assert_ne!(lab.asked(&mut browser, &ann, &path(&first), &body).0, 200);
    assert_eq!(lab.paid(), ["zoe"]);
}

#[test]
fn two_channels_take_an_answer_on_the_page_and_one_of_a_program_also_of_one_person() {
    let lab = Lab::new("@channels(\"2\")", "");
    let mut browser = Browser::start();
    let ann = lab.approver(&mut browser, "ann");
    lab.ssh_key("ann");
    for page_first in [true, false] {
        let approval = lab.asks("zoe");
        let before = lab.paid().len();
        let program = || lab.with("ann", &format!("approvals approve {approval} --ssh-key ann")).succeeds();
        if !page_first {
            // The same way twice is one way.
            program();
            program();
        }
        lab.show(&mut browser, &ann, &approval);
        browser.press(&ann, "Approve with passkey");
        if page_first {
            browser.until_text(&ann, "what is missing is an answer with a program of a signer’s own");
            lab.show(&mut browser, &ann, &approval);
            browser.press(&ann, "Approve with passkey");
            browser.until_text(&ann, "More is asked for");
            assert_eq!(lab.paid().len(), before);
            program();
        } else {
            browser.until_text(&ann, "Approved.");
        }
        lab.ended(&approval).succeeds();
        assert_eq!(lab.paid().len(), before + 1);
    }
}

#[test]
fn a_denial_on_the_page_ends_it_and_the_model_reads_the_note() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    lab.ssh_key("ann");
    // A no takes neither a passkey nor a signature.
    let bob = lab.enter(&mut browser, "bob");
    let approval = lab.asks("zoe");
    lab.show(&mut browser, &bob, &approval);
    let asks = browser.eval(&bob, "document.querySelector('button.yes').disabled");
    assert_eq!(asks, json!(true));
    browser.eval(&bob, "document.getElementById('note').value = 'zoe has left'");
    browser.press(&bob, "Deny");
    browser.until_text(&bob, "Denied.");
    let ended = lab.ended(&approval);
    assert!(ended.stdout.contains("zoe has left"), "{ended}");
    assert_eq!(lab.paid(), [""; 0]);
}

#[test]
fn a_session_ends_by_signing_out_by_its_time_and_when_its_person_is_revoked() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    let (ann, bob) = (lab.enter(&mut browser, "ann"), lab.enter(&mut browser, "bob"));
    // A second browser of the same person is another session.
    let again = lab.enter(&mut browser, "bob");
    let half = browser.eval(&bob, "localStorage.getItem('stead-page-half')");
    browser.press(&bob, "Sign out");
    browser.until_text(&bob, "You are signed out.");
    browser.eval(&bob, &format!("localStorage.setItem('stead-page-half', {half})"));
    let me = "import('/approvals/assets/server.js').then((s) => s.ask('me')).then(() => '', (e) => e.code)";
    assert_eq!(browser.eval(&bob, me), "ST0376");
    assert_eq!(browser.eval(&again, me), "");
    lab.env.stead("identity revoke person ann").succeeds();
    assert_eq!(browser.eval(&ann, me), "ST0340");
    lab.env.stead("identity restore person ann").succeeds();
    assert_eq!(browser.eval(&ann, me), "");
    // One that counts for two seconds is over at last, whatever its page does meanwhile.
    let brief = Lab::new("", "[approvals]\nsession = \"2s\"");
    let link = brief.with("ann", "approvals open --no-browser").succeeds();
    let tab = browser.tab();
    browser.go(&tab, link.stdout.trim());
    browser.press(&tab, "Sign in");
    browser.until(
        &tab,
        "localStorage.getItem('stead-page-half') !== null || document.body.innerText.includes('Run this on a machine')",
    );
    while browser.eval(&tab, me) != "ST0376" {}
    browser.go(&tab, &format!("{}/approvals", brief.page));
    browser.until_text(&tab, "Run this on a machine");
}

#[test]
fn what_another_site_sends_with_a_persons_cookie_is_refused() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    let ann = lab.enter(&mut browser, "ann");
    let approval = lab.asks("zoe");
    let url = format!("{}/approvals/api/approvals/{approval}/deny", lab.page);
    // The cookie as a browser has it, and scripts do not.
    assert_eq!(browser.eval(&ann, "document.cookie"), "");
    let cookies = browser.call(Some(&ann), "Network.getCookies", json!({ "urls": [lab.page] }));
    let cookie = &cookies["cookies"][0];
    assert_eq!((cookie["httpOnly"].as_bool(), cookie["sameSite"].as_str()), (Some(true), Some("Strict")), "{cookies}");
    let cookie = format!("Cookie: {}={}", cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap());
    let half = browser.eval(&ann, "localStorage.getItem('stead-page-half')");
    let half = format!("X-Stead-Page: {}", half.as_str().unwrap());
    let origin = format!("Origin: {}", lab.page);
    let post = |headers: &[&str]| {
        let mut all = vec!["--header", "Content-Type: application/json", "--data", "{}"];
        all.extend(headers.iter().flat_map(|header| ["--header", header]));
        all.push(&url);
        curl(&all)
    };
    for (headers, status, code) in [
        (vec![&*cookie, &half], "403", "ST0378"),
        (vec![&cookie, &half, "Origin: https://evil.example"], "403", "ST0378"),
        (vec![&cookie, &half, "Origin: null"], "403", "ST0378"),
        (vec![&cookie, &half, &origin, "Sec-Fetch-Site: cross-site"], "403", "ST0378"),
        (vec![&cookie, &origin], "401", "ST0376"),
        (vec![&half, &origin], "401", "ST0376"),
        (vec![&origin, "Authorization: Bearer token of ann"], "401", "ST0376"),
    ] {
        let (was, text) = post(&headers);
        assert!(was == status && text.contains(code), "{headers:?}: {text}");
    }
    // A session is good for nothing but the page.
    let (was, text) =
        curl(&["--header", &cookie, "--header", &half, "--header", &origin, &format!("{}/v1/runs", lab.page)]);
    assert!(was == "401", "{text}");
    // From a page of another port of the same host, which the browser sends the cookie to.
    let other = Lab::new("", "");
    browser.call(Some(&ann), "Page.setBypassCSP", json!({ "enabled": true }));
    browser.go(&ann, &format!("{}/approvals", other.page));
    browser.until_text(&ann, "Sign in");
    let sent = format!(
        "fetch('{url}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', body: '{{}}' }}).then(() => 'sent', () => 'not')"
    );
    browser.eval(&ann, &sent);
    let form = format!(
        "fetch('{url}', {{ method: 'POST', credentials: 'include', headers: {{ 'content-type': 'application/json', 'x-stead-page': 'x' }}, body: '{{}}' }}).then(() => 'sent', () => 'not')"
    );
    assert_eq!(browser.eval(&ann, &form), "not");
    assert_eq!(lab.env.approval(), approval, "it is open still");
    // Nothing is changed by looking.
    for path in ["enter", "leave", "login", &format!("approvals/{approval}/deny")] {
        let (was, text) = curl(&[&format!("{}/approvals/api/{path}", lab.page)]);
        assert!(["405", "401"].contains(&&*was), "{path}: {text}");
    }
}

#[test]
fn every_page_says_to_browsers_what_they_may_do_with_it() {
    let lab = Lab::new("", "");
    let files = ["page.css", "page.js", "views.js", "server.js", "statement.js", "passkey.js", "icon.svg"];
    let assets = files.iter().map(|file| format!("/assets/{file}"));
    let pages =
        ["", "/passkeys", "/enter", "/callback", "/run_01M7Y5Z2Z48QY2QNWKEQN3FNRV.e1", "/api/place", "/api/me", "/a/b"];
    for path in pages.into_iter().map(str::to_owned).chain(assets) {
        let (status, head) = curl(&[&format!("{}/approvals{path}", lab.page)]);
        let expected = match &*path {
            "/api/me" => "401",
            "/a/b" => "404",
            _ => "200",
        };
        assert_eq!(status, expected, "{path}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "referrer-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(head.contains(header), "{path}: {header}: {head}");
        }
        assert!(!head.contains("www-authenticate") && !head.contains("access-control"), "{path}: {head}");
    }
    // Nothing of anybody else, and nothing inline.
    let (_, page) = curl(&[&format!("{}/approvals", lab.page)]);
    assert!(!page.contains("://") && !page.contains("style=") && !page.contains("<script>"), "{page}");
}

#[test]
#[ignore = "the driver loses the tab on the way to the provider and back; the same by hand signs in"]
fn a_person_signs_in_at_the_identity_provider_and_is_on_the_page_what_their_token_says() {
    let script = root().join("crates/cli/tests/fixtures/oidc/provider.mjs");
    let mut node = Command::new("node");
    node.arg(&script);
    let provider = Serving::with_url(node);
    let oidc = format!(
        "[auth.oidc]\nissuer = \"{}\"\naudience = [\"urn:stead\"]\npage_client_id = \"stead-page\"\nscopes = [\"openid\", \"api\"]\nresource = \"urn:stead\"\n\
         groups = [{{ name = \"stead-users\", rights = [\"read\", \"run\", \"approve\", \"apply\"], roles = [\"supervisor\"] }}]",
        provider.banner
    );
    let lab = Lab::new("", &oidc);
    let approval = lab.asks("zoe");
    let mut browser = Browser::start();
    let tab = browser.tab();
    browser.go(&tab, &format!("{}/approvals/{approval}", lab.page));
    browser.press(&tab, "Sign in with your organisation");
    browser.until_text(&tab, "oidc:ann · default");
    browser.until_text(&tab, "May payer do this?");
    let here = browser.eval(&tab, "location.href");
    assert_eq!(here, format!("{}/approvals/{approval}", lab.page), "and no code stays in the address");
    browser.press(&tab, "Deny");
    browser.until_text(&tab, "Denied.");
    lab.ended(&approval);
    assert_eq!(lab.paid(), [""; 0]);
    // An answer that belongs to no login of this browser signs nobody in.
    let stray = browser.tab();
    browser.go(&stray, &format!("{}/approvals/callback?code=stolen&state=other", lab.page));
    browser.until_text(&stray, "this browser has begun no login");
}

#[test]
fn the_page_is_used_by_keyboard_and_told_to_who_does_not_see_it() {
    let lab = Lab::new("", "");
    let mut browser = Browser::start();
    let ann = lab.approver(&mut browser, "ann");
    let approval = lab.asks("zoe");
    lab.show(&mut browser, &ann, &approval);
    let tree = browser.call(Some(&ann), "Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let named = |role: &str| -> Vec<&str> {
        let of = nodes.iter().filter(|node| node["role"]["value"] == role && node["ignored"] == false);
        let mut names: Vec<_> = of.filter_map(|node| node["name"]["value"].as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(named("button"), ["Approve with passkey", "Deny", "Sign out"]);
    assert_eq!(named("textbox"), ["Note"]);
    assert_eq!(named("heading"), ["Answers so far", "May payer do this?", "Your answer"]);
    assert!(named("navigation").contains(&"Pages") && named("status").len() == 1 && named("main").len() == 1);
    // From the beginning by the key alone, to the answer.
    browser.eval(&ann, "document.activeElement.blur()");
    let mut stops = Vec::new();
    for _ in 0..12 {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            browser.call(Some(&ann), "Input.dispatchKeyEvent", key);
        }
        let at = browser.eval(&ann, "(document.activeElement.innerText || document.activeElement.id).slice(0, 24)");
        stops.push(at.as_str().unwrap_or_default().to_owned());
        if stops.last().is_some_and(|stop| stop == "Approve with passkey") {
            break;
        }
    }
    assert!(stops.contains(&"note".to_owned()) && stops.last().unwrap() == "Approve with passkey", "{stops:?}");
    for kind in ["keyDown", "keyUp"] {
        let key = json!({ "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
        browser.call(Some(&ann), "Input.dispatchKeyEvent", key);
    }
    browser.until(&ann, "document.querySelector('[role=status]').textContent === 'Approved.'");
    assert_eq!(browser.eval(&ann, "document.activeElement.id"), "main");
    // Nothing is wider than a telephone.
    browser.go(&ann, &format!("{}/approvals", lab.page));
    browser.until_text(&ann, "Nothing waits");
    let narrow = json!({ "width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": true });
    browser.call(Some(&ann), "Emulation.setDeviceMetricsOverride", narrow);
    assert_eq!(browser.eval(&ann, "document.documentElement.scrollWidth <= 320"), json!(true));
}
