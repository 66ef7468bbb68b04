//! Cases: budgets of tenants and agents, and what appends move in them.

use stead_core::{
    budget::{Amounts, BudgetId, Caps, Level, Limit, MicroUsd, Move, Per},
    id::RunId,
    time::Timestamp,
};

use super::kit::{Owner, TENANT, name, new_run, run, session_of};
use crate::journal::{Append, AppendError, BudgetKey, BudgetRow, IndexChange, Journal, SetBudget, Status};

/// 2026-01-01T00:30:00Z.
const NOW: Timestamp = Timestamp(1_767_227_400_000_000);

fn usd(n: u64) -> Amounts {
    Amounts { usd: MicroUsd(n), ..Amounts::default() }
}

fn key(agent: Option<&str>, per: Per) -> BudgetKey {
    BudgetKey { tenant: name(TENANT), agent: agent.map(name), per }
}

async fn set(j: &dyn Journal, key: BudgetKey, usd: u64) {
    let caps = Caps { usd: Some(MicroUsd(usd)), ..Caps::default() };
    assert!(j.set_budget(SetBudget { key, caps, at: NOW, by: name("ann") }).await.expect("writes"));
}

async fn all(j: &dyn Journal, now: Timestamp) -> Vec<BudgetRow> {
    j.budgets(Some(&name(TENANT)), now).await.expect("reads")
}

fn moved(row: &BudgetRow, at: Timestamp, back: u64, settled: u64, held: u64) -> Move {
    let BudgetKey { agent, per, .. } = &row.key;
    let level = Level { budget: row.id, start: per.start(at), agent: agent.clone(), per: *per };
    Move { level, back: usd(back), settled: usd(settled), held: usd(held) }
}

fn moving(o: &Owner<'_>, run: RunId, seq: u64, budgets: Vec<Move>) -> Append {
    o.changing(run, seq, IndexChange { budgets, ..IndexChange::default() })
}

/// A budget is set, changed in place, listed in order, and removed; another tenant's is not in the list.
pub async fn a_budget_is_kept_until_it_is_removed(j: &dyn Journal) {
    let _o = Owner::new(j).await;
    set(j, key(Some("desk"), Per::Day), 5).await;
    set(j, key(None, Per::Month), 7).await;
    set(j, key(None, Per::Month), 8).await;
    set(j, BudgetKey { tenant: name("globex"), ..key(None, Per::Ever) }, 9).await;
    let rows = all(j, NOW).await;
    let told: Vec<_> = rows.iter().map(|r| (r.key.clone(), r.caps.usd, r.start)).collect();
    assert_eq!(
        told,
        [
            (key(None, Per::Month), Some(MicroUsd(8)), Per::Month.start(NOW)),
            (key(Some("desk"), Per::Day), Some(MicroUsd(5)), Per::Day.start(NOW)),
        ]
    );
    assert!(rows.iter().all(|r| r.by == name("ann") && r.at == NOW && r.held.is_zero() && r.settled.is_zero()));
    assert_eq!(j.budgets(None, NOW).await.expect("reads").len(), 3);
    assert!(j.remove_budget(&key(None, Per::Month)).await.expect("writes"));
    assert!(!j.remove_budget(&key(None, Per::Month)).await.expect("writes"), "it is removed once");
    assert_eq!(all(j, NOW).await.len(), 1);
    // Made again it is another one.
    set(j, key(None, Per::Month), 8).await;
    assert_ne!(all(j, NOW).await[0].id, rows[0].id);
}

/// What runs hold and what was used are together never more than a limit; a refused append leaves nothing behind and fails alone.
pub async fn a_slice_is_refused_when_there_is_no_room_for_it(j: &dyn Journal) {
    let o = Owner::new(j).await;
    set(j, key(None, Per::Ever), 100).await;
    set(j, key(Some("desk"), Per::Ever), 50).await;
    let rows = all(j, NOW).await;
    let both = |back, settled, held| rows.iter().map(|r| moved(r, NOW, back, settled, held)).collect::<Vec<_>>();
    for n in 1..=3 {
        o.start(run(n), Status::Running).await;
    }
    o.put(moving(&o, run(1), 1, both(0, 0, 30))).await;
    // The agent's would be crossed, the tenant's not: neither moves.
    let (refused, taken) =
        tokio::join!(j.append(moving(&o, run(2), 1, both(0, 0, 21))), j.append(moving(&o, run(3), 1, both(0, 0, 20))));
    assert_eq!(refused, Err(AppendError::OverBudget { limit: Limit::Usd, left: 20 }));
    assert_eq!(taken, Ok(()));
    let held = |rows: &[BudgetRow]| rows.iter().map(|r| (r.held.usd.0, r.settled.usd.0)).collect::<Vec<_>>();
    assert_eq!(held(&all(j, NOW).await), [(50, 0), (50, 0)]);
    // The run goes on where it was; what the first gives back is there for the second.
    o.put(moving(&o, run(1), 2, both(30, 10, 0))).await;
    o.put(moving(&o, run(2), 1, both(0, 0, 20))).await;
    assert_eq!(held(&all(j, NOW).await), [(40, 10), (40, 10)]);
    // What was used beyond a slice is settled whatever the limit says, and blocks the next.
    o.put(moving(&o, run(2), 2, both(20, 45, 0))).await;
    assert_eq!(held(&all(j, NOW).await), [(20, 55), (20, 55)]);
    let debt = j.append(moving(&o, run(2), 3, both(0, 0, 1))).await;
    assert_eq!(debt, Err(AppendError::OverBudget { limit: Limit::Usd, left: 0 }));
    assert_eq!(rows[0].key.agent, None);
}

/// A run's first record may take a slice; refused, there is no run.
pub async fn a_run_may_begin_with_a_slice(j: &dyn Journal) {
    let o = Owner::new(j).await;
    set(j, key(None, Per::Ever), 10).await;
    let row = all(j, NOW).await.remove(0);
    let first = |n: u64, held: u64| {
        let mut append = o.first_of(run(n), new_run(session_of(run(n))), Status::Running);
        if let Some(index) = &mut append.index {
            index.budgets = vec![moved(&row, NOW, 0, 0, held)];
        }
        append
    };
    o.put(first(1, 6)).await;
    let refused = j.append(first(2, 6)).await;
    assert_eq!(refused, Err(AppendError::OverBudget { limit: Limit::Usd, left: 4 }));
    assert!(j.run(run(2)).await.expect("reads").is_none());
    o.put(first(2, 4)).await;
    assert_eq!(all(j, NOW).await[0].held, usd(10));
}

/// Each window of a budget has its own sums; what is settled in one that has ended does not count in the next.
pub async fn windows_of_a_budget_are_counted_apart(j: &dyn Journal) {
    let o = Owner::new(j).await;
    set(j, key(None, Per::Hour), 10).await;
    let later = Timestamp(NOW.0 + 3_600_000_000);
    let row = all(j, NOW).await.remove(0);
    o.start(run(1), Status::Running).await;
    o.put(moving(&o, run(1), 1, vec![moved(&row, NOW, 0, 0, 10)])).await;
    assert_eq!(all(j, later).await[0].held, usd(0));
    // One append settles the window that ended and takes of the next.
    o.put(moving(&o, run(1), 2, vec![moved(&row, NOW, 10, 9, 0), moved(&row, later, 0, 0, 10)])).await;
    let (then, now) = (all(j, NOW).await.remove(0), all(j, later).await.remove(0));
    assert_eq!((then.held, then.settled), (usd(0), usd(9)));
    assert_eq!((now.held, now.settled, now.start), (usd(10), usd(0), Per::Hour.start(later)));
}

/// Windows that are over are forgotten, so that a budget of each hour grows without bound in no year; but none of which something is held,
/// and not the last.
pub async fn windows_that_are_over_are_forgotten_once_nothing_of_them_is_held(j: &dyn Journal) {
    let o = Owner::new(j).await;
    set(j, key(None, Per::Hour), 100).await;
    set(j, key(None, Per::Day), 100).await;
    let rows = all(j, NOW).await;
    let hour = rows.iter().find(|r| r.key.per == Per::Hour).expect("exists").clone();
    let day = rows.iter().find(|r| r.key.per == Per::Day).expect("exists").clone();
    let at = |n: i64| Timestamp(NOW.0 + n * 3_600_000_000);
    o.start(run(1), Status::Running).await;
    o.put(moving(&o, run(1), 1, vec![moved(&hour, at(0), 0, 1, 7), moved(&day, at(0), 0, 9, 0)])).await;
    for n in 1..=4_i64 {
        o.put(moving(&o, run(1), n.unsigned_abs() + 1, vec![moved(&hour, at(n), 0, 5, 0)])).await;
    }
    let kept = async |n: i64| {
        let row = all(j, at(n)).await.into_iter().find(|r| r.id == hour.id).expect("exists");
        (row.held.usd.0, row.settled.usd.0)
    };
    assert_eq!(kept(0).await, (7, 1), "a run holds a slice of it");
    assert_eq!((kept(1).await, kept(2).await), ((0, 0), (0, 0)));
    assert_eq!((kept(3).await, kept(4).await), ((0, 5), (0, 5)));
    assert_eq!(all(j, at(0)).await.iter().find(|r| r.id == day.id).expect("exists").settled, usd(9));
}

/// Slices of a budget that was removed block nobody, and count in none that is made later.
pub async fn a_slice_of_a_removed_budget_is_worth_nothing(j: &dyn Journal) {
    let o = Owner::new(j).await;
    set(j, key(None, Per::Ever), 10).await;
    let row = all(j, NOW).await.remove(0);
    o.start(run(1), Status::Running).await;
    o.put(moving(&o, run(1), 1, vec![moved(&row, NOW, 0, 0, 10)])).await;
    assert!(j.remove_budget(&row.key).await.expect("writes"));
    set(j, key(None, Per::Ever), 10).await;
    o.put(moving(&o, run(1), 2, vec![moved(&row, NOW, 10, 7, 1_000)])).await;
    let unknown = BudgetRow { id: BudgetId(12_345), ..row.clone() };
    o.put(moving(&o, run(1), 3, vec![moved(&unknown, NOW, 0, 1, 1)])).await;
    let now = all(j, NOW).await.remove(0);
    assert_eq!((now.held, now.settled), (usd(0), usd(0)));
    assert_ne!(now.id, row.id);
}
