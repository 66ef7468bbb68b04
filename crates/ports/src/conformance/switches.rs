//! Cases: what operators turn off and on.

use stead_core::{id::Name, time::Timestamp};

use super::kit::{TENANT, name};
use crate::switches::{NewSwitch, SwitchRow, SwitchStore, What};

fn off(tenant: &Name, what: What, which: &str) -> NewSwitch {
    let (tenant, name_of, by) = (tenant.clone(), name(which), name("ann"));
    NewSwitch { tenant, what, name: name_of, on: false, by, at: Timestamp(7), reason: "it refunds twice".into() }
}

async fn put(s: &dyn SwitchStore, switch: NewSwitch) -> u64 {
    s.put_switch(switch).await.expect("puts").expect("there is room")
}

/// From 1, over all tenants, as they were given.
pub async fn switches_are_kept_in_their_order(s: &dyn SwitchStore) {
    let (t, other) = (name(TENANT), name("globex"));
    assert_eq!(s.last_switch().await.expect("tells"), 0);
    assert_eq!(s.switches(0, 10).await.expect("lists"), []);
    let first = off(&t, What::Tool, "refund");
    let second = NewSwitch { on: true, reason: String::new(), ..off(&other, What::Tool, "refund") };
    assert_eq!((put(s, first.clone()).await, put(s, second.clone()).await), (1, 2));
    assert_eq!(s.last_switch().await.expect("tells"), 2);
    let row = |n, switch| SwitchRow { n, switch, heard: false };
    let (first, second) = (row(1, first), row(2, second));
    assert_eq!(s.switches(0, 10).await.expect("lists"), [first.clone(), second.clone()]);
    assert_eq!(s.switches(0, 1).await.expect("lists"), std::slice::from_ref(&first));
    assert_eq!(s.switches(1, 10).await.expect("lists"), [second]);
    assert_eq!(s.past_switches(&t, None, 10).await.expect("lists"), [first]);
    assert_eq!(s.past_switches(&t, Some(1), 10).await.expect("lists"), []);
}

/// One after the other, whoever is first, without a gap: whoever has seen number n has seen all before it.
pub async fn switches_turned_at_once_have_a_number_each(s: &dyn SwitchStore) {
    let t = name(TENANT);
    let all = What::ALL.into_iter().map(|what| put(s, off(&t, what, "x")));
    let mut numbers = futures_util::future::join_all(all).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=What::ALL.len() as u64).collect::<Vec<u64>>());
    let past = s.past_switches(&t, None, 3).await.expect("lists");
    let last = What::ALL.len() as u64;
    assert_eq!(past.iter().map(|row| row.n).collect::<Vec<_>>(), [last, last - 1, last - 2]);
    let kinds: Vec<What> = s.switches(0, 10).await.expect("lists").iter().map(|row| row.switch.what).collect();
    assert!(What::ALL.iter().all(|what| kinds.contains(what)));
}

/// Of that row alone.
pub async fn that_all_runs_have_heard_is_kept(s: &dyn SwitchStore) {
    let t = name(TENANT);
    for which in ["cancel", "kill"] {
        put(s, off(&t, What::Runs, which)).await;
    }
    s.switch_heard(1).await.expect("notes");
    let heard: Vec<bool> = s.switches(0, 10).await.expect("lists").iter().map(|row| row.heard).collect();
    assert_eq!(heard, [true, false]);
}
