//! Slices of budgets above a run: taken, settled and given back; windows; several levels at once.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::budget::MicroUsd;

fn level(budget: u64, agent: Option<&str>) -> Level {
    Level { budget: BudgetId(budget), start: Timestamp(0), agent: agent.map(Name::from), per: Per::Day }
}

fn usd(n: u64) -> Caps {
    Caps { usd: Some(MicroUsd(n)), ..Caps::default() }
}

fn costs(n: u64) -> Amounts {
    Amounts { usd: MicroUsd(n), ..Amounts::default() }
}

fn offer(takers: u64, levels: &[(u64, u64)]) -> Offer {
    Offer { payers: levels.iter().map(|(id, left)| payer(level(*id, None), *left)).collect(), takers }
}

/// One that has so much left of a million.
fn payer(level: Level, left: u64) -> Payer {
    Payer { level, limits: usd(1_000_000), left: usd(left) }
}

fn fact(moved: BudgetMoved) -> Fact {
    Fact::BudgetMoved(Box::new(moved))
}

fn slice(budget: u64, granted: u64, used: u64) -> Slice {
    Slice { levels: vec![level(budget, None)], granted: usd(granted), used: costs(used) }
}

#[test]
fn a_slice_is_taken_ahead_as_long_as_there_is_enough_and_small_when_little_is_left() {
    let granted = |takers, left| {
        let moved = offer(takers, &[(1, left)]).cover(None, costs(10)).unwrap().unwrap();
        moved.taken.unwrap().granted.usd.unwrap().0
    };
    assert_eq!(granted(1, 1_000_000), 160, "sixteen steps ahead");
    assert_eq!(granted(1, 100), 50, "half of what is left");
    assert_eq!(granted(100, 1_000), 10, "what the step needs, when many share little");
    assert_eq!(granted(1, 10), 10, "all of it");
}

#[test]
fn a_step_that_the_slice_in_hand_pays_for_moves_nothing() {
    let held = slice(1, 160, 100);
    assert_eq!(offer(1, &[(1, 0)]).cover(Some(&held), costs(60)), Ok(None));
    let moved = offer(1, &[(1, 1_000)]).cover(Some(&held), costs(61)).unwrap().unwrap();
    assert_eq!(moved.settled, costs(100), "what was used of the one before is settled");
}

#[test]
fn what_is_given_back_in_the_same_move_is_there_to_be_taken_again() {
    let held = slice(1, 100, 90);
    // 5 are free, and 10 of the slice are left: together enough for 15 and no more.
    assert!(offer(1, &[(1, 5)]).cover(Some(&held), costs(15)).is_ok());
    let (limit, blocked) = offer(1, &[(1, 5)]).cover(Some(&held), costs(16)).unwrap_err();
    assert_eq!((limit, blocked.left, blocked.need), (Limit::Usd, 15, 16));
    // Overshoot is a debt of the same budget.
    assert!(offer(1, &[(1, 20)]).cover(Some(&slice(1, 100, 110)), costs(11)).is_err());
}

#[test]
fn a_window_that_has_ended_pays_no_more() {
    let held = slice(1, 160, 10);
    let moved = offer(1, &[(2, 1_000)]).cover(Some(&held), costs(10)).unwrap().unwrap();
    assert_eq!(moved.settled, costs(10));
    assert_eq!(moved.taken.unwrap().levels, [level(2, None)]);
}

#[test]
fn the_level_that_has_too_little_is_named() {
    let mut offer = Offer { payers: vec![payer(level(1, None), 1_000), payer(level(2, Some("desk")), 3)], takers: 1 };
    let (limit, blocked) = offer.cover(None, costs(10)).unwrap_err();
    assert_eq!((&blocked.agent, blocked.most), (&Some("desk".into()), Some(1_000_000)));
    let text = blocked.text(limit);
    assert!(text.starts_with("the budget of agent `desk` per day has 0.000003 USD left"), "{text}");
}

#[test]
fn two_steps_of_one_decision_do_not_take_the_same_money_twice() {
    let mut offer = offer(1, &[(1, 100)]);
    let mut held = None;
    let mut taken = 0;
    for _ in 0..20 {
        // Each step uses nothing of the slice before, so all must be covered by one slice in the end.
        match offer.cover(held.as_ref(), costs(60)) {
            Ok(Some(moved)) => {
                let t = moved.taken.unwrap();
                taken = t.granted.usd.unwrap().0;
                held = Some(Slice { levels: t.levels, granted: t.granted, used: costs(60) });
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    assert!(taken <= 100, "{taken}");
    assert!(offer.left().usd.unwrap().0 <= 40);
}

#[test]
fn what_a_record_moves_is_told_window_by_window() {
    let taken = |budget, n| Some(Taken { levels: vec![level(budget, None)], granted: usd(n) });
    let one = fact(BudgetMoved { settled: costs(7), taken: taken(1, 50) });
    let held = slice(1, 20, 7);
    let moved = moves(Some(&held), [&one]);
    assert_eq!(moved, [Move { level: level(1, None), back: costs(20), settled: costs(7), held: costs(50) }]);
    // Taken and given back in one record: nothing is held afterwards.
    let two = fact(BudgetMoved { settled: costs(30), taken: None });
    let moved = moves(Some(&held), [&one, &two]);
    assert_eq!(moved, [Move { level: level(1, None), back: costs(20), settled: costs(37), held: costs(0) }]);
    // Another window.
    let next = fact(BudgetMoved { settled: costs(7), taken: taken(2, 50) });
    assert_eq!(moves(Some(&held), [&next]).len(), 2);
    assert_eq!(moves(Some(&held), []), []);
}
