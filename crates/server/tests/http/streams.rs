//! Following runs.

use reqwest::Method;
use stead_client::Heard;
use stead_core::id::RunId;

use crate::lab::{Lab, problem};

async fn hear(lab: &Lab, run: RunId, after: Option<String>) -> Vec<(String, Heard)> {
    let (mut follow, mut heard) = (lab.client.follow(run, after), Vec::new());
    while let Some(item) = follow.next().await {
        heard.push((follow.last().unwrap_or_default().to_owned(), item.unwrap()));
    }
    heard
}

#[tokio::test]
async fn a_follower_hears_every_fact_in_order_and_then_the_end() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    let heard = hear(&lab, run, None).await;
    let facts: Vec<_> =
        heard.iter().filter_map(|(_, h)| if let Heard::Fact(f) = h { Some((**f).clone()) } else { None }).collect();
    assert_eq!(facts, lab.client.facts(run, &Default::default()).await.unwrap().items);
    assert_eq!(heard.last().map(|(_, h)| h), Some(&Heard::End));
}

#[tokio::test]
async fn a_follower_goes_on_after_any_event_it_saw() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let whole = hear(&lab, run, None).await;
    for (at, (id, _)) in whole.iter().enumerate().take(whole.len() - 1) {
        let rest = hear(&lab, run, Some(id.clone())).await;
        assert_eq!(rest, whole[at + 1..], "after {id}");
    }
    // As a browser does it, and as a person does it.
    let id = &whole[0].0;
    let by_query = lab.get(&format!("/v1/runs/{run}/stream?after={id}")).await;
    assert_eq!(by_query.headers()["content-type"], "text/event-stream");
    let by_query = by_query.text().await.unwrap();
    let by_header = lab.ask(Method::GET, &format!("/v1/runs/{run}/stream?after=0.0.0"));
    let by_header = by_header.header("last-event-id", id).send().await.unwrap().text().await.unwrap();
    assert_eq!(by_query, by_header);
    assert!(!by_query.contains(&format!("id: {id}\n")) && by_query.contains("event: end\n"), "{by_query}");
    problem(lab.get(&format!("/v1/runs/{run}/stream?after=yesterday")).await, 400, "ST0201").await;
}

#[tokio::test]
async fn a_follower_hears_a_reply_as_it_is_written() {
    let lab = Lab::new().await;
    // Slow enough that the follower is there before the last piece.
    let script = "rules:\n  - say: \"Hello there, friend. How are you today?\"\n    stream: 4\n    delay: 50ms\n";
    lab.apply(crate::lab::HELLO, &[("./script.yaml", script)]).await;
    let run = lab.start("hello").await;
    let heard = hear(&lab, run, None).await;
    let mut text = String::new();
    for (_, heard) in &heard {
        match heard {
            Heard::Delta(stead_api::stream::StreamDelta::Text { text: piece }) => text.push_str(piece),
            Heard::Reset => text.clear(),
            _ => {}
        }
    }
    assert_eq!(text, "Hello there, friend. How are you today?");
}

#[tokio::test]
async fn a_follower_outlives_the_server() {
    let mut lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let run = waiting.summary.id;
    let address: std::net::SocketAddr = lab.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut follow = lab.client.follow(run, None);
    // The first event proves that the stream is open.
    assert!(matches!(follow.next().await, Some(Ok(Heard::Fact(_)))));
    let follower = tokio::spawn(async move {
        let mut seen = 1;
        while let Some(item) = follow.next().await {
            match item.unwrap() {
                Heard::Fact(_) => seen += 1,
                Heard::End => return seen,
                _ => {}
            }
        }
        0
    });
    lab.tell_to_stop();
    let dir = lab.stop().await;
    let mut config = crate::lab::config(dir.path());
    config.listen = address;
    let lab = Lab::over(dir, config).await;
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    let seen = follower.await.unwrap();
    assert_eq!(seen, lab.client.facts(run, &Default::default()).await.unwrap().items.len());
}
