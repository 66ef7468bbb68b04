//! Requests of HTTP tools are put to the policies that hold at that moment, with method and path.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, http::Uri};
use stead_api::fact::AnyFact;
use stead_core::fact::{Fact, Verdict};
use tokio::net::TcpListener;

use crate::lab::Lab;

/// A service on loopback, and the paths that it was asked for.
async fn service() -> (u16, Arc<Mutex<Vec<String>>>) {
    let (seen, listener) = (Arc::<Mutex<Vec<String>>>::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, noted) = (listener.local_addr().unwrap().port(), seen.clone());
    let app = Router::new().fallback(move |uri: Uri| {
        noted.lock().unwrap().push(uri.path().to_owned());
        async { "{\"ok\":true}" }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, seen)
}

fn agent(port: u16) -> String {
    format!(
        r#"
stead: v1
name: shop
model: {{ rehearsal: ./script.yaml }}
instructions: Look things up.
tools:
  items:
    http:
      base_url: http://127.0.0.1:{port}
      operations:
        get:
          method: GET
          description: An item.
          path: "/items/{{{{args.id}}}}"
          params: {{ id: {{ type: string }} }}
"#
    )
}

const SCRIPT: &str = "rules:\n  - when: { tool: items_get }\n    say: \"Looked.\"\n  - call: [{ tool: items_get, args: { id: \"1\" } }, \
     { tool: items_get, args: { id: \"secret\" } }]\n";

#[tokio::test]
async fn a_request_that_a_policy_forbids_by_its_path_is_not_sent_and_the_model_is_told_why() {
    let lab = Lab::new().await;
    let (port, seen) = service().await;
    lab.apply(&agent(port), &[("./script.yaml", SCRIPT)]).await;
    let forbids = r#"@id("no-secrets") @reason("that item is nobody's business")
        forbid (principal, action == Action::"connect", resource == Host::"127.0.0.1")
        when { context.method == "GET" && context.path like "/items/sec*" };"#;
    let set = BTreeMap::from([("hosts.cedar".to_owned(), forbids.to_owned())]);
    lab.client.apply_policies(set).await.unwrap();
    let run = lab.start("shop").await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Looked."));
    assert_eq!(*seen.lock().unwrap(), ["/items/1"]);
    let facts = lab.client.facts(run, &Default::default()).await.unwrap();
    let refused: Vec<_> =
        facts.items.iter().filter(|event| matches!(event.fact, AnyFact::Known(Fact::EffectRefused(_)))).collect();
    assert_eq!(refused.len(), 1, "{facts:?}");
    let text = refused[0].text.as_deref().unwrap();
    assert!(text.contains("ST0057: Not done: that item is nobody's business (policy `no-secrets`)"), "{text}");
    // A host that is forbidden altogether is known when the call is decided: then it is not even begun.
    let all = "@id(\"no-host\") forbid (principal, action == Action::\"connect\", resource == Host::\"127.0.0.1\");";
    lab.client.apply_policies(BTreeMap::from([("hosts.cedar".to_owned(), all.to_owned())])).await.unwrap();
    let run = lab.start("shop").await;
    lab.ended(run).await;
    let facts = lab.client.facts(run, &Default::default()).await.unwrap();
    let denied = facts.items.iter().filter(|event| match &event.fact {
        AnyFact::Known(Fact::EffectDecided(decided)) => decided.verdict == Verdict::Deny,
        _ => false,
    });
    assert_eq!((denied.count(), seen.lock().unwrap().len()), (2, 1), "{facts:?}");
}
