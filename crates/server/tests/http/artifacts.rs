//! `/v1/runs/{run}/artifacts`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::lab::{Lab, problem};

async fn start(lab: &Lab, attachments: Value) -> reqwest::Response {
    let body = json!({ "agent": "hello", "input": "Hi", "attachments": attachments });
    lab.ask(Method::POST, "/v1/runs").json(&body).send().await.unwrap()
}

async fn started(lab: &Lab, attachments: Value) -> String {
    let answer = start(lab, attachments).await;
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["run"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_is_listed_and_sent_as_an_attachment_that_runs_nothing() {
    let lab = Lab::new().await;
    lab.hello().await;
    let page = json!([{ "name": "../a \"b\".html", "media_type": "Text/HTML; charset=x", "data": "PGI+" }]);
    let run = started(&lab, page).await;
    let listed: Value =
        lab.ask(Method::GET, &format!("/v1/runs/{run}/artifacts")).send().await.unwrap().json().await.unwrap();
    let item = &listed["items"][0];
    assert_eq!((item["name"].as_str(), item["media_type"].as_str()), (Some("a \"b\".html"), Some("text/html")));
    assert_eq!((item["size"].as_u64(), item["sha256"].as_str().unwrap().len()), (Some(3), 64));
    let got = lab.ask(Method::GET, &format!("/v1/runs/{run}/artifacts/a%20%22b%22.html")).send().await.unwrap();
    let header = |name: &str| got.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''a%20%22b%22.html");
    assert_eq!((header("x-content-type-options").as_str(), header("content-type").as_str()), ("nosniff", "text/html"));
    assert!(header("content-security-policy").starts_with("sandbox"));
    assert_eq!(&got.bytes().await.unwrap()[..], b"<b>");
    let missing = lab.ask(Method::GET, &format!("/v1/runs/{run}/artifacts/x")).send().await.unwrap();
    problem(missing, 404, "ST0202").await;
}

#[tokio::test]
async fn what_is_no_base64_too_many_or_twice_the_same_is_refused() {
    let lab = Lab::new().await;
    lab.hello().await;
    let file = |name: String| json!({ "name": name, "data": "aGk=" });
    problem(start(&lab, json!([{ "name": "a", "data": "%" }])).await, 400, "ST0201").await;
    problem(start(&lab, json!([file("a".into()), file("b/a".into())])).await, 400, "ST0201").await;
    let many: Vec<_> = (0..17).map(|n| file(format!("f{n}"))).collect();
    problem(start(&lab, json!(many)).await, 400, "ST0201").await;
    started(&lab, json!(many[..16])).await;
}

#[tokio::test]
async fn files_have_a_limit_of_their_own_and_the_rest_keeps_to_the_common_one() {
    let lab = Lab::new().await;
    lab.hello().await;
    let bytes = |n: usize| json!([{ "name": "a", "data": "AAAA".repeat(n / 3) }]);
    started(&lab, bytes(3 << 20)).await;
    problem(start(&lab, bytes(9 << 20)).await, 413, "ST0203").await;
    let long = json!({ "agent": "hello", "input": "x".repeat(2 << 20), "attachments": [] });
    problem(lab.ask(Method::POST, "/v1/runs").json(&long).send().await.unwrap(), 413, "ST0203").await;
}
