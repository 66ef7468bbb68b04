//! Cases: policy sets and their epochs.

use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};

use super::kit::{TENANT, name};
use crate::policies::{Confirmed, NewPolicy, PolicyRow, PolicyStore};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);

fn set(tenant: &Name, n: u8, proposed: bool) -> NewPolicy {
    NewPolicy {
        tenant: tenant.clone(),
        digest: [n; 32],
        body: Bytes::from(vec![n; 3_000]),
        by: name("ann"),
        at: NOW,
        rollback: None,
        proposed,
    }
}

async fn put(s: &dyn PolicyStore, set: NewPolicy) -> u64 {
    s.put_policy(set).await.expect("puts").expect("there is room")
}

async fn epoch(s: &dyn PolicyStore, tenant: &Name) -> u64 {
    s.policy_epoch(tenant).await.expect("tells")
}

/// From 1, each tenant's own, and before the first it is 0.
pub async fn the_set_applied_last_is_in_force(s: &dyn PolicyStore) {
    let (t, other) = (name(TENANT), name("globex"));
    assert_eq!(epoch(s, &t).await, 0);
    assert_eq!(s.policy(&t, 0).await.expect("looks"), None);
    assert_eq!(put(s, set(&t, 1, false)).await, 1);
    assert_eq!(put(s, set(&t, 2, false)).await, 2);
    assert_eq!(put(s, set(&other, 3, false)).await, 1);
    assert_eq!((epoch(s, &t).await, epoch(s, &other).await), (2, 1));
    let NewPolicy { tenant, digest, body, by, at, rollback, proposed } = set(&t, 1, false);
    let first = PolicyRow { tenant, epoch: 1, digest, body, by, at, rollback, proposed, confirmed: None };
    assert_eq!(s.policy(&t, 1).await.expect("looks"), Some(first));
    assert_eq!(s.policy(&other, 2).await.expect("looks"), None);
}

/// One after the other, whoever is first.
pub async fn sets_applied_at_once_have_an_epoch_each(s: &dyn PolicyStore) {
    let t = name(TENANT);
    let all = (0..20).map(|n| put(s, set(&t, n, false)));
    let mut epochs = futures_util::future::join_all(all).await;
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=20).collect::<Vec<u64>>());
    assert_eq!(epoch(s, &t).await, 20);
}

/// The last first, without bodies, in pages.
pub async fn sets_are_listed_last_first(s: &dyn PolicyStore) {
    let t = name(TENANT);
    for n in 1..=5 {
        put(s, NewPolicy { rollback: (n == 4).then_some(2), ..set(&t, n, false) }).await;
    }
    put(s, set(&name("globex"), 9, false)).await;
    let rows = s.policies(&t, None, 3).await.expect("lists");
    assert_eq!(rows.iter().map(|r| r.epoch).collect::<Vec<_>>(), [5, 4, 3]);
    assert!(rows.iter().all(|r| r.body.is_empty() && r.is_applied()));
    assert_eq!((rows[1].rollback, rows[0].rollback, rows[0].digest), (Some(2), None, [5; 32]));
    let rest = s.policies(&t, Some(3), 3).await.expect("lists");
    assert_eq!(rest.iter().map(|r| r.epoch).collect::<Vec<_>>(), [2, 1]);
}

/// By somebody else, once, and only while no later one is in force.
pub async fn a_proposed_set_comes_into_force_when_another_person_confirms_it(s: &dyn PolicyStore) {
    let t = name(TENANT);
    put(s, set(&t, 1, false)).await;
    let confirm = async |epoch, by: &str| s.confirm_policy(&t, epoch, &name(by), LATER).await.expect("confirms");
    assert_eq!(put(s, set(&t, 2, true)).await, 2);
    assert_eq!(epoch(s, &t).await, 1, "nobody confirmed it yet");
    assert_eq!(confirm(2, "ann").await, Confirmed::Same);
    assert_eq!((confirm(1, "bob").await, confirm(7, "bob").await), (Confirmed::NotProposed, Confirmed::Unknown));
    assert_eq!(epoch(s, &t).await, 1);
    assert_eq!(confirm(2, "bob").await, Confirmed::Done);
    assert_eq!(epoch(s, &t).await, 2);
    assert_eq!(confirm(2, "carol").await, Confirmed::NotProposed, "it is confirmed once");
    let row = s.policy(&t, 2).await.expect("looks").expect("is kept");
    assert_eq!((row.by, row.proposed, row.confirmed), (name("ann"), true, Some((name("bob"), LATER))));
    put(s, set(&t, 3, true)).await;
    put(s, set(&t, 4, false)).await;
    assert_eq!(confirm(3, "bob").await, Confirmed::Late(4));
    let waits = s.policies(&t, None, 2).await.expect("lists");
    assert_eq!((epoch(s, &t).await, waits[1].is_applied()), (4, false));
}
