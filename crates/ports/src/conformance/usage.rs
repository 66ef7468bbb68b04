//! Cases: what runs have used.

use stead_core::{id::RunId, time::Timestamp};

use super::kit::{Owner, TENANT, name, new_run, run, session_of, state};
use crate::journal::{
    AppendError, GroupBy, HOUR, IndexChange, Journal, NewRun, PastRun, Settled, Status, UsageFilter, UsageRow, Used,
    hour_of,
};

fn used(n: u64) -> Used {
    Used {
        replies: 1,
        failures: n % 2,
        tool_calls: n,
        input: 100 * n,
        cached: 10 * n,
        cache_write: 5 * n,
        output: 7 * n,
        reasoning: n,
        usd: 1_000 * n,
        unpriced: u64::from(n == 4),
        estimated_tokens: n % 3,
        estimated_usd: n % 5,
    }
}

fn settles(hour: i64, of: &[(&str, u64)]) -> IndexChange {
    let settled = of.iter().map(|(model, n)| Settled { model: name(model), hour, used: used(*n) }).collect();
    IndexChange { settled, ..IndexChange::default() }
}

async fn sums(j: &dyn Journal, by: GroupBy, since: Option<i64>, until: Option<i64>) -> Vec<UsageRow> {
    let filter = UsageFilter { tenant: name(TENANT), by, since_hour: since, until_hour: until, limit: 100 };
    j.usage(&filter).await.expect("reads")
}

/// Two runs of one user with two models, a child, and a run of another agent and tenant.
async fn filled(o: &Owner<'_>) {
    let ann = |new: NewRun| NewRun { user: Some(name("ann")), ..new };
    o.put(o.first_of(run(1), ann(new_run(session_of(run(1)))), Status::Running)).await;
    o.put(o.first_of(run(2), ann(NewRun { agent: name("other"), ..new_run(session_of(run(2))) }), Status::Running))
        .await;
    // The parent's user counts, whatever the child's start says.
    let child = NewRun { parent: Some(run(1)), user: Some(name("eve")), ..new_run(session_of(run(3))) };
    o.put(o.first_of(run(3), child, Status::Running)).await;
    let globex = NewRun { tenant: name("globex"), ..new_run(session_of(run(4))) };
    o.put(o.first_of(run(4), globex, Status::Running)).await;
    o.put(o.changing(run(1), 1, settles(10, &[("big", 1), ("small", 2)]))).await;
    // One append may tell of two hours.
    let mut both = settles(10, &[("big", 3)]);
    both.settled.extend(settles(12, &[("big", 4)]).settled);
    o.put(o.changing(run(1), 2, both)).await;
    o.put(o.changing(run(2), 1, settles(11, &[("big", 5)]))).await;
    o.put(o.changing(run(3), 1, settles(11, &[("small", 6)]))).await;
    o.put(o.changing(run(4), 1, settles(11, &[("small", 7)]))).await;
}

fn total(of: &[u64]) -> Used {
    of.iter().map(|n| used(*n)).fold(Used::default(), Used::plus)
}

/// Every settlement is in the sums once, by whatever they are grouped; another tenant's is in none.
pub async fn usage_is_the_sum_of_what_was_settled(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let nothing = sums(j, GroupBy::default(), None, None).await;
    assert_eq!(nothing, [UsageRow::default()], "nothing is a sum too");
    filled(&o).await;
    let all = sums(j, GroupBy::default(), None, None).await;
    assert_eq!((all.len(), all[0].runs, all[0].used), (1, 3, total(&[1, 2, 3, 4, 5, 6])));
    let groups = async |by| {
        let rows = sums(j, by, None, None).await;
        let of = |r: &UsageRow| r.agent.clone().or(r.model.clone()).or(r.user.clone()).map(|n| n.to_string());
        rows.iter().map(|r| (of(r).unwrap_or_default(), r.runs, r.used)).collect::<Vec<_>>()
    };
    let agents = groups(GroupBy { agent: true, ..GroupBy::default() }).await;
    assert_eq!(agents, [("refund-desk".into(), 2, total(&[1, 2, 3, 4, 6])), ("other".into(), 1, total(&[5]))]);
    let models = groups(GroupBy { model: true, ..GroupBy::default() }).await;
    assert_eq!(models, [("big".into(), 2, total(&[1, 3, 4, 5])), ("small".into(), 2, total(&[2, 6]))]);
    let users = groups(GroupBy { user: true, ..GroupBy::default() }).await;
    assert_eq!(users, [("ann".into(), 3, total(&[1, 2, 3, 4, 5, 6]))]);
    let all_four = GroupBy { agent: true, model: true, user: true, session: true };
    let rows = sums(j, all_four, None, None).await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().map(|r| r.used).fold(Used::default(), Used::plus), total(&[1, 2, 3, 4, 5, 6]));
    let first = rows.iter().find(|r| r.session == Some(session_of(run(1))) && r.model == Some(name("small")));
    assert_eq!(first.map(|r| (r.runs, r.used)), Some((1, used(2))));
    let sessions = sums(j, GroupBy { session: true, ..GroupBy::default() }, None, None).await;
    assert!(sessions.iter().all(|r| r.runs == 1) && sessions.len() == 3);
}

/// A period has the hours from its first to before its last; a call counts in the hour in which it was settled.
pub async fn usage_is_told_of_a_period(j: &dyn Journal) {
    let o = Owner::new(j).await;
    filled(&o).await;
    for (since, until, of) in [
        (Some(11), None, &[4, 5, 6][..]),
        (None, Some(11), &[1, 2, 3]),
        (Some(11), Some(12), &[5, 6]),
        (Some(10), Some(13), &[1, 2, 3, 4, 5, 6]),
        (Some(13), None, &[]),
    ] {
        let rows = sums(j, GroupBy::default(), since, until).await;
        assert_eq!(rows[0].used, total(of), "{since:?} to {until:?}");
    }
    assert_eq!((hour_of(Timestamp(-1)), hour_of(Timestamp(0)), hour_of(Timestamp(HOUR))), (-1, 0, 1));
}

/// What a refused append would have settled is in no sum.
pub async fn usage_of_a_refused_append_is_not_counted(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    let refused = j.append(o.changing(run(1), 9, settles(0, &[("big", 1)]))).await;
    assert!(matches!(refused, Err(AppendError::Conflict { next: 1 })));
    assert_eq!(sums(j, GroupBy::default(), None, None).await[0].used, Used::default());
    let change = IndexChange { run: Some(state(Status::Completed)), ..settles(0, &[("big", 1)]) };
    o.put(o.changing(run(1), 1, change)).await;
    assert_eq!(sums(j, GroupBy::default(), None, None).await[0].used, used(1));
}

/// Filled in twice, it stands once; an owner that was fenced fills in nothing.
pub async fn earlier_usage_is_entered_by_the_owner_alone(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Completed).await;
    assert_eq!(j.unmetered(None, 10).await.expect("reads"), [] as [RunId; 0]);
    let usage = vec![Settled { model: name("big"), hour: 1, used: used(3) }];
    let past = [PastRun { run: run(1), user: Some(name("ann")), usage }];
    for all in [false, true] {
        j.fill_usage(o.lease, &past, all).await.expect("writes");
    }
    let by = GroupBy { user: true, ..GroupBy::default() };
    let rows = sums(j, by, None, None).await;
    assert_eq!(rows, [UsageRow { user: Some(name("ann")), runs: 1, used: used(3), ..UsageRow::default() }]);
    // Told again by who does not know the user, it stands once, and the user as he was.
    j.fill_usage(o.lease, &[PastRun { user: None, ..past[0].clone() }], false).await.expect("writes");
    assert_eq!(sums(j, by, None, None).await, rows);
    j.release(o.lease).await.expect("releases");
    let next = Owner::new(j).await;
    assert!(j.fill_usage(o.lease, &past, true).await.is_err());
    j.fill_usage(next.lease, &[], true).await.expect("writes");
}

/// Numbers that no provider counts to neither wrap nor break a sum.
pub async fn absurd_usage_breaks_no_sum(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    let absurd = Used::from_columns([u64::MAX; 12]);
    for seq in 1..4 {
        let settled = vec![Settled { model: name("big"), hour: 1, used: absurd }];
        o.put(o.changing(run(1), seq, IndexChange { settled, ..IndexChange::default() })).await;
    }
    let rows = sums(j, GroupBy { model: true, ..GroupBy::default() }, None, None).await;
    assert!(rows[0].used.input >= 1 << 44 && rows[0].used.spent().usd.is_none());
}
