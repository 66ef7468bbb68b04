//! Budgets above runs: of the tenant and of agents. What is used and what is held are together never more than a limit, through
//! crashes too.

use serde_json::json;
use stead_core::{
    budget::{AtLimit, Caps, Limit, Limits, MicroUsd, Per},
    code,
    effect::EffectClass,
    fact::{AskReason, Fact},
    id::Name,
    time::Span,
};
use stead_ports::journal::{BudgetKey, BudgetRow, GroupBy, SetBudget, Status, UsageFilter};

use crate::common::*;

fn key(agent: Option<&str>, per: Per) -> BudgetKey {
    BudgetKey { tenant: tenant(), agent: agent.map(Name::from), per }
}

fn usd(n: u64) -> Caps {
    Caps { usd: Some(MicroUsd(n)), ..Caps::default() }
}

fn set(node: &Node, key: BudgetKey, caps: Caps) {
    let set = SetBudget { key, caps, at: stead_core::time::Timestamp(0), by: "ann".into() };
    node.go(node.engine().set_budget(set)).unwrap();
}

fn budgets(node: &Node) -> Vec<BudgetRow> {
    node.go(node.engine().budgets(&tenant())).unwrap()
}

/// Panics when what is held and used crosses a limit.
fn audit(rows: &[BudgetRow]) {
    for row in rows {
        let taken = row.held.plus(row.settled).to_array();
        for (limit, taken) in row.caps.to_array().into_iter().zip(taken) {
            assert!(limit.is_none_or(|l| taken <= l), "{row:?}");
        }
    }
}

fn moves(node: &Node, run: stead_core::id::RunId) -> usize {
    node.facts(run).iter().filter(|f| matches!(f.fact, Fact::BudgetMoved(_))).count()
}

/// An agent that looks so often and then says it is done.
fn looker(name: &str, times: usize) -> Maker {
    let look = tool("look", EffectClass::Pure);
    let script =
        model(move |c| if c.turn as usize > times { say("done") } else { call("look", json!({ "turn": c.turn })) });
    agent(name).tool(&look).priced(Some(PRICE), script)
}

#[test]
fn what_a_run_uses_is_settled_in_every_budget_that_pays_for_it_and_nothing_stays_held() {
    let lab = lab();
    let v = lab.add(looker("a", 5));
    let node = lab.open();
    set(&node, key(None, Per::Ever), Caps { tokens: Some(1_000_000), tool_calls: Some(1_000), ..usd(1_000_000) });
    set(&node, key(Some("a"), Per::Day), usd(1_000_000));
    set(&node, key(Some("b"), Per::Day), usd(1));
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "done");
    node.empties();
    let spent = node.go(node.engine().view(run)).unwrap().row.state.spent;
    let rows = budgets(&node);
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert!(row.held.is_zero(), "{row:?}");
        let pays = row.key.agent.as_ref().is_none_or(|a| a.as_str() == "a");
        assert_eq!(row.settled.usd, if pays { spent.usd.unwrap() } else { MicroUsd(0) });
        assert_eq!(row.settled.tool_calls, if pays { 5 } else { 0 });
    }
    assert_eq!(rows[0].settled.tokens, spent.tokens);
    assert!(moves(&node, run) <= 3, "a slice is for many steps");
}

#[test]
fn a_run_without_budgets_above_it_moves_nothing() {
    let lab = lab();
    let v = lab.add(looker("a", 3));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.completes(run);
    assert_eq!(moves(&node, run), 0);
}

#[test]
fn the_budget_that_has_too_little_stops_the_run_and_is_named() {
    let lab = lab();
    let v = lab.add(looker("a", 1_000));
    let node = lab.open();
    set(&node, key(None, Per::Day), usd(1_000_000));
    set(&node, key(Some("a"), Per::Month), usd(1_000));
    let run = node.start(v, "x").run;
    let (code, why) = node.fails(run);
    assert_eq!(code, code::BUDGET);
    assert!(why.contains("the budget of agent `a` per month has 0.00"), "{why}");
    node.empties();
    let rows = budgets(&node);
    audit(&rows);
    assert!(rows.iter().all(|r| r.held.is_zero()));
    assert!(rows[1].settled.usd > MicroUsd(0), "{rows:?}");
    // More is there when more is given, and only then.
    assert_eq!(node.fails(node.start(v, "x").run).0, code::BUDGET);
    set(&node, key(Some("a"), Per::Month), usd(2_000));
    let run = node.start(v, "x").run;
    node.fails(run);
    assert!(node.kinds(run).iter().any(|k| k == "model_replied"));
}

#[test]
fn a_money_budget_above_refuses_a_model_without_a_price() {
    let lab = lab();
    let v = lab.add(agent("a").priced(None, model(|_| say("done"))));
    let node = lab.open();
    set(&node, key(None, Per::Day), usd(1_000_000));
    let (code, why) = node.fails(node.start(v, "x").run);
    assert_eq!(code, code::UNPRICED, "{why}");
    assert!(why.contains("the tenant's budget per day"), "{why}");
}

#[test]
fn a_child_is_paid_for_by_its_parents_agent_too() {
    let lab = lab();
    let child = lab.add(looker("child", 3));
    let helper = agent_tool("helper", child, Limits::default());
    let script = model(|c| if c.turn == 1 { call("helper", json!({ "input": "x" })) } else { say("done") });
    let v = lab.add(agent("a").tool(&helper).priced(Some(PRICE), script));
    let node = lab.open();
    set(&node, key(None, Per::Ever), usd(1_000_000));
    set(&node, key(Some("a"), Per::Ever), Caps { children: Some(1), ..usd(1_000_000) });
    set(&node, key(Some("child"), Per::Ever), usd(1_000_000));
    let run = node.start(v, "x").run;
    node.completes(run);
    node.empties();
    let total = node.go(node.engine().view(run)).unwrap().row.state.spent.usd.unwrap();
    let settled: Vec<_> = budgets(&node).iter().map(|r| r.settled.usd).collect();
    assert_eq!(settled[..2], [total, total], "each call is in each budget once");
    assert!(settled[2] < total && settled[2] > MicroUsd(0), "{settled:?}");
    assert_eq!(budgets(&node)[1].settled.children, 1);
    assert_eq!(node.fails(node.start(v, "x").run).0, code::BUDGET, "there is no second child");
}

#[test]
fn a_window_that_begins_anew_pays_again() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let v = lab.add(looker("a", 1_000));
    let node = lab.open();
    set(&node, key(None, Per::Hour), usd(1_000));
    assert_eq!(node.fails(node.start(v, "x").run).0, code::BUDGET);
    clock.advance(Span::from_secs(3_600));
    let run = node.start(v, "x").run;
    assert_eq!(node.fails(run).0, code::BUDGET);
    assert!(node.kinds(run).iter().any(|k| k == "model_replied"));
    audit(&budgets(&node));
}

#[test]
fn at_a_limit_a_human_may_raise_it_for_this_run_and_the_answer_survives() {
    let lab = lab();
    let ask = |c: &mut stead_core::fact::RunConfig| {
        c.limits.tool_calls = Some(2);
        c.at_limit = AtLimit::Ask;
    };
    let v = lab.add(looker("a", 3).config(ask));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let asked = node.asked(run);
    let view = node.go(node.engine().view(run)).unwrap();
    assert_eq!((view.row.state.status, view.approvals[0].reason), (Status::Waiting, AskReason::Budget));
    assert!(view.approvals[0].arguments.contains(r#""limit":"tool_calls","by":2"#), "{}", view.approvals[0].arguments);
    node.empties();
    node.crash();
    let node = lab.open();
    node.approve(asked, true).unwrap();
    assert_eq!(node.completes(run), "done");
    // A no stops it.
    let run = node.start(v, "x").run;
    node.approve(node.asked(run), false).unwrap();
    assert_eq!(node.fails(run).0, code::BUDGET);
    assert!(node.go(node.engine().approvals(&all_approvals())).unwrap().items.is_empty());
}

#[test]
fn a_yes_tries_again_when_the_budget_above_was_raised() {
    let lab = lab();
    let v = lab.add(looker("a", 3).config(|c| c.at_limit = AtLimit::Ask));
    let node = lab.open();
    set(&node, key(None, Per::Ever), usd(1));
    let run = node.start(v, "x").run;
    let first = node.asked(run);
    node.approve(first, true).unwrap();
    let second = node.asked(run);
    assert_ne!(first, second, "there is still too little");
    set(&node, key(None, Per::Ever), usd(1_000_000));
    node.approve(second, true).unwrap();
    assert_eq!(node.completes(run), "done");
    let blocked = |f: &Fact| matches!(f, Fact::ApprovalRequested(a) if a.raise.as_ref().is_some_and(|r| r.limit == Limit::Usd && r.by == 0 && r.blocked.is_some()));
    assert_eq!(node.facts(run).iter().filter(|f| blocked(&f.fact)).count(), 2);
}

#[test]
fn many_runs_at_once_and_processes_that_die_never_cross_a_limit_nor_lose_a_slice() {
    const RUNS: usize = 1_000;
    let mut lab = lab();
    lab.options.max_active = RUNS;
    lab.options.max_backlog = RUNS;
    let v = lab.add(looker("a", 4));
    let mut node = lab.open();
    // Enough for about half of them.
    set(&node, key(None, Per::Ever), Caps { tool_calls: Some(2_000), ..usd(60_000) });
    set(&node, key(Some("a"), Per::Month), Caps { tokens: Some(10_000_000), ..usd(55_000) });
    // Each process dies while those that it has just started are under way; the last one finishes all.
    let mut runs = Vec::new();
    for n in 0..RUNS {
        if n % 20 == 0 {
            audit(&budgets(&node));
        }
        if n > 0 && n % (RUNS / 5) == 0 {
            node.crash();
            node = lab.open();
        }
        runs.push(node.start(v, &n.to_string()).run);
    }
    loop {
        audit(&budgets(&node));
        let counts = node.go(journal(&node).count(Some(&tenant()))).unwrap();
        let ended: u64 = counts.iter().filter(|(s, _)| s.ended()).map(|(_, n)| *n).sum();
        if ended == RUNS as u64 {
            break;
        }
        std::thread::yield_now();
    }
    node.empties();
    let rows = budgets(&node);
    audit(&rows);
    let filter = UsageFilter { tenant: tenant(), by: GroupBy::default(), limit: 1, ..UsageFilter::default() };
    let used = node.go(journal(&node).usage(&filter)).unwrap().remove(0).used;
    for row in &rows {
        assert!(row.held.is_zero(), "{row:?}");
        assert_eq!((row.settled.usd.0, row.settled.tokens), (used.usd, used.spent().tokens), "{row:?}");
    }
    let completed = runs.iter().filter(|r| node.status(**r) == Status::Completed).count();
    assert!((100..RUNS).contains(&completed), "{completed}");
}
