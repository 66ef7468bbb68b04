//! Which model servers of this machine answer: those of the table that want no key, asked for their list of models.
//!
//! Only loopback is asked, without a key, without a proxy and without following anything. What answers is hostile until it
//! has shown what it is: its answer is bounded in time and bytes.

use std::{net::IpAddr, time::Duration};

use futures_util::future::join_all;
use reqwest::{Client, Url, redirect::Policy};
use serde_json::Value;

use crate::providers::{PROVIDERS, Provider};

/// How long an answer may take, connection included.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 1 << 20;

/// A server that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its name in a manifest.
    pub provider: &'static str,
    /// Its base URL.
    pub url: String,
    /// What came of it.
    pub answer: Answer,
}

/// What came of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers, and lists so many models.
    Models(usize),
    /// Something answers, and it is no model server.
    Other,
    /// Nothing answers.
    Nothing,
    /// It is said to be off this machine, and was not asked.
    Elsewhere,
}

/// Looks for all of them at once. The environment says where one answers that is not at its usual place.
pub async fn look(env: &(dyn Fn(&str) -> Option<String> + Sync)) -> Vec<Local> {
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(PATIENCE).build();
    let looks = PROVIDERS.iter().filter(|p| !p.needs_key).map(|provider| {
        let client = client.as_ref().ok();
        async move {
            let url = place(provider, env);
            let answer = match (loopback(&url), client) {
                (Some(asked), Some(client)) => ask(client, asked).await,
                (None, _) => Answer::Elsewhere,
                (_, None) => Answer::Nothing,
            };
            Local { provider: provider.name, url, answer }
        }
    });
    join_all(looks).await
}

fn place(provider: &Provider, env: &(dyn Fn(&str) -> Option<String> + Sync)) -> String {
    let told = provider.url_var.and_then(env).filter(|value| !value.trim().is_empty());
    told.map_or_else(|| provider.url.to_owned(), |value| provider.url_of(&value))
}

/// The list of models at that place, if the place is this machine. `localhost` is not looked up: a name may lead anywhere.
fn loopback(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok().filter(|u| u.username().is_empty() && u.password().is_none())?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    if host == "localhost" {
        url.set_ip_host(IpAddr::from([127, 0, 0, 1])).ok()?;
    } else if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().push("models");
    Some(url)
}

async fn ask(client: &Client, url: Url) -> Answer {
    let Ok(mut response) = client.get(url).send().await else { return Answer::Nothing };
    if !response.status().is_success() {
        return Answer::Other;
    }
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Answer::Other;
        }
    }
    let list = serde_json::from_slice::<Value>(&body).ok();
    // Ollama without a model says `null`.
    match list.as_ref().and_then(|list| list.get("data")) {
        Some(Value::Array(models)) => Answer::Models(models.len()),
        Some(Value::Null) => Answer::Models(0),
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use axum::{Router, http::StatusCode, routing::get};

    use super::*;

    async fn serve(answer: &'static str, status: StatusCode) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/models", get(move || async move { (status, answer) }));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address.to_string()
    }

    async fn ollama(host: String) -> Answer {
        let env = move |name: &str| (name == "OLLAMA_HOST").then(|| host.clone());
        look(&env).await.into_iter().find(|l| l.provider == "ollama").unwrap().answer
    }

    #[tokio::test]
    async fn what_lists_models_is_told_from_what_does_not() {
        let ok = StatusCode::OK;
        for (answer, status, found) in [
            (r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#, ok, Answer::Models(2)),
            (r#"{"object":"list","data":null}"#, ok, Answer::Models(0)),
            (r#"{"data":"x"}"#, ok, Answer::Other),
            ("<html>", ok, Answer::Other),
            (r#"{"data":[]}"#, StatusCode::UNAUTHORIZED, Answer::Other),
        ] {
            assert_eq!(ollama(serve(answer, status).await).await, found, "{answer}");
        }
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(ollama(free.to_string()).await, Answer::Nothing);
    }

    #[test]
    fn nothing_off_this_machine_is_asked() {
        for local in ["http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1/", "http://127.9.9.9:1/v1"] {
            let asked = loopback(local).unwrap();
            assert!(asked.path() == "/v1/models" && asked.host_str() != Some("localhost"), "{asked}");
        }
        for away in
            ["http://gpu.lan:1/v1", "http://10.0.0.1/v1", "http://localhost.evil.example/v1", "http://u:p@127.0.0.1/v1"]
        {
            assert_eq!(loopback(away), None, "{away}");
        }
    }
}
