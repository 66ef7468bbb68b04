//! Cases: the rows of runs, lists, wake-ups and inboxes.

use futures_util::future::join_all;
use stead_core::{
    code,
    id::{SessionId, VersionId},
    time::Timestamp,
};

use super::kit::{Owner, TENANT, name, new_run, run, session_of, spend, state, told};
use crate::journal::{InboxRow, IndexChange, Journal, NewRun, RunFilter, RunState, Status};

/// Everything given at creation, and the state told last.
pub async fn a_run_row_says_what_was_told_last(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let new =
        NewRun {
            parent: Some(run(9)), title: "Ünïcode \u{1f642} \"quoted\" 'single'".into(), ..new_run(SessionId(5))
        };
    o.put(o.first_of(run(1), new.clone(), Status::Running)).await;
    let row = j.run(run(1)).await.expect("reads").expect("exists");
    assert_eq!((row.id, row.tenant, row.session, row.session_key), (run(1), name(TENANT), SessionId(5), None));
    assert_eq!((row.agent, row.version, row.parent), (new.agent, VersionId([7; 32]), Some(run(9))));
    assert_eq!((row.title, row.created, row.updated), (new.title, Timestamp(1_000_000), Timestamp(1_000_000)));
    assert_eq!(row.state, state(Status::Running));
    let failed = RunState {
        status: Status::Failed,
        wake_at: Some(Timestamp(i64::MAX)),
        turns: u32::try_from(i32::MAX).expect("fits"),
        effects: 3,
        spent: spend(1 << 40, Some(1 << 41)),
        code: Some(code::BUDGET),
    };
    o.put(o.changing(run(1), 1, told(failed.clone()))).await;
    let row = j.run(run(1)).await.expect("reads").expect("exists");
    assert_eq!((row.state, row.created, row.updated), (failed, Timestamp(1_000_000), Timestamp(1_000_001)));
    assert!(j.run(run(2)).await.expect("reads").is_none());
}

/// No state told, no change; also at creation, where the run is then queued.
pub async fn an_append_without_a_state_leaves_the_row_alone(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let create = IndexChange { create: Some(new_run(session_of(run(1)))), ..IndexChange::default() };
    o.put(o.changing(run(1), 0, create)).await;
    for seq in 1..3 {
        o.put(o.append(run(1), seq)).await;
    }
    o.put(o.changing(run(1), 3, IndexChange::default())).await;
    let row = j.run(run(1)).await.expect("reads").expect("exists");
    assert_eq!((row.state, row.updated), (state(Status::Queued), Timestamp(1_000_000)));
}

async fn ids(j: &dyn Journal, filter: RunFilter) -> Vec<u64> {
    let filter = RunFilter { tenant: name(TENANT), limit: filter.limit.max(1), ..filter };
    let rows = j.runs(&filter).await.expect("reads");
    rows.into_iter().map(|r| u64::try_from(r.id.0 >> 80).unwrap_or(0)).collect()
}

/// Status, agent, session, parent, and all of them together; never another tenant's.
pub async fn lists_filter_by_everything_they_offer(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for n in 1..=12 {
        let new = NewRun {
            agent: name(if n % 2 == 0 { "even" } else { "odd" }),
            parent: (n > 6).then(|| run(1)),
            tenant: name(if n == 12 { "globex" } else { TENANT }),
            ..new_run(SessionId(if n == 12 { 99 } else { u128::from(n % 3) }))
        };
        o.put(o.first_of(run(n), new, if n % 4 == 0 { Status::Waiting } else { Status::Completed })).await;
    }
    let all = || RunFilter { limit: 100, ..RunFilter::default() };
    assert_eq!(ids(j, all()).await, (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(ids(j, RunFilter { status: vec![Status::Waiting], ..all() }).await, [8, 4]);
    let both = vec![Status::Waiting, Status::Completed, Status::Waiting];
    assert_eq!(ids(j, RunFilter { status: both, ..all() }).await.len(), 11);
    assert!(ids(j, RunFilter { status: vec![Status::Paused], ..all() }).await.is_empty());
    assert_eq!(ids(j, RunFilter { agent: Some(name("even")), ..all() }).await, [10, 8, 6, 4, 2]);
    assert_eq!(ids(j, RunFilter { session: Some(SessionId(0)), ..all() }).await, [9, 6, 3]);
    assert_eq!(ids(j, RunFilter { parent: Some(run(1)), ..all() }).await, [11, 10, 9, 8, 7]);
    let narrow = RunFilter {
        status: vec![Status::Completed],
        agent: Some(name("odd")),
        session: Some(SessionId(0)),
        parent: Some(run(1)),
        before: Some(run(10)),
        ..all()
    };
    assert_eq!(ids(j, narrow).await, [9]);
    assert!(ids(j, RunFilter { agent: Some(name("' OR 1=1 --")), ..all() }).await.is_empty());
}

/// Pages by `before` neither repeat nor skip.
pub async fn lists_come_newest_first_in_pages(j: &dyn Journal) {
    let o = Owner::new(j).await;
    join_all((1..=25).map(|n| o.start(run(n), Status::Completed))).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = ids(j, RunFilter { limit: 10, before, ..RunFilter::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(run(*last));
        seen.extend(page);
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

/// Over all tenants or for one.
pub async fn runs_are_counted_by_status(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let other = NewRun { tenant: name("globex"), ..new_run(SessionId(1)) };
    o.put(o.first_of(run(1), other, Status::Running)).await;
    o.start(run(2), Status::Running).await;
    o.start(run(3), Status::Running).await;
    o.put(o.changing(run(3), 1, told(state(Status::Failed)))).await;
    let count = async |tenant: Option<&str>, status| {
        let tenant = tenant.map(name);
        let all = j.count(tenant.as_ref()).await.expect("reads");
        all.into_iter().filter(|(s, _)| *s == status).map(|(_, n)| n).sum::<u64>()
    };
    assert_eq!(count(None, Status::Running).await, 2);
    assert_eq!(count(Some(TENANT), Status::Running).await, 1);
    assert_eq!(count(Some(TENANT), Status::Failed).await, 1);
    assert_eq!(count(Some(TENANT), Status::Paused).await, 0);
    assert_eq!(count(Some("nobody"), Status::Running).await, 0);
}

fn message(to: u64, from: u64, effect: u32) -> InboxRow {
    InboxRow { to: run(to), from: run(from), effect, body: format!("{from}.{effect}").into() }
}

fn sending(rows: &[InboxRow]) -> IndexChange {
    IndexChange { send: rows.to_vec(), ..IndexChange::default() }
}

/// What must be loaded after a crash, in id order and in pages; others sleep on.
pub async fn running_runs_and_those_with_messages_are_unfinished(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for (n, status) in (1..).zip(Status::ALL) {
        o.start(run(n), status).await;
    }
    o.start(run(8), Status::Running).await;
    // Runs 2 and 8 are running; 3 (waiting) and 8 have messages, 50 does not exist.
    o.put(o.changing(run(8), 1, sending(&[message(3, 8, 1), message(8, 8, 2), message(50, 8, 3)]))).await;
    assert_eq!(j.unfinished(None, 10).await.expect("reads"), [run(2), run(3), run(8)]);
    assert_eq!(j.unfinished(None, 2).await.expect("reads"), [run(2), run(3)]);
    assert_eq!(j.unfinished(Some(run(3)), 2).await.expect("reads"), [run(8)]);
    o.put(o.changing(run(2), 1, told(state(Status::Completed)))).await;
    let taken = IndexChange { taken: vec![(run(8), 1)], ..IndexChange::default() };
    o.put(o.changing(run(3), 1, taken)).await;
    assert_eq!(j.unfinished(None, 10).await.expect("reads"), [run(8)]);
}

/// Due runs come earliest first; a state without a wake-up takes it back.
pub async fn the_earliest_wake_comes_first(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert_eq!(j.next_wake().await.expect("reads"), None);
    let waking = |at| RunState { wake_at: Some(Timestamp(at)), ..state(Status::Waiting) };
    for (n, at) in [(1, 300), (2, 100), (3, 200), (4, -5)] {
        o.start(run(n), Status::Running).await;
        o.put(o.changing(run(n), 1, told(waking(at)))).await;
    }
    o.start(run(5), Status::Waiting).await;
    let due = async |now, limit| j.due(Timestamp(now), limit).await.expect("reads");
    assert_eq!(j.next_wake().await.expect("reads"), Some(Timestamp(-5)));
    assert_eq!(due(200, 10).await, [run(4), run(2), run(3)]);
    assert_eq!(due(200, 2).await, [run(4), run(2)]);
    assert!(due(-6, 10).await.is_empty());
    o.put(o.changing(run(4), 2, told(state(Status::Running)))).await;
    assert_eq!(j.next_wake().await.expect("reads"), Some(Timestamp(100)));
}

/// Sent twice it is there once; taken in it is gone, and the others stay in order.
pub async fn a_message_arrives_once_and_goes_when_it_is_taken(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Waiting).await;
    o.start(run(2), Status::Running).await;
    o.put(o.changing(run(2), 1, sending(&[message(1, 2, 7), message(1, 2, 5)]))).await;
    let again = InboxRow { body: "another body".into(), ..message(1, 2, 7) };
    o.put(o.changing(run(2), 2, sending(&[again, message(1, 3, 7)]))).await;
    let inbox = async |n| j.inbox(run(n)).await.expect("reads");
    assert_eq!(inbox(1).await, [message(1, 2, 7), message(1, 2, 5), message(1, 3, 7)]);
    let taken = IndexChange { taken: vec![(run(2), 7), (run(99), 1)], ..IndexChange::default() };
    o.put(o.changing(run(1), 1, taken)).await;
    assert_eq!(inbox(1).await, [message(1, 2, 5), message(1, 3, 7)]);
    assert!(inbox(2).await.is_empty());
}

/// All of an append or nothing of it.
pub async fn a_message_of_a_refused_append_is_not_sent(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Waiting).await;
    o.start(run(2), Status::Running).await;
    let index = IndexChange { run: Some(state(Status::Failed)), ..sending(&[message(1, 2, 7)]) };
    assert!(j.append(o.changing(run(2), 9, index)).await.is_err());
    assert!(j.inbox(run(1)).await.expect("reads").is_empty());
    assert_eq!(j.run(run(2)).await.expect("reads").expect("exists").state, state(Status::Running));
}

/// A stop may overtake the start of a child; the child finds it when it starts.
pub async fn a_message_may_wait_for_a_run_that_does_not_exist_yet(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    o.put(o.changing(run(1), 1, sending(&[message(2, 1, 4)]))).await;
    o.start(run(2), Status::Waiting).await;
    assert_eq!(j.inbox(run(2)).await.expect("reads"), [message(2, 1, 4)]);
    assert_eq!(j.unfinished(Some(run(1)), 10).await.expect("reads"), [run(2)]);
}
