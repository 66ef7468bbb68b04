//! Sessions: one conversation over several runs.

use serde_json::json;
use stead_api::session::{OpenSession, SessionRef, StartInSession};
use stead_client::{RunQuery, SessionQuery};

use crate::lab::{Lab, problem, start};

fn input(text: &str) -> StartInSession {
    StartInSession { input: text.into(), attachments: Vec::new(), version: None, limits: Default::default() }
}

#[tokio::test]
async fn a_key_is_the_same_session_every_time() {
    let lab = Lab::new().await;
    lab.hello().await;
    let open = json!({"agent": "hello", "key": "customer/42"});
    assert_eq!(lab.post("/v1/sessions", &open).await.status(), 201);
    assert_eq!(lab.post("/v1/sessions", &open).await.status(), 200);
    let session =
        lab.client.open_session(&OpenSession { agent: "hello".into(), key: "customer/42".into() }).await.unwrap();
    let mut begin = start("hello");
    begin.session_key = Some("customer/42".into());
    let by_key = lab.client.start_run(&begin, None).await.unwrap();
    assert_eq!(by_key.session, session.id);
    lab.ended(by_key.run).await;
    let second = lab.client.start_in_session(session.id, &input("And now?"), None).await.unwrap();
    lab.ended(second.run).await;
    let session = lab.client.session(session.id).await.unwrap();
    assert_eq!((session.head, session.active), (Some(second.run), None));
    assert_eq!(lab.client.run(second.run).await.unwrap().summary.session_key.unwrap().as_str(), "customer/42");
}

#[tokio::test]
async fn runs_of_a_session_wait_for_their_turn_in_order() {
    let lab = Lab::new().await;
    let first = lab.waiting().await;
    let session = first.summary.session;
    let mut queued = Vec::new();
    for n in 0..3 {
        let started = lab.client.start_in_session(session, &input(&n.to_string()), None).await.unwrap();
        assert!(started.queued);
        queued.push(started.run);
    }
    let seen = lab.client.session(session).await.unwrap();
    assert_eq!((seen.active, seen.queued), (Some(first.summary.id), queued.clone()));
    lab.client.cancel(first.summary.id).await.unwrap();
    lab.ended(first.summary.id).await;
    let next = lab.client.wait(queued[0], stead_api::run::WaitUntil::Waiting).await.unwrap();
    assert_eq!(next.approvals.len(), 1);
    assert_eq!(lab.client.session(session).await.unwrap().active, Some(queued[0]));
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let lab = Lab::new().await;
    lab.hello().await;
    for n in 0..5 {
        let key = format!("k{n}").into();
        lab.client.open_session(&OpenSession { agent: "hello".into(), key }).await.unwrap();
    }
    let mut query = SessionQuery { agent: Some("hello".into()), ..Default::default() };
    query.page.limit = Some(2);
    let mut keys = Vec::new();
    loop {
        let page = lab.client.sessions(&query).await.unwrap();
        keys.extend(page.items.into_iter().map(|s| s.key.unwrap().to_string()));
        query.page.cursor = page.next;
        if query.page.cursor.is_none() {
            break;
        }
    }
    keys.sort();
    assert_eq!(keys, ["k0", "k1", "k2", "k3", "k4"]);
}

#[tokio::test]
async fn what_is_wrong_about_a_session_is_told() {
    let lab = Lab::new().await;
    lab.hello().await;
    lab.asking().await;
    problem(lab.post("/v1/sessions", &json!({"agent": "nobody", "key": "k"})).await, 404, "ST0202").await;
    problem(lab.post("/v1/sessions", &json!({"agent": "hello", "key": ""})).await, 400, "ST0201").await;
    problem(lab.post("/v1/sessions", &json!({"agent": "hello", "key": "a\nb"})).await, 400, "ST0201").await;
    let session = lab.client.open_session(&OpenSession { agent: "hello".into(), key: "k".into() }).await.unwrap();
    let other = json!({"agent": "asking", "session": session.id, "input": "x"});
    problem(lab.post("/v1/runs", &other).await, 409, "ST0008").await;
    let both = json!({"agent": "hello", "session": session.id, "session_key": "k", "input": "x"});
    problem(lab.post("/v1/runs", &both).await, 400, "ST0201").await;
}

#[tokio::test]
async fn a_key_stands_for_its_session_wherever_one_is_named() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    lab.hello().await;
    let open = |agent: &str, key: &str| OpenSession { agent: agent.into(), key: key.into() };
    let own = lab.client.open_session(&open("hello", "customer/42")).await.unwrap();
    let key = SessionRef::new("customer/42", None);
    assert_eq!(lab.client.session(key.clone()).await.unwrap().id, own.id);
    let started = lab.client.start_in_session(key.clone(), &input("Hi"), None).await.unwrap();
    assert_eq!(started.session, own.id);
    lab.ended(started.run).await;
    let runs = RunQuery { session: Some(key.clone()), ..RunQuery::default() };
    assert_eq!(lab.client.runs(&runs).await.unwrap().items[0].id, started.run);

    // A second agent with the same key: now its name is needed.
    let asking = lab.client.open_session(&open("asking", "customer/42")).await.unwrap();
    let text = problem(lab.get("/v1/sessions/customer%2F42").await, 409, "ST0210").await.to_string();
    assert!(text.contains("asking, hello") && text.contains("--agent"), "{text}");
    problem(lab.get("/v1/runs?session=customer/42").await, 409, "ST0210").await;
    problem(lab.get("/v1/approvals?session=customer/42").await, 409, "ST0210").await;
    problem(lab.post("/v1/sessions/customer%2F42/runs", &json!({"input": "x"})).await, 409, "ST0210").await;
    let of = |agent: &str| SessionRef::new("customer/42", Some(agent.into()));
    assert_eq!(lab.client.session(of("asking")).await.unwrap().id, asking.id);
    assert_eq!(lab.client.start_in_session(of("hello"), &input("Hi"), None).await.unwrap().session, own.id);
    let narrow = RunQuery { agent: Some("hello".into()), ..runs };
    assert_eq!(lab.client.runs(&narrow).await.unwrap().items.len(), 2);

    for (path, of) in [("customer%2F43", ""), ("customer%2F42", "?agent=nobody"), ("%00", "")] {
        problem(lab.get(&format!("/v1/sessions/{path}{of}")).await, 404, "ST0202").await;
    }
    problem(lab.get("/v1/runs?session=customer/43").await, 404, "ST0202").await;
    // A name that reads like an id could mean either.
    let id = waiting.summary.session.to_string();
    problem(lab.post("/v1/sessions", &json!({"agent": "hello", "key": id})).await, 400, "ST0201").await;
}
