//! Cases: sessions, their foreground run, head, queue and spending.

use std::collections::HashSet;

use futures_util::future::join_all;
use stead_core::{
    budget::{Amounts, Spend},
    id::{RunId, SessionId},
    time::Timestamp,
};

use super::kit::{Owner, TENANT, handed, name, new_run, run, spend, state};
use crate::journal::{Append, AppendError, IndexChange, Journal, SessionChange, SessionRow, Status};

const SESSION: SessionId = SessionId(77 << 80 | 5);

fn joining(o: &Owner<'_>, run: RunId, claim: bool) -> Append {
    let mut append = o.first_of(run, new_run(SESSION), if claim { Status::Running } else { Status::Queued });
    if let Some(index) = &mut append.index {
        index.session = claim.then_some(SessionChange::Claim);
    }
    append
}

fn release(head: bool, spent: Spend) -> IndexChange {
    let used = Amounts { tool_calls: 2, disk: spent.tokens, ..Amounts::default() };
    let session = Some(SessionChange::Release { head, spent, used });
    IndexChange { run: Some(state(Status::Completed)), session, ..IndexChange::default() }
}

async fn session(j: &dyn Journal) -> SessionRow {
    j.session(SESSION).await.expect("reads").expect("exists")
}

/// A claim is refused while another run has the session; after its release the next may have it.
pub async fn a_session_has_one_foreground_run(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert!(j.session(SESSION).await.expect("reads").is_none());
    o.put(joining(&o, run(1), true)).await;
    assert_eq!(session(j).await.active, Some(run(1)));
    let busy = Err(AppendError::SessionBusy { active: run(1) });
    assert_eq!(j.append(joining(&o, run(2), true)).await, busy);
    assert!(j.run(run(2)).await.expect("reads").is_none());
    o.put(joining(&o, run(2), false)).await;
    assert_eq!(j.append(o.changing(run(2), 1, handed(SessionChange::Claim))).await, busy);
    // Claiming what one has is no change.
    o.put(o.changing(run(1), 1, handed(SessionChange::Claim))).await;
    o.put(o.changing(run(1), 2, release(true, Spend::ZERO))).await;
    assert_eq!(session(j).await.active, None);
    o.put(o.changing(run(2), 1, handed(SessionChange::Claim))).await;
    assert_eq!(session(j).await.active, Some(run(2)));
}

/// Of claims queued together the first is taken.
pub async fn two_claims_in_one_batch_have_one_winner(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let pending: Vec<_> = (1..=20).map(|n| j.append(joining(&o, run(n), true))).collect();
    let results = join_all(pending).await;
    assert_eq!(results[0], Ok(()));
    for r in &results[1..] {
        assert_eq!(*r, Err(AppendError::SessionBusy { active: run(1) }));
    }
}

/// Cancelling a queued run does not take the session from the one at work.
pub async fn a_run_that_ends_in_the_queue_leaves_the_foreground_alone(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.put(joining(&o, run(1), true)).await;
    o.put(joining(&o, run(2), false)).await;
    o.put(o.changing(run(2), 1, release(false, Spend::ZERO))).await;
    assert_eq!(session(j).await.active, Some(run(1)));
    assert_eq!(session(j).await.head, None);
}

/// A failed run leaves the head where it was.
pub async fn the_head_moves_only_when_told(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for (n, head, then) in [(1, true, 1), (2, false, 1), (3, true, 3)] {
        o.put(joining(&o, run(n), true)).await;
        o.put(o.changing(run(n), 1, release(head, Spend::ZERO))).await;
        assert_eq!(session(j).await.head, Some(run(then)));
    }
}

/// Tokens and money add up, and what is counted beside.
pub async fn what_a_session_spent_is_the_sum_of_its_ended_runs(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for n in 1..=3 {
        o.put(joining(&o, run(n), true)).await;
        o.put(o.changing(run(n), 1, release(true, spend(10 * n, Some(n))))).await;
    }
    assert_eq!(session(j).await.spent, spend(60, Some(6)));
    assert_eq!(session(j).await.used, Amounts { tool_calls: 6, disk: 60, ..Amounts::default() });
}

/// A sum with an unknown part is unknown for good, and zero is not unknown.
pub async fn unknown_money_stays_unknown(j: &dyn Journal) {
    let o = Owner::new(j).await;
    for (n, usd) in [(1, Some(5)), (2, None), (3, Some(7))] {
        o.put(joining(&o, run(n), true)).await;
        let mut index = release(true, spend(10, usd));
        index.run = Some(crate::journal::RunState { spent: spend(10, usd), ..state(Status::Completed) });
        o.put(o.changing(run(n), 1, index)).await;
        let row = j.run(run(n)).await.expect("reads").expect("exists");
        assert_eq!(row.state.spent, spend(10, usd));
    }
    assert_eq!(session(j).await.spent, spend(30, None));
}

/// In the order of creation.
pub async fn queued_runs_come_oldest_first(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.put(joining(&o, run(1), true)).await;
    for n in [4, 2, 3] {
        o.put(joining(&o, run(n), false)).await;
    }
    assert_eq!(j.queued(SESSION, 10).await.expect("reads"), [run(2), run(3), run(4)]);
    assert_eq!(j.queued(SESSION, 2).await.expect("reads"), [run(2), run(3)]);
    assert!(j.queued(SessionId(1), 10).await.expect("reads").is_empty());
}

/// Found after a crash between the end of one run and the promotion of the next.
pub async fn a_session_without_foreground_but_with_a_queue_is_stranded(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.put(joining(&o, run(1), true)).await;
    o.put(joining(&o, run(2), false)).await;
    o.put(joining(&o, run(3), false)).await;
    assert!(j.stranded(10).await.expect("reads").is_empty());
    o.put(o.changing(run(1), 1, release(true, Spend::ZERO))).await;
    assert_eq!(j.stranded(10).await.expect("reads"), [SESSION]);
    let running = IndexChange { run: Some(state(Status::Running)), ..handed(SessionChange::Claim) };
    o.put(o.changing(run(2), 1, running)).await;
    assert!(j.stranded(10).await.expect("reads").is_empty());
}

/// The same key of the same agent and tenant gives the same session, whatever id is offered.
pub async fn a_session_key_is_get_or_create(j: &dyn Journal) {
    let open = async |tenant: &str, agent: &str, key: &str, id| {
        let at = Timestamp(1_000 + id as i64);
        j.open_session(&name(tenant), &name(agent), &name(key), SessionId(id), at).await.expect("opens")
    };
    let a = open(TENANT, "desk", "customer/42", 1).await;
    assert_eq!(
        (a.id, a.key, a.active, a.head, a.created),
        (SessionId(1), Some(name("customer/42")), None, None, Timestamp(1_001))
    );
    assert_eq!(a.spent, Spend::ZERO);
    assert_eq!(open(TENANT, "desk", "customer/42", 2).await.id, SessionId(1));
    assert_eq!(open(TENANT, "desk", "customer/43", 3).await.id, SessionId(3));
    assert_eq!(open(TENANT, "other", "customer/42", 4).await.id, SessionId(4));
    assert_eq!(open("globex", "desk", "customer/42", 5).await.id, SessionId(5));
    // A run that joins it shows the key.
    let o = Owner::new(j).await;
    let new = crate::journal::NewRun { agent: name("desk"), ..new_run(SessionId(1)) };
    o.put(o.first_of(run(1), new, Status::Running)).await;
    let row = j.run(run(1)).await.expect("reads").expect("exists");
    assert_eq!((row.session, row.session_key), (SessionId(1), Some(name("customer/42"))));
}

/// Callers that race get one session.
pub async fn opening_one_session_many_times_at_once_makes_one(j: &dyn Journal) {
    let (tenant, agent, key) = (name(TENANT), name("desk"), name("k"));
    let rows = join_all((1..=20).map(|n| j.open_session(&tenant, &agent, &key, SessionId(n), Timestamp(1)))).await;
    let ids: HashSet<SessionId> = rows.into_iter().map(|r| r.expect("opens").id).collect();
    assert_eq!(ids.len(), 1);
}

/// Pages by `before`; tenants and agents apart.
pub async fn sessions_are_listed_newest_first_in_pages(j: &dyn Journal) {
    let key = |n: u128| name(&format!("k{n}"));
    for n in 1..=6u128 {
        let agent = name(if n % 2 == 0 { "even" } else { "odd" });
        j.open_session(&name(TENANT), &agent, &key(n), SessionId(n), Timestamp(1)).await.expect("opens");
    }
    j.open_session(&name("globex"), &name("odd"), &key(9), SessionId(9), Timestamp(1)).await.expect("opens");
    let list = async |agent: Option<&str>, before: Option<u128>, limit| {
        let agent = agent.map(name);
        let rows = j.sessions(&name(TENANT), agent.as_ref(), before.map(SessionId), limit).await.expect("reads");
        rows.into_iter().map(|r| r.id.0).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 4).await, [6, 5, 4, 3]);
    assert_eq!(list(None, Some(3), 4).await, [2, 1]);
    assert_eq!(list(Some("odd"), None, 10).await, [5, 3, 1]);
    assert!(list(Some("none"), None, 10).await.is_empty());
}

/// By the agents' names, each of them once; tenants apart, and sessions without a key not among them.
pub async fn a_key_finds_the_sessions_of_all_agents(j: &dyn Journal) {
    for (n, (tenant, agent, key)) in (1..).zip([
        (TENANT, "refunds", "customer/42"),
        (TENANT, "Desk", "customer/42"),
        (TENANT, "desk", "customer/42"),
        (TENANT, "desk", "customer/43"),
        ("globex", "desk", "customer/42"),
    ]) {
        j.open_session(&name(tenant), &name(agent), &name(key), SessionId(n), Timestamp(1)).await.expect("opens");
    }
    Owner::new(j).await.start(run(9), Status::Running).await;
    let find = async |key: &str, limit| {
        let rows = j.sessions_of_key(&name(TENANT), &name(key), limit).await.expect("reads");
        rows.into_iter().map(|r| r.id.0).collect::<Vec<_>>()
    };
    assert_eq!(find("customer/42", 10).await, [2, 3, 1]);
    assert_eq!(find("customer/42", 2).await, [2, 3]);
    assert_eq!(find("customer/43", 10).await, [4]);
    assert!(find("customer", 10).await.is_empty());
    assert!(find("", 10).await.is_empty());
}
