//! Budgets above runs: slices are taken before a step and settled after it; what is used and held is never more than a limit.

use stead_core::{
    budget::{Amounts, AtLimit, BudgetId, Caps, Level, Limit, Limits, MicroUsd, Move, Offer, Payer, Per},
    code,
    effect::{EffectClass, Ended},
    fact::{AskReason, Fact, RunConfig},
    run::{Admit, Command, Debt, Life},
    time::Timestamp,
};

use crate::story::{Story, agent, call, limited, model};

/// A tenant's budget and an agent's, as a store keeps them.
struct Bank {
    caps: [Caps; 2],
    held: [Amounts; 2],
    used: [Amounts; 2],
}

fn usd(n: u64) -> Caps {
    Caps { usd: Some(MicroUsd(n)), ..Caps::default() }
}

impl Bank {
    fn new(tenant: Caps, agent: Caps) -> Self {
        Self { caps: [tenant, agent], held: Default::default(), used: Default::default() }
    }

    fn offer(&self, takers: u64) -> Offer {
        let level = |i: usize| Level {
            budget: BudgetId(i as u64),
            start: Timestamp(0),
            agent: (i == 1).then(|| "a".into()),
            per: Per::Ever,
        };
        let left = |i: usize| self.caps[i].without(self.held[i].plus(self.used[i]));
        let payer = |i: usize| Payer { level: level(i), limits: self.caps[i], left: left(i) };
        Offer { payers: (0..2).map(payer).collect(), takers }
    }

    /// What a store does with an append, and what an auditor looks at afterwards.
    fn moves(&mut self, moves: &[Move]) {
        for m in moves {
            let i = usize::try_from(m.level.budget.0).unwrap();
            assert_eq!(self.held[i].minus(m.back).plus(m.back), self.held[i], "nobody gives back what is not held");
            self.held[i] = self.held[i].minus(m.back).plus(m.held);
            self.used[i] = self.used[i].plus(m.settled);
            let all = self.held[i].plus(self.used[i]);
            assert_eq!(self.caps[i].lacks(all), None, "{:?} held and {:?} used", self.held[i], self.used[i]);
        }
    }

    fn begin(&mut self, config: RunConfig, takers: u64) -> Story {
        let mut story = Story::queued(config);
        self.does(&mut story, Command::Admit(Admit::default()), takers);
        story
    }

    fn does(&mut self, story: &mut Story, command: Command, takers: u64) {
        let moved = story.does_under(command, self.offer(takers));
        self.moves(&moved);
    }
}

fn held(story: &Story) -> Amounts {
    story.state().slice.as_ref().map_or(Amounts::default(), |s| s.granted.amounts())
}

#[test]
fn a_slice_is_for_many_steps_and_what_is_left_of_it_goes_back_at_the_end() {
    let mut bank = Bank::new(usd(1_000_000), Caps { tool_calls: Some(100), ..Caps::default() });
    let mut story = bank.begin(agent(), 1);
    assert_eq!(held(&story), bank.held[0]);
    for effect in 1..=5 {
        let reply = story.reply_using(10, [call("read")]);
        bank.does(&mut story, reply, 1);
        story.returns(effect, "B");
    }
    let reply = story.reply_using(10, []);
    bank.does(&mut story, reply, 1);
    assert_eq!(story.life(), Life::Completed);
    assert!(bank.held.iter().all(|h| h.is_zero()), "{:?}", bank.held);
    assert_eq!(bank.used[0].usd, story.state().budget.spent.usd.unwrap());
    assert_eq!((bank.used[1].tool_calls, bank.used[1].tokens), (5, 60), "what is not limited is counted too");
    assert!(story.count(|f| matches!(f, Fact::BudgetMoved(_))) <= 4);
}

#[test]
fn a_run_that_waits_holds_nothing() {
    let mut bank = Bank::new(usd(1_000_000), Caps::default());
    let mut story = bank.begin(agent(), 1);
    let reply = story.reply_using(10, [call("mail").is(EffectClass::Irreversible).asks()]);
    bank.does(&mut story, reply, 1);
    assert!(story.is_asking(1));
    assert!(bank.held[0].is_zero(), "a human may take days");
    assert_eq!(bank.used[0].usd, MicroUsd(10));
}

#[test]
fn a_lost_call_is_settled_once_by_whoever_comes_next() {
    let mut bank = Bank::new(usd(1_000_000), Caps::default());
    let mut story = bank.begin(agent(), 1);
    let aside = story.state().budget.reserved.usd.unwrap();
    story.crashes_silently();
    bank.does(&mut story, Command::Recover, 1);
    let reply = story.reply_using(10, []);
    bank.does(&mut story, reply, 1);
    assert_eq!(bank.used[0].usd, MicroUsd(aside.0 + 10));
    assert!(bank.held[0].is_zero());
}

#[test]
fn a_step_that_no_budget_pays_for_is_not_made() {
    let mut bank = Bank::new(usd(1_000_000), usd(150));
    let mut story = bank.begin(agent(), 1);
    let reply = story.reply_using(100, [call("read")]);
    bank.does(&mut story, reply, 1);
    let returned = Command::Outcome {
        effect: 1,
        attempt: 0,
        outcome: stead_core::effect::Outcome::Returned(crate::story::text("B")),
        error: false,
        action: None,
    };
    bank.does(&mut story, returned, 1);
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    let blocked = story.facts().find_map(|f| match f {
        Fact::CancelRequested(c) => c.blocked.clone(),
        _ => None,
    });
    let blocked = blocked.unwrap();
    assert_eq!((blocked.agent.as_deref(), blocked.left), (Some("a"), 50));
    assert!(bank.held.iter().all(|h| h.is_zero()));
}

#[test]
fn an_unpriced_model_is_passed_over_when_a_budget_above_counts_money() {
    let unpriced = stead_core::fact::ModelConfig { price: None, ..model("unpriced") };
    let mut bank = Bank::new(usd(1_000_000), Caps::default());
    let story = bank.begin(RunConfig { models: vec![unpriced.clone(), model("priced")], ..agent() }, 1);
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 1, model: 1 }]);
    let story = bank.begin(RunConfig { models: vec![unpriced], ..agent() }, 1);
    assert_eq!(story.life(), Life::Failed(code::UNPRICED));
}

#[test]
fn at_a_limit_of_money_a_run_falls_back_to_a_model_that_fits() {
    let dear = stead_core::fact::ModelConfig { max_output_tokens: 10_000, ..model("dear") };
    let config = |at_limit| RunConfig {
        models: vec![dear.clone(), model("cheap")],
        at_limit,
        ..limited(Limits { usd: Some(MicroUsd(500)), ..Limits::default() })
    };
    let story = Story::begin(config(AtLimit::Fallback));
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 1, model: 1 }]);
    assert_eq!(Story::begin(config(AtLimit::Stop)).life(), Life::Failed(code::BUDGET));
    // The same at a budget above.
    let mut bank = Bank::new(usd(500), Caps::default());
    let above = RunConfig { limits: Limits::default(), ..config(AtLimit::Fallback) };
    let story = bank.begin(above, 1);
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 1, model: 1 }]);
}

#[test]
fn at_a_limit_a_human_raises_it_by_as_much_again() {
    let asks = RunConfig { at_limit: AtLimit::Ask, ..limited(Limits { tool_calls: Some(1), ..Limits::default() }) };
    let mut story = Story::begin(asks.clone());
    story.replies([call("read"), call("read")]);
    let question = story.state().asking.clone().unwrap();
    assert_eq!((question.effect, question.raise.limit, question.raise.by), (3, Limit::ToolCalls, 1));
    assert_eq!(story.dispatchable(), [1], "what was allowed goes on");
    story.returns(1, "A");
    assert_eq!(story.life(), Life::Live);
    story.human_says(3, true).unwrap();
    assert_eq!(story.state().budget.limits.tool_calls, Some(2));
    assert_eq!(story.dispatchable(), [2]);
    story.returns(2, "B");
    story.replies([call("read")]);
    // Its ordinal follows that of the call.
    let second = story.state().asking.clone().unwrap().effect;
    assert_eq!(second, 5);
    assert!(story.human_says(3, true).is_err(), "that one was answered");
    story.human_says(second, false).unwrap();
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    assert_eq!(story.count(|f| matches!(f, Fact::ApprovalRequested(a) if a.reason == AskReason::Budget)), 2);
}

#[test]
fn nobody_answers_and_the_run_stops() {
    let config = RunConfig {
        at_limit: AtLimit::Ask,
        approval_ttl: Some(stead_core::time::Span::from_secs(60)),
        ..limited(Limits { tokens: Some(1), ..Limits::default() })
    };
    let mut story = Story::begin(config);
    assert_eq!(story.wakes_in(), Some(60.0));
    story.waits(61);
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
}

#[test]
fn a_limit_of_time_that_is_asked_about_does_not_wake_the_run_again_and_again() {
    let limits = Limits { deadline: Some(stead_core::time::Span::from_secs(60)), ..Limits::default() };
    let mut story = Story::begin(RunConfig { at_limit: AtLimit::Ask, ..limited(limits) });
    story.waits(61);
    let question = story.state().asking.clone().unwrap();
    assert_eq!(question.raise.limit, Limit::Deadline);
    assert_eq!(story.wakes_in(), None);
    story.human_says(question.effect, true).unwrap();
    assert_eq!(story.life(), Life::Live);
    story.waits(60);
    assert_eq!(story.state().asking.as_ref().unwrap().raise.limit, Limit::Deadline);
}

#[test]
fn runs_that_share_budgets_never_cross_them_whatever_happens() {
    for seed in 0..60_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let tenant = Caps { tool_calls: Some(20 + roll(100)), children: Some(roll(4)), ..usd(500 + roll(8_000)) };
        let mut bank = Bank::new(tenant, Caps { tokens: Some(1_000 + roll(20_000)), ..Caps::default() });
        let at_limit = [AtLimit::Stop, AtLimit::Ask, AtLimit::Fallback][roll(3) as usize];
        let mut runs: Vec<Story> = Vec::new();
        for _ in 0..400 {
            let takers = 1 + runs.len() as u64;
            if runs.len() < 12 && roll(10) == 0 {
                let run = bank.begin(RunConfig { at_limit, max_turns: 1_000, ..agent() }, takers);
                runs.push(run);
                continue;
            }
            if runs.is_empty() {
                continue;
            }
            let i = roll(runs.len() as u64) as usize;
            let story = &mut runs[i];
            if roll(20) == 0 {
                story.crashes_silently();
                bank.does(story, Command::Recover, takers);
                continue;
            }
            if let Some(asking) = story.state().asking.clone() {
                let approved = roll(2) == 0;
                let answer =
                    Command::Approve { effect: asking.effect, approved, by: "ann".into(), note: None, signed: None };
                bank.does(story, answer, takers);
            } else if let Some(debt) = story.owed().first().cloned() {
                let command = match debt {
                    Debt::CallModel { .. } => {
                        let reserved = story.state().budget.reserved.tokens;
                        let used = roll(reserved + 1);
                        let calls = match roll(4) {
                            0 => vec![],
                            1 => vec![call("read"), call("read")],
                            2 => vec![call("helper").child(Limits::default())],
                            _ => vec![call("read")],
                        };
                        story.reply_using(used, calls)
                    }
                    Debt::Dispatch { effect } => Command::Outcome {
                        effect,
                        attempt: 0,
                        outcome: stead_core::effect::Outcome::Returned(crate::story::text("B")),
                        error: false,
                        action: None,
                    },
                    Debt::StartChild { effect, .. } | Debt::StopChild { effect, .. } => Command::ChildFinished {
                        effect,
                        ended: Ended::Returned,
                        content: crate::story::text("C"),
                        // The child has paid for itself.
                        spent: stead_core::budget::Spend { tokens: 50, usd: Some(MicroUsd(50)) },
                        boxes: stead_core::sandbox::BoxTotals::default(),
                        label: None,
                        used: Amounts::default(),
                    },
                    _ => Command::Tick,
                };
                bank.does(story, command, takers);
            } else {
                bank.does(story, Command::Tick, takers);
            }
            let sum = runs.iter().map(held).fold(Amounts::default(), Amounts::plus);
            assert_eq!(sum.usd, bank.held[0].usd, "what is held is in the slices of runs, and nowhere else");
            runs.retain(|run| !run.life().ended());
        }
        for mut story in runs.into_iter().filter(|run| !run.life().ended()) {
            let kill = Command::Stop { mode: stead_core::fact::StopMode::Kill, dispatched: vec![] };
            bank.does(&mut story, kill, 1);
            if let Some(Debt::StopChild { effect, .. }) = story.owed().first() {
                story.child_ends(*effect, Ended::Withdrawn, 0).unwrap();
            }
            assert!(held(&story).is_zero());
        }
        assert!(bank.held.iter().all(|h| h.is_zero()), "seed {seed}: {:?}", bank.held);
    }
}
