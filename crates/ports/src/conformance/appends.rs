//! Cases: appends, conflicts, batches, epochs, idempotency keys.

use futures_util::future::join_all;
use stead_core::{code, id::RunId, time::Span};

use super::kit::{Owner, assert_records, name, new_run, run, session_of};
use crate::journal::{AppendError, Journal, Lease, NewRun, Status};

/// Records come back in order, with their bytes and leaf hashes, from any position and in pages.
pub async fn what_was_appended_is_read_back_in_order(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    for seq in 1..50 {
        o.put(o.append(run(1), seq)).await;
    }
    let read = async |from, limit| j.read(run(1), from, limit).await.expect("reads");
    assert_records(&read(0, 1000).await, run(1), 0, 50);
    assert_records(&read(0, 7).await, run(1), 0, 7);
    assert_records(&read(45, 1000).await, run(1), 45, 5);
    assert_records(&read(50, 1000).await, run(1), 50, 0);
    assert_records(&read(0, 0).await, run(1), 0, 0);
    assert!(j.read(run(2), 0, 10).await.expect("reads").is_empty());
}

/// Too low, too high, and on a run that does not exist.
pub async fn a_wrong_position_is_a_conflict_that_tells_the_right_one(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    o.put(o.append(run(1), 1)).await;
    for seq in [0, 1, 3, u64::MAX] {
        assert_eq!(j.append(o.append(run(1), seq)).await, Err(AppendError::Conflict { next: 2 }), "{seq}");
    }
    assert_eq!(j.append(o.append(run(2), 1)).await, Err(AppendError::Conflict { next: 0 }));
    assert_eq!(j.append(o.append(run(2), 0)).await, Err(AppendError::Conflict { next: 0 }));
    o.put(o.append(run(1), 2)).await;
}

/// Appends queued together: the bad ones are refused, the others are taken.
pub async fn a_refused_append_fails_alone_in_its_batch(j: &dyn Journal) {
    let o = Owner::new(j).await;
    join_all((1..=100).map(|n| o.start(run(n), Status::Running))).await;
    let results = join_all((1..=100).map(|n| j.append(o.append(run(n), if n % 10 == 0 { 9 } else { 1 })))).await;
    for (n, result) in (1..=100).zip(results) {
        let refused = n % 10 == 0;
        assert_eq!(result, if refused { Err(AppendError::Conflict { next: 1 }) } else { Ok(()) });
        let records = j.read(run(n), 0, 10).await.expect("reads");
        assert_records(&records, run(n), 0, if refused { 1 } else { 2 });
    }
}

/// A second first record, or a creation in mid-life, is refused and changes nothing.
pub async fn a_run_begins_with_its_first_record_only(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    assert_eq!(j.append(o.first(run(1), Status::Failed)).await, Err(AppendError::Conflict { next: 1 }));
    let mut late = o.first(run(1), Status::Failed);
    late.seq = 1;
    assert_eq!(j.append(late).await, Err(AppendError::Conflict { next: 1 }));
    let row = j.run(run(1)).await.expect("reads").expect("exists");
    assert_eq!(row.state.status, Status::Running);
}

/// Group commit loses and mixes nothing.
pub async fn appends_of_two_hundred_runs_at_once_are_all_readable(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let one = async |n| {
        o.start(run(n), Status::Running).await;
        for seq in 1..10 {
            o.put(o.append(run(n), seq)).await;
        }
    };
    join_all((1..=200).map(one)).await;
    for n in 1..=200 {
        assert_records(&j.read(run(n), 0, 100).await.expect("reads"), run(n), 0, 10);
    }
}

/// Also when nobody waits for an answer in between.
pub async fn appends_of_one_run_are_taken_in_the_order_of_the_calls(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let first = j.append(o.first(run(1), Status::Running));
    let rest: Vec<_> = (1..300).map(|seq| j.append(o.append(run(1), seq))).collect();
    assert_eq!(first.await, Ok(()));
    assert!(join_all(rest).await.iter().all(Result::is_ok));
    assert_records(&j.read(run(1), 0, 1000).await.expect("reads"), run(1), 0, 300);
}

/// Acquiring again fences the owner before, for appends and for its lease.
pub async fn an_older_epoch_is_fenced(j: &dyn Journal) {
    let old = Lease { ..j.acquire("old", Span::from_millis(1)).await.expect("a fresh journal can be owned") };
    let old = Owner { journal: j, lease: old };
    let taken = j.append(old.first(run(1), Status::Running)).await;
    let new = Owner::new(j).await;
    assert!(new.lease.epoch > old.lease.epoch);
    let fenced = Err(AppendError::Fenced { current: new.lease.epoch });
    assert_eq!(j.append(old.append(run(1), 1)).await, fenced);
    assert_eq!(j.append(old.first(run(2), Status::Running)).await, fenced);
    assert_eq!(j.renew(old.lease, Span::from_secs(600)).await.map_err(|e| e.code), Err(code::DATA_LOCKED));
    assert_eq!(taken, Ok(()));
    new.put(new.append(run(1), 1)).await;
    assert!(j.renew(new.lease, Span::from_secs(600)).await.is_ok());
    assert!(j.run(run(2)).await.expect("reads").is_none());
}

/// Whoever gave its lease back is fenced like any other former owner.
pub async fn a_released_lease_writes_no_more(j: &dyn Journal) {
    let old = Owner::new(j).await;
    old.start(run(1), Status::Running).await;
    j.release(old.lease).await.expect("gives back");
    assert!(matches!(j.append(old.append(run(1), 1)).await, Err(AppendError::Fenced { .. })));
    let new = Owner::new(j).await;
    assert!(new.lease.epoch > old.lease.epoch);
    assert_eq!(j.release(old.lease).await.map_err(|e| e.code), Err(code::DATA_LOCKED));
    new.put(new.append(run(1), 1)).await;
}

fn keyed(o: &Owner<'_>, run: RunId, tenant: &str, key: &str, digest: u8) -> crate::journal::Append {
    let idempotency = Some((name(key), [digest; 32]));
    let new = NewRun { tenant: name(tenant), idempotency, ..new_run(session_of(run)) };
    o.first_of(run, new, Status::Running)
}

/// A second creation with the key names the first run, and says whether the request was the same.
pub async fn an_idempotency_key_makes_one_run(j: &dyn Journal) {
    let o = Owner::new(j).await;
    assert_eq!(j.by_key(&name("acme"), &name("k")).await.expect("reads"), None);
    o.put(keyed(&o, run(1), "acme", "k", 1)).await;
    let exists = |same| Err(AppendError::Exists { run: run(1), same });
    assert_eq!(j.append(keyed(&o, run(2), "acme", "k", 1)).await, exists(true));
    assert_eq!(j.append(keyed(&o, run(2), "acme", "k", 2)).await, exists(false));
    assert_eq!(j.by_key(&name("acme"), &name("k")).await.expect("reads"), Some((run(1), [1; 32])));
    assert!(j.run(run(2)).await.expect("reads").is_none());
    assert!(j.session(session_of(run(2))).await.expect("reads").is_none());
    o.put(keyed(&o, run(2), "acme", "other", 1)).await;
}

/// Equal keys of two tenants name two runs.
pub async fn idempotency_keys_of_two_tenants_do_not_meet(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.put(keyed(&o, run(1), "acme", "k", 1)).await;
    o.put(keyed(&o, run(2), "globex", "k", 1)).await;
    assert_eq!(j.by_key(&name("globex"), &name("k")).await.expect("reads"), Some((run(2), [1; 32])));
    assert_eq!(j.by_key(&name("initech"), &name("k")).await.expect("reads"), None);
}

/// The unique key holds within a batch too, and refuses only the second.
pub async fn one_key_twice_in_one_batch_makes_one_run(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let pending: Vec<_> = (1..=20).map(|n| j.append(keyed(&o, run(n), "acme", "k", 1))).collect();
    let results = join_all(pending).await;
    assert_eq!(results[0], Ok(()));
    for r in &results[1..] {
        assert_eq!(*r, Err(AppendError::Exists { run: run(1), same: true }));
    }
}
