//! A real Chromium without a window, driven over its DevTools protocol by a pipe: messages of JSON, each ended by a zero byte. It has a
//! virtual authenticator for each tab, so that passkeys are made and used as people do it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// See the module.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    next: u64,
    /// What it told unasked.
    pub(crate) events: Vec<Value>,
    _profile: TempDir,
}

/// After what time without a word it is taken for dead.
const PATIENCE: Duration = Duration::from_secs(120);
/// After what time an answer is taken for lost with the page that was to give it.
const LOST: Duration = Duration::from_secs(5);

/// A message without its end.
fn read(told: &[u8]) -> Value {
    serde_json::from_slice(told.strip_suffix(&[0]).unwrap_or(told)).unwrap()
}

/// A tab with cookies and storage of its own, as another person's browser has them.
pub(crate) struct Tab {
    session: String,
    authenticator: String,
}

impl Browser {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The pipe is on the descriptors 3 and 4, and a shell puts them there.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null", "sh", "chromium"])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--no-proxy-server"])
            .args(["--remote-debugging-pipe", "--window-size=1100,900"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (tell, from) = channel();
        std::thread::spawn(move || {
            let mut told = Vec::new();
            while out.read_until(0, &mut told).is_ok_and(|read| read > 0) && tell.send(read(&told)).is_ok() {
                told.clear();
            }
        });
        let mut browser = Self { child, to, from, next: 0, events: Vec::new(), _profile: profile };
        browser.call(None, "Browser.getVersion", json!({}));
        browser
    }

    /// Asks, and waits for the answer.
    pub(crate) fn call(&mut self, tab: Option<&Tab>, method: &str, params: Value) -> Value {
        let session = tab.map(|tab| tab.session.as_str());
        self.try_call(session, method, params, PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    fn try_call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
        patience: Duration,
    ) -> Result<Value, Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("`./test` installs chromium, and it runs");
        loop {
            let Ok(mut told) = self.from.recv_timeout(patience) else {
                return Err(json!("chromium says nothing; is the package `chromium` installed?"));
            };
            if told["id"] == id {
                return match told.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(told["result"].take()),
                };
            }
            self.events.push(told);
        }
    }

    /// Opens a tab, with an authenticator that verifies its user.
    pub(crate) fn tab(&mut self) -> Tab {
        let context = self.call(None, "Target.createBrowserContext", json!({}))["browserContextId"].clone();
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call(None, "Target.createTarget", target)["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        let mut tab = Tab { session, authenticator: String::new() };
        for domain in ["Page", "Runtime", "Log", "WebAuthn"] {
            self.call(Some(&tab), &format!("{domain}.enable"), json!({}));
        }
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true,
            "automaticPresenceSimulation": true,
        });
        let added = self.call(Some(&tab), "WebAuthn.addVirtualAuthenticator", json!({ "options": options }));
        tab.authenticator = added["authenticatorId"].as_str().unwrap().to_owned();
        tab
    }

    /// Whether the authenticator of a tab verifies its user from now on.
    pub(crate) fn verifies(&mut self, tab: &Tab, verified: bool) {
        let params = json!({ "authenticatorId": tab.authenticator, "isUserVerified": verified });
        self.call(Some(tab), "WebAuthn.setUserVerified", params);
    }

    /// Goes somewhere.
    pub(crate) fn go(&mut self, tab: &Tab, url: &str) {
        let gone = self.call(Some(tab), "Page.navigate", json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
    }

    /// The value of an expression, or of what it promises.
    pub(crate) fn eval(&mut self, tab: &Tab, js: &str) -> Value {
        self.tried(tab, js, PATIENCE).unwrap_or_else(|e| panic!("{js}: {e}"))
    }

    fn tried(&mut self, tab: &Tab, js: &str, patience: Duration) -> Result<Value, Value> {
        let params = json!({ "expression": js, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.try_call(Some(&tab.session), "Runtime.evaluate", params, patience)?;
        match answer.get("exceptionDetails") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits, in the page, until an expression is something; gives that. Over to another page it goes on there: an answer that is lost on the
    /// way is asked for again.
    pub(crate) fn until(&mut self, tab: &Tab, js: &str) -> Value {
        let wait = format!(
            "new Promise((done) => {{ let looks = 0; const look = () => {{ let it; try {{ it = ({js}); }} catch {{ it = null; }} \
             if (it || looks > 20) done(it || null); else setTimeout(look, 15); looks += 1; }}; look(); }})"
        );
        loop {
            match self.tried(tab, &wait, LOST) {
                Ok(found) if !matches!(found, Value::Null | Value::Bool(false)) => return found,
                _ => {}
            }
        }
    }

    /// Waits until the page says something.
    pub(crate) fn until_text(&mut self, tab: &Tab, text: &str) {
        self.until(tab, &format!("document.body && document.body.innerText.includes({})", json!(text)));
    }

    /// Presses the button, or follows the link, with that name.
    pub(crate) fn press(&mut self, tab: &Tab, name: &str) {
        let find = format!(
            "[...document.querySelectorAll('button, a')].find((b) => b.innerText.trim() === {} && !b.disabled)",
            json!(name)
        );
        self.until(tab, &format!("({find}) !== undefined"));
        self.eval(tab, &format!("({find}).click()"));
    }

    /// A picture of the page, as PNG.
    pub(crate) fn picture(&mut self, tab: &Tab, width: u32, height: u32) -> Vec<u8> {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(tab), "Emulation.setDeviceMetricsOverride", size);
        let shot = self.call(Some(tab), "Page.captureScreenshot", json!({ "format": "png" }));
        self.call(Some(tab), "Emulation.clearDeviceMetricsOverride", json!({}));
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// What it told of violations of the page's policy, of scripts that failed, and of dialogs.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // What was told by then is there by the answer.
        self.call(None, "Browser.getVersion", json!({}));
        let bad = |event: &&Value| {
            let text = event.to_string();
            match event["method"].as_str() {
                Some("Runtime.exceptionThrown" | "Page.javascriptDialogOpening") => true,
                Some("Log.entryAdded" | "Runtime.consoleAPICalled") => {
                    text.contains("Content Security Policy") || text.contains("TrustedHTML")
                }
                _ => false,
            }
        };
        self.events.iter().filter(bad).map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In order, so that its own processes end with it.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}
