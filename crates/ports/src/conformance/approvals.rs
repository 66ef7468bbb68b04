//! Cases: the index of open questions to humans.

use stead_core::{
    id::{EffectId, SessionId},
    time::{Span, Timestamp},
};

use super::kit::{Owner, TENANT, name, new_run, run, session_of};
use crate::journal::{ApprovalFilter, ApprovalRow, IndexChange, Journal, NewRun, Question, Status};

fn row(asked: i64, n: u64, effect: u32) -> ApprovalRow {
    ApprovalRow { asked: Timestamp(asked), effect: EffectId { run: run(n), n: effect } }
}

fn asking(questions: &[(u32, i64)]) -> IndexChange {
    let asked =
        questions.iter().map(|(effect, at)| Question { effect: *effect, asked: Timestamp(*at), round: 0 }).collect();
    IndexChange { asked, ..IndexChange::default() }
}

fn closing(effects: &[u32]) -> IndexChange {
    IndexChange { closed: effects.to_vec(), ..IndexChange::default() }
}

async fn list(j: &dyn Journal, filter: ApprovalFilter) -> Vec<ApprovalRow> {
    let tenant = if filter.tenant.is_empty() { name(TENANT) } else { filter.tenant };
    j.approvals(&ApprovalFilter { tenant, limit: filter.limit.max(1), ..filter }).await.expect("reads")
}

async fn all(j: &dyn Journal) -> Vec<ApprovalRow> {
    list(j, ApprovalFilter { limit: 1_000, ..ApprovalFilter::default() }).await
}

/// Also with the first append of a run, and several of one run; closing what is not open does nothing.
pub async fn a_question_is_listed_until_it_is_closed(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert!(all(j).await.is_empty());
    let first = IndexChange { create: Some(new_run(session_of(run(1)))), ..asking(&[(1, 100)]) };
    o.put(o.changing(run(1), 0, first)).await;
    o.start(run(2), Status::Running).await;
    o.put(o.changing(run(2), 1, asking(&[(1, 90), (2, 90), (9, 110)]))).await;
    assert_eq!(all(j).await, [row(110, 2, 9), row(100, 1, 1), row(90, 2, 2), row(90, 2, 1)]);
    o.put(o.append(run(2), 2)).await;
    o.put(o.changing(run(2), 3, closing(&[2, 7]))).await;
    assert_eq!(all(j).await, [row(110, 2, 9), row(100, 1, 1), row(90, 2, 1)]);
    o.put(o.changing(run(2), 4, closing(&[1, 9]))).await;
    o.put(o.changing(run(1), 1, closing(&[1]))).await;
    assert!(all(j).await.is_empty());
}

/// In one append or in one batch, the last word counts.
pub async fn a_question_asked_again_stands_once_with_its_new_time(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    o.put(o.changing(run(1), 1, asking(&[(1, 100)]))).await;
    o.put(o.changing(run(1), 2, asking(&[(1, 300)]))).await;
    assert_eq!(all(j).await, [row(300, 1, 1)]);
    o.put(o.changing(run(1), 3, IndexChange { closed: vec![1], ..asking(&[(1, 400)]) })).await;
    assert_eq!(all(j).await, [row(400, 1, 1)]);
    let acks = [
        j.append(o.changing(run(1), 4, closing(&[1]))),
        j.append(o.changing(run(1), 5, asking(&[(1, 500), (2, 501)]))),
        j.append(o.changing(run(1), 6, closing(&[2]))),
    ];
    for ack in acks {
        ack.await.expect("taken");
    }
    assert_eq!(all(j).await, [row(500, 1, 1)]);
}

/// Pages neither repeat nor skip, also where many were asked at one instant.
pub async fn questions_come_newest_first_in_pages(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let mut want = Vec::new();
    for n in 1..=8 {
        o.start(run(n), Status::Waiting).await;
        let asked: Vec<_> = (1..=3).map(|e| (e, i64::try_from(n).unwrap_or(0) % 3 * 10)).collect();
        o.put(o.changing(run(n), 1, asking(&asked))).await;
        want.extend(asked.iter().map(|(e, at)| row(*at, n, *e)));
    }
    want.sort_unstable();
    want.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = list(j, ApprovalFilter { limit: 5, before, ..ApprovalFilter::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, want);
    // A place in the list is one, though its question was closed meanwhile.
    o.put(o.changing(want[4].effect.run, 2, closing(&[want[4].effect.n]))).await;
    let rest = list(j, ApprovalFilter { limit: 100, before: Some(want[4]), ..ApprovalFilter::default() }).await;
    assert_eq!(rest, want[5..]);
}

/// By each and by all together; never another tenant's.
pub async fn questions_are_listed_by_agent_session_and_run(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for n in 1..=6 {
        let new = NewRun {
            agent: name(if n % 2 == 0 { "even" } else { "odd" }),
            tenant: name(if n == 6 { "globex" } else { TENANT }),
            ..new_run(SessionId(u128::from(n % 3) + if n == 6 { 100 } else { 0 }))
        };
        o.put(o.first_of(run(n), new, Status::Waiting)).await;
        o.put(o.changing(run(n), 1, asking(&[(1, i64::try_from(n).unwrap_or(0))]))).await;
    }
    let many = || ApprovalFilter { limit: 100, ..ApprovalFilter::default() };
    assert_eq!(all(j).await, [row(5, 5, 1), row(4, 4, 1), row(3, 3, 1), row(2, 2, 1), row(1, 1, 1)]);
    let even = ApprovalFilter { agent: Some(name("even")), ..many() };
    assert_eq!(list(j, even.clone()).await, [row(4, 4, 1), row(2, 2, 1)]);
    let session = ApprovalFilter { session: Some(SessionId(2)), ..many() };
    assert_eq!(list(j, session.clone()).await, [row(5, 5, 1), row(2, 2, 1)]);
    assert_eq!(list(j, ApprovalFilter { run: Some(run(3)), ..many() }).await, [row(3, 3, 1)]);
    let before = Some(row(5, 5, 1));
    assert_eq!(list(j, ApprovalFilter { before, ..session.clone() }).await, [row(2, 2, 1)]);
    let narrow = ApprovalFilter { agent: even.agent, run: Some(run(2)), ..session };
    assert_eq!(list(j, narrow.clone()).await, [row(2, 2, 1)]);
    assert!(list(j, ApprovalFilter { run: Some(run(4)), ..narrow }).await.is_empty());
    let other = ApprovalFilter { tenant: name("globex"), ..many() };
    assert_eq!(list(j, other.clone()).await, [row(6, 6, 1)]);
    assert!(list(j, ApprovalFilter { run: Some(run(1)), ..other.clone() }).await.is_empty());
    assert!(list(j, ApprovalFilter { session: Some(SessionId(1)), ..other }).await.is_empty());
}

/// All of an append or nothing of it.
pub async fn a_question_of_a_refused_append_is_not_listed(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    o.put(o.changing(run(1), 1, asking(&[(1, 100)]))).await;
    let change = IndexChange { closed: vec![1], ..asking(&[(2, 100)]) };
    assert!(j.append(o.changing(run(1), 9, change)).await.is_err());
    assert_eq!(all(j).await, [row(100, 1, 1)]);
}

/// What is entered beside appends is entered by the owner alone, and twice is once.
pub async fn questions_are_entered_by_the_owner_alone(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert!(j.unlisted(None, 10).await.expect("reads").is_empty());
    o.start(run(1), Status::Waiting).await;
    let open = [
        (run(1), Question { effect: 4, asked: Timestamp(7), round: 0 }),
        (run(2), Question { effect: 1, asked: Timestamp(8), round: 0 }),
    ];
    for _ in 0..2 {
        j.fill_approvals(o.lease, &open[..1], true).await.expect("entered");
    }
    assert_eq!(all(j).await, [row(7, 1, 4)]);
    j.release(o.lease).await.expect("released");
    j.acquire("the next", Span::from_secs(600)).await.expect("acquired");
    assert!(j.fill_approvals(o.lease, &open, true).await.is_err());
    assert_eq!(all(j).await, [row(7, 1, 4)]);
}
