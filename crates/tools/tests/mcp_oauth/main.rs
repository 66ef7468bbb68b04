//! Authorization of MCP servers behind a URL: what is kept and renewed, and every answer that must not be believed.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod double;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use common::{arguments, call, config, invocation};
use double::Double;
use parking_lot::Mutex;
use serde_json::json;
use stead_core::{code, effect::Outcome};
use stead_ports::{BoxFuture, tool::Output};
use stead_tools::{
    config::McpUrlConfig,
    error::ToolSetupError,
    mcp::{
        self, Answer, Asks, Question, Shown,
        oauth::{Authorization, Consent, Grant, Grants, Identity, Registered},
    },
    offer::Offered,
    reach::Reach,
    secret::Secret,
};

pub(crate) const REDIRECT: &str = "http://127.0.0.1:3000/callback";

#[derive(Default)]
struct Kept(Mutex<Option<Grant>>);

impl Grants for Kept {
    fn load(&self, _: &str) -> BoxFuture<'_, Result<Option<Grant>, String>> {
        let kept = self.0.lock().clone();
        Box::pin(async { Ok(kept) })
    }

    fn save(&self, _: &str, grant: Grant) -> BoxFuture<'_, Result<(), String>> {
        *self.0.lock() = Some(grant);
        Box::pin(async { Ok(()) })
    }
}

/// A person who says yes, and counts. What the browser brings back can be changed on the way.
struct Person {
    issuer: String,
    state: Option<&'static str>,
    asked: AtomicUsize,
}

impl Consent for Person {
    fn redirect_uri(&self) -> String {
        REDIRECT.into()
    }

    fn authorize(&self, page: String) -> BoxFuture<'_, Result<String, String>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let page = reqwest::Url::parse(&page).unwrap();
        let sent = |name: &str| page.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        assert_eq!((sent("code_challenge_method").as_str(), sent("response_type").as_str()), ("S256", "code"));
        assert!(sent("resource").ends_with("/mcp"));
        let state = self.state.map_or_else(|| sent("state"), str::to_owned);
        let mut back = reqwest::Url::parse(REDIRECT).unwrap();
        back.query_pairs_mut().append_pair("code", "c").append_pair("state", &state).append_pair("iss", &self.issuer);
        Box::pin(async move { Ok(back.into()) })
    }
}

/// Answers no question, and keeps them.
#[derive(Default)]
struct Hears(Mutex<Vec<Question>>);

impl Asks for Hears {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        self.0.lock().push(question);
        Box::pin(async { Answer::Decline })
    }
}

struct World {
    double: Arc<Double>,
    kept: Arc<Kept>,
    person: Arc<Person>,
    identity: Identity,
    scopes: Option<Vec<String>>,
}

impl World {
    async fn with(fault: &'static str) -> Self {
        let double = Double::serve(fault).await;
        let issuer = if double.is("answer of another") { "https://other.example".into() } else { double.url.clone() };
        let state = double.is("other state").then_some("another");
        let person = Arc::new(Person { issuer, state, asked: AtomicUsize::new(0) });
        Self { double, kept: Arc::default(), person, identity: Identity::default(), scopes: None }
    }

    fn config(&self) -> McpUrlConfig {
        config(json!({ "url": format!("{}/mcp", self.double.url), "protocol": "2025-11-25" }))
    }

    fn shown(&self, somebody: bool) -> Option<Shown> {
        let person: Arc<dyn Consent> = Arc::clone(&self.person) as _;
        Some(Shown::Authorization(Authorization {
            grants: Arc::clone(&self.kept) as _,
            consent: somebody.then_some(person),
            identity: self.identity.clone(),
            scopes: self.scopes.clone(),
            private: false,
        }))
    }

    async fn discover(&self, somebody: bool) -> Result<Vec<mcp::Discovered>, ToolSetupError> {
        mcp::discover_url(&self.config(), self.shown(somebody), &Reach::default()).await
    }

    async fn offer(&self, somebody: bool) -> Offered {
        let pinned = self.discover(true).await.unwrap();
        let shown = self.shown(somebody);
        mcp::offer_url("t", &self.config(), shown, &Reach::default(), &pinned).unwrap().remove(0)
    }

    fn consents(&self) -> usize {
        self.person.asked.load(Ordering::SeqCst)
    }
}

fn text(outcome: Outcome<Output>) -> String {
    match outcome {
        Outcome::Returned(output) => output.content,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_authorises_once_and_the_token_is_seen_by_nobody() {
    let world = World::with("").await;
    let tool = world.offer(false).await;
    assert_eq!(text(call(&tool, json!({})).await), "you showed Bearer [secret]");
    assert_eq!((world.consents(), world.double.registered.load(Ordering::SeqCst)), (1, 1));
    let asked = world.double.asked.lock().clone();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains_key("code_verifier") && asked[0]["resource"].ends_with("/mcp"), "{asked:?}");
    let grant = world.kept.0.lock().clone().unwrap();
    assert_eq!((&grant.issuer, &grant.scopes), (&world.double.url, &vec!["read".to_owned()]));
}

#[tokio::test]
async fn logging_in_keeps_what_calls_need() {
    let world = World::with("").await;
    let Some(Shown::Authorization(authorization)) = world.shown(true) else { panic!("it is one") };
    let grant = mcp::oauth::login(&world.config(), authorization, &Reach::default()).await.unwrap();
    assert_eq!(world.kept.0.lock().as_ref(), Some(&grant));
    assert_eq!(world.discover(false).await.unwrap().len(), 1);
    let world = World::with("other issuer").await;
    let Some(Shown::Authorization(authorization)) = world.shown(true) else { panic!("it is one") };
    let error = mcp::oauth::login(&world.config(), authorization, &Reach::default()).await.unwrap_err();
    assert_eq!((error.code, world.consents()), (code::MCP_AUTHORIZATION, 0));
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_without_anybody() {
    let world = World::with("short").await;
    let tool = world.offer(false).await;
    // As if its time had passed.
    world.kept.0.lock().as_mut().unwrap().received -= 10;
    assert_eq!(text(call(&tool, json!({})).await), "you showed Bearer [secret]");
    let grants: Vec<String> = world.double.asked.lock().iter().map(|form| form["grant_type"].clone()).collect();
    assert!(grants.contains(&"refresh_token".to_owned()), "{grants:?}");
    assert_eq!(world.consents(), 1);
    let renewed = world.kept.0.lock().clone().unwrap();
    assert_ne!(renewed.access_token, "token-number-1");
    assert_eq!((renewed.client_id.as_str(), &renewed.scopes), ("c1", &vec!["read".to_owned()]));
}

#[tokio::test]
async fn without_anybody_who_says_yes_the_call_is_refused_with_what_to_do() {
    let world = World::with("renews no more").await;
    let tool = world.offer(false).await;
    world.kept.0.lock().as_mut().unwrap().received -= 10;
    let outcome = call(&tool, json!({})).await;
    assert!(matches!(&outcome, Outcome::Refused(o) if o.content.contains("ST0430")), "{outcome:?}");
    let fresh = World::with("").await;
    assert_eq!(fresh.discover(false).await.unwrap_err().code, code::MCP_UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_not_safe_is_refused_before_a_token_is_asked_for() {
    let faults = [
        ("no metadata", "says who may authorise"),
        ("other resource", "resource mismatch"),
        ("other issuer", "issuer mismatch"),
        ("plain only", "S256"),
        ("silent on pkce", "S256"),
        ("inside", "169.254.169.254"),
        ("private", "10.0.0.5"),
        ("plain http", "is not `https://`"),
        ("other state", "another `state`"),
        ("answer of another", "issuer mismatch"),
    ];
    for (fault, words) in faults {
        let world = World::with(fault).await;
        let error = world.discover(true).await.unwrap_err();
        assert_eq!(error.code, code::MCP_AUTHORIZATION, "{fault}: {error}");
        assert!(error.detail.contains(words), "{fault}: {error}");
        assert!(world.double.asked.lock().is_empty() && world.kept.0.lock().is_none(), "{fault}");
    }
    let world = World::with("no bearer").await;
    assert_eq!(world.discover(true).await.unwrap_err().code, code::MCP_AUTHORIZATION);
    assert!(world.kept.0.lock().is_none());
}

#[tokio::test]
async fn a_server_that_is_never_content_is_asked_only_so_often() {
    let world = World::with("never content").await;
    assert_eq!(world.discover(true).await.unwrap_err().code, code::MCP_UNAUTHORIZED);
    assert_eq!(world.consents(), 1);
    let world = World::with("ever more").await;
    let tool = world.offer(true).await;
    let outcome = call(&tool, json!({})).await;
    assert!(matches!(&outcome, Outcome::Refused(o) if o.content.contains("ST0430")), "{outcome:?}");
    assert_eq!(world.consents(), 4, "the first, and three that the server asked for");
    let scopes = world.kept.0.lock().as_ref().unwrap().scopes.clone();
    assert_eq!(scopes, ["read", "s0", "s1", "s2"], "what was given before is asked for with what is new");
    tool.tool.release(invocation(&tool, arguments(json!({})), 1).effect.run).await;
    // Where nobody can say yes, the call alone is refused, with the scopes that it wants.
    let alone = world.offer(false).await;
    let outcome = call(&alone, json!({})).await;
    let wants = "ST0430: the MCP server";
    assert!(
        matches!(&outcome, Outcome::Refused(o) if o.content.starts_with(wants) && o.content.contains("asks for more: s"))
    );
    assert_eq!(world.consents(), 4);
}

#[tokio::test]
async fn a_clients_name_is_shown_to_no_other_issuer() {
    let mut world = World::with("").await;
    let issuer = Some("https://login.example.com".to_owned());
    world.identity.registered = Some(Registered { client_id: "ours".into(), client_secret: None, issuer });
    let error = world.discover(true).await.unwrap_err();
    assert_eq!(error.code, code::MCP_AUTHORIZATION);
    assert!(error.detail.contains("registered with `https://login.example.com`"), "{error}");
    assert_eq!((world.consents(), world.double.asked.lock().len()), (0, 0));
}

#[tokio::test]
async fn a_clients_secret_without_an_issuer_is_refused_before_anything_is_sent() {
    let mut world = World::with("").await;
    let registered = |issuer| Registered {
        client_id: "ours".into(),
        client_secret: Some(Secret::new("secret-of-the-client")),
        issuer,
    };
    world.identity.registered = Some(registered(None));
    let error = world.discover(true).await.unwrap_err();
    assert!(error.detail.contains("must name its `issuer`"), "{error}");
    assert_eq!((world.consents(), world.double.asked.lock().len()), (0, 0));
    world.identity.registered = Some(registered(Some(world.double.url.clone())));
    assert_eq!(world.discover(true).await.unwrap().len(), 1);
}

#[tokio::test]
async fn scopes_that_the_operator_does_not_name_are_not_asked_for() {
    let mut world = World::with("ever more").await;
    world.scopes = Some(vec!["read".to_owned()]);
    let tool = world.offer(true).await;
    let outcome = call(&tool, json!({})).await;
    assert!(
        matches!(&outcome, Outcome::Refused(o) if o.content.contains("ST0430") && o.content.contains("`s0`")),
        "{outcome:?}"
    );
    assert_eq!(world.consents(), 1);
    assert_eq!(world.kept.0.lock().as_ref().unwrap().scopes, ["read"]);
}

#[tokio::test]
async fn a_servers_question_does_not_tell_its_token() {
    let world = World::with("asks").await;
    let pinned = world.discover(true).await.unwrap();
    let hears = Arc::new(Hears::default());
    let asks: Arc<dyn Asks> = Arc::clone(&hears) as _;
    let offered =
        mcp::offer_asking("t", &world.config(), world.shown(false), (&Reach::default(), asks), &pinned).unwrap();
    assert_eq!(text(call(&offered[0], json!({})).await), "asked");
    let asked: Vec<String> = hears.0.lock().iter().map(|question| question.message.clone()).collect();
    assert_eq!(asked, ["you showed Bearer [secret]"]);
}
