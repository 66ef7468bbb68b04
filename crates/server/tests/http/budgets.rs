//! `/v1/budgets`, `[[budgets]]` of the configuration, and what metrics tell of them.

use serde_json::{Value, json};
use stead_api::{
    budget::{BudgetLimits, SetBudget},
    right::Right,
    run::{Status, WaitUntil},
};
use stead_client::Client;
use stead_core::budget::{MicroUsd, Per};
use stead_server::config;

use crate::lab::{Lab, config as settings, entry_for, problem};

const PRICED: &str = "stead: v1\nname: priced\nmodel: { rehearsal: ./script.yaml, price: { input: 1, output: 1 }, \
                      max_output_tokens: 100 }\ninstructions: Be kind.\n";
const SCRIPT: (&str, &str) = ("./script.yaml", "rules:\n  - say: \"Hello.\"\n");

fn usd(agent: Option<&str>, per: Per, micros: u64) -> SetBudget {
    let limits = BudgetLimits { usd: Some(MicroUsd(micros)), ..BudgetLimits::default() };
    SetBudget { agent: agent.map(Into::into), per, limits }
}

#[tokio::test]
async fn a_budget_that_is_set_stops_the_next_run_and_lets_it_through_when_it_is_raised() {
    let lab = Lab::new().await;
    lab.apply(PRICED, &[SCRIPT]).await;
    let all = lab.client.set_budget(&usd(Some("priced"), Per::Day, 1)).await.unwrap();
    assert_eq!(all.items.len(), 1);
    let stopped = lab.ended(lab.start("priced").await).await;
    assert_eq!(stopped.summary.status, Status::Failed);
    let why = stopped.error.unwrap();
    assert!(why.contains("the budget of agent `priced` per day has 0.000001 USD left"), "{why}");
    let raised = lab.client.set_budget(&usd(Some("priced"), Per::Day, 1_000_000)).await.unwrap();
    assert_eq!(raised.items[0].used.usd, MicroUsd(0), "nothing was asked");
    let run = lab.ended(lab.start("priced").await).await;
    assert_eq!(run.output.as_deref(), Some("Hello."));
    let now = lab.client.budgets().await.unwrap().items.remove(0);
    assert_eq!((Some(now.used.usd), now.held.usd), (run.summary.spent.usd, MicroUsd(0)));
    assert_eq!(now.left.usd, Some(MicroUsd(1_000_000 - now.used.usd.0)));
    assert!(now.until.is_some_and(|until| until > now.since));
    let metrics = lab.get("/metrics").await.text().await.unwrap();
    for line in ["stead_budget_blocked_total 1", "stead_budget_slices_total 1", "stead_budget_slices_refused_total 0"] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    // Without limits it is removed; what is not there is told.
    let none = SetBudget { limits: BudgetLimits::default(), ..usd(Some("priced"), Per::Day, 0) };
    assert!(lab.client.set_budget(&none).await.unwrap().items.is_empty());
    problem(lab.post("/v1/budgets", &json!({ "agent": "priced", "per": "day" })).await, 404, "ST0202").await;
    let odd = lab.post("/v1/budgets", &json!({ "per": "week", "limits": { "tokens": 1 } })).await;
    assert_eq!(odd.status(), 400, "{}", odd.text().await.unwrap());
    let odd = lab.post("/v1/budgets", &json!({ "limits": { "dollars": 1 } })).await;
    assert_eq!(odd.status(), 400, "{}", odd.text().await.unwrap());
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_uses_the_budget_of_another() {
    let tokens = vec![
        entry_for("token-of-the-first-tenant", "ada", "acme", &[Right::Read, Right::Run, Right::Apply]),
        entry_for("token-of-the-second-tenant", "bob", "globex", &[Right::Read, Right::Run, Right::Apply]),
    ];
    let lab = Lab::with(|c| c.auth.tokens = tokens).await;
    let of = |token: &str| Client::new(&lab.url, token).unwrap();
    let (acme, globex) = (of("token-of-the-first-tenant"), of("token-of-the-second-tenant"));
    acme.set_budget(&usd(None, Per::Ever, 1)).await.unwrap();
    assert!(globex.budgets().await.unwrap().items.is_empty());
    for client in [&acme, &globex] {
        client.apply_agent(&crate::lab::apply(PRICED, &[SCRIPT])).await.unwrap();
    }
    let ends = async |client: &Client| {
        let run = client.start_run(&crate::lab::start("priced"), None).await.unwrap().run;
        client.wait(run, Default::default()).await.unwrap().summary.status
    };
    assert_eq!(ends(&acme).await, Status::Failed);
    assert_eq!(ends(&globex).await, Status::Completed);
    assert_eq!(acme.budgets().await.unwrap().items[0].set_by.as_str(), "ada");
}

#[tokio::test]
async fn budgets_of_the_configuration_are_set_at_each_start_and_keep_what_was_used() {
    let of = |usd: f64| config::Budget { per: Per::Month, usd: Some(usd), ..config::Budget::default() };
    let lab = Lab::with(|c| c.budgets = vec![of(2.0)]).await;
    lab.apply(PRICED, &[SCRIPT]).await;
    lab.ended(lab.start("priced").await).await;
    let before = lab.client.budgets().await.unwrap().items.remove(0);
    assert_eq!((before.limits.usd, before.set_by.as_str()), (Some(MicroUsd(2_000_000)), "stead.toml"));
    assert!(before.used.usd > MicroUsd(0));
    lab.client.set_budget(&usd(None, Per::Month, 5)).await.unwrap();
    let dir = lab.stop().await;
    let mut config = settings(dir.path());
    config.budgets = vec![of(3.0)];
    let lab = Lab::over(dir, config).await;
    let after: Value = lab.get("/v1/budgets").await.json().await.unwrap();
    assert_eq!(after["items"][0]["limits"]["usd"], 3_000_000, "{after}");
    assert_eq!(after["items"][0]["used"]["usd"], before.used.usd.0, "{after}");
}

#[tokio::test]
async fn who_may_look_sees_the_budgets_of_the_tenant_and_sets_none() {
    let viewer = "token-of-one-who-only-looks";
    let lab = Lab::with(|c| c.auth.tokens = vec![entry_for(viewer, "vera", "default", &[Right::Read])]).await;
    lab.client.set_budget(&usd(Some("priced"), Per::Day, 7)).await.unwrap();
    let vera = Client::new(&lab.url, viewer).unwrap();
    let seen = vera.budgets().await.unwrap();
    assert_eq!((seen.items.len(), seen.items[0].limits.usd), (1, Some(MicroUsd(7))));
    let refused = vera.set_budget(&usd(None, Per::Ever, 1)).await.unwrap_err();
    assert_eq!((refused.code.to_string(), refused.status), ("ST0209".to_owned(), Some(403)));
    assert_eq!(lab.client.budgets().await.unwrap(), seen);
}

#[tokio::test]
async fn a_question_about_a_limit_says_in_words_what_is_asked() {
    let asks = PRICED.replace("instructions", "budget: { usd: 0.5, at_limit: ask }\ninstructions");
    let lab = Lab::new().await;
    lab.apply(&asks, &[SCRIPT]).await;
    lab.client.set_budget(&usd(None, Per::Month, 3)).await.unwrap();
    let run = lab.start("priced").await;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    let asked = &waiting.approvals[0];
    let words = asked.question.as_deref().unwrap();
    assert!(
        words.starts_with("The tenant's budget per month has not enough money left: 0.000000 USD of 0.000003 USD "),
        "{words}"
    );
    for part in [
        "the next step may use 0.000",
        "Approve: it is tried again",
        "`stead budgets set`",
        "Deny, or no answer in time: the run stops with ST0001.",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let why = lab.client.why(run, None).await.unwrap();
    assert!(serde_json::to_string(&why).unwrap().contains(&serde_json::to_string(words).unwrap()), "{why:?}");
    // The same is on record with the fact, in numbers.
    let arguments: Value = serde_json::from_str(&asked.arguments).unwrap();
    assert_eq!((&arguments["blocked"]["most"], &arguments["blocked"]["left"]), (&json!(3), &json!(3)), "{arguments}");
}
